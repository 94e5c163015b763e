//! A spawned fleet, tested with russh's client, the OpenSSH client and plain TCP.

#![allow(missing_docs, reason = "tests")]

mod auth;
mod commands;
mod faults;
mod process;
mod sftp;
mod stages;
mod support;
mod wire;
