//! What the first word of the command line can be, each in a file. Each returns the exit code.

pub mod copy;
#[cfg(feature = "demo")]
pub mod demo;
pub mod fold;
pub mod generate;
pub mod keyscan;
pub mod last;
pub mod pdsh;
pub mod run;
