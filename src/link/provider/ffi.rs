//! OpenSSL's interface for providers (provider-base(7)), as far as it is used here and
//! `openssl-sys` lacks it.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_long, c_uchar, c_uint, c_void};
use std::ptr;

use openssl_sys::{CONF, OSSL_LIB_CTX, OSSL_PROVIDER};

use super::object::Object;

/// The operations that this provider has (openssl/core_dispatch.h).
pub(super) const OP_RAND: c_int = 5;
pub(super) const OP_KEYMGMT: c_int = 10;
pub(super) const OP_KEYEXCH: c_int = 11;
pub(super) const OP_SIGNATURE: c_int = 12;

/// The parts of a key that a call is about.
pub(super) const SELECT_PRIVATE: c_int = 0x01;
pub(super) const SELECT_PUBLIC: c_int = 0x02;

/// A table or list, which ends with an entry that OpenSSL knows as its end.
#[repr(transparent)]
pub(super) struct Table<T, const N: usize>(pub(super) [T; N]);

// SAFETY: entries are numbers, functions, and pointers to static strings and tables. Nobody writes
// through them.
unsafe impl<T, const N: usize> Sync for Table<T, N> {}

impl<T, const N: usize> Table<T, N> {
    pub(super) const fn as_ptr(&self) -> *const T {
        self.0.as_ptr()
    }
}

/// `OSSL_PARAM`: a named value.
#[repr(C)]
pub(super) struct Param {
    key: *const c_char,
    data_type: c_uint,
    data: *mut c_void,
    data_size: usize,
    return_size: usize,
}

const INTEGER: c_uint = 1;
const TEXT: c_uint = 4;
const OCTETS: c_uint = 5;

impl Param {
    /// The value of `return_size` before anybody has set the parameter.
    const UNMODIFIED: usize = usize::MAX;

    pub(super) const END: Self = Self::typed(ptr::null(), 0);

    /// An entry of a list of the parameters that a call takes.
    const fn typed(key: *const c_char, data_type: c_uint) -> Self {
        Self { key, data_type, data: ptr::null_mut(), data_size: 0, return_size: Self::UNMODIFIED }
    }

    pub(super) const fn integer(key: &'static CStr) -> Self {
        Self::typed(key.as_ptr(), INTEGER)
    }

    pub(super) const fn text(key: &'static CStr) -> Self {
        Self::typed(key.as_ptr(), TEXT)
    }

    pub(super) const fn octets(key: &'static CStr) -> Self {
        Self::typed(key.as_ptr(), OCTETS)
    }

    /// A parameter that hands out these bytes, which must outlive it.
    pub(super) fn with(key: &'static CStr, bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr().cast_mut().cast(), data_size: bytes.len(), ..Self::octets(key) }
    }
}

/// The parameters of a call.
pub(super) struct Params(*mut Param);

impl Params {
    /// # Safety
    /// `list` is null, or ends with an entry without a key. The list and its buffers stay valid for
    /// as long as this value is in use.
    pub(super) unsafe fn new(list: *const Param) -> Self {
        Self(list.cast_mut())
    }

    fn find(&self, key: &CStr) -> *mut Param {
        if self.0.is_null() {
            return ptr::null_mut();
        }
        // SAFETY: `new` requires a valid list.
        unsafe { OSSL_PARAM_locate(self.0, key.as_ptr()) }
    }

    /// The bytes of a parameter, unless it is absent or has another type.
    pub(super) fn bytes(&self, key: &CStr) -> Option<&[u8]> {
        // SAFETY: null, or an entry of the list, whose buffer `new` requires to be valid.
        unsafe {
            let param = self.find(key).as_ref()?;
            let is_given = param.data_type == OCTETS && !param.data.is_null();
            is_given.then(|| std::slice::from_raw_parts(param.data.cast(), param.data_size))
        }
    }

