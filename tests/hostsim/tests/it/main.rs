//! A spawned fleet against russh's client, the OpenSSH client and bare TCP.

#![allow(missing_docs, reason = "tests")]

mod auth;
mod commands;
mod faults;
mod process;
mod stages;
mod support;
mod wire;
