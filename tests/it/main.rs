//! Integration tests: real servers, each started by the test that needs it, and simulated fleets.

mod embedding;
mod hostile;
mod library;
mod memcheck;
mod quickstart;
mod real;
mod sim;
mod support;
