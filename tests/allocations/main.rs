//! Allocations, which a program makes in the same number each time. The allocator that counts them
//! is global, so these tests are a program of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails at once")]

mod hosts;
mod lines;
