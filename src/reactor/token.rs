//! Tokens: the owner of a descriptor, as an index and a generation. The generation tells an event
//! of a closed descriptor from one of a new descriptor with the same number.

use mio::Token;

use super::Ready;

/// The token of the waker that helper threads use.
pub(super) const WAKER: Token = Token(usize::MAX);

const HALF: u32 = usize::BITS / 2;
const MASK: usize = (1 << HALF) - 1;
/// The highest bits of the index distinguish agents from hosts.
const AGENT: usize = 1 << (HALF - 1);
const DNS: usize = 1 << (HALF - 2);

/// The token of one host's connection. Generations that do not fit wrap around.
pub(crate) fn token(index: usize, generation: u32) -> Token {
    debug_assert!(index < DNS, "the index uses a bit that marks the kind");
    Token((generation as usize & MASK) << HALF | index & MASK)
}

/// The token of one connection to an ssh-agent.
pub(crate) fn agent_token(index: usize, generation: u32) -> Token {
    Token(token(index, generation).0 | AGENT)
}

/// The token of one socket of the resolver.
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
    fn a_token_returns_its_index_and_generation() {
        for (index, generation) in [(0, 0), (9_999, 7), (0xffff, u32::MAX)] {
            assert_eq!(ready(token(index, generation)), Ready::Slot { index, generation });
            assert_eq!(ready(agent_token(index, generation)), Ready::Agent { index, generation });
            assert_eq!(ready(dns_token(index, generation)), Ready::Dns { index, generation });
        }
    }

    #[test]
    fn the_waker_is_not_a_connection() {
        assert_eq!(ready(WAKER), Ready::Woken);
    }
}
