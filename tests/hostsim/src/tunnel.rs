//! A server that connects its client to other hosts (`direct-tcpip`), like a bastion.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use russh::server::{ChannelOpenHandle, Msg};
use russh::{Channel, ChannelOpenFailure};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use crate::fleet::Host;
use crate::stats::count;

/// Connects, and copies in both directions until both have ended.
pub(crate) async fn connect(
    host: Arc<Host>,
    channel: Channel<Msg>,
    (name, port): (String, u32),
    reply: ChannelOpenHandle,
) {
    count(&host.counters.tunnels);
    let address = resolve(&name).zip(u16::try_from(port).ok());
    let stream = match address {
        Some(address) => TcpStream::connect(address).await.ok(),
        None => None,
    };
    let Some(mut stream) = stream else {
        reply.reject(ChannelOpenFailure::ConnectFailed).await;
        return;
    };
    // Small messages that the peer waits for must not be delayed.
    let _ = stream.set_nodelay(true);
    reply.accept().await;
    let _ = copy_bidirectional(&mut channel.into_stream(), &mut stream).await;
}

/// Resolves an address, or a name that only simulated hosts know: `127-1-0-7.sim` is 127.1.0.7.
fn resolve(name: &str) -> Option<IpAddr> {
    let inner = name.strip_suffix(".sim").map(|name| name.replace('-', "."));
    match inner {
        Some(text) => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        None => name.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_fleet_are_its_addresses() {
        assert_eq!(resolve("127-1-0-7.sim"), Some(IpAddr::from([127, 1, 0, 7])));
        assert_eq!(resolve("127.0.0.1"), Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(resolve("web1"), None);
    }
}
