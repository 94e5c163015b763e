//! What hosts share, and where errors come from.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::super::builder::tests::builder;
use super::super::builder::{FleetBuilder, Setup};
use super::super::layers::Layer;
use super::*;
use crate::error::ConfigProblem;
use crate::hostkey::{Fingerprint, HostKeyPins};
use crate::{HostConfig, Proxy};

const LINE: &str = "web1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKz6i5vlxJsU/kJC+T/kwhIF7aP0Ami7UASJU/u5FsD5\n";

fn verifier(setup: &Setup, index: usize) -> &Arc<Verifier> {
    &setup.targets[index].profile.verifier
}

/// Each file is read once, however many hosts use it and whatever else their settings are.
#[test]
fn hosts_with_equal_files_and_policies_share_them() {
    let directory = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| directory.path().join(name));
    let pin: Fingerprint = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU".parse().unwrap();
    let pinned = |host| HostKeyPolicy::pinned(HostKeyPins::new().for_host(host, pin));
    let with = |file: &PathBuf| HostConfig::default().known_hosts([file]);
    let configs = [
        with(&a).user("one"),
        with(&a).user("two"),
        with(&b),
        with(&a).host_keys(HostKeyPolicy::accept_new(&a)),
        with(&a).host_keys(HostKeyPolicy::accept_new(&a)).hash_known_hosts(true),
        with(&a).host_keys(HostKeyPolicy::accept_new_hashed(&a)),
        with(&a).host_keys(pinned("g")),
        with(&a).host_keys(pinned("h")),
        HostConfig::default(),
    ];
    let hosts = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let setup = builder(&hosts).host_config(configs).setup().unwrap();
    let is_same = |one, other| Arc::ptr_eq(verifier(&setup, one), verifier(&setup, other));
    let shares = |one, other| Arc::ptr_eq(verifier(&setup, one).files(), verifier(&setup, other).files());
    assert!(is_same(0, 1) && is_same(4, 5));
    assert_eq!([2, 3, 4, 6, 7, 8].map(|host| is_same(0, host)), [false; 6]);
    assert!(!is_same(3, 4) && !is_same(6, 7));
    assert_eq!([2, 3, 4, 6, 7, 8].map(|host| shares(0, host)), [false, true, true, true, true, false]);
}

#[test]
fn hosts_with_a_pin_each_read_the_files_once() {
    const HOSTS: u16 = 2_000;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    fs::write(&file, LINE).unwrap();
    let hosts: Vec<String> = (0..HOSTS).map(|number| format!("host{number}")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let pin = |number: u16| {
        let mut digest = [0; 32];
        digest[..2].copy_from_slice(&number.to_be_bytes());
        let text = format!("SHA256:{}", STANDARD_NO_PAD.encode(digest));
        let pins = HostKeyPins::new().for_any_host(text.parse().unwrap());
        HostConfig::default().host_keys(HostKeyPolicy::pinned(pins))
    };
    let builder = builder(&hosts).known_hosts([&file]).host_config((0..HOSTS).map(pin));
    let setup = builder.setup().unwrap();
    let verifiers = || setup.targets.iter().map(|target| &target.profile.verifier);
    assert_eq!(verifiers().map(Arc::as_ptr).collect::<HashSet<_>>().len(), usize::from(HOSTS));
    assert!(verifiers().all(|one| Arc::ptr_eq(one.files(), verifier(&setup, 0).files())));
}

/// A host's own setting comes before the client's, as do those of each proxy.
#[test]
fn the_settings_of_hosts_and_proxies_come_first() {
    let directory = tempfile::tempdir().unwrap();
    let [client, host, gate] = ["client", "host", "gate"].map(|name| directory.path().join(name));
    for (file, name) in [(&client, "client"), (&host, "host"), (&gate, "gate")] {
        fs::write(file, LINE.replace("web1", name)).unwrap();
    }
    let own = HostConfig::default().known_hosts([&host]).proxies([
        Proxy::new("gate").password("x").known_hosts([&gate]).host_keys(HostKeyPolicy::strict()),
        Proxy::new("inner").password("x"),
    ]);
    let builder = builder(&["web1", "web2"]).known_hosts([&client]).host_config([own, HostConfig::default()]);
    let setup = builder.setup().unwrap();
    let knows = |target: &crate::session::Target, name| {
        !target.profile.verifier.algorithms_at_hand(name, 22).is_empty()
    };
    let names = ["client", "host", "gate"];
    let inner = setup.targets[0].proxy.as_deref().unwrap();
    assert_eq!(names.map(|name| knows(&setup.targets[0], name)), [false, true, false]);
    assert_eq!(names.map(|name| knows(&setup.targets[1], name)), [true, false, false]);
    assert_eq!(names.map(|name| knows(inner, name)), [true, false, false], "not the host's");
    assert_eq!(names.map(|name| knows(inner.proxy.as_deref().unwrap(), name)), [false, false, true]);
}

#[test]
fn errors_name_the_layer_that_sets_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (folder, missing) = (directory.path().to_owned(), directory.path().join("missing"));
    let error = |builder: FleetBuilder, own| {
        let error = builder.host_config([HostConfig::default(), own]).setup().unwrap_err();
        let Error::KnownHosts { origin, error: load } = &error else { panic!("{error}") };
        (format!("{origin}"), load.path.clone(), error.to_string())
    };
    let default = HostConfig::default;
    let two = || builder(&["web1", "web2"]);
    let own = "host 2 of the list (web2)";

    let (origin, path, text) = error(two().known_hosts([&folder]), default());
    assert_eq!((&*origin, path), ("all hosts", folder.clone()));
    assert!(text.starts_with("cannot read known hosts file "), "{text}");
    let (origin, path, text) = error(two(), default().known_hosts([&folder]));
    assert_eq!((&*origin, path), (own, folder.clone()));
    assert!(text.starts_with("host 2 of the list (web2): cannot read known hosts file "), "{text}");
    let (origin, path, text) = error(two().known_hosts([&missing]), default().revoked_host_keys(&missing));
    assert_eq!((&*origin, path), (own, missing.clone()));
    assert!(text.starts_with("host 2 of the list (web2): cannot read revoked host keys file "), "{text}");
    let (origin, ..) = error(two().revoked_host_keys(&missing), default().known_hosts([&folder]));
    assert_eq!(origin, "all hosts");
    let gate = Proxy::new("gate").password("x").known_hosts([&folder]);
    assert_eq!(error(two(), default().proxy(gate)).0, own);
    // Without hosts, too.
    let empty = builder(&[]).known_hosts([&folder]).setup();
    assert!(matches!(empty, Err(Error::KnownHosts { origin: Origin::Client, .. })), "{empty:?}");
}

