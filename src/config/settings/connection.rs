//! The settings for connections.

use std::net::IpAddr;
use std::time::Duration;

use super::settings;
use crate::config::bind::Bind;
use crate::config::builder::{ClientBuilder, FleetBuilder};
use crate::config::host_config::HostConfig;
use crate::host::AddressFamily;

settings! { HostConfig, FleetBuilder.client, ClientBuilder.fleet; {
    /// Port for hosts whose list entry does not name one. Default: 22. 0 is rejected.
    port(port: u16) => |config| config.port = Some(port);

    /// Which addresses of a host are used, and in which order. Default: all, in the order of the
    /// resolver.
    ///
    /// A host that has no address of an allowed family fails with
    /// [`UnknownHostProblem::OtherFamily`](crate::error::UnknownHostProblem::OtherFamily). A
    /// literal address fails at once, a name after its lookup.
    address_family(family: AddressFamily) => |config| config.family = Some(family);

    /// Whether only IPv6 addresses are used (parallel-ssh: `ipv6_only`). `true` is short for
    /// [`address_family`](Self::address_family) with [`AddressFamily::V6`], `false` for the same
    /// with [`AddressFamily::Any`].
    ipv6_only(on: bool) =>
        |config| config.family = Some(if on { AddressFamily::V6 } else { AddressFamily::Any });

    /// How long a connect may be pending before the host's next address is tried in parallel (RFC
    /// 8305 section 5, "Connection Attempt Delay", which recommends 250 ms). Default: `None`,
    /// never. Less than 10 ms is rejected.
    ///
    /// Without a delay, one address is tried at a time: the next one is tried when the previous one
    /// fails or has used its share of the [`timeout`](Self::timeout). With a delay, addresses race
    /// (Happy Eyeballs): the next one, of the other family if possible, is tried after this delay
    /// or as soon as one fails. The first connection to succeed is used, and the others are closed.
    /// The time limit applies to all addresses together.
    ///
    /// Racing is off by default, because it multiplies the load of a large fleet: SYNs, descriptors
    /// beyond those that the pool counts, and half-open sessions, which count towards limits of the
    /// server (sshd: `MaxStartups`). Use racing if names have addresses that do not answer. When
    /// descriptors run out, no further address is tried. Addresses of hosts behind a proxy do not
    /// race, because the proxy connects to them.
    attempt_delay(delay: impl Into<Option<Duration>>) =>
        |config| config.attempt_delay = Some(delay.into());

    /// The local address from which connections are made (OpenSSH: `BindAddress`). Default: the
    /// system chooses. Addresses of the other family are left out, as if
    /// [`address_family`](Self::address_family) were set. Not used behind a proxy.
    bind_address(address: IpAddr) => |config| config.bind = Some(Bind::Address(address));

    /// The name of this machine from whose addresses connections are made (OpenSSH: `BindAddress`):
    /// the first IPv4 address for hosts that are reached by IPv4, and the first IPv6 address for
    /// those that are reached by IPv6. If there is none for a family, its hosts' addresses are left
    /// out, as with [`bind_address`](Self::bind_address), which this replaces.
    ///
    /// [`build`](ClientBuilder::build), [`Fleet::reload`](crate::Fleet::reload) and calls that add
    /// hosts ask the system for the addresses, and wait for its answer.
    bind_name(name: impl Into<String>) => |config| config.bind = Some(Bind::Name(name.into()));

    /// The network interface from whose addresses connections are made (OpenSSH: `BindInterface`),
    /// as [`bind_name`](Self::bind_name) does for those of a name. Addresses that are not
    /// link-local or loopback ones precede the others. This replaces
    /// [`bind_address`](Self::bind_address) and `bind_name`.
    ///
    /// As in OpenSSH, this chooses the source address only; routes decide which interface packets
    /// leave by.
    bind_interface(name: impl Into<String>) =>
        |config| config.bind = Some(Bind::Interface(name.into()));

    /// Whether to compress the connection, in both directions, if the server agrees (RFC 4253
    /// section 6.2, `zlib@openssh.com`; OpenSSH: `Compression`). Default: `false`.
    ///
    /// Compression is useful only if the network is the bottleneck, because it costs 120 to 300 KiB
    /// of memory per connection and CPU time of the one thread that drives all hosts. The length of
    /// compressed data reveals something about its content. Compression begins after the login, so
    /// that only a trusted host can make this process inflate data. No packet inflates beyond 256
    /// KiB.
    compress(on: bool) => |config| config.compress = Some(on);

    /// After how many bytes in one direction this end asks for new keys (OpenSSH: `RekeyLimit`).
    /// Default: `None`, after 1 GiB with `chacha20-poly1305` and after 64 GiB with AES. Less than
    /// 64 KiB is rejected.
    ///
    /// A key exchange costs 0.3 to 5 ms of CPU time, and a round trip in which nothing is sent. A
    /// server may ask for new keys earlier.
    rekey_bytes(bytes: impl Into<Option<u64>>) => |config| config.rekey_bytes = Some(bytes.into());

    /// After which time this end asks for new keys (OpenSSH: the second value of `RekeyLimit`).
    /// From a second to 24 days. Default: `None`, never.
    ///
    /// The exchange begins with the first packet after that time, so an idle connection is left
    /// alone.
    rekey_time(time: impl Into<Option<Duration>>) => |config| config.rekey_time = Some(time.into());

    /// Whether a connected host has a channel open in advance, so that its next command starts
    /// after one round trip instead of two. Default: `false`.
    ///
    /// The next command takes that channel. Another one is opened as soon as no command of the host
    /// waits for a channel. So the channel takes a place of the server's `MaxSessions` only while
    /// no command needs the place. If the server refuses or closes the channel, commands open their
    /// own, and the next try follows when a command of the host has ended.
    ///
    /// The channel costs the server some memory, but no process, and neither this library nor
    /// OpenSSH (`UnusedConnectionTimeout`) takes a connection for used because of it. If a server
    /// closes the channel at the moment when a command is sent on it, the command fails with
    /// [`ChannelProblem::ExecRefused`](crate::error::ChannelProblem::ExecRefused), because it may
    /// have started and is not sent again. OpenSSH's server does not close such channels.
    spare_channel(on: bool) => |config| config.spare_channel = Some(on);

    /// How long a connection may be idle before a keepalive is sent (parallel-ssh:
    /// `keepalive_seconds`; OpenSSH: `ServerAliveInterval`). Default: `None`, no keepalives, as in
    /// OpenSSH, so that an idle fleet does not wake up; parallel-ssh's native client has a default
    /// of 60 s.
    ///
    /// Anything from the server counts as an answer. After
    /// [`keepalive_max_missed`](Self::keepalive_max_missed) keepalives without an answer, and
    /// another interval, the connection is given up: its running commands fail with
    /// [`HostErrorKind::PeerDead`](crate::HostErrorKind::PeerDead), and waiting commands get a new
    /// connection. parallel-ssh's keepalives request no answer, so it never notices a dead server;
    /// its libssh client sends no keepalives.
    ///
    /// Between two calls of a client no keepalives are sent, and a server may close the idle
    /// connection; the next command then connects again.
    keepalive(interval: impl Into<Option<Duration>>) =>
        |config| config.keepalive = Some(interval.into());

    /// How many keepalives in a row may stay unanswered before the connection is given up (OpenSSH:
    /// `ServerAliveCountMax`). Default: 3; 0 is rejected.
    keepalive_max_missed(count: u32) => |config| config.keepalive_max_missed = Some(count);
}}
