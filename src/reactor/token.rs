//! Tokens: what a descriptor belongs to, an index and a generation, so that an event of a descriptor that was closed
//! since, and whose number the kernel has given to another, is told apart.

use mio::Token;

use super::Ready;

/// Reports of helper threads.
pub(super) const WAKER: Token = Token(usize::MAX);

const HALF: u32 = usize::BITS / 2;
const MASK: usize = (1 << HALF) - 1;
/// Told apart from slots by the highest bits of the index.
const AGENT: usize = 1 << (HALF - 1);
const DNS: usize = 1 << (HALF - 2);

/// The token of one host's connection. Generations wrap where they no longer fit.
pub(crate) fn token(index: usize, generation: u32) -> Token {
    debug_assert!(index < DNS, "no bit of another kind");
    Token((generation as usize & MASK) << HALF | index & MASK)
}

/// The token of one connection to an agent.
pub(crate) fn agent_token(index: usize, generation: u32) -> Token {
    Token(token(index, generation).0 | AGENT)
}

/// The token of one socket of the resolver's.
pub(crate) fn dns_token(index: usize, generation: u32) -> Token {
    Token(token(index, generation).0 | DNS)
}

pub(super) fn ready(token: Token) -> Ready {
    let (index, generation) = (token.0 & MASK, (token.0 >> HALF) as u32);
    match token {
        WAKER => Ready::Woken,
        _ if index & AGENT != 0 => Ready::Agent { index: index ^ AGENT, generation },
        _ if index & DNS != 0 => Ready::Dns { index: index ^ DNS, generation },
        _ => Ready::Slot { index, generation },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_back_what_went_in() {
        for (index, generation) in [(0, 0), (9_999, 7), (0xffff, u32::MAX)] {
            assert_eq!(ready(token(index, generation)), Ready::Slot { index, generation });
            assert_eq!(ready(agent_token(index, generation)), Ready::Agent { index, generation });
            assert_eq!(ready(dns_token(index, generation)), Ready::Dns { index, generation });
        }
    }

    #[test]
    fn the_waker_is_no_connection() {
        assert_eq!(ready(WAKER), Ready::Woken);
    }
}
