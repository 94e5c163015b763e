//! Key management (provider-keymgmt(7)). The object of a key is an `Arc<Key>`.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;

use super::ffi::{Dispatch, Function, OP_KEYEXCH, OP_SIGNATURE, Param, Params, Receive, Table};
use super::ffi::{SELECT_PRIVATE, SELECT_PUBLIC};
use super::keys::{Curve, Key, LENGTH, SIGNATURE};
use super::object::{self, Object};

// The names of parameters (openssl/core_names.h).
const PRIVATE: &CStr = c"priv";
const PUBLIC: &CStr = c"pub";
/// The public half as protocols send it. It is the same here.
const ENCODED_PUBLIC: &CStr = c"encoded-pub-key";
const BITS: &CStr = c"bits";
const SECURITY_BITS: &CStr = c"security-bits";
const MAX_SIZE: &CStr = c"max-size";
/// The digest to sign with. Empty means that there is none to choose.
const MANDATORY_DIGEST: &CStr = c"mandatory-digest";

static HALVES: Table<Param, 3> = Table([Param::octets(PUBLIC), Param::octets(PRIVATE), Param::END]);

static GETTABLE: Table<Param, 8> = Table([
    Param::integer(BITS),
    Param::integer(SECURITY_BITS),
    Param::integer(MAX_SIZE),
    Param::text(MANDATORY_DIGEST),
    Param::octets(PUBLIC),
    Param::octets(PRIVATE),
    Param::octets(ENCODED_PUBLIC),
    Param::END,
]);

/// The functions for X25519.
pub(super) static X25519: Table<Dispatch, 17> = table(new_x25519, begin_x25519);

/// The functions for Ed25519.
pub(super) static ED25519: Table<Dispatch, 17> = table(new_ed25519, begin_ed25519);

const fn table(
    new: unsafe extern "C" fn(Object) -> Object,
    begin: unsafe extern "C" fn(Object, c_int, *const Param) -> Object,
) -> Table<Dispatch, 17> {
    Table([
        // An empty key, to import into.
        Dispatch::to(Function::KeymgmtNew(new)),
        Dispatch::to(Function::KeymgmtFree(object::free::<Arc<Key>>)),
        // libssh generates a key for each key exchange with X25519.
        Dispatch::to(Function::KeymgmtGenInit(begin)),
        Dispatch::to(Function::KeymgmtGen(generate)),
        Dispatch::to(Function::KeymgmtGenCleanup(end)),
        // `EVP_PKEY_new_raw_private_key` and `EVP_PKEY_new_raw_public_key`.
        Dispatch::to(Function::KeymgmtImport(import)),
        Dispatch::to(Function::KeymgmtImportTypes(halves)),
        // `EVP_PKEY_get_raw_private_key`, `EVP_PKEY_get_raw_public_key`, and other providers.
        Dispatch::to(Function::KeymgmtExport(export)),
        Dispatch::to(Function::KeymgmtExportTypes(halves)),
        // What OpenSSL asks about each key that it is given.
        Dispatch::to(Function::KeymgmtHas(has)),
        Dispatch::to(Function::KeymgmtGetParams(get_params)),
        Dispatch::to(Function::KeymgmtGettableParams(gettable_params)),
        Dispatch::to(Function::KeymgmtQueryOperationName(operation_name)),
        // `EVP_PKEY_derive_set_peer` validates the peer's key.
        Dispatch::to(Function::KeymgmtValidate(validate)),
        // `EVP_PKEY_eq` and `EVP_PKEY_dup`.
        Dispatch::to(Function::KeymgmtMatch(matches)),
        Dispatch::to(Function::KeymgmtDup(duplicate)),
        Dispatch::END,
    ])
}

fn into_object(key: Key) -> Object {
    object::new(Arc::new(key))
}

/// # Safety
/// `object` is null, or a key of ours that has not been freed.
unsafe fn key<'a>(object: Object) -> Option<&'a Key> {
    // SAFETY: the caller promises this.
    unsafe { object::at::<Arc<Key>>(object) }.map(Arc::as_ref)
}

unsafe extern "C" fn new_x25519(_: Object) -> Object {
    into_object(Key::empty(Curve::X25519))
}

unsafe extern "C" fn new_ed25519(_: Object) -> Object {
    into_object(Key::empty(Curve::Ed25519))
}

// To generate, only the curve has to be known. It is passed as a pointer to a static.

unsafe extern "C" fn begin_x25519(_: Object, _: c_int, _: *const Param) -> Object {
    ptr::from_ref(&Curve::X25519).cast_mut().cast()
}

unsafe extern "C" fn begin_ed25519(_: Object, _: c_int, _: *const Param) -> Object {
    ptr::from_ref(&Curve::Ed25519).cast_mut().cast()
}

