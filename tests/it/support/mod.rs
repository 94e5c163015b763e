//! Fixtures of the integration tests: real servers and hostile peers, started by the test that
//! needs them.
//!
//! Only [`fleet`] uses sshoal. Every fixture listens on loopback only, on a port below the
//! ephemeral range, and removes its processes, threads, users and files when it is dropped; if a
//! test process is killed instead, a [`process::Janitor`] cleans up.

#![allow(dead_code, reason = "a toolbox: each test uses what it needs")]
#![allow(clippy::expect_used, reason = "a fixture that cannot do its work fails the test at once")]

pub mod agent;
pub mod alarm;
pub mod delay;
pub mod dropbear;
pub mod examples;
pub mod fds;
pub mod fleet;
pub mod kdc;
pub mod keys;
pub mod openssh_client;
pub mod peers;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod security_key;
#[cfg(test)]
mod selftest;
pub mod sftp;
// Not inside of it: the program's tests have fewer fixtures.
#[cfg(test)]
#[path = "sftp/tests.rs"]
mod sftp_tests;
pub mod sshd;
mod sshd_config;
pub mod sudoers;
pub mod system;
pub mod user;
mod wait;
#[path = "../../../src/dns/tests/zone.rs"]
pub mod zone;

pub use wait::eventually;
