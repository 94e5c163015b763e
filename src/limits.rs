//! Every fixed limit of the library, each with its reason.

use std::time::Duration;

/// Hosts whose connection and command are being set up at once, unless told otherwise (parallel-ssh: `pool_size=100`).
pub const POOL_SIZE: usize = 100;

/// Fleets that are built at once, for one thread each: more than machines have cores.
pub const FLEETS_MAX: usize = 4096;

/// Connection attempts per host (parallel-ssh: `num_retries=3`, which counts attempts).
pub const ATTEMPTS: u32 = 3;

/// Pause between two attempts (parallel-ssh: `retry_delay=5`).
pub const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Connections that a server may drop before it has named itself, and that do not count as attempts. With the pauses below,
/// the last one follows the first after 32 s at most: a server that logs ten users in per second has had room for three
/// hundred by then.
pub const DROPS: u32 = 8;

/// Ceiling of the random pause after the first connection that a server has dropped; it doubles with each. sshd has room
/// again when a login of those under way has ended, which takes some tenths of a second.
pub const DROP_DELAY: Duration = Duration::from_millis(250);

/// The highest such ceiling.
pub const DROP_DELAY_MAX: Duration = Duration::from_secs(8);

/// How far ahead of its time a connection may begin where they are bound to a rate, so that turns which come late, or tick by
/// tick, do not lower it: ten ticks of the timer wheel.
pub const CONNECT_BURST: Duration = Duration::from_millis(10);

/// Total time for name resolution and TCP connect when no `timeout` was set: a silent peer must not hold a place for ever.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// Total time for the SSH handshake when no `timeout` was set.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// Total time for authentication when no `timeout` was set: sshd's own default `LoginGraceTime`.
pub const AUTH_TIMEOUT: Duration = Duration::from_secs(120);

/// Rounds of questions in one keyboard-interactive authentication. Real ones take up to four: password, code, and what PAM
/// says in between.
pub const INTERACTIVE_ROUNDS: u32 = 16;

/// Time a server has to confirm the end of a channel before the channel is given up.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Shortest share of the connect time that one of several addresses gets.
pub const ADDRESS_SLICE_MIN: Duration = Duration::from_secs(1);

/// Shortest attempt delay that can be set (RFC 8305 section 5).
pub const ATTEMPT_DELAY_MIN: Duration = Duration::from_millis(10);

/// Addresses tried per name; a name with more is cut, so that one host cannot run through thousands.
pub const ADDRESSES: usize = 32;

/// Socket reads per host and visit. libssh reads at most 4 KiB at a time, so this is 64 KiB, which takes 0.2 ms to decrypt:
/// what every other host waits for one that streams. The rest waits its turn.
pub const PUMPS_PER_VISIT: usize = 16;

/// Most bytes that one of them takes from the socket.
pub const SOCKET_READ: usize = 4 * 1024;

/// What one of them is reckoned to bring on a compressed connection: text shrinks to a quarter or less.
pub const INFLATED_READ: usize = 32 * 1024;

/// SSH packets read and answered per host and visit, give or take those of one socket read. Each costs up to
/// 15 µs, so a flood of tiny ones must not count by its bytes alone.
pub const PACKETS_PER_VISIT: u64 = 64;

/// The same on a compressed connection, where each packet may inflate to 256 KiB (libssh's limit).
pub const COMPRESSED_PACKETS_PER_VISIT: u64 = 16;

/// Lines of known_hosts files that are compared with a host's name per visit, where no index finds them. A
/// hashed one takes up to half a microsecond, so this is a quarter of a millisecond. With 100,000 hashed
/// lines the verdict on an unknown key takes 200 visits, and twice as many on another port than 22.
pub const HOST_KEY_LINES: usize = 500;

/// Threads that record new host keys: one, as what is written to one file follows one another anyway.
pub const DISK_THREADS: usize = 1;

/// How long another process may hold the lock of the file that new host keys are recorded in. An honest one
/// holds it for one write, of milliseconds; one that was stopped meanwhile holds it for ever.
pub const RECORD_LOCK_WAIT: Duration = Duration::from_secs(10);

/// Bytes of answers that a host may ask for and not read: libssh keeps them. A burst of 10,000 requests asks
/// for 0.4 to 0.8.
pub const ANSWERS_UNREAD: u64 = 1024 * 1024;

/// Bytes that must have gone either way since the last key exchange for the next one to be a matter of
/// course. Servers that are careful ask for new keys after 64 KiB (sshd: `RekeyLimit`), most after a
/// gibibyte.
pub const REKEY_TRAFFIC: u64 = 32 * 1024;

