//! The library context of OpenSSL that has the provider, and whether to use it.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use openssl_sys as openssl;
use openssl_sys::{OSSL_LIB_CTX, OSSL_PROVIDER};

use super::ffi::{self, Algorithm, Dispatch, Function, Table};
use super::object::Object;
use super::{CryptoProvider, keymgmt, operations, random};

const NAME: &CStr = c"sshoal";

/// By these, a fetch can ask for an algorithm of this provider.
pub(super) const PROPERTIES: &CStr = c"provider=sshoal";

/// Prefers this provider and takes another one for what it lacks.
const QUERY: &CStr = c"?provider=sshoal";

// The names of the algorithms. OpenSSL knows the curves by their object identifiers too (RFC 8410).
const X25519: &CStr = c"X25519:1.3.101.110";
const ED25519: &CStr = c"ED25519:1.3.101.112";
const RANDOM: &CStr = c"SSHOAL-RANDOM";

static KEYMGMT: Table<Algorithm, 3> = Table([
    Algorithm::new(X25519, &keymgmt::X25519),
    Algorithm::new(ED25519, &keymgmt::ED25519),
    Algorithm::END,
]);

static KEYEXCH: Table<Algorithm, 2> = Table([Algorithm::new(X25519, &operations::EXCHANGE), Algorithm::END]);

static SIGNATURE: Table<Algorithm, 2> =
    Table([Algorithm::new(ED25519, &operations::SIGNATURES), Algorithm::END]);

static RAND: Table<Algorithm, 2> = Table([Algorithm::new(RANDOM, &random::FUNCTIONS), Algorithm::END]);

static PROVIDER: Table<Dispatch, 2> =
    Table([Dispatch::to(Function::QueryOperation(query_operation)), Dispatch::END]);

/// The entry point of the provider.
unsafe extern "C" fn init(
    handle: *const c_void,
    _: *const Dispatch,
    functions: *mut *const Dispatch,
    context: *mut Object,
) -> c_int {
    // SAFETY: places for the functions and for the provider's context, which is not used.
    unsafe {
        *functions = PROVIDER.as_ptr();
        *context = handle.cast_mut();
    }
    1
}

unsafe extern "C" fn query_operation(_: Object, operation: c_int, _: *mut c_int) -> *const Algorithm {
    match operation {
        ffi::OP_KEYMGMT => KEYMGMT.as_ptr(),
        ffi::OP_KEYEXCH => KEYEXCH.as_ptr(),
        ffi::OP_SIGNATURE => SIGNATURE.as_ptr(),
        ffi::OP_RAND => RAND.as_ptr(),
        _ => ptr::null(),
    }
}

/// The context with the provider, and the one that a thread has unless the program sets another.
/// Any thread may use them, and they are never freed.
struct Context {
    own: AtomicPtr<OSSL_LIB_CTX>,
    global: AtomicPtr<OSSL_LIB_CTX>,
}

static CONTEXT: OnceLock<Result<Context, CryptoProvider>> = OnceLock::new();

/// Whether the program has turned on FIPS since the context was made.
static HAS_FIPS: AtomicBool = AtomicBool::new(false);

fn context() -> Result<&'static Context, &'static CryptoProvider> {
    CONTEXT.get_or_init(Context::new).as_ref()
}

/// What is in use. Looks whether the program has turned on FIPS in the meantime; if so, the
/// provider stays out of all later calls.
pub(crate) fn status() -> CryptoProvider {
    let context = match context() {
        Ok(context) => context,
        Err(reason) => return *reason,
    };
    // SAFETY: only reads.
    let has_fips = unsafe { openssl::EVP_default_properties_is_fips_enabled(context.global()) == 1 };
    HAS_FIPS.store(has_fips, Ordering::Relaxed);
    if has_fips { CryptoProvider::Fips } else { CryptoProvider::InUse }
}

impl Context {
    fn new() -> Result<Self, CryptoProvider> {
        if std::env::var_os(super::SWITCH).is_some_and(|value| value == "off") {
            return Err(CryptoProvider::TurnedOff);
        }
        // SAFETY: plain calls. A failure leaves a context that nothing refers to.
        unsafe {
            ffi::OPENSSL_init_crypto(ffi::INIT_LOAD_CONFIG, ptr::null());
            let global = ffi::OSSL_LIB_CTX_get0_global_default();
            let has_fips = openssl::EVP_default_properties_is_fips_enabled(global) == 1;
            if has_fips || has_other_providers(global) || has_configured_query() {
                return Err(if has_fips { CryptoProvider::Fips } else { CryptoProvider::Configured });
            }
            let own = openssl::OSSL_LIB_CTX_new();
            // Loading a provider turns off that OpenSSL loads `default` by itself.
            let is_set_up = !own.is_null()
                && ffi::OSSL_PROVIDER_add_builtin(own, NAME.as_ptr(), init) == 1
                && !openssl::OSSL_PROVIDER_load(own, c"default".as_ptr()).is_null()
                && !openssl::OSSL_PROVIDER_load(own, NAME.as_ptr()).is_null()
                && ffi::EVP_set_default_properties(own, QUERY.as_ptr()) == 1
                && ffi::RAND_set_DRBG_type(own, RANDOM.as_ptr(), ptr::null(), ptr::null(), ptr::null()) == 1
                // All threads share this generator, so the first one must not take it for its own.
                && !ffi::RAND_get0_primary(own).is_null();
            let context = Self { own: own.into(), global: global.into() };
            if is_set_up { Ok(context) } else { Err(CryptoProvider::Failed) }
        }
    }