    /// Sets a parameter if the caller asks for it. Returns whether it had room for the value.
    pub(super) fn set_integer(&self, key: &CStr, value: c_int) -> bool {
        let param = self.find(key);
        // SAFETY: an entry of the list. OpenSSL checks its type and its size.
        param.is_null() || unsafe { OSSL_PARAM_set_int(param, value) == 1 }
    }

    pub(super) fn set_text(&self, key: &CStr, text: &CStr) -> bool {
        let param = self.find(key);
        // SAFETY: as in `set_integer`.
        param.is_null() || unsafe { OSSL_PARAM_set_utf8_string(param, text.as_ptr()) == 1 }
    }

    /// `bytes` is not called unless the caller asks for the parameter.
    pub(super) fn set_bytes<'a>(&self, key: &CStr, bytes: impl FnOnce() -> Option<&'a [u8]>) -> bool {
        let param = self.find(key);
        if param.is_null() {
            return true;
        }
        let Some(bytes) = bytes() else { return false };
        // SAFETY: as in `set_integer`.
        unsafe { OSSL_PARAM_set_octet_string(param, bytes.as_ptr().cast(), bytes.len()) == 1 }
    }
}

/// A function that receives exported parameters.
pub(super) type Receive = unsafe extern "C" fn(*const Param, *mut c_void) -> c_int;

/// The functions that a provider offers, by what OpenSSL calls them. The types are those of
/// openssl/core_dispatch.h.
#[rustfmt::skip]
pub(super) enum Function {
    QueryOperation(unsafe extern "C" fn(Object, c_int, *mut c_int) -> *const Algorithm),

    KeymgmtNew(unsafe extern "C" fn(Object) -> Object),
    KeymgmtGenInit(unsafe extern "C" fn(Object, c_int, *const Param) -> Object),
    KeymgmtGen(unsafe extern "C" fn(Object, *mut c_void, *mut c_void) -> Object),
    KeymgmtGenCleanup(unsafe extern "C" fn(Object)),
    KeymgmtFree(unsafe extern "C" fn(Object)),
    KeymgmtGetParams(unsafe extern "C" fn(Object, *mut Param) -> c_int),
    KeymgmtGettableParams(unsafe extern "C" fn(Object) -> *const Param),
    KeymgmtQueryOperationName(unsafe extern "C" fn(c_int) -> *const c_char),
    KeymgmtHas(unsafe extern "C" fn(Object, c_int) -> c_int),
    KeymgmtValidate(unsafe extern "C" fn(Object, c_int, c_int) -> c_int),
    KeymgmtMatch(unsafe extern "C" fn(Object, Object, c_int) -> c_int),
    KeymgmtImport(unsafe extern "C" fn(Object, c_int, *const Param) -> c_int),
    KeymgmtImportTypes(unsafe extern "C" fn(c_int) -> *const Param),
    KeymgmtExport(unsafe extern "C" fn(Object, c_int, Receive, *mut c_void) -> c_int),
    KeymgmtExportTypes(unsafe extern "C" fn(c_int) -> *const Param),
    KeymgmtDup(unsafe extern "C" fn(Object, c_int) -> Object),

    KeyexchNewctx(unsafe extern "C" fn(Object) -> Object),
    KeyexchInit(unsafe extern "C" fn(Object, Object, *const Param) -> c_int),
    KeyexchDerive(unsafe extern "C" fn(Object, *mut c_uchar, *mut usize, usize) -> c_int),
    KeyexchSetPeer(unsafe extern "C" fn(Object, Object) -> c_int),
    KeyexchFreectx(unsafe extern "C" fn(Object)),
    KeyexchDupctx(unsafe extern "C" fn(Object) -> Object),

    SignatureNewctx(unsafe extern "C" fn(Object, *const c_char) -> Object),
    SignatureDigestSignInit(unsafe extern "C" fn(Object, *const c_char, Object, *const Param) -> c_int),
    SignatureDigestSign(unsafe extern "C" fn(Object, *mut c_uchar, *mut usize, usize, *const c_uchar, usize) -> c_int),
    SignatureDigestVerifyInit(unsafe extern "C" fn(Object, *const c_char, Object, *const Param) -> c_int),
    SignatureDigestVerify(unsafe extern "C" fn(Object, *const c_uchar, usize, *const c_uchar, usize) -> c_int),
    SignatureFreectx(unsafe extern "C" fn(Object)),
    SignatureDupctx(unsafe extern "C" fn(Object) -> Object),