unsafe extern "C" fn generate(curve: Object, _: *mut c_void, _: *mut c_void) -> Object {
    // SAFETY: null, or what one of the functions above has returned.
    let key = unsafe { curve.cast::<Curve>().as_ref() }.copied().and_then(Key::generate);
    key.map_or(ptr::null_mut(), into_object)
}

unsafe extern "C" fn end(_: Object) {}

unsafe extern "C" fn halves(_: c_int) -> *const Param {
    HALVES.as_ptr()
}

unsafe extern "C" fn import(object: Object, selection: c_int, params: *const Param) -> c_int {
    // SAFETY: a key that was just made, which only this call uses, and a list of parameters.
    let (key, params) = unsafe { (object::at_mut::<Arc<Key>>(object), Params::new(params)) };
    let Some(key) = key else { return 0 };
    let half = |half, name| if selection & half != 0 { params.bytes(name) } else { None };
    let imported = Key::import(key.curve(), half(SELECT_PRIVATE, PRIVATE), half(SELECT_PUBLIC, PUBLIC));
    imported.map_or(0, |imported| {
        *key = Arc::new(imported);
        1
    })
}

unsafe extern "C" fn export(
    object: Object,
    selection: c_int,
    receive: Receive,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: a key of ours.
    let Some(key) = (unsafe { key(object) }) else { return 0 };
    let private = key.private().filter(|_| selection & SELECT_PRIVATE != 0);
    let public = if selection & SELECT_PUBLIC != 0 { key.public() } else { None };
    let private = private.map(|bytes| Param::with(PRIVATE, bytes));
    let public = public.map(|bytes| Param::with(PUBLIC, bytes));
    let list: Vec<Param> = public.into_iter().chain(private).chain([Param::END]).collect();
    // SAFETY: a list that ends with `END`. The receiver copies what it keeps.
    unsafe { receive(list.as_ptr(), argument) }
}

unsafe extern "C" fn has(object: Object, selection: c_int) -> c_int {
    // SAFETY: null, or a key of ours.
    let Some(key) = (unsafe { key(object) }) else { return 0 };
    let lacks_private = selection & SELECT_PRIVATE != 0 && key.private().is_none();
    let lacks_public = selection & SELECT_PUBLIC != 0 && !key.has_public();
    c_int::from(!lacks_private && !lacks_public)
}

unsafe extern "C" fn validate(object: Object, selection: c_int, _: c_int) -> c_int {
    const BOTH: c_int = SELECT_PRIVATE | SELECT_PUBLIC;
    // SAFETY: a key of ours, for both calls.
    unsafe {
        let is_consistent = || key(object).is_some_and(Key::is_consistent);
        c_int::from(has(object, selection) == 1 && (selection & BOTH != BOTH || is_consistent()))
    }
}

unsafe extern "C" fn matches(one: Object, other: Object, selection: c_int) -> c_int {
    // SAFETY: keys of ours.
    let (Some(one), Some(other)) = (unsafe { (key(one), key(other)) }) else { return 0 };
    let is_asked = selection & (SELECT_PRIVATE | SELECT_PUBLIC) != 0;
    // A private half belongs to one public half, and comparing that takes no secret.
    c_int::from(one.curve() == other.curve() && (!is_asked || one.public() == other.public()))
}

unsafe extern "C" fn duplicate(object: Object, selection: c_int) -> Object {
    // SAFETY: a key of ours.
    let Some(key) = (unsafe { key(object) }) else { return ptr::null_mut() };
    into_object(if selection & SELECT_PRIVATE != 0 { key.clone() } else { key.without_private() })
}

unsafe extern "C" fn get_params(object: Object, params: *mut Param) -> c_int {
    // SAFETY: a key of ours, and a list of parameters.
    let (Some(key), params) = (unsafe { (key(object), Params::new(params)) }) else { return 0 };
    let (bits, size) = match key.curve() {
        Curve::X25519 => (253, LENGTH),
        Curve::Ed25519 => (256, SIGNATURE),
    };
    let public = || key.public().map(<[u8; LENGTH]>::as_slice);
    let is_set = params.set_integer(BITS, bits)
        && params.set_integer(SECURITY_BITS, 128)
        && params.set_integer(MAX_SIZE, size as c_int)
        && params.set_text(MANDATORY_DIGEST, c"")
        && params.set_bytes(PUBLIC, public)
        && params.set_bytes(ENCODED_PUBLIC, public)
        && params.set_bytes(PRIVATE, || key.private().map(<[u8; LENGTH]>::as_slice));
    c_int::from(is_set)
}

unsafe extern "C" fn gettable_params(_: Object) -> *const Param {
    GETTABLE.as_ptr()
}

unsafe extern "C" fn operation_name(operation: c_int) -> *const c_char {
    match operation {
        OP_KEYEXCH => c"X25519".as_ptr(),
        OP_SIGNATURE => c"ED25519".as_ptr(),
        _ => ptr::null(),
    }
}
