//! Why keys and certificates cannot be used.

use std::io;
use std::path::PathBuf;

use crate::hostkey::KeyError;
use crate::text::{sanitise, shell_word};

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
    /// The file or text is larger than any key.
    #[error("is larger than {max} bytes")]
    TooLarge {
        /// How many bytes are allowed.
        max: usize,
    },
    /// The key is encrypted, and no passphrase was given.
    #[error("is encrypted and no passphrase was given")]
    PassphraseMissing,
    /// The key is encrypted, and the passphrase does not decrypt it.
    #[error("is encrypted and the passphrase does not open it")]
    PassphraseWrong,
    /// Decrypting the key would take more rounds of key derivation than
    /// [`kdf_rounds_max`](crate::HostConfig::kdf_rounds_max) allows.
    #[error("needs {found} rounds of {kdf} to decrypt, but kdf_rounds_max allows only {max}")]
    TooManyRounds {
        /// `bcrypt`, or `PBKDF2` of PKCS#8.
        kdf: &'static str,
        /// How many rounds the key needs.
        found: u32,
        /// How many rounds are allowed.
        max: u32,
    },
    /// Decrypting the key would take too much memory (PKCS#8 with scrypt).
    #[error(
        "needs {found} bytes of memory for scrypt, but at most {max} are allowed; re-encrypt it with PBKDF2"
    )]
    ScryptTooLarge {
        /// How many bytes the key needs: 128 × N × r × p.
        found: u128,
        /// How many bytes are allowed.
        max: u128,
    },
    /// The file or text contains no private key in a supported format: OpenSSH, or PEM with PKCS#1,
    /// SEC 1 or PKCS#8.
    #[error("holds no private key in a supported format")]
    Malformed,
    /// The private key is truncated, altered or inconsistent.
    #[error("is damaged: {0}")]
    Damaged(&'static str),
    /// The file or text contains a public key, and there is no ssh-agent that could hold the
    /// private key.
    #[error("holds a public key; give the file of the private key, without .pub")]
    PublicKey,
    /// The key is in PuTTY's format (PPK).
    #[error("is in PuTTY's format; convert it: puttygen key.ppk -O private-openssh -o key")]
    Putty,
    /// The key is in the format of SSH.COM's programs.
    #[error("is in SSH.COM's format; convert it: ssh-keygen -i -f key > key.openssh")]
    SshCom,
    /// The key is in binary form (DER).
    #[error("is in binary form (DER); convert it: openssl pkey -inform DER -in key.der -out key.pem")]
    Der,
    /// The text is in UTF-16, as some editors and shells save it.
    #[error("is text in UTF-16; save it as UTF-8")]
    Utf16,
    /// The file is the handle of a key in a security key (FIDO), such as
    /// `sk-ssh-ed25519@openssh.com`. Only an ssh-agent can sign with it.
    #[error("belongs to a security key (FIDO); add it to an ssh-agent with ssh-add, and use that")]
    SecurityKey,
    /// The key is a DSA key. Neither libssh nor OpenSSH uses such keys any more.
    #[error("is a DSA key, which is not supported any more; make a new one: ssh-keygen -t ed25519")]
    Dsa,
    /// The key is of an unsupported type, which has this name or object identifier.
    #[error("is of the unsupported type {}", sanitise(.0))]
    UnsupportedType(String),
    /// The key is encrypted with an unsupported cipher, which has this name or object identifier.
    #[error(
        "is encrypted with {}, which is not supported; change it with ssh-keygen -p or openssl pkcs8 -topk8",
        sanitise(.0)
    )]
    UnsupportedCipher(String),
    /// The key is an RSA key of an unsupported size.
    #[error("is an RSA key of {found} bits; from {min} to {max} are supported")]
    RsaSize {
        /// How many bits the modulus has.
        found: usize,
        /// The fewest bits that are supported.
        min: usize,
        /// The most bits that are supported.
        max: usize,
    },
    /// libssh or its libcrypto rejects the key, although it is well-formed. The text is the
    /// library's error message.
    #[error("is rejected by libssh: {}", sanitise(.0))]
    Refused(String),
}

/// Why a user certificate cannot be used. Only the server decides whether a certificate is valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertProblem {
    /// The file does not exist or cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// The file or text is larger than any certificate.
    #[error("is larger than {max} bytes")]
    TooLarge {
        /// How many bytes are allowed.
        max: usize,
    },
    /// The text is not an OpenSSH certificate, or the certificate is damaged.
    #[error("holds no OpenSSH certificate")]
    Malformed,
    /// The text is a public key, not a certificate.
    #[error("holds a public key, not a certificate")]
    PlainKey,
    /// The certificate is for a host.
    #[error("is for a host, not for a user")]
    ForHosts,
    /// The certificate is of a type that libssh cannot use, such as that of a FIDO key or a DSA
    /// key.
    #[error("is of the unsupported type {}", sanitise(.0))]
    Unsupported(String),
    /// The certificate does not belong to the private key that is named or, if no key is named, to
    /// any of the identity files.
    #[error("belongs to neither the private key nor any identity file")]
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
