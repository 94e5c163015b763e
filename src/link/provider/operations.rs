//! Key exchange and signatures (provider-keyexch(7), provider-signature(7)). The context of an
//! operation is a boxed [`Operation`].

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_uchar};
use std::sync::Arc;
use std::{ptr, slice};

use super::ffi::{Dispatch, Function, Param, Table};
use super::keys::{Key, LENGTH, SIGNATURE};
use super::object::{self, Object};

/// The keys of an operation, as far as they are known.
#[derive(Default, Clone)]
struct Operation {
    own: Option<Arc<Key>>,
    peer: Option<Arc<Key>>,
}

/// The functions of a key exchange with X25519.
pub(super) static EXCHANGE: Table<Dispatch, 7> = Table([
    Dispatch::to(Function::KeyexchNewctx(new_exchange)),
    Dispatch::to(Function::KeyexchInit(begin)),
    Dispatch::to(Function::KeyexchSetPeer(set_peer)),
    Dispatch::to(Function::KeyexchDerive(derive)),
    Dispatch::to(Function::KeyexchFreectx(object::free::<Operation>)),
    // `EVP_PKEY_CTX_dup`.
    Dispatch::to(Function::KeyexchDupctx(duplicate)),
    Dispatch::END,
]);

/// The functions of signatures with Ed25519. The message is never hashed beforehand, so it comes in
/// one piece.
pub(super) static SIGNATURES: Table<Dispatch, 8> = Table([
    Dispatch::to(Function::SignatureNewctx(new_signature)),
    Dispatch::to(Function::SignatureDigestSignInit(begin_signature)),
    Dispatch::to(Function::SignatureDigestSign(sign)),
    Dispatch::to(Function::SignatureDigestVerifyInit(begin_signature)),
    Dispatch::to(Function::SignatureDigestVerify(verify)),
    Dispatch::to(Function::SignatureFreectx(object::free::<Operation>)),
    // `EVP_MD_CTX_copy`, which OpenSSL's own signing makes use of as well.
    Dispatch::to(Function::SignatureDupctx(duplicate)),
    Dispatch::END,
]);

/// Sets the own key, unless it is null: then the one that was set before is used again.
unsafe extern "C" fn begin(object: Object, key: Object, _: *const Param) -> c_int {
    // SAFETY: a context and a key of ours.
    unsafe {
        let Some(operation) = object::at_mut::<Operation>(object) else { return 0 };
        operation.own = object::at(key).cloned().or(operation.own.take());
        c_int::from(operation.own.is_some())
    }
}

unsafe extern "C" fn duplicate(object: Object) -> Object {
    // SAFETY: a context of ours.
    let operation = unsafe { object::at::<Operation>(object) };
    operation.map_or(ptr::null_mut(), |operation| object::new(operation.clone()))
}

unsafe extern "C" fn new_exchange(_: Object) -> Object {
    object::new(Operation::default())
}

unsafe extern "C" fn set_peer(object: Object, key: Object) -> c_int {
    // SAFETY: a context and a key of ours.
    unsafe {
        let Some(operation) = object::at_mut::<Operation>(object) else { return 0 };
        operation.peer = object::at(key).cloned();
        c_int::from(operation.peer.is_some())
    }
}

unsafe extern "C" fn derive(object: Object, secret: *mut c_uchar, length: *mut usize, room: usize) -> c_int {
    // SAFETY: a context of ours, the place for the length, and room for `room` bytes unless
    // `secret` is null, when only the length is asked for.
    unsafe {
        let (Some(operation), Some(length)) = (object::at::<Operation>(object), length.as_mut()) else {
            return 0;
        };
        *length = LENGTH;
        if secret.is_null() {
            return 1;
        }
        let (Some(own), Some(peer)) = (&operation.own, &operation.peer) else { return 0 };
        if room < LENGTH {
            return 0;
        }
        c_int::from(own.agree(peer, &mut *secret.cast()))
    }
}

unsafe extern "C" fn new_signature(_: Object, _: *const c_char) -> Object {
    object::new(Operation::default())
}

/// Begins to sign or to verify. OpenSSL passes the name of a digest, which must be empty here, as
/// the key says.
unsafe extern "C" fn begin_signature(
    object: Object,
    digest: *const c_char,
    key: Object,
    params: *const Param,
) -> c_int {
    // SAFETY: null or a NUL-terminated name, and a context and a key of ours.
    unsafe { if digest.is_null() || *digest == 0 { begin(object, key, params) } else { 0 } }
}

unsafe extern "C" fn sign(
    object: Object,
    signature: *mut c_uchar,
    length: *mut usize,
    room: usize,
    message: *const c_uchar,
    message_length: usize,
) -> c_int {
    // SAFETY: a context of ours, the place for the length, a message that is null only if it is
    // empty, and room for `room` bytes unless `signature` is null, when only the length is asked
    // for.
    unsafe {
        let (Some(operation), Some(length)) = (object::at::<Operation>(object), length.as_mut()) else {
            return 0;
        };
        *length = SIGNATURE;
        if signature.is_null() {
            return 1;
        }
        let message = bytes(message, message_length);
        let signed = operation.own.as_ref().filter(|_| room >= SIGNATURE).and_then(|key| key.sign(message));
        let Some(signed) = signed else { return 0 };
        *signature.cast() = signed;
        1
    }
}

unsafe extern "C" fn verify(
    object: Object,
    signature: *const c_uchar,
    signature_length: usize,
    message: *const c_uchar,
    message_length: usize,
) -> c_int {
    // SAFETY: a context of ours, a signature and a message, each null only if it is empty.
    unsafe {
        let Some(key) = object::at::<Operation>(object).and_then(|operation| operation.own.as_ref()) else {
            return 0;
        };
        c_int::from(key.verify(bytes(message, message_length), bytes(signature, signature_length)))
    }
}

/// # Safety
/// `data` is null, or points to `length` bytes that do not change while the result is in use.
unsafe fn bytes<'a>(data: *const c_uchar, length: usize) -> &'a [u8] {
    // SAFETY: the caller promises this.
    if data.is_null() { &[] } else { unsafe { slice::from_raw_parts(data, length) } }
}
