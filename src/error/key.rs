//! Why keys and certificates cannot be used.

use std::io;
use std::path::PathBuf;

use crate::hostkey::KeyError;
use crate::text::sanitise;

/// Why a private key cannot be used. The texts say what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// The file does not exist or cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// The file belongs to this user, and other users may read or change it. OpenSSH refuses such
    /// keys too.
    #[error("is accessible to other users (mode {mode:04o}); run: chmod 600 {}", shell_word(path))]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file, or the text, is larger than any key.
    #[error("is larger than {max} bytes")]
    TooLarge {
        /// Bytes allowed.
        max: usize,
    },
    /// Encrypted, and no passphrase was given.
    #[error("is encrypted and no passphrase was given")]
    PassphraseMissing,
    /// Encrypted, and the passphrase does not open it.
    #[error("is encrypted and the passphrase does not open it")]
    PassphraseWrong,
    /// Opening it would take more rounds of key derivation than
    /// [`kdf_rounds_max`](crate::HostConfig::kdf_rounds_max) allows.
    #[error("needs {found} rounds of {kdf} to decrypt, and kdf_rounds_max allows {max}")]
    TooManyRounds {
        /// `bcrypt`, or `PBKDF2` of PKCS#8.
        kdf: &'static str,
        /// Rounds that it needs.
        found: u32,
        /// Rounds allowed.
        max: u32,
    },
    /// Decrypting it would take too much memory (PKCS#8 with scrypt).
    #[error(
        "takes {found} bytes of scrypt's memory to open, at most {max} are allowed; re-encrypt it with PBKDF2"
    )]
    ScryptTooLarge {
        /// Bytes that it needs: 128 × N × r × p.
        found: u128,
        /// Bytes allowed.
        max: u128,
    },
    /// It contains no private key in a supported format: OpenSSH, or PEM with PKCS#1, SEC 1 or
    /// PKCS#8.
    #[error("holds no private key in a supported format")]
    Malformed,
    /// A private key that is truncated, altered or inconsistent.
    #[error("is damaged: {0}")]
    Damaged(&'static str),
    /// A public key.
    #[error("holds a public key; give the file of the private key, without .pub")]
    PublicKey,
    /// A key in PuTTY's format (PPK).
    #[error("is in PuTTY's format; convert it: puttygen key.ppk -O private-openssh -o key")]
    Putty,
    /// A key in the format of SSH.COM's programs.
    #[error("is in SSH.COM's format; convert it: ssh-keygen -i -f key > key.openssh")]
    SshCom,
    /// A key in binary form (DER).
    #[error("is in binary form (DER); convert it: openssl pkey -inform DER -in key.der -out key.pem")]
    Der,
    /// Text in UTF-16, as some editors and shells save it.
    #[error("is text in UTF-16; save it as UTF-8")]
    Utf16,
    /// The handle of a key in a security key (FIDO), such as `sk-ssh-ed25519@openssh.com`. libssh
    /// cannot use it.
    #[error("belongs to a security key (FIDO); add it to an ssh-agent with ssh-add, and use that")]
    SecurityKey,
    /// A DSA key. Neither libssh nor OpenSSH uses them any more.
    #[error("is a DSA key, which is not supported any more; make a new one: ssh-keygen -t ed25519")]
    Dsa,
    /// A key of an unsupported type: its name or object identifier.
    #[error("is of the unsupported type {}", sanitise(.0))]
    UnsupportedType(String),
    /// Encrypted with an unsupported cipher: its name or object identifier.
    #[error(
        "is encrypted with {}, which is not supported; change it with ssh-keygen -p or openssl pkcs8 -topk8",
        sanitise(.0)
    )]
    UnsupportedCipher(String),
    /// An RSA key of an unusable size.
    #[error("is an RSA key of {found} bits; from {min} to {max} are supported")]
    RsaSize {
        /// Bits of its modulus.
        found: usize,
        /// Fewest bits.
        min: usize,
        /// Most bits.
        max: usize,
    },
    /// libssh or its libcrypto rejects a key that is well-formed: its error.
    #[error("is rejected by libssh: {}", sanitise(.0))]
    Refused(String),
}

/// A path that can be pasted into a shell.
fn shell_word(path: &std::path::Path) -> String {
    format!("'{}'", sanitise(&path.display().to_string().replace('\'', r"'\''")))
}

/// Why a user certificate cannot be used. Only the server decides whether it is valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertProblem {
    /// The file does not exist or cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// The file, or the text, is larger than any certificate.
    #[error("is larger than {max} bytes")]
    TooLarge {
        /// Bytes allowed.
        max: usize,
    },
    /// Not the text of an OpenSSH certificate, or one that is damaged.
    #[error("holds no OpenSSH certificate")]
    Malformed,
    /// A public key without a signature.
    #[error("holds a public key, not a certificate")]
    PlainKey,
    /// It certifies a host.
    #[error("is for a host, not for a user")]
    ForHosts,
    /// A certificate of a type that libssh cannot use: of a FIDO key, or a DSA one.
    #[error("is of the unsupported type {}", sanitise(.0))]
    Unsupported(String),
    /// The certificate belongs to another private key than the one that is named, or, where none is
    /// named, to none of the identity files.
    #[error("does not belong to the private key, nor to an identity file")]
    OtherKey,
}

impl From<io::Error> for KeyProblem {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl From<io::Error> for CertProblem {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl From<KeyError> for CertProblem {
    fn from(_: KeyError) -> Self {
        Self::Malformed
    }
}
