//! A key identifies the owner of a descriptor. Its generation distinguishes events of a closed
//! descriptor from those of a new descriptor with the same number.

use mio::Token;

/// The token of the waker that helper threads use.
pub(super) const WAKER: Token = Token(usize::MAX);

/// How many bits of a token hold the generation. The other half holds the kind and the index.
const HALF: u32 = usize::BITS / 2;
const INDEX_BITS: u32 = HALF - 2;

/// The owner of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// The kind of owner, from 0 to 3, as numbered by the user of the reactor.
    pub kind: u8,
    pub index: usize,
    pub generation: u32,
}

impl Key {
    /// The token of this key. A generation that does not fit wraps around.
    pub(crate) fn token(self) -> Token {
        // The largest index is that of the waker.
        debug_assert!(self.kind < 4 && self.index + 1 < 1 << INDEX_BITS, "{self:?} does not fit a token");
        let owner = usize::from(self.kind) << INDEX_BITS | self.index;
        Token((self.generation as usize) << HALF | owner)
    }

    pub(super) fn of(token: Token) -> Self {
        let owner = token.0 & ((1 << HALF) - 1);
        let index = owner & ((1 << INDEX_BITS) - 1);
        Self { kind: (owner >> INDEX_BITS) as u8, index, generation: (token.0 >> HALF) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_its_key() {
        for kind in 0..4 {
            for (index, generation) in [(0, 0), (9_999, 7), (0xffff, u32::MAX)] {
                let key = Key { kind, index, generation };
                assert_eq!(Key::of(key.token()), key);
                assert_ne!(key.token(), WAKER);
            }
        }
    }
}
