//! The simulator as a separate program, which this crate's tests spawn. `hostsim --help` lists the
//! options.

fn main() -> std::process::ExitCode {
    hostsim::serve_from_args()
}
