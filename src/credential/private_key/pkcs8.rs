//! PKCS#8 (RFC 5958), plain and encrypted with a passphrase (PBES2, RFC 8018 section 6.2).

use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{Decode, ErrorKind, Reader, SliceReader};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{Kdf, PBES2_OID};
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};

use super::parts::Parts;
use super::{Opener, PlainKey, asn1, damage_by_passphrase};
use crate::error::KeyProblem;
use crate::limits;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");

const DAMAGED: KeyProblem = KeyProblem::Damaged("it is not a PKCS#8 structure");

/// Reads a `PrivateKeyInfo`.
pub(super) fn open(der: &[u8]) -> Result<PlainKey, KeyProblem> {
    let info = PrivateKeyInfoRef::from_der(der).map_err(|_| DAMAGED)?;
    let key = info.private_key.as_bytes();
    let parts = match info.algorithm.oid {
        RSA => asn1::rsa(key)?,
        EC => asn1::ec_on(Some(info.algorithm.parameters_oid().map_err(|_| DAMAGED)?), key)?,
        ED25519 => {
            let seed = <&OctetStringRef>::from_der(key).ok().and_then(|seed| seed.as_bytes().try_into().ok());
            let public = info.public_key.map(|public| public.raw_bytes().try_into()).transpose();
            Parts::Ed25519 { seed: seed.ok_or(DAMAGED)?, public: public.map_err(|_| DAMAGED)? }
        }
        DSA => return Err(KeyProblem::Dsa),
        other => return Err(KeyProblem::UnsupportedType(other.to_string())),
    };
    PlainKey::new(&parts)
}

/// Decrypts and reads an `EncryptedPrivateKeyInfo`.
pub(super) fn open_encrypted(der: &[u8], opener: Opener<'_>) -> Result<PlainKey, KeyProblem> {
    let info =
        EncryptedPrivateKeyInfoRef::from_der(der).map_err(|error| match (error.kind(), scheme_of(der)) {
            (ErrorKind::OidUnknown { oid }, _) => KeyProblem::UnsupportedCipher(oid.to_string()),
            (_, Some(scheme)) if scheme != PBES2_OID => KeyProblem::UnsupportedCipher(scheme.to_string()),
            _ => DAMAGED,
        })?;
    let EncryptionScheme::Pbes2(scheme) = &info.encryption_algorithm else {
        return Err(KeyProblem::UnsupportedCipher("PBES1".to_owned()));
    };
    check_cost(&scheme.kdf, opener.rounds_max)?;
    let opened = info.decrypt(opener.passphrase()?).map_err(|_| KeyProblem::PassphraseWrong)?;
    open(opened.as_bytes()).map_err(damage_by_passphrase)
}

/// The encryption scheme of an `EncryptedPrivateKeyInfo`. It need not be a supported one.
fn scheme_of(der: &[u8]) -> Option<ObjectIdentifier> {
    let scheme = SliceReader::new(der).ok()?.sequence(|reader| {
        let scheme = AlgorithmIdentifierRef::decode(reader)?;
        AnyRef::decode(reader)?;
        Ok::<_, der::Error>(scheme.oid)
    });
    scheme.ok()
}

/// Limits the time and memory of the key derivation, whose parameters come from the file.
fn check_cost(kdf: &Kdf, rounds_max: u32) -> Result<(), KeyProblem> {
    match kdf {
        Kdf::Pbkdf2(parameters) => {
            let (found, max) =
                (parameters.iteration_count, rounds_max.saturating_mul(limits::PBKDF2_PER_ROUND));
            match found {
                0 => Err(KeyProblem::Damaged("it has no PBKDF2 rounds")),
                _ if found > max => Err(KeyProblem::TooManyRounds { kdf: "PBKDF2", found, max }),
                _ => Ok(()),
            }
        }
        Kdf::Scrypt(parameters) => {
            let cost = parameters.cost_parameter;
            // The product is less than 2^64 × 2^16 × 2^16 × 2^7, so it cannot overflow.
            let found = 128
                * u128::from(cost)
                * u128::from(parameters.block_size)
                * u128::from(parameters.parallelization);
            match limits::SCRYPT_BYTES {
                _ if !cost.is_power_of_two() || found == 0 => {
                    Err(KeyProblem::Damaged("its scrypt parameters are invalid"))
                }
                max if found > max => Err(KeyProblem::ScryptTooLarge { found, max }),
                _ => Ok(()),
            }
        }
        other => Err(KeyProblem::UnsupportedCipher(other.oid().to_string())),
    }
}