    RandNewctx(unsafe extern "C" fn(Object, Object, *const Dispatch) -> Object),
    RandFreectx(unsafe extern "C" fn(Object)),
    RandInstantiate(unsafe extern "C" fn(Object, c_uint, c_int, *const c_uchar, usize, *const Param) -> c_int),
    RandUninstantiate(unsafe extern "C" fn(Object) -> c_int),
    RandGenerate(unsafe extern "C" fn(Object, *mut c_uchar, usize, c_uint, c_int, *const c_uchar, usize) -> c_int),
    RandEnableLocking(unsafe extern "C" fn(Object) -> c_int),
    RandGettableCtxParams(unsafe extern "C" fn(Object, Object) -> *const Param),
    RandGetCtxParams(unsafe extern "C" fn(Object, *mut Param) -> c_int),
}

/// `OSSL_DISPATCH`: the number of a function, and the function.
#[repr(C)]
pub(super) struct Dispatch {
    id: c_int,
    function: *const (),
}

impl Dispatch {
    pub(super) const END: Self = Self { id: 0, function: ptr::null() };

    /// An entry of a table. The numbers are those of openssl/core_dispatch.h.
    #[rustfmt::skip]
    pub(super) const fn to(function: Function) -> Self {
        let (id, function) = match function {
            Function::QueryOperation(f) => (1027, f as *const ()),

            Function::KeymgmtNew(f) => (1, f as *const ()),
            Function::KeymgmtGenInit(f) => (2, f as *const ()),
            Function::KeymgmtGen(f) => (6, f as *const ()),
            Function::KeymgmtGenCleanup(f) => (7, f as *const ()),
            Function::KeymgmtFree(f) => (10, f as *const ()),
            Function::KeymgmtGetParams(f) => (11, f as *const ()),
            Function::KeymgmtGettableParams(f) => (12, f as *const ()),
            Function::KeymgmtQueryOperationName(f) => (20, f as *const ()),
            Function::KeymgmtHas(f) => (21, f as *const ()),
            Function::KeymgmtValidate(f) => (22, f as *const ()),
            Function::KeymgmtMatch(f) => (23, f as *const ()),
            Function::KeymgmtImport(f) => (40, f as *const ()),
            Function::KeymgmtImportTypes(f) => (41, f as *const ()),
            Function::KeymgmtExport(f) => (42, f as *const ()),
            Function::KeymgmtExportTypes(f) => (43, f as *const ()),
            Function::KeymgmtDup(f) => (44, f as *const ()),

            Function::KeyexchNewctx(f) => (1, f as *const ()),
            Function::KeyexchInit(f) => (2, f as *const ()),
            Function::KeyexchDerive(f) => (3, f as *const ()),
            Function::KeyexchSetPeer(f) => (4, f as *const ()),
            Function::KeyexchFreectx(f) => (5, f as *const ()),
            Function::KeyexchDupctx(f) => (6, f as *const ()),

            Function::SignatureNewctx(f) => (1, f as *const ()),
            Function::SignatureDigestSignInit(f) => (8, f as *const ()),
            Function::SignatureDigestSign(f) => (11, f as *const ()),
            Function::SignatureDigestVerifyInit(f) => (12, f as *const ()),
            Function::SignatureDigestVerify(f) => (15, f as *const ()),
            Function::SignatureFreectx(f) => (16, f as *const ()),
            Function::SignatureDupctx(f) => (17, f as *const ()),

            Function::RandNewctx(f) => (1, f as *const ()),
            Function::RandFreectx(f) => (2, f as *const ()),
            Function::RandInstantiate(f) => (3, f as *const ()),
            Function::RandUninstantiate(f) => (4, f as *const ()),
            Function::RandGenerate(f) => (5, f as *const ()),
            Function::RandEnableLocking(f) => (8, f as *const ()),
            Function::RandGettableCtxParams(f) => (12, f as *const ()),
            Function::RandGetCtxParams(f) => (15, f as *const ()),
        };
        Self { id, function }
    }
}