/// Time after which a key exchange is a matter of course without that. RFC 4253 section 9 recommends an hour.
pub const REKEY_PAUSE: Duration = Duration::from_secs(60);

/// Other key exchanges that may follow one another. Each costs 0.3 ms of CPU and more.
pub const REKEYS_IN_A_ROW: u32 = 10;

/// Other key exchanges within [`REKEY_WINDOW`]: one a second.
pub const REKEYS_PER_WINDOW: usize = 30;

/// See [`REKEYS_PER_WINDOW`].
pub const REKEY_WINDOW: Duration = Duration::from_secs(30);

/// Longest packet of a key exchange, and of any after the login, on the wire. Every implementation has to
/// take 35,000 bytes (RFC 4253 section 6.1); libssh takes 256 KiB, which as a list of 119,000 algorithms cost
/// 6 ms of CPU to look through.
pub const PACKET_BYTES: u64 = 64 * 1024;

/// Channels of commands that were closed here and that the host has not closed, on one connection: 0.7 KiB
/// each, and most hosts have had 10 s for each.
pub const CHANNELS_UNCLOSED: usize = 1024;

/// The same for the tunnels of a proxy, of which many may end together.
pub const TUNNELS_UNCLOSED: usize = 16 * 1024;

/// Name, and text, of a signal that has ended a command, in bytes.
pub const EXIT_SIGNAL_TEXT: usize = 4 * 1024;

/// Keepalives without an answer before a peer counts as dead (OpenSSH: `ServerAliveCountMax`).
pub const KEEPALIVE_MISSED: u32 = 3;

/// Pumps for a host that leaves the list, each of [`PUMPS_PER_VISIT`] reads: 4 MiB, twice an SSH window. What it had sent
/// by then is kept, and no more.
pub const LAST_PUMPS: usize = 64;

/// Time one turn may spend on hosts before it returns to the poll; one libssh step (mostly
/// below 2 ms, and below 5) can come on top.
pub const TURN_BUDGET: Duration = Duration::from_millis(1);

/// Commands of runs that are given to their hosts, or taken from them, in one turn: below 1 ms.
pub const RUN_TASKS_PER_TURN: usize = 1024;

/// Events that may wait to be taken before a turn ends.
pub const TURN_EVENTS: usize = 1024;

/// Unread output of a fleet, unless told otherwise.
pub const OUTPUT_BUDGET: usize = 256 * 1024 * 1024;

/// Unread output of one stream of a fleet, unless told otherwise.
pub const STREAM_UNREAD: usize = 256 * 1024;

/// Unread output that every stream may hold, however much of it there is in all: what one read brings.
pub const SHARE_MIN: usize = 4 * 1024;

/// What libssh needs for a connection whose output waits, in buffers that have grown with its packets: it counts towards the
/// output budget.
pub const WAITING_COST: usize = 160 * 1024;

/// Readiness events taken from the kernel at once.
pub const EVENTS_PER_POLL: usize = 1024;

/// Bytes given to libssh in one write: one socket buffer's worth, so that its own output buffer stays small.
pub const WRITE_CHUNK: usize = 32 * 1024;

/// Packets that one write may be cut into when the peer accepts only tiny ones.
pub const WRITE_PACKETS: usize = 16;

/// Bytes that libssh 0.10 takes off a peer's maximum packet size for headers. Nothing is left of 10, and it then loops for
/// ever; of less, the difference wraps around, and it exceeds what the peer allows.
pub const PACKET_HEADERS: u32 = 10;

/// Bytes of standard input that may wait per command before `write` waits for the peer.
pub const STDIN_QUEUE: usize = 1024 * 1024;

/// Capacity that a channel's inbox keeps between visits.
pub const INBOX_RETAINED: usize = 16 * 1024;

/// Longest text of a peer (disconnect message, signal text, libssh's words about it) that an error shows, in bytes.
pub const PEER_TEXT: usize = 512;

/// Output kept of a server that sends it before it accepts the command: one SSH window.
pub const EARLY_OUTPUT: usize = 2 * 1024 * 1024;

/// Output kept of a command behind its end, beyond what its stream may hold: one SSH window.
pub const LAST_OUTPUT: usize = 2 * 1024 * 1024;

/// Input handed to libssh per host and visit; the rest waits its turn. A write counts at least as a [`WRITE_CHUNK`]: tiny
/// packets cost time, not bytes.
pub const INPUT_PER_VISIT: usize = 256 * 1024;

