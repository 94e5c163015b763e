//! Random numbers (provider-rand(7)) from the kernel.
//!
//! libssh asks for a few bytes at a time: a cookie per key exchange, the padding of each packet.
//! For these, a page of random numbers is fetched at once for each thread. The kernel wipes the
//! page in a child process after a fork, so that parent and child never use the same numbers, and
//! each number is overwritten when it has been handed out. Everything that asks for private random
//! numbers, which includes all keys, asks the kernel each time.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_uchar, c_uint};
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::slice;

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};

use super::ffi::{Dispatch, Function, Param, Params, Table};
use super::object::{self, Object};

/// The size of the page in bytes.
const PAGE: usize = 4096;

/// The largest request that is served from the page, in bytes.
const SMALL: usize = 256;

const STATE: &CStr = c"state";
const STRENGTH: &CStr = c"strength";
const MAX_REQUEST: &CStr = c"max_request";

/// `EVP_RAND_STATE_READY`.
const READY: c_int = 1;

static GETTABLE: Table<Param, 4> =
    Table([Param::integer(STATE), Param::integer(STRENGTH), Param::integer(MAX_REQUEST), Param::END]);

/// The functions of a generator.
pub(super) static FUNCTIONS: Table<Dispatch, 9> = Table([
    Dispatch::to(Function::RandNewctx(new)),
    Dispatch::to(Function::RandFreectx(object::free::<Generator>)),
    // OpenSSL requires these three, though there is no state to set up.
    Dispatch::to(Function::RandInstantiate(instantiate)),
    Dispatch::to(Function::RandUninstantiate(succeed)),
    Dispatch::to(Function::RandEnableLocking(succeed)),
    Dispatch::to(Function::RandGenerate(generate)),
    // How much may be asked for at once, before each request.
    Dispatch::to(Function::RandGetCtxParams(get_params)),
    Dispatch::to(Function::RandGettableCtxParams(gettable_params)),
    Dispatch::END,
]);

thread_local! {
    /// Whether OpenSSL is making the generator of this thread's public random numbers.
    static IS_PUBLIC: Cell<bool> = const { Cell::new(false) };
}

/// Makes OpenSSL create this thread's generator of public random numbers during `make`. Those that
/// it creates at any other time get no page.
pub(super) fn making_public<T>(make: impl FnOnce() -> T) -> T {
    IS_PUBLIC.set(true);
    let made = make();
    IS_PUBLIC.set(false);
    made
}

/// A generator. One with a page belongs to one thread, others may be shared.
struct Generator {
    page: Option<Page>,
}

impl Generator {
    fn fill(&self, out: &mut [u8]) -> bool {
        match &self.page {
            Some(page) if out.len() <= SMALL => page.take(out),
            _ => getrandom::fill(out).is_ok(),
        }
    }
}

/// A page of random numbers that the kernel wipes in child processes.
struct Page(NonNull<Content>);

struct Content {
    /// How many random bytes are left. The kernel's wiping makes it 0.
    left: usize,
    bytes: [u8; PAGE - size_of::<usize>()],
}

impl Page {
    /// `None` if the kernel cannot wipe the page after a fork. Linux can since 4.14.
    #[cfg(target_os = "linux")]
    fn new() -> Option<Self> {
        // SAFETY: new memory, which only this value refers to. The kernel fills it with zeros,
        // which are a valid `Content`, and it is aligned to a page.
        unsafe {
            let size = NonZeroUsize::new(PAGE)?;
            let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
            let memory = mmap_anonymous(None, size, access, MapFlags::MAP_PRIVATE).ok()?;
            let page = Self(memory.cast());
            madvise(memory, PAGE, MmapAdvise::MADV_WIPEONFORK).ok().map(|()| page)
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn new() -> Option<Self> {
        None
    }

    fn take(&self, out: &mut [u8]) -> bool {
        // SAFETY: the memory of this value, which one thread uses, for one call at a time. A fork
        // wipes its copy while that thread is in the system call.
        let content = unsafe { &mut *self.0.as_ptr() };
        if content.left < out.len() {
            if getrandom::fill(&mut content.bytes).is_err() {
                return false;
            }
            content.left = content.bytes.len();
        }
        let taken = content.left - out.len()..content.left;
        out.copy_from_slice(&content.bytes[taken.clone()]);
        content.bytes[taken.clone()].fill(0);
        content.left = taken.start;
        true
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the memory of this value, which nothing refers to any more.
        let _ = unsafe { munmap(self.0.cast(), PAGE) };
    }
}

unsafe extern "C" fn new(_: Object, _: Object, _: *const Dispatch) -> Object {
    let page = if IS_PUBLIC.get() { Page::new() } else { None };
    object::new(Generator { page })
}

unsafe extern "C" fn instantiate(
    _: Object,
    _: c_uint,
    _: c_int,
    _: *const c_uchar,
    _: usize,
    _: *const Param,
) -> c_int {
    1
}

unsafe extern "C" fn succeed(_: Object) -> c_int {
    1
}

unsafe extern "C" fn generate(
    generator: Object,
    out: *mut c_uchar,
    length: usize,
    _: c_uint,
    _: c_int,
    _: *const c_uchar,
    _: usize,
) -> c_int {
    if length == 0 {
        return 1;
    }
    // SAFETY: a generator of ours and `length` bytes to fill.
    unsafe {
        let Some(generator) = object::at::<Generator>(generator) else { return 0 };
        c_int::from(generator.fill(slice::from_raw_parts_mut(out, length)))
    }
}

unsafe extern "C" fn gettable_params(_: Object, _: Object) -> *const Param {
    GETTABLE.as_ptr()
}

unsafe extern "C" fn get_params(_: Object, params: *mut Param) -> c_int {
    // SAFETY: a list of parameters.
    let params = unsafe { Params::new(params) };
    let is_set = params.set_integer(STATE, READY)
        && params.set_integer(STRENGTH, 256)
        && params.set_integer(MAX_REQUEST, c_int::MAX);
    c_int::from(is_set)
}