/// `OSSL_ALGORITHM`: the names of an algorithm, the properties to find it by, and its functions.
#[repr(C)]
pub(super) struct Algorithm {
    names: *const c_char,
    properties: *const c_char,
    functions: *const Dispatch,
    description: *const c_char,
}

impl Algorithm {
    pub(super) const END: Self = Self {
        names: ptr::null(),
        properties: ptr::null(),
        functions: ptr::null(),
        description: ptr::null(),
    };

    pub(super) const fn new<const N: usize>(
        names: &'static CStr,
        functions: &'static Table<Dispatch, N>,
    ) -> Self {
        let properties = super::context::PROPERTIES.as_ptr();
        let (names, functions) = (names.as_ptr(), functions.as_ptr());
        Self { names, properties, functions, description: ptr::null() }
    }
}

/// An option of `OPENSSL_init_crypto`: read the configuration file, unless it has been read.
pub(super) const INIT_LOAD_CONFIG: u64 = 0x40;

/// `OSSL_provider_init_fn`.
pub(super) type Init =
    unsafe extern "C" fn(*const c_void, *const Dispatch, *mut *const Dispatch, *mut Object) -> c_int;

unsafe extern "C" {
    fn OSSL_PARAM_locate(list: *mut Param, key: *const c_char) -> *mut Param;
    fn OSSL_PARAM_set_int(param: *mut Param, value: c_int) -> c_int;
    fn OSSL_PARAM_set_utf8_string(param: *mut Param, text: *const c_char) -> c_int;
    fn OSSL_PARAM_set_octet_string(param: *mut Param, data: *const c_void, length: usize) -> c_int;

    pub(super) fn OPENSSL_init_crypto(options: u64, settings: *const c_void) -> c_int;
    pub(super) fn OSSL_PROVIDER_add_builtin(
        context: *mut OSSL_LIB_CTX,
        name: *const c_char,
        init: Init,
    ) -> c_int;
    pub(super) fn OSSL_PROVIDER_do_all(
        context: *mut OSSL_LIB_CTX,
        each: unsafe extern "C" fn(*mut OSSL_PROVIDER, *mut c_void) -> c_int,
        data: *mut c_void,
    ) -> c_int;
    pub(super) fn OSSL_PROVIDER_get0_name(provider: *const OSSL_PROVIDER) -> *const c_char;
    pub(super) fn OSSL_LIB_CTX_get0_global_default() -> *mut OSSL_LIB_CTX;
    pub(super) fn OSSL_LIB_CTX_set0_default(context: *mut OSSL_LIB_CTX) -> *mut OSSL_LIB_CTX;
    pub(super) fn EVP_set_default_properties(context: *mut OSSL_LIB_CTX, query: *const c_char) -> c_int;
    pub(super) fn RAND_set_DRBG_type(
        context: *mut OSSL_LIB_CTX,
        generator: *const c_char,
        query: *const c_char,
        cipher: *const c_char,
        digest: *const c_char,
    ) -> c_int;
    pub(super) fn CONF_get1_default_config_file() -> *mut c_char;
    pub(super) fn NCONF_load(config: *mut CONF, file: *const c_char, line: *mut c_long) -> c_int;
    pub(super) fn NCONF_get_string(
        config: *const CONF,
        section: *const c_char,
        name: *const c_char,
    ) -> *const c_char;
    pub(super) fn ERR_set_mark() -> c_int;
    pub(super) fn ERR_pop_to_mark() -> c_int;
    pub(super) fn RAND_get0_primary(context: *mut OSSL_LIB_CTX) -> *mut c_void;
    pub(super) fn RAND_get0_public(context: *mut OSSL_LIB_CTX) -> *mut c_void;
}
