//! Hosts that are added to a list: what they share with the others, and what is looked at.

use std::cell::Cell;
use std::sync::Arc;

use super::keys::{ONE, TWO};
use super::{World, config, keys_of, write_private};
use crate::Proxy;
use crate::config::targets::{Common, Part};
use crate::config::{HostConfig, Listed};
use crate::error::{Error, Origin};
use crate::session::Target;

fn listed(entry: &str, config: HostConfig) -> Arc<Listed> {
    Arc::new(Listed::new(entry.parse().unwrap(), config))
}

/// A list that hosts are added to, one at a time.
struct List<'a> {
    world: &'a World,
    common: Common,
    hosts: Vec<Arc<Listed>>,
    /// How many hosts of the list were looked at when others were added.
    looks: Cell<usize>,
}

impl<'a> List<'a> {
    fn new(world: &'a World, client: HostConfig) -> Self {
        let (common, hosts) = Common::new(client, Vec::new(), None).unwrap();
        Self { world, common, hosts, looks: Cell::new(0) }
    }

    fn add(&mut self, entry: &str, config: HostConfig) -> Result<Target, Error> {
        let new = [listed(entry, config)];
        let part = Part { hosts: &new, first: self.hosts.len() };
        let others = self.hosts.iter().map(|host| {
            self.looks.update(|looks| looks + 1);
            &**host
        });
        let mut targets = self.common.changes(part, |_| false, others, &self.world.owner)?;
        self.hosts.extend(new);
        Ok(targets.remove(0).unwrap())
    }
}

#[test]
fn what_hosts_have_in_common_is_shared_whenever_they_are_added() {
    let world = World::new();
    let mut list = List::new(&world, config().key_file("~/one"));
    let own = || config().password("secret");
    let mut add = |config: HostConfig| list.add("web", config).unwrap();
    let (first, other) = (add(own()), add(own().user("root")));
    let again = add(own().alias("again").port(23));
    assert!(Arc::ptr_eq(&first.profile, &again.profile));
    assert!(!Arc::ptr_eq(&first.profile, &other.profile));
    assert_eq!(keys_of(&first), keys_of(&other));
    assert!(Arc::ptr_eq(&first.profile.algorithms, &other.profile.algorithms));

    // Keys are read for each call, and made only if they have changed.
    write_private(&world.path("one"), TWO);
    let renewed = add(own());
    assert_ne!(keys_of(&first), keys_of(&renewed));
    write_private(&world.path("one"), ONE);
    assert!(Arc::ptr_eq(&first.profile, &add(own()).profile));
    assert_eq!(list.looks.get(), 0);
}

#[test]
fn what_no_host_uses_any_more_is_forgotten() {
    let world = World::new();
    let mut list = List::new(&world, config());
    let kept: Vec<_> = (0..10).map(|i| list.add("web", config().user(format!("kept{i}"))).unwrap()).collect();
    for i in 0..1_000 {
        let proxy = Proxy::new(format!("gate{i}"));
        list.add("web", config().user(format!("user{i}")).proxy(proxy)).unwrap();
    }
    let Common { keys, shared, .. } = &list.common;
    let known = [shared.profiles.len(), keys.len(), shared.algorithms.len(), shared.ways.len()];
    assert!(known[0] >= kept.len() && known.iter().all(|known| *known <= 2 * kept.len() + 4), "{known:?}");
}

#[test]
fn proxies_are_shared_whenever_hosts_are_added() {
    let world = World::new();
    let gate = || Proxy::new("gate").key_file("~/one");
    let mut list = List::new(&world, config().proxy(gate()));
    let mut add = |config: HostConfig| list.add("web", config).unwrap().proxy.unwrap();
    let first = add(config().user("pi"));
    let behind = add(config().proxies([gate(), Proxy::new("inner")]));
    assert!(Arc::ptr_eq(&first, behind.proxy.as_ref().unwrap()));
    assert!(Arc::ptr_eq(&behind, &add(config().proxies([gate(), Proxy::new("inner")]))));
    assert!(!Arc::ptr_eq(&first, &add(config().proxy(gate().user("other")))));
    // The connection is there: what it would take to make it is not read again.
    std::fs::remove_file(world.path("one")).unwrap();
    assert!(Arc::ptr_eq(&first, &add(config().proxy(gate()))));
}

/// Later hosts share what was read again, and the connections that there are.
#[test]
fn a_reload_replaces_what_is_shared_but_no_proxy() {
    let world = World::new();
    let mut list = List::new(&world, config().key_file("~/one").proxy(Proxy::new("gate").key_file("~/one")));
    let before = list.add("web", config()).unwrap();
    write_private(&world.path("one"), TWO);
    let mut read = list.common.anew();
    let targets = read.targets(&list.hosts, &world.owner).unwrap();
    list.common.renew(&read);
    let after = list.add("web", config()).unwrap();
    assert!(Arc::ptr_eq(&after.profile, &targets[0].profile));
    assert!(!Arc::ptr_eq(&after.profile, &before.profile));
    assert!(Arc::ptr_eq(after.proxy.as_ref().unwrap(), before.proxy.as_ref().unwrap()));
}

/// Only then do other hosts matter.
#[test]
fn a_clients_setting_may_have_its_effect_on_any_host() {
    let world = World::new();
    let client = config().gssapi_delegate_credentials(true);
    let mut list = List::new(&world, client);
    let refused = list.add("web", config());
    assert!(matches!(refused, Err(Error::Config { origin: Origin::Client, .. })), "{refused:?}");
    list.hosts =
        vec![listed("web", config()), listed("web", config().gssapi_auth(true)), listed("web", config())];
    list.add("web", config()).unwrap();
    assert_eq!(list.looks.get(), 2);
    let refused = list.add("db", config().gssapi_auth(false).gssapi_delegate_credentials(true));
    let text = "host 5 of the list (db): gssapi_delegate_credentials needs gssapi_auth, which is off";
    assert_eq!(refused.unwrap_err().to_string(), text);
    assert_eq!(list.looks.get(), 2);
}
