//! Calls the embedding program's code during a turn.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The error for a panic in the embedding program's code. The panic hook has already printed the
/// panic's message. Errors do not repeat that message, because it may contain a password, for
/// example one that the program failed to parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Calls `code` and catches a panic in it. A panic must fail only one host and not end the turn for
/// all hosts.
pub(crate) fn call<T>(code: impl FnOnce() -> T) -> Result<T, Panicked> {
    // The code only reads the data that it borrows from this library, so a panic cannot leave that
    // data inconsistent.
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        // Dropping the payload of the panic may panic as well.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(payload);
        }
        Panicked
    })
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    struct PanicsAgain;

    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic!("while it is dropped");
        }
    }

    #[test]
    fn any_panic_is_caught() {
        assert_eq!(call(|| 7), Ok(7));
        assert_eq!(call(|| panic!("a text")), Err::<(), _>(Panicked));
        assert_eq!(call(|| panic_any(PanicsAgain)), Err::<(), _>(Panicked));
    }
}
