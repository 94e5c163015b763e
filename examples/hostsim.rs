//! A simulated fleet of SSH hosts, to try things on:
//! `cargo run --release --example hostsim -- --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hostsim::serve_from_args()
}
