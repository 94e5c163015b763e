//! Groups that are written down: ClusterShell's YAML files, and Ansible's inventories.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::upcall;
use crate::targets::error::{Error, shown};

/// The groups of a source and what they stand for, in their order.
pub type Table = IndexMap<String, String>;

#[derive(Deserialize)]
#[serde(untagged)]
enum Hosts {
    Set(String),
    Sets(Vec<String>),
}

/// Reads a file with sources, their groups, and the hosts of these.
pub fn read_yaml(text: &str) -> Result<IndexMap<String, Table>, Error> {
    let sources: IndexMap<String, IndexMap<String, Option<Hosts>>> =
        serde_saphyr::from_str(text).map_err(|error| {
            // Its later lines show the file.
            let error = error.to_string();
            let what = error.lines().next().unwrap_or_default();
            Error::new(format!("not \"source: group: hosts\" as groups.d(5) has it ({})", shown(what)))
        })?;
    let text = |hosts| match hosts {
        None => String::new(),
        Some(Hosts::Set(set)) => set,
        Some(Hosts::Sets(sets)) => sets.join(","),
    };
    let table = |groups: IndexMap<String, Option<Hosts>>| {
        groups.into_iter().map(|(name, hosts)| (name, text(hosts))).collect()
    };
    Ok(sources.into_iter().map(|(source, groups)| (source, table(groups))).collect())
}

/// How long `ansible-inventory` may take: an inventory may ask a cloud.
const INVENTORY_TIME_MAX: Duration = Duration::from_secs(120);

/// What an inventory says about a host.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct HostVariables {
    pub address: Option<String>,
    pub user: Option<String>,
    pub port: Option<u16>,
}

/// The groups of an inventory with their hosts, and what it says about these.
#[derive(Debug, Default)]
pub struct Inventory {
    pub groups: IndexMap<String, Vec<String>>,
    pub hosts: IndexMap<String, HostVariables>,
}

impl Inventory {
    /// Asks `ansible-inventory`: it knows all formats and plugins.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let mut program = Command::new("ansible-inventory");
        program.arg("--list").arg("-i").arg(path);
        let text = upcall::run(program, INVENTORY_TIME_MAX).map_err(|error| {
            error.within(format!("--inventory {}: ansible-inventory --list", shown(&path.to_string_lossy())))
        })?;
        Self::parse(&text).map_err(|error| error.within("ansible-inventory --list"))
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let value: Map<String, Value> = serde_json::from_str(text).map_err(Error::new)?;
        let mut groups = IndexMap::new();
        for (name, group) in value.iter().filter(|(name, _)| *name != "_meta") {
            let mut hosts = Vec::new();
            collect(&value, name, group, &mut HashSet::new(), &mut hosts);
            groups.insert(name.clone(), hosts);
        }
        let variables = value.get("_meta").and_then(|meta| meta.get("hostvars")).and_then(Value::as_object);
        let mut hosts = IndexMap::new();
        for name in groups.values().flatten() {
            let variables = variables.and_then(|all| all.get(name)).and_then(Value::as_object);
            hosts.insert(name.clone(), variables.map_or(Ok(HostVariables::default()), host_variables)?);
        }
        Ok(Self { groups, hosts })
    }
}

/// The hosts of a group and of the groups inside of it, each group once.
fn collect<'a>(
    all: &'a Map<String, Value>,
    name: &'a str,
    group: &'a Value,
    seen: &mut HashSet<&'a str>,
    hosts: &mut Vec<String>,
) {
    let mut waiting = vec![(name, group)];
    while let Some((name, group)) = waiting.pop() {
        if !seen.insert(name) {
            continue;
        }
        let strings = |key: &str| group.get(key).and_then(Value::as_array).into_iter().flatten();
        hosts.extend(strings("hosts").filter_map(Value::as_str).map(str::to_owned));
        let children = strings("children").filter_map(Value::as_str);
        let mut children: Vec<_> = children.filter_map(|name| all.get_key_value(name)).collect();
        children.reverse();
        waiting.extend(children.into_iter().map(|(name, group)| (&**name, group)));
    }
}

fn host_variables(variables: &Map<String, Value>) -> Result<HostVariables, Error> {
    let text = |keys: [&str; 2]| {
        let value = keys.into_iter().find_map(|key| variables.get(key)?.as_str());
        // Only Ansible knows what a template stands for.
        value.filter(|value| !value.contains("{{")).map(str::to_owned)
    };
    let port = ["ansible_port", "ansible_ssh_port"].into_iter().find_map(|key| variables.get(key));
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64().and_then(|port| u16::try_from(port).ok()),
    };
    Ok(HostVariables {
        address: text(["ansible_host", "ansible_ssh_host"]),
        user: text(["ansible_user", "ansible_ssh_user"]),
        port: port.and_then(number),
    })
}
