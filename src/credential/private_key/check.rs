//! Checks that the parts of a key belong together, with libcrypto's arithmetic.
//!
//! Every number is bounded before it is used: a modulus by its bits, all others by the modulus or
//! the curve.

use std::cmp::Ordering;

use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcPoint, PointConversionForm};
use openssl::error::ErrorStack;
use openssl::pkey::{Id, PKey};

use super::parts::{Curve, RsaParts};
use crate::error::KeyProblem;
use crate::hostkey::{bits, minimal};
use crate::limits;

const HALVES_DIFFER: KeyProblem = KeyProblem::Damaged("its public half does not belong to its private half");
const NOT_RSA: KeyProblem = KeyProblem::Damaged("its numbers do not form an RSA key");

/// libcrypto fails if it is out of memory, or if its configuration disables the operation.
impl From<ErrorStack> for KeyProblem {
    fn from(error: ErrorStack) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Computes the public half of an Ed25519 key. If `public` is known, it must be the same.
pub(super) fn ed25519_public(seed: &[u8; 32], public: Option<&[u8; 32]>) -> Result<[u8; 32], KeyProblem> {
    let computed = PKey::private_key_from_raw_bytes(seed, Id::ED25519)?.raw_public_key()?;
    match public {
        Some(public) if computed != public => Err(HALVES_DIFFER),
        _ => computed.try_into().map_err(|_| HALVES_DIFFER),
    }
}

/// Computes the public half of an ECDSA key, uncompressed. If `point` is known, it must be the
/// same.
pub(super) fn ecdsa_public(curve: Curve, scalar: &[u8], point: Option<&[u8]>) -> Result<Vec<u8>, KeyProblem> {
    if minimal(scalar).len() > curve.bytes {
        return Err(KeyProblem::Damaged("its private number is too large for its curve"));
    }
    let mut context = BigNumContext::new()?;
    let group = EcGroup::from_curve_name(curve.nid)?;
    let mut order = BigNum::new()?;
    group.order(&mut order, &mut context)?;
    let scalar = Secret::new(scalar)?;
    if scalar.0.num_bits() == 0 || scalar.0.ucmp(&order) != Ordering::Less {
        return Err(KeyProblem::Damaged("its private number is too large for its curve"));
    }
    let mut computed = EcPoint::new(&group)?;
    computed.mul_generator2(&group, &scalar.0, &mut context)?;
    if let Some(point) = point {
        let point = EcPoint::from_bytes(&group, point, &mut context)
            .map_err(|_| KeyProblem::Damaged("its public half is not a point of its curve"))?;
        if !computed.eq(&group, &point, &mut context)? {
            return Err(HALVES_DIFFER);
        }
    }
    Ok(computed.to_bytes(&group, PointConversionForm::UNCOMPRESSED, &mut context)?)
}

/// Checks that `n = pq`, and that `d` and `q_inv` are inverses as RFC 8017 section 3.2 defines
/// them. Does not check that `p` and `q` are prime: if they are not, signatures are wrong, which
/// does no harm.
pub(super) fn rsa(parts: RsaParts<'_>) -> Result<(), KeyProblem> {
    let (found, range) = (bits(parts.n), limits::RSA_BITS);
    if !range.contains(&found) {
        return Err(KeyProblem::RsaSize { found, min: *range.start(), max: *range.end() });
    }
    let RsaParts { n, e, d, p, q, q_inv } = parts;
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    let sizes = [(p, found), (q, found), (d, found), (q_inv, bits(p)), (e, limits::RSA_EXPONENT_BITS)];
    if sizes.iter().any(|(number, max)| bits(number) > *max) || [n, e, p, q].iter().any(|it| !is_odd(it)) {
        return Err(NOT_RSA);
    }
    // The number 1 is odd as well, and would pass the checks below because it divides everything.
    if [e, p, q].iter().any(|number| bits(number) < 2) {
        return Err(NOT_RSA);
    }
    let mut context = BigNumContext::new()?;
    let (p, q) = (Secret::new(p)?, Secret::new(q)?);
    let mut product = Secret::zero()?;
    product.0.checked_mul(&p.0, &q.0, &mut context)?;
    if product.0 != Secret::new(n)?.0 {
        return Err(NOT_RSA);
    }
    product.0.checked_mul(&Secret::new(q_inv)?.0, &q.0, &mut context)?;
    if !is_one_modulo(&product, &p, &mut context)? {
        return Err(NOT_RSA);
    }
    product.0.checked_mul(&Secret::new(d)?.0, &Secret::new(e)?.0, &mut context)?;
    for mut prime in [p, q] {
        prime.0.sub_word(1)?;
        if !is_one_modulo(&product, &prime, &mut context)? {
            return Err(NOT_RSA);
        }
    }
    Ok(())
}

fn is_one_modulo(number: &Secret, modulus: &Secret, context: &mut BigNumContext) -> Result<bool, ErrorStack> {
    let mut rest = Secret::zero()?;
    rest.0.nnmod(&number.0, &modulus.0, context)?;
    Ok(rest.0.num_bits() == 1)
}

/// A number that is overwritten when dropped, because libcrypto would only free it.
struct Secret(BigNum);

impl Secret {
    fn new(number: &[u8]) -> Result<Self, ErrorStack> {
        BigNum::from_slice(number).map(Self)
    }

    fn zero() -> Result<Self, ErrorStack> {
        BigNum::new().map(Self)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.clear();
    }
}
