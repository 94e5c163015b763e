//! The parts of a private key, whatever its file format.

use openssl::nid::Nid;

/// The parts of a key, borrowed from the buffer they were read into. Numbers are big-endian, and
/// may have leading zero bytes.
pub(super) enum Parts<'a> {
    Ed25519 {
        seed: &'a [u8; 32],
        /// The public half. `None` if the format does not contain it.
        public: Option<&'a [u8; 32]>,
    },
    Ecdsa {
        curve: Curve,
        scalar: &'a [u8],
        /// The public half, encoded as in SEC 1 section 2.3.3, compressed or not. `None` if the
        /// format does not contain it.
        point: Option<&'a [u8]>,
    },
    Rsa(RsaParts<'a>),
}

impl Parts<'_> {
    /// The total length in bytes of the parts, without public halves of a fixed size.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Ed25519 { seed, .. } => seed.len(),
            Self::Ecdsa { scalar, .. } => scalar.len(),
            Self::Rsa(RsaParts { n, e, d, p, q, q_inv }) => {
                [n, e, d, p, q, q_inv].map(|it| it.len()).iter().sum()
            }
        }
    }
}

/// The parts of an RSA key, by the names of RFC 8017 section 3.2.
#[derive(Clone, Copy)]
pub(super) struct RsaParts<'a> {
    pub n: &'a [u8],
    pub e: &'a [u8],
    pub d: &'a [u8],
    pub p: &'a [u8],
    pub q: &'a [u8],
    pub q_inv: &'a [u8],
}

/// The curves of SSH keys (RFC 5656 section 10.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    pub const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// The curve's name in key blobs.
    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
            Self::P521 => "nistp521",
        }
    }

    /// The type of keys on this curve.
    pub fn key_type(self) -> &'static str {
        match self {
            Self::P256 => "ecdsa-sha2-nistp256",
            Self::P384 => "ecdsa-sha2-nistp384",
            Self::P521 => "ecdsa-sha2-nistp521",
        }
    }

    pub fn nid(self) -> Nid {
        match self {
            Self::P256 => Nid::X9_62_PRIME256V1,
            Self::P384 => Nid::SECP384R1,
            Self::P521 => Nid::SECP521R1,
        }
    }

    /// The length of a coordinate in bytes, which is also the maximum for a scalar.
    pub fn bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// A number without leading zero bytes.
pub(super) fn minimal(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The number of significant bits.
pub(super) fn bits(number: &[u8]) -> usize {
    let number = minimal(number);
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}
