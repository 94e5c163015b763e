//! The structures of PKCS#1 and SEC 1.

use der::asn1::{ObjectIdentifier, UintRef};
use der::{Decode, Reader, SliceReader};
use sec1::EcPrivateKey;

use super::parts::{Curve, Parts, RsaParts};
use crate::error::KeyProblem;

const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// Reads an `RSAPrivateKey` (RFC 8017 appendix A.1.2) with two primes.
pub(super) fn rsa(der: &[u8]) -> Result<Parts<'_>, KeyProblem> {
    rsa_parts(der).map(Parts::Rsa).map_err(|_| KeyProblem::Damaged("it is not a PKCS#1 structure"))
}

fn rsa_parts(der: &[u8]) -> der::Result<RsaParts<'_>> {
    let mut reader = SliceReader::new(der)?;
    let parts = reader.sequence(|reader| {
        if u8::decode(reader)? != 0 {
            return Err(der::Error::from(der::Tag::Integer.value_error()));
        }
        let mut number = || Ok::<_, der::Error>(UintRef::decode(reader)?.as_bytes());
        let (n, e, d, p, q) = (number()?, number()?, number()?, number()?, number()?);
        // The exponents of both primes are skipped, because they follow from the other numbers.
        let (_, _, q_inv) = (number()?, number()?, number()?);
        Ok(RsaParts { n, e, d, p, q, q_inv })
    })?;
    reader.finish()?;
    Ok(parts)
}

/// Reads an `ECPrivateKey` (RFC 5915).
pub(super) fn ec(der: &[u8]) -> Result<Parts<'_>, KeyProblem> {
    ec_on(None, der)
}

/// Like [`ec`], but for a key inside PKCS#8, where the curve is named outside the key (`outer`).
pub(super) fn ec_on(outer: Option<ObjectIdentifier>, der: &[u8]) -> Result<Parts<'_>, KeyProblem> {
    let key = EcPrivateKey::try_from(der).map_err(|_| KeyProblem::Damaged("it is not a SEC 1 structure"))?;
    let inner = key.parameters.and_then(sec1::EcParameters::named_curve);
    let named = outer.or(inner).ok_or(KeyProblem::Damaged("it does not name its curve"))?;
    if inner.is_some_and(|inner| inner != named) {
        return Err(KeyProblem::Damaged("it names two different curves"));
    }
    let curve = match named {
        P256 => Curve::P256,
        P384 => Curve::P384,
        P521 => Curve::P521,
        other => return Err(KeyProblem::UnsupportedType(format!("elliptic curve {other}"))),
    };
    Ok(Parts::Ecdsa { curve, scalar: key.private_key, point: key.public_key })
}