    fn own(&self) -> *mut OSSL_LIB_CTX {
        self.own.load(Ordering::Relaxed)
    }

    fn global(&self) -> *mut OSSL_LIB_CTX {
        self.global.load(Ordering::Relaxed)
    }
}

/// Whether providers other than `default` are active. OpenSSL then has been configured on purpose.
///
/// # Safety
/// A valid context.
unsafe fn has_other_providers(context: *mut OSSL_LIB_CTX) -> bool {
    unsafe extern "C" fn note(provider: *mut OSSL_PROVIDER, others: *mut c_void) -> c_int {
        // SAFETY: a provider, whose name is a static string, and the flag of the caller.
        unsafe {
            let name: *const c_char = ffi::OSSL_PROVIDER_get0_name(provider);
            *others.cast() = *others.cast::<bool>() || CStr::from_ptr(name) != c"default";
        }
        1
    }
    let mut others = false;
    // SAFETY: the caller promises a valid context, and `note` is called during the call only.
    let rc = unsafe { ffi::OSSL_PROVIDER_do_all(context, note, (&raw mut others).cast()) };
    rc != 1 || others
}

/// Whether OpenSSL's configuration file sets a property query (config(5), `default_properties`).
/// One that the program has set is not seen, because OpenSSL has had no call for that before 3.6.
fn has_configured_query() -> bool {
    // SAFETY: the configuration and the name of its file are made, checked and freed here. The
    // strings live as long as the configuration. What the calls add to the thread's error queue is
    // taken out again.
    unsafe {
        ffi::ERR_set_mark();
        let config = openssl::NCONF_new(ptr::null_mut());
        let file = ffi::CONF_get1_default_config_file();
        let is_loaded =
            !config.is_null() && !file.is_null() && ffi::NCONF_load(config, file, ptr::null_mut()) == 1;
        let mut value: *const c_char = ptr::null();
        if is_loaded {
            value = ffi::NCONF_get_string(config, ptr::null(), c"openssl_conf".as_ptr());
            for name in [c"alg_section", c"default_properties"] {
                if !value.is_null() {
                    value = ffi::NCONF_get_string(config, value, name.as_ptr());
                }
            }
        }
        openssl::OPENSSL_free(file.cast());
        openssl::NCONF_free(config);
        ffi::ERR_pop_to_mark();
        !value.is_null()
    }
}

thread_local! {
    /// Whether this thread's generator of public random numbers exists.
    static IS_PREPARED: Cell<bool> = const { Cell::new(false) };
}

/// While this value exists, the context with the provider is the default of this thread, where
/// libssh looks for all algorithms. Nothing changes if the provider is not in use, or if the
/// program has set another default for this thread. Dropping the value restores the previous
/// default.
pub(crate) struct Scope {
    previous: *mut OSSL_LIB_CTX,
    /// A scope belongs to its thread.
    _thread: PhantomData<*mut ()>,
}

impl Scope {
    pub(crate) fn enter() -> Self {
        let nothing = Self { previous: ptr::null_mut(), _thread: PhantomData };
        let Ok(context) = context() else { return nothing };
        if HAS_FIPS.load(Ordering::Relaxed) {
            return nothing;
        }
        // SAFETY: contexts that are never freed, and the one that the program has set, which lives
        // for as long as it is set.
        unsafe {
            let previous = ffi::OSSL_LIB_CTX_set0_default(context.own());
            if previous != context.global() && previous != context.own() {
                ffi::OSSL_LIB_CTX_set0_default(previous);
                return nothing;
            }
            if !IS_PREPARED.replace(true) {
                random::making_public(|| ffi::RAND_get0_public(context.own()));
            }
            Self { previous, ..nothing }
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if !self.previous.is_null() {
            // SAFETY: the context that was this thread's default when the scope began.
            unsafe { ffi::OSSL_LIB_CTX_set0_default(self.previous) };
        }
    }
}