#[test]
fn only_a_named_file_that_cannot_be_read_stops_the_client() {
    let home = tempfile::tempdir().unwrap();
    let (first, second) = (home.path().join(".ssh/known_hosts"), home.path().join(".ssh/known_hosts2"));
    fs::create_dir_all(&first).unwrap();
    fs::write(&second, LINE).unwrap();
    let owner = |home: Option<&Path>| Owner { name: None, home: home.map(Path::to_owned), agent: None };
    let get = |owner: Owner, config: HostConfig| {
        let layers = Layers::new(None, [], [Layer { origin: &Origin::Client, config: &config }]);
        let (mut known, choice) = (KnownVerifiers::default(), layers.host_keys());
        Verifiers::new(&owner, &mut known, None).get(choice)
    };
    let read = |owner| get(owner, HostConfig::default()).unwrap().algorithms_at_hand("web1", 22);
    // The first file is a directory. The second is read all the same.
    assert_eq!(read(owner(Some(home.path()))), ["ssh-ed25519"]);
    for home in [None, Some(Path::new("/dev/null")), Some(Path::new("/nonexistent"))] {
        assert_eq!(read(owner(home)), [""; 0], "{home:?}");
    }
    let named = get(owner(None), HostConfig::default().known_hosts([first]));
    assert!(matches!(named, Err(Error::KnownHosts { .. })), "{named:?}");
    for config in [
        HostConfig::default().known_hosts(["~/.ssh/known_hosts"]),
        HostConfig::default().revoked_host_keys("~/.ssh/revoked"),
    ] {
        let named = get(owner(None), config);
        assert!(matches!(named, Err(Error::Config { problem: ConfigProblem::NoHome(_), .. })), "{named:?}");
    }
}

/// Files that hosts use are read again in place, so that all fleets that share them see the change.
#[test]
fn a_reload_renews_the_verifiers_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| directory.path().join(name));
    let own = HostConfig::default().known_hosts([&b]).host_keys(HostKeyPolicy::accept_new(&b));
    let setup = builder(&["web1", "web2"]).known_hosts([&a]).host_config([HostConfig::default(), own]);
    let Setup { mut common, list, targets, .. } = setup.setup().unwrap();
    let owner = Owner { name: None, home: None, agent: None };
    let known = |index: usize| targets[index].profile.verifier.algorithms_at_hand("web1", 22).len();
    fs::write(&a, LINE).unwrap();
    fs::write(&b, LINE).unwrap();
    let mut read = common.anew();
    let renewed = read.targets(&list, &owner).unwrap();
    assert_eq!([0, 1].map(known), [0, 0], "reading alone changes nothing");
    common.renew(&read);
    assert_eq!([0, 1].map(known), [1, 1]);
    for (before, after) in targets.iter().zip(&renewed) {
        assert!(Arc::ptr_eq(&before.profile.verifier, &after.profile.verifier));
    }
    // Nothing changes if one of the files cannot be used.
    fs::write(&a, "").unwrap();
    fs::remove_file(&b).unwrap();
    fs::create_dir(&b).unwrap();
    let error = common.anew().targets(&list, &owner).unwrap_err();
    assert!(matches!(&error, Error::KnownHosts { origin: Origin::Host { position: 1, .. }, .. }), "{error}");
    assert_eq!([0, 1].map(known), [1, 1]);
}
