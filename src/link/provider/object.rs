//! The objects of the provider. Each is a boxed value, of which OpenSSL has the pointer.

#![allow(unsafe_code)]

use std::ffi::c_void;

/// A pointer to an object of this provider. OpenSSL passes it back and never looks into it.
pub(super) type Object = *mut c_void;

/// Passes a value to OpenSSL, which frees it by [`free`].
pub(super) fn new<T>(value: T) -> Object {
    Box::into_raw(Box::new(value)).cast()
}

/// # Safety
/// `object` is null, or comes from [`new`] with this type and has not been freed.
pub(super) unsafe fn at<'a, T>(object: Object) -> Option<&'a T> {
    // SAFETY: the caller promises this.
    unsafe { object.cast::<T>().as_ref() }
}

/// # Safety
/// As for [`at`], and nothing else uses the object meanwhile.
pub(super) unsafe fn at_mut<'a, T>(object: Object) -> Option<&'a mut T> {
    // SAFETY: the caller promises this.
    unsafe { object.cast::<T>().as_mut() }
}

/// The function of the tables that frees an object of this type.
pub(super) unsafe extern "C" fn free<T>(object: Object) {
    if !object.is_null() {
        // SAFETY: an object of this type, which OpenSSL frees once.
        drop(unsafe { Box::from_raw(object.cast::<T>()) });
    }
}
