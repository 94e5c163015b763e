//! The local addresses from which connections are made.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::layers::Given;
use crate::address::LocalAddresses;
use crate::error::{ConfigProblem, Error};
use crate::host::AddressFamily;
use crate::session::Connection;

/// Where connections are made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Bind {
    Address(IpAddr),
    /// A name of this machine.
    Name(String),
    /// A network interface.
    Interface(String),
}

impl Bind {
    fn setting(&self) -> &'static str {
        match self {
            Self::Address(_) => "bind_address",
            Self::Name(_) => "bind_name",
            Self::Interface(_) => "bind_interface",
        }
    }

    /// Asks the system for the addresses. Of each family, the first is used (OpenSSH:
    /// `ssh_create_socket`).
    fn addresses(&self) -> Result<LocalAddresses, ConfigProblem> {
        let problem = |value: &str, problem: String| ConfigProblem::Invalid {
            setting: self.setting(),
            value: value.to_owned(),
            problem,
        };
        match self {
            Self::Address(address) => Ok(LocalAddresses::new([SocketAddr::new(*address, 0)])),
            Self::Name(name) => {
                let found = (&**name, 0).to_socket_addrs();
                found.map(LocalAddresses::new).map_err(|error| problem(name, error.to_string()))
            }
            Self::Interface(name) => {
                let found = LocalAddresses::new(of_interface(name));
                let text = "no interface of this name is up and has an address";
                if found.is_empty() { Err(problem(name, text.to_owned())) } else { Ok(found) }
            }
        }
    }
}

/// The addresses of an interface that is up, those that are not link-local or loopback ones first
/// (sshconnect.c, `check_ifaddrs`).
fn of_interface(name: &str) -> Vec<SocketAddr> {
    let interfaces = getifaddrs().into_iter().flatten();
    let wanted =
        interfaces.filter(|it| it.interface_name == name && it.flags.contains(InterfaceFlags::IFF_UP));
    let address = |address: nix::sys::socket::SockaddrStorage| -> Option<SocketAddr> {
        let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::new(v4.ip().into(), 0));
        v4.or_else(|| Some(std::net::SocketAddrV6::from(*address.as_sockaddr_in6()?).into()))
    };
    let mut found: Vec<SocketAddr> = wanted.filter_map(|it| address(it.address?)).collect();
    found.sort_by_key(|address| match address.ip() {
        IpAddr::V4(v4) => v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    });
    found
}

/// The local addresses of the hosts of one call. Each name is looked up once.
#[derive(Debug, Default)]
pub(super) struct Bound<'a>(HashMap<&'a Bind, LocalAddresses>);

impl<'a> Bound<'a> {
    /// How connections with this setting are made. Addresses of a family without a local address
    /// are left out, because they cannot be reached.
    ///
    /// As in OpenSSH, a name or an interface of its configuration may be without an address: only
    /// the hosts that need it fail.
    pub fn connection(
        &mut self,
        connection: Connection,
        bind: Option<Given<'a, &'a Bind>>,
    ) -> Result<Connection, Error> {
        let Some(bind) = bind else { return Ok(connection) };
        let local = match self.0.get(bind.value) {
            Some(known) => *known,
            None => {
                let found = match bind.value.addresses() {
                    Err(problem) if bind.from_ssh_config => {
                        log::warn!("{}", problem.of(bind.origin()));
                        LocalAddresses::default()
                    }
                    found => found.map_err(|problem| problem.of(bind.origin()))?,
                };
                *self.0.entry(bind.value).or_insert(found)
            }
        };
        let family = match (local.has_v4(), local.has_v6()) {
            (true, false) => AddressFamily::V4,
            (false, true) => AddressFamily::V6,
            _ => connection.family,
        };
        let family = if connection.family.is_exclusive() { connection.family } else { family };
        Ok(Connection { bind: Some(local), family, ..connection })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Origin;

    fn local(bind: &Bind) -> Result<LocalAddresses, String> {
        bind.addresses().map_err(|problem| problem.of(Origin::Client).to_string())
    }

    fn towards(local: LocalAddresses, peer: &str) -> Option<String> {
        let peer = SocketAddr::new(peer.parse().unwrap(), 22);
        local.towards(peer).ok().map(|from| from.ip().to_string())
    }

    #[test]
    fn a_name_stands_for_one_address_of_each_family() {
        let name = local(&Bind::Name("127.0.0.7".to_owned())).unwrap();
        assert_eq!(towards(name, "192.0.2.1").as_deref(), Some("127.0.0.7"));
        assert_eq!(towards(name, "2001:db8::1"), None);
        let localhost = local(&Bind::Name("localhost".to_owned())).unwrap();
        assert_eq!(towards(localhost, "192.0.2.1").as_deref(), Some("127.0.0.1"));
        let error = local(&Bind::Name("absent.invalid".to_owned())).unwrap_err();
        assert!(error.starts_with("bind_name \"absent.invalid\": "), "{error}");
    }

    #[test]
    fn an_interface_has_the_addresses_that_the_system_lists() {
        let loopback = local(&Bind::Interface("lo".to_owned())).unwrap();
        assert_eq!(towards(loopback, "127.0.0.9").as_deref(), Some("127.0.0.1"));
        let error = local(&Bind::Interface("sshoal-none".to_owned())).unwrap_err();
        assert!(error.ends_with("no interface of this name is up and has an address"), "{error}");
    }
}