/// Name servers asked (glibc: `MAXNS`).
pub const DNS_SERVERS: usize = 3;

/// Longest pause before a question is sent again, and shares of that in the time of a lookup (`resolv.conf(5)`: `timeout` and
/// `attempts`).
pub const DNS_TIMEOUT: Duration = Duration::from_secs(5);

/// See [`DNS_TIMEOUT`].
pub const DNS_ATTEMPTS: u32 = 2;

/// Pause before a question is sent for the second time: above the answer time of any server that is near.
pub const DNS_FIRST_PAUSE: Duration = Duration::from_millis(400);

/// How long addresses of one family wait for those of the other (RFC 8305 section 3).
pub const DNS_GRACE: Duration = Duration::from_millis(50);

/// Lookups under way at once. Their answers fit into the receive buffers: of 10,000 at once, hundreds are dropped.
pub const DNS_IN_FLIGHT: usize = 256;

/// Answers read, timers served, and lookups begun in one turn, each: together they take below 1 ms.
pub const DNS_PER_TURN: usize = 16;

/// Datagram sockets per server. With one TCP connection each, three servers take 15 descriptors.
pub const DNS_PORTS: usize = 4;

/// Questions after which a quiet datagram socket is replaced, for the sake of a fresh port.
pub const DNS_PORT_QUERIES: u32 = 4096;

/// Receive buffer asked for, for a burst of answers.
pub const DNS_RECEIVE_BUFFER: usize = 1024 * 1024;

/// Longest answer accepted in a datagram: what passes without being cut into fragments (DNS flag day 2020).
pub const DNS_PAYLOAD: u16 = 1232;

/// Tries in a row without an answer, after which a server is asked after the others for [`DNS_DEAD_PAUSE`].
pub const DNS_UNANSWERED: u32 = 4;

/// See [`DNS_UNANSWERED`].
pub const DNS_DEAD_PAUSE: Duration = Duration::from_secs(10);

/// How long a server that cannot be reached is asked after the others.
pub const DNS_REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// Aliases followed from one name.
pub const DNS_ALIASES: usize = 8;

/// Longest time that an answer is kept.
pub const DNS_TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest time for which a name counts as absent (RFC 2308 section 5: one to three hours).
pub const DNS_NEGATIVE_TTL_MAX: Duration = Duration::from_secs(60 * 60);

/// Answers kept, unless told otherwise: two for each of ten thousand hosts, and aliases.
pub const DNS_CACHE_ENTRIES: usize = 32 * 1024;

/// Answers kept for a client of few hosts, which may come to have more.
pub const DNS_CACHE_ENTRIES_MIN: usize = 1024;

/// Longest name of a server or user for GSSAPI, in bytes: libssh puts `host@` before it in a buffer of 256, and cuts.
pub const GSSAPI_NAME: usize = 250;

/// Threads that wait for a KDC. A live one answers in milliseconds; a silent one holds each for half a minute, and the hosts
/// behind them until their own limit.
pub const GSSAPI_THREADS: usize = 4;

/// Descriptors left to the embedding program when the pool is sized against the process's limit.
pub const DESCRIPTORS_SPARED: usize = 16;

/// libssh keeps a caller's descriptor in 16 bits (`SSH_OPTIONS_FD`), so higher ones are refused before they reach it.
pub const DESCRIPTOR_MAX: i32 = 0xffff;

/// Longest password for `sudo`: older ones read 255 bytes, its line end included, and leave the rest to the command.
pub const SUDO_PASSWORD_BYTES: usize = 254;

/// Longest command: far above any shell's own limit (Linux: 128 KiB per argument), below SSH's packet limit.
pub const COMMAND_BYTES: usize = 192 * 1024;

/// Longest name of a terminal: many times that of any there is.
pub const TERM_BYTES: usize = 256;

/// Time a cancelled command has to end by itself after SIGTERM and the end of its input, before its channel is closed.
pub const STOP_GRACE: Duration = Duration::from_secs(1);

/// Largest private key or certificate, in bytes. An RSA key of 16,384 bits, the longest that OpenSSH takes,
/// has 13 KiB in any format, a certificate with two hundred principals less; the rest is for comments and
/// other lines.
pub const KEY_FILE: usize = 64 * 1024;

/// Rounds of bcrypt that opening a private key may take, unless told otherwise: 64 times what `ssh-keygen`
/// writes by default, and about 10 s.
pub const KDF_ROUNDS: u32 = 1024;

