//! A password that no host has accepted yet is sent to one host at a time, so that a wrong one does
//! not lock the account.

use std::time::{Duration, Instant};

use sshoal::config::ClientBuilder;
use sshoal::error::AuthProblem;
use sshoal::{Fleet, HostErrorKind, HostOutput, JoinOptions, ReadOptions};

use super::proxy::gate;
use super::{PATIENCE, assert_hostnames, command, fleet, stats_of, trust, trusting, watch};
use crate::support::fleet::Driven;

/// Runs a command with this client, and waits for its end.
fn outputs(builder: ClientBuilder) -> Vec<HostOutput> {
    let mut client = builder.build().unwrap();
    let options = ReadOptions::default().stop_on_errors(false);
    let outputs = client.run_command_with(command("hostname"), options).unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    outputs
}

/// The hosts that are named as those that have refused the password; `None` if it was sent.
fn refused_by(output: &HostOutput) -> Option<Vec<String>> {
    let error = output.error()?;
    let HostErrorKind::Auth { problems, .. } = error.kind() else { panic!("{error}") };
    let named = problems.iter().find_map(|problem| match problem {
        AuthProblem::PasswordWithheld { refused_by, .. } => Some(refused_by.clone()),
        _ => None,
    })?;
    let text = error.to_string();
    assert!(text.contains("guard_passwords"), "{text}");
    assert!(named.iter().all(|host| text.contains(&**host)), "{text}");
    Some(named.iter().map(|host| host.split(' ').next().unwrap().to_owned()).collect())
}

#[test]
fn two_hosts_refuse_a_wrong_password_and_no_other_gets_it() {
    const HOSTS: usize = 200;
    let _dog = watch();
    for (rule, is_keyboard) in [("* set:auth=password", false), ("* set:auth=keyboard", true)] {
        let sim = fleet(&[rule]);
        let builder = trusting(&sim, sim.hosts(HOSTS)).password("wrong").keyboard_interactive(is_keyboard);
        let outputs = outputs(builder);
        let stats = sim.stats().unwrap();
        assert_eq!((stats.connections, stats.auth_successes), (HOSTS as u64, 0));
        if is_keyboard {
            assert_eq!(stats.auth_keyboard_answers, 2);
        } else {
            assert_eq!(stats.auth_password, 2);
        }
        let (tried, spared): (Vec<_>, Vec<_>) =
            outputs.iter().partition(|output| refused_by(output).is_none());
        let mut tried: Vec<String> = tried.iter().map(|output| output.host().to_owned()).collect();
        tried.sort();
        assert_eq!((tried.len(), spared.len()), (2, HOSTS - 2));
        for output in spared {
            let mut named = refused_by(output).unwrap();
            named.sort();
            assert_eq!(named, tried, "{}", output.error().unwrap());
        }
    }
}

#[test]
fn a_right_password_reaches_all_hosts_once_the_first_has_accepted_it() {
    const HOSTS: usize = 200;
    let _dog = watch();
    let sim = fleet(&["* set:auth=password", "i:0..200 set:auth-delay=300"]);
    let begun = Instant::now();
    assert_hostnames(&outputs(trusting(&sim, sim.hosts(HOSTS)).password(sim.password()).pool_size(HOSTS)));
    assert_eq!(sim.stats().unwrap().auth_password, HOSTS as u64);
    // One after the other, they would need a minute.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// A few hosts fail in all ways in which a host can, before and while they try the password.
#[test]
fn a_host_that_fails_passes_the_trial_on() {
    let _dog = watch();
    let sim = fleet(&[
        "* set:auth=password",
        "i:0..2 accept:fin",
        "i:2..3 kex:rst",
        "i:3..5 auth:rst",
        "i:5..6 auth:silence",
        "i:6..7 accept:silence",
    ]);
    let limit = Duration::from_secs(25);
    let mut client = trusting(&sim, sim.hosts(30)).password(sim.password()).timeout(limit).build().unwrap();
    let begun = Instant::now();
    let outputs = client.start_command("hostname").unwrap();
    assert_hostnames(&outputs[7..]);
    // The silent host has held the others up, but not for its whole time.
    assert!(begun.elapsed() < limit, "{:?}", begun.elapsed());
    client.join(&outputs, JoinOptions::default()).unwrap();
    assert!(outputs[..7].iter().all(|output| output.error().is_some()));
}

/// Fleets of one builder share what they know, so four threads cause no more refusals than one.
#[test]
fn fleets_of_one_builder_cause_two_refusals_together() {
    const HOSTS: usize = 80;
    let _dog = watch();
    let sim = fleet(&["* set:auth=password"]);
    let builder = trust(&sim, Fleet::builder(sim.hosts(HOSTS))).password("wrong");
    let fleets = builder.build_many(4).unwrap();
    let threads = fleets.into_iter().map(|fleet| {
        std::thread::spawn(move || {
            let mut driven = Driven::new(fleet);
            let run = driven.fleet.start("hostname").unwrap().run;
            driven.until(PATIENCE, "the run", |driven| driven.done(run).is_some());
            driven.tally(run).failed
        })
    });
    let threads: Vec<_> = threads.collect();
    let failed: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!((failed, sim.stats().unwrap().auth_password), (HOSTS, 2));
}

#[test]
fn the_guard_can_be_switched_off() {
    let _dog = watch();
    let sim = fleet(&["* set:auth=password"]);
    let outputs = outputs(trusting(&sim, sim.hosts(20)).password("wrong").guard_passwords(false));
    assert!(outputs.iter().all(|output| output.error().is_some() && refused_by(output).is_none()));
    assert_eq!(sim.stats().unwrap().auth_password, 20);
}

/// The hosts behind a proxy, and proxies themselves.
#[test]
fn hosts_behind_a_proxy_and_proxies_take_part() {
    let _dog = watch();
    let sim = fleet(&["i:1..21 set:auth=password"]);
    let hosts = sim.hosts(21).split_off(1);
    let builder = trusting(&sim, hosts).password("wrong").proxy(gate(&sim, 0)).timeout(PATIENCE);
    let spared = outputs(builder).iter().filter(|output| refused_by(output).is_some()).count();
    assert_eq!(spared, 18);
    assert_eq!(sim.stats().unwrap().auth_password, 2);

    // Four proxies with one wrong password. The hosts behind them never get to their own logins.
    let sim = fleet(&["i:0..4 set:auth=password"]);
    let proxy = |index| {
        let gate = sshoal::Proxy::new(format!("demo@{}:{}", sim.host(index), sim.port()));
        gate.password("wrong").identity_auth(false).allow_agent(false)
    };
    let configs: Vec<_> = (0..4).map(|index| sshoal::HostConfig::default().proxy(proxy(index))).collect();
    let hosts = sim.hosts(8).split_off(4);
    let key = sim.user_key_openssh().unwrap();
    let outputs = outputs(trusting(&sim, hosts).key_bytes(key).host_config(configs));
    assert!(
        outputs.iter().all(|output| { matches!(output.error().unwrap().kind(), HostErrorKind::Proxy(_)) })
    );
    let asked: u64 = (0..4).map(|index| stats_of(&sim, index).auth_password).sum();
    assert_eq!(asked, 2);
}
