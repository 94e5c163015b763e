//! How many system calls logins and commands take. `docs/performance.md` has the figures.

use std::process::Command;

use nix::libc;
use sshoal::Fleet;
use sshoal::fleet::CryptoProvider;

use super::counted::system_calls::{Calls, Counted, count, work};
use super::{support, watch};
use crate::support::examples::example;
use crate::support::system::{is_rerun, rerun};

/// libssh makes most of the calls. Each answer takes some of its own here, more than in a busy
/// fleet.
#[test]
fn logins_and_commands_need_few_system_calls() {
    if is_rerun() {
        return work(&support::simulator(Command::new(example("hostsim")), false, |sim| sim));
    }
    let _dog = watch();
    let Some(counted) = count(&mut rerun(module_path!(), "logins_and_commands_need_few_system_calls")) else {
        eprintln!("not counted: ptrace(2) is not permitted here");
        return;
    };
    let Counted { fresh, later, end } = counted;
    // OpenSSL's own generator asks for the process id each time, in case of a fork.
    let has_provider = Fleet::library().provider == CryptoProvider::InUse;
    let [most_fresh, most_later] = if has_provider { [69.0, 23.0] } else { [78.0, 28.0] };
    let asks_for_id = [&fresh, &later].iter().any(|calls| calls.by_number.contains_key(&libc::SYS_getpid));
    assert_ne!(has_provider, asks_for_id);
    for (what, calls, most, most_sends) in [
        ("a login with its first command", fresh, most_fresh, 11.0),
        ("a further command", later, most_later, 5.0),
        ("the end of a connection", end, 6.0, 1.0),
    ] {
        let Calls { all, sends, by_number } = calls;
        assert!(
            all <= most && sends <= most_sends,
            "{what}: {all} system calls, {sends} of them send; by number: {by_number:?}"
        );
    }
}