/// Iterations of PBKDF2 (PKCS#8) that are allowed for each allowed round of bcrypt: about the same time. 10
/// million by default; `openssl` writes 2,048, password managers up to 1 million.
pub const PBKDF2_PER_ROUND: u32 = 10_000;

/// Memory that scrypt (PKCS#8) may work through, in bytes, and so its time as well: four times what `openssl`
/// writes.
pub const SCRYPT_BYTES: u128 = 64 * 1024 * 1024;

/// Sizes of RSA keys, in bits. Shorter ones than 1,024 are still read, for the sake of a clear error at the
/// login. The longest are those that OpenSSH takes: one signature with them holds the thread for 0.2 s.
pub const RSA_BITS: std::ops::RangeInclusive<usize> = 512..=16_384;

/// Longest public exponent of an RSA key, in bits (FIPS 186-5 section 5.1). Nearly all have 17.
pub const RSA_EXPONENT_BITS: usize = 256;

/// Longest message of an ssh-agent (OpenSSH: `MAX_AGENT_REPLY_LEN`).
pub const AGENT_MESSAGE: usize = 256 * 1024;

/// Keys that an ssh-agent may list (OpenSSH: `MAX_AGENT_IDENTITIES`).
pub const AGENT_KEYS: usize = 2048;

/// Longest public key or certificate, and longest comment, of an agent's key that is used: ten times a certificate with
/// dozens of principals. libssh is handed both in one socket buffer.
pub const AGENT_KEY: usize = 16 * 1024;

/// Longest signature of an ssh-agent: one of RSA with 16,384 bits, the longest that OpenSSH takes, has 2 KiB.
pub const AGENT_SIGNATURE: usize = 4 * 1024;

/// Channels that a server may have open to a forwarded ssh-agent at a time. Each needs a descriptor; a command that uses the
/// agent needs one, and OpenSSH's agent serves its connections one request at a time anyway.
pub const AGENT_CHANNELS: usize = 16;

/// The same of all hosts of a fleet: as many connections as an ssh-agent can have, whose own limit is 1,024
/// descriptors on most systems. Where this process may open few, an [`AGENT_SHARE`]th of those, so that hosts
/// which open all they can leave the others descriptors to connect with. What is beyond is refused.
pub const AGENT_CONNECTIONS: usize = 1024;

/// See [`AGENT_CONNECTIONS`].
pub const AGENT_SHARE: usize = 4;

/// Bytes of requests to a forwarded ssh-agent that may wait, over all channels of a host: four of the longest
/// messages. A client of an agent asks once and waits for the answer, so hardly more than one of a few
/// hundred bytes ever waits.
pub const AGENT_WAITING: usize = 4 * AGENT_MESSAGE;

/// How often a visit looks at all of a host's channels to a forwarded agent: 64 looks of up to 30 µs each, as
/// at tunnels.
pub const AGENT_ROUNDS_PER_VISIT: usize = 4;

/// Threads of this process that libssh may keep for good, in the first write to a channel for which a host
/// announces packets without room for data. Each holds its session and a stack of which it has touched a few
/// pages, 50 KB in all, and a descriptor. One hostile host is an accident; after four, forwarding agents is
/// more than this process should do.
pub const PARKED_THREADS: usize = 4;

/// Time that such a write may take before its thread counts as one of these. It does not wait for anything: a
/// thread is started, and a packet is put into a buffer.
pub const FIRST_WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests sent to an ssh-agent before it has answered: enough to keep it busy. The others wait here, where those of
/// hosts that have given up are dropped.
pub const AGENT_WINDOW: usize = 16;

/// Bytes for a host behind a proxy that its tunnel takes from libssh before the host has taken them: two packets of the
/// usual size. More waits with libssh, which then leaves the channel's window shut.
pub const INBOX_TUNNEL: usize = 64 * 1024;

/// Bytes that libssh may keep back for one tunnel: its largest window (2 MiB). libssh 0.10 takes in what exceeds it.
pub const TUNNEL_HELD: usize = 2 * 1024 * 1024;

/// Bytes of all tunnels of a proxy that may wait for its socket; the rest stays with the hosts behind.
pub const TUNNEL_BACKLOG: usize = 256 * 1024;

/// Tunnels looked at, and begun, per visit to their proxy: 64 of up to 30 µs each; the rest waits its turn.
pub const TUNNELS_PER_VISIT: usize = 64;
