//! The hosts of one process: their settings and counters.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use russh::keys::PublicKey;
use russh::server;
use russh::{Limits, Preferred, kex};

use crate::auth::methods;
use crate::config::Config;
use crate::faults::{Action, Behaviour, Fault, Stage};
use crate::keys::Keys;
use crate::setting::{AuthPolicy, HostConfig};
use crate::sftp::{Disk, RemoteFile, SftpConfig};
use crate::stats::{Counters, Stats, add, subtract};

/// Messages queued between a program and its session: enough to keep the socket busy, and few
/// enough that ten thousand endless programs fit into memory.
pub(crate) const EVENTS: usize = 4;

/// The actions of a host, one per stage.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    faults: Vec<Fault>,
}

impl Plan {
    pub(crate) fn at(&self, stage: Stage) -> Option<&Fault> {
        self.faults.iter().find(|fault| fault.stage == stage)
    }

    pub(crate) fn action(&self, stage: Stage) -> Option<&Action> {
        self.at(stage).map(|fault| &fault.action)
    }

    /// Whether any action requires a separate task for the output.
    pub(crate) fn touches_output(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.stage, Stage::Stream | Stage::End | Stage::Close))
    }

    fn set(&mut self, fault: Fault) {
        self.faults.retain(|other| other.stage != fault.stage);
        self.faults.push(fault);
    }
}

/// The common properties of hosts that match the same rules.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) plan: Plan,
    pub(crate) auth: AuthPolicy,
    pub(crate) auth_delay: Duration,
    pub(crate) user_key: PublicKey,
    pub(crate) password: String,
    pub(crate) sftp: SftpConfig,
    pub(crate) server: Arc<server::Config>,
}

/// One simulated host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) address: IpAddr,
    pub(crate) counters: Counters,
    pub(crate) profile: Arc<Profile>,
    /// Made when it is first used.
    disk: OnceLock<Mutex<Disk>>,
}

impl Host {
    pub(crate) fn disk(&self) -> &Mutex<Disk> {
        self.disk.get_or_init(|| Mutex::new(Disk::new(&self.profile.sftp)))
    }
}

#[derive(Debug)]
pub(crate) struct Fleet {
    config: Config,
    keys: Keys,
    hosts: Mutex<HashMap<IpAddr, Arc<Host>>>,
    /// Keyed by the indices of the matching rules.
    profiles: Mutex<HashMap<Vec<usize>, Arc<Profile>>>,
    panics: AtomicU64,
}

impl Fleet {
    /// Checks everything that could otherwise fail at the first connection.
    pub(crate) fn new(config: Config) -> Result<Self, String> {
        let keys = Keys::from_seed(config.seed);
        let rules = config.rules.len();
        let fleet = Self {
            config,
            keys,
            hosts: Mutex::default(),
            profiles: Mutex::default(),
            panics: AtomicU64::new(0),
        };
        fleet.profile(Vec::new())?;
        for rule in 0..rules {
            fleet.profile(vec![rule])?;
        }
        Ok(fleet)
    }

    pub(crate) fn host(&self, address: IpAddr) -> Result<Arc<Host>, String> {
        let address = address.to_canonical();
        if let Some(host) = lock(&self.hosts).get(&address) {
            return Ok(host.clone());
        }
        let rules = self.config.rules.iter().enumerate();
        let matching =
            rules.filter(|(_, rule)| rule.hosts.contains(address)).map(|(index, _)| index).collect();
        let profile = self.profile(matching)?;
        let host = Arc::new(Host { address, counters: Counters::default(), profile, disk: OnceLock::new() });
        Ok(lock(&self.hosts).entry(address).or_insert(host).clone())
    }

