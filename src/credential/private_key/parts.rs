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

/// A curve of SSH keys (RFC 5656 section 10.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Curve {
    /// The name in key blobs. The type of the keys is this name after [`ECDSA`].
    pub name: &'static str,
    pub nid: Nid,
    /// The length of a coordinate in bytes, which is also the maximum for a scalar.
    pub bytes: usize,
}

/// The start of the name of every ECDSA key type.
pub(super) const ECDSA: &[u8] = b"ecdsa-sha2-";

impl Curve {
    pub const P256: Self = Self { name: "nistp256", nid: Nid::X9_62_PRIME256V1, bytes: 32 };
    pub const P384: Self = Self { name: "nistp384", nid: Nid::SECP384R1, bytes: 48 };
    pub const P521: Self = Self { name: "nistp521", nid: Nid::SECP521R1, bytes: 66 };
    pub const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];
}
