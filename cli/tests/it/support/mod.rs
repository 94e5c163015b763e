//! Servers to run commands on, those of the library's tests, and the program.

#![allow(dead_code, reason = "a toolbox, which the library's tests use whole")]

#[path = "../../../../tests/it/support/alarm.rs"]
pub mod alarm;
#[path = "../../../../tests/it/support/keys.rs"]
pub mod keys;
#[path = "../../../../tests/it/support/ports.rs"]
pub mod ports;
#[path = "../../../../tests/it/support/process.rs"]
pub mod process;
pub mod program;
pub mod screen;
#[path = "../../../../tests/it/support/sftp/mod.rs"]
pub mod sftp;
mod site;
#[path = "../../../../tests/it/support/sshd.rs"]
pub mod sshd;
#[path = "../../../../tests/it/support/sshd_config.rs"]
mod sshd_config;
#[path = "../../../../tests/it/support/sudoers.rs"]
pub mod sudoers;
#[path = "../../../../tests/it/support/system.rs"]
pub mod system;
#[path = "../../../../tests/it/support/user.rs"]
pub mod user;
#[path = "../../../../tests/it/support/wait.rs"]
mod wait;

pub use program::{Done, Program};
pub use site::Site;
pub use wait::eventually;