    /// The counters of one host, or of all.
    pub(crate) fn stats(&self, address: Option<IpAddr>) -> Stats {
        let mut stats = Stats::default();
        let hosts = lock(&self.hosts);
        match address {
            Some(address) => {
                if let Some(host) = hosts.get(&address.to_canonical()) {
                    host.counters.add_to(&mut stats);
                }
            }
            None => {
                hosts.values().for_each(|host| host.counters.add_to(&mut stats));
                stats.panics = self.panics.load(Ordering::Relaxed);
            }
        }
        stats
    }

    /// What is on the disk of a host.
    pub(crate) fn files(&self, address: IpAddr) -> Result<Vec<RemoteFile>, String> {
        Ok(lock(self.host(address)?.disk()).files())
    }

    pub(crate) fn count_panic(&self) {
        add(&self.panics, 1);
    }

    fn profile(&self, rules: Vec<usize>) -> Result<Arc<Profile>, String> {
        if let Some(profile) = lock(&self.profiles).get(&rules) {
            return Ok(profile.clone());
        }
        let mut host = self.config.host();
        let mut plan = Plan::default();
        for rule in rules.iter().filter_map(|index| self.config.rules.get(*index)) {
            match &rule.behaviour {
                Behaviour::Fault(fault) => plan.set(fault.clone()),
                Behaviour::Set(setting) => setting.apply(&mut host)?,
            }
        }
        let profile = Arc::new(Profile {
            plan,
            auth: host.auth,
            auth_delay: host.auth_delay,
            user_key: self.keys.user()?.public_key().clone(),
            password: self.config.password.clone(),
            sftp: host.sftp.clone(),
            server: Arc::new(server_config(&host, &self.keys)?),
        });
        Ok(lock(&self.profiles).entry(rules).or_insert(profile).clone())
    }
}

fn server_config(host: &HostConfig, keys: &Keys) -> Result<server::Config, String> {
    let host_keys = host.host_keys.iter().map(|kind| keys.host(*kind, host.other_host_key));
    Ok(server::Config {
        methods: methods(host.auth, false),
        auth_rejection_time: Duration::ZERO,
        keys: host_keys.collect::<Result<_, _>>()?,
        limits: Limits::new(host.rekey_bytes, host.rekey_bytes, Duration::from_secs(3600)),
        window_size: host.window,
        maximum_packet_size: host.packet,
        event_buffer_size: EVENTS,
        channel_buffer_size: 1,
        preferred: preferred(host)?,
        max_auth_attempts: host.auth_tries_max,
        inactivity_timeout: None,
        ..server::Config::default()
    })
}

fn preferred(host: &HostConfig) -> Result<Preferred, String> {
    let mut preferred = Preferred::DEFAULT;
    if !host.kex.is_empty() {
        // The markers of RFC 8308 and of strict key exchange are in this list, but are not methods.
        let mut kex = chosen(&host.kex)?;
        kex.extend([kex::EXTENSION_SUPPORT_AS_SERVER, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER]);
        preferred.kex = Cow::Owned(kex);
    }
    if !host.ciphers.is_empty() {
        preferred.cipher = Cow::Owned(chosen(&host.ciphers)?);
    }
    if !host.macs.is_empty() {
        preferred.mac = Cow::Owned(chosen(&host.macs)?);
    }
    Ok(preferred)
}

fn chosen<'a, T: TryFrom<&'a str>>(names: &'a [String]) -> Result<Vec<T>, String> {
    let known =
        |name: &'a String| T::try_from(name.as_str()).map_err(|_| format!("unknown to russh: {name:?}"));
    names.iter().map(known).collect()
}

/// Counts one thing for as long as this value exists.
#[derive(Debug)]
pub(crate) struct Gauge {
    host: Arc<Host>,
    counter: fn(&Counters) -> &AtomicU64,
}

impl Gauge {
    pub(crate) fn new(host: &Arc<Host>, counter: fn(&Counters) -> &AtomicU64) -> Self {
        add(counter(&host.counters), 1);
        Self { host: host.clone(), counter }
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        subtract((self.counter)(&self.host.counters), 1);
    }
}

/// Locks a mutex, even if a connection panicked while it held the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
