//! Groups that are written down: ClusterShell's YAML files, and Ansible's inventories.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

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
    /// The variable whose value is of no use without Ansible, or wrong.
    pub unknown: Option<&'static str>,
}

/// The groups of an inventory with their hosts, and what it says about these.
#[derive(Debug, Default)]
pub struct Inventory {
    pub groups: IndexMap<String, Vec<String>>,
    pub hosts: IndexMap<String, HostVariables>,
}

impl Inventory {
    /// Asks `ansible-inventory`: it knows all formats and plugins.
    pub fn load(path: &Path, until: Option<Instant>) -> Result<Self, Error> {
        let flag = format!("--inventory {}", shown(&path.to_string_lossy()));
        // Ansible only warns. A list of hosts has a comma, and is no path.
        if !path.to_string_lossy().contains(',') {
            path.metadata().map_err(|error| Error::new(error).within(&flag))?;
        }
        let mut program = Command::new("ansible-inventory");
        program.arg("--list").arg("-i").arg(path);
        // Otherwise, an inventory with a fault has no hosts, and Ansible only warns.
        program.env("ANSIBLE_INVENTORY_UNPARSED_FAILED", "true");
        let text = upcall::run(program, INVENTORY_TIME_MAX, until)
            .map_err(|error| error.within(format!("{flag}: ansible-inventory --list")))?;
        Self::parse(&text).map_err(|error| error.within(flag))
    }

    pub fn parse(text: &str) -> Result<Self, Error> {
        let value: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
            Error::new(format!("ansible-inventory --list printed no object of JSON ({error})"))
        })?;
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
            hosts.insert(name.clone(), variables.map(host_variables).unwrap_or_default());
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

fn host_variables(variables: &Map<String, Value>) -> HostVariables {
    let mut host = HostVariables::default();
    // As in Ansible, the old names have precedence.
    let names = [
        "ansible_host",
        "ansible_ssh_host",
        "ansible_user",
        "ansible_ssh_user",
        "ansible_port",
        "ansible_ssh_port",
    ];
    for name in names {
        let Some(value) = variables.get(name) else { continue };
        let text = match value {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        // Only Ansible knows what a template stands for.
        let known = (!text.contains("{{")).then_some(&text);
        let known = match name {
            "ansible_host" | "ansible_ssh_host" => set(&mut host.address, known.cloned()),
            "ansible_user" | "ansible_ssh_user" => set(&mut host.user, known.cloned()),
            _ => set(&mut host.port, text.parse().ok()),
        };
        if !known {
            host.unknown = Some(name);
        }
    }
    host
}

/// Whether there is a value.
fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    *place = value;
    place.is_some()
}
