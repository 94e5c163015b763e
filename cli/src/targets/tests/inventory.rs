//! What `ansible-inventory --list` prints.

use super::super::groups::Inventory;

#[test]
fn an_inventory_has_groups_and_says_how_to_reach_hosts() {
    // Of ansible-core 2.19, for a file with [web], [db], [prod:children] and variables.
    let text = r#"{
        "_meta": {
            "hostvars": {
                "alias": {"ansible_host": "192.0.2.7", "ansible_port": 2222},
                "db1": {"ansible_host": "{{ inventory_hostname }}.lan", "ansible_port": 2200},
                "old": {"ansible_host": "x", "ansible_ssh_host": "192.0.2.8", "ansible_ssh_port": 24, "ansible_ssh_user": "me"},
                "web01": {"ansible_port": "2200", "ansible_user": "deploy", "other": [1]}
            },
            "profile": "inventory_legacy"
        },
        "all": {"children": ["ungrouped", "prod"]},
        "db": {"hosts": ["db1"]},
        "prod": {"children": ["web", "db", "prod"]},
        "ungrouped": {"hosts": ["plain"]},
        "web": {"hosts": ["web01", "alias"]},
        "was": {"hosts": ["old"]}
    }"#;
    let inventory = Inventory::parse(text).unwrap();
    assert_eq!(inventory.groups["prod"], ["web01", "alias", "db1"]);
    assert_eq!(inventory.groups["all"], ["plain", "web01", "alias", "db1"]);
    let host = |name: &str| {
        let host = &inventory.hosts[name];
        (host.address.as_deref(), host.user.as_deref(), host.port, host.unknown)
    };
    assert_eq!(host("plain"), (None, None, None, None));
    assert_eq!(host("alias"), (Some("192.0.2.7"), None, Some(2222), None));
    assert_eq!(host("web01"), (None, Some("deploy"), Some(2200), None));
    assert_eq!(host("old"), (Some("192.0.2.8"), Some("me"), Some(24), None));
    assert_eq!(host("db1"), (None, None, Some(2200), Some("ansible_host")));
    assert!(Inventory::parse("[]").is_err());
    assert!(Inventory::parse("{\"web\": {\"hosts\": [1], \"children\": 5}}").unwrap().hosts.is_empty());
}
