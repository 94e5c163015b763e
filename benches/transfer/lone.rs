//! A copy between this machine and one host, by sshoal.

use std::path::Path;
use std::time::{Duration, Instant};

use sshoal::config::FleetBuilder;
use sshoal::transfer::{Get, Put};
use sshoal::{Budget, Command, Event, Fleet, Outcome};

use super::measure::{Measured, Meter};

/// How to log in to an OpenSSH server.
pub struct Login<'a> {
    pub key: &'a Path,
    pub known_hosts: &'a Path,
}

impl Login<'_> {
    /// A fleet that logs in to these hosts.
    pub fn builder(&self, hosts: &[String]) -> FleetBuilder {
        let builder = Fleet::builder(hosts).key_file(self.key).known_hosts([self.known_hosts]);
        let builder = builder.user(super::fixtures::system::current_user());
        let builder = builder.identity_auth(false).allow_agent(false).max_attempts(1);
        builder.timeout(Duration::from_secs(60))
    }
}

/// Connects and copies. The figures are of the copy alone.
pub fn work(direction: &str, login: &Login<'_>, address: &str, from: &str, to: &str) -> Measured {
    let mut fleet = login.builder(&[address.to_owned()]).build().unwrap();
    let command: Command = match direction {
        "put" => Put::new(from, to).recurse(true).into(),
        _ => Get::new(from, to).recurse(true).into(),
    };
    let mut meter = Meter::start();
    fleet.start(command).unwrap();
    loop {
        fleet.wait(None).unwrap();
        fleet.turn(Instant::now(), Budget::default()).unwrap();
        while let Some(event) = fleet.next_event() {
            match event {
                Event::Connected { .. } => meter.restart_clocks(),
                Event::Finished { outcome: Outcome::Transferred(_), .. } => return meter.end(1, 0),
                Event::Finished { outcome, .. } => panic!("{outcome}"),
                _ => {}
            }
        }
    }
}
