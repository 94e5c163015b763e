//! Integration tests: real servers, each started by the test that needs it, and simulated fleets.

mod memcheck;
mod real;
mod sim;
mod support;
