//! Tokens: an index and the generation of the connection behind it, so that an event of a descriptor that was closed
//! since, and whose number the kernel has given to another, is told apart.

use mio::Token;

/// Reports of helper threads.
pub(super) const WAKER: Token = Token(usize::MAX);

const HALF: u32 = usize::BITS / 2;
const MASK: usize = (1 << HALF) - 1;

/// The token of one connection. Generations wrap where they no longer fit.
pub(crate) fn token(index: usize, generation: u32) -> Token {
    debug_assert!(index < MASK, "the index of the waker");
    Token((generation as usize & MASK) << HALF | index & MASK)
}

pub(super) fn index_and_generation(token: Token) -> Option<(usize, u32)> {
    (token != WAKER).then_some((token.0 & MASK, (token.0 >> HALF) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_back_what_went_in() {
        for (index, generation) in [(0, 0), (9_999, 7), (0xffff, u32::MAX)] {
            assert_eq!(index_and_generation(token(index, generation)), Some((index, generation)));
        }
    }

    #[test]
    fn the_waker_is_no_connection() {
        assert_eq!(index_and_generation(WAKER), None);
    }
}
