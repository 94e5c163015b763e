//! Unpredictable numbers, fetched from the system a few hundred at a time.

pub(super) struct Random {
    pool: [u8; 512],
    used: usize,
}

impl Random {
    pub(super) fn new() -> Self {
        Self { pool: [0; 512], used: 512 }
    }

    pub(super) fn next(&mut self) -> u16 {
        if self.used == self.pool.len() {
            // This cannot fail on a booted system. If it does, the last numbers are reused. That
            // makes responses easier to forge, but lookups still work.
            if let Err(e) = getrandom::fill(&mut self.pool) {
                log::error!("no random numbers for DNS: {e}");
            }
            self.used = 0;
        }
        let number = u16::from_be_bytes([self.pool[self.used], self.pool[self.used + 1]]);
        self.used += 2;
        number
    }
}
