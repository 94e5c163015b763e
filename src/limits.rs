//! All fixed limits of the library, each with the reason for its value. A turn is one round of the
//! event loop. A visit is one step of one host's session within a turn.

mod channels;
mod file_requests;
mod rekeys;
mod transfers;

use std::time::Duration;

pub use channels::*;
pub use file_requests::*;
pub use rekeys::*;
pub use transfers::*;

/// Default number of hosts that may be connecting or starting a command at the same time
/// (parallel-ssh: `pool_size=100`).
pub const POOL_SIZE: usize = 100;

/// Largest number of fleets that one call may build. Each fleet runs on one thread, and no machine
/// has this many cores.
pub const FLEETS_MAX: usize = 4096;

/// Connection attempts per host (parallel-ssh: `num_retries=3`, which counts attempts).
pub const ATTEMPTS: u32 = 3;

/// Pause between two attempts (parallel-ssh: `retry_delay=5`).
pub const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Time limit of all attempts, from the first dial until a command is accepted. A person who waits
/// for a host gives up after about that time.
pub const ATTEMPTS_TIME: Duration = Duration::from_secs(30);

/// Under a rate limit, a connection may start this long before it is due, so that late turns and
/// coarse ticks do not lower the rate. The value is ten ticks of the timer wheel.
pub const CONNECT_BURST: Duration = Duration::from_millis(10);

/// Time limit of name resolution plus TCP connect if no `timeout` is set. Without it, a silent peer
/// would hold its place in the pool forever. In that time, a SYN is sent four times, and two silent
/// attempts and the pause between them fit into [`ATTEMPTS_TIME`].
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit of the SSH handshake if no `timeout` is set. Two silent attempts fit into
/// [`ATTEMPTS_TIME`].
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit of authentication if no `timeout` is set. Directories and name servers that time out
/// delay a login by some seconds each.
pub const AUTH_TIMEOUT: Duration = Duration::from_secs(20);

/// Time limit for the start of a command if no `timeout` is set.
pub const EXEC_TIMEOUT: Duration = Duration::from_secs(30);

/// How many hosts may refuse a password that no host has accepted. `pam_faillock` locks an account
/// after three refusals by default, and the next one is left to the user who corrects the password.
pub const REFUSALS: usize = 2;

/// How long a host may try a password that no host has accepted before another host begins as well.
/// PAM delays a refusal by about two seconds.
pub const TRIAL_TIME: Duration = Duration::from_secs(5);

/// Rounds of prompts in one keyboard-interactive authentication. Real servers need up to four, for
/// the password, a code, and PAM's messages in between.
pub const INTERACTIVE_ROUNDS: u32 = 16;

/// Time that a server has by default to confirm a channel close before the channel is given up.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Shortest time that each address gets if several addresses share the connect time.
pub const ADDRESS_SLICE_MIN: Duration = Duration::from_secs(1);

/// Shortest attempt delay that can be set (RFC 8305 section 5).
pub const ATTEMPT_DELAY_MIN: Duration = Duration::from_millis(10);

/// Addresses that are tried per name. Further addresses are ignored, so that one host cannot make
/// this process try thousands.
pub const ADDRESSES: usize = 32;

/// Socket reads per host and visit. libssh reads at most 4 KiB at a time, so the limit amounts to
/// 64 KiB. Decrypting that takes 0.2 ms, which is how long a streaming host delays all others. Data
/// beyond the limit waits for the next visit.
pub const PUMPS_PER_VISIT: usize = 16;

/// Largest number of bytes that libssh takes from the socket in one read.
pub const SOCKET_READ: usize = 4 * 1024;

/// Largest output that one visit adds to a stream: what it reads, and the largest packet of which a
/// part came with earlier reads. A compressed connection may exceed this.
pub const OUTPUT_PER_VISIT: usize = PUMPS_PER_VISIT * SOCKET_READ + 32 * 1024;

/// Assumed output of a socket read on a compressed connection. Text shrinks to a quarter or less.
pub const INFLATED_READ: usize = 32 * 1024;

/// SSH packets read and answered per host and visit, not counting those of the last socket read.
/// Each costs up to 15 µs, so a flood of tiny packets must be limited by count as well as by bytes.
pub const PACKETS_PER_VISIT: u64 = 64;

/// [`PACKETS_PER_VISIT`] for a compressed connection, whose packets may inflate to 256 KiB each.
pub const COMPRESSED_PACKETS_PER_VISIT: u64 = 16;

/// How many known_hosts lines that cannot be indexed are compared with a host's name per visit. A
/// hashed line takes up to half a microsecond, so the limit amounts to a quarter of a millisecond.
/// With 100,000 hashed lines, the verdict on an unknown key takes 200 visits, and twice as many on
/// a port other than 22.
pub const HOST_KEY_LINES: usize = 500;

/// Threads that record new host keys. Writes to one file are sequential anyway.
pub const DISK_THREADS: usize = 1;

/// How long to wait for another process that holds the lock of the file in which new host keys are
/// recorded. A well-behaved process holds the lock for one write, which takes a few milliseconds. A
/// process that is stopped during the write holds it forever.
pub const RECORD_LOCK_WAIT: Duration = Duration::from_secs(10);

/// Bytes of replies that libssh may buffer for a host that sends requests without reading the
/// replies. The replies to a burst of 10,000 requests take 0.4 to 0.8 MiB.
pub const ANSWERS_UNREAD: u64 = 1024 * 1024;

/// Longest packet on the wire during a key exchange and after the login. Implementations must
/// accept 35,000 bytes (RFC 4253 section 6.1). libssh accepts 256 KiB, and a packet of that size
/// with a list of 119,000 algorithms took 6 ms of CPU to search.
pub const PACKET_BYTES: u64 = 64 * 1024;

/// Limit on one connection's command channels that this side has closed and the host has not. Each
/// takes 0.7 KiB. By the time the limit is reached, the host has had 10 s to close most of them.
pub const CHANNELS_UNCLOSED: usize = 1024;

/// [`CHANNELS_UNCLOSED`] for the tunnels of a proxy, many of which may end together.
pub const TUNNELS_UNCLOSED: usize = 16 * 1024;

/// Length limit of the name and of the text of a signal that ended a command, in bytes.
pub const EXIT_SIGNAL_TEXT: usize = 4 * 1024;

/// Unanswered keepalives after which a peer counts as dead (OpenSSH: `ServerAliveCountMax`).
pub const KEEPALIVE_MISSED: u32 = 3;

/// How many rounds of [`PUMPS_PER_VISIT`] socket reads a host gets when it is removed: 4 MiB in
/// all, twice an SSH window. Data that has arrived by then is kept; later data is not.
pub const LAST_PUMPS: usize = 64;

/// Time that one turn may spend on hosts before it returns to the poll. A turn may exceed this by
/// one libssh step, which mostly takes less than 2 ms and always less than 5 ms.
pub const TURN_BUDGET: Duration = Duration::from_millis(1);

/// How many commands of runs may be started or removed in one turn. That many take less than 1 ms.
pub const RUN_TASKS_PER_TURN: usize = 1024;

/// Events that may be queued before a turn ends.
pub const TURN_EVENTS: usize = 1024;

/// Default limit of a fleet's unread output.
pub const OUTPUT_BUDGET: usize = 256 * 1024 * 1024;

/// Default limit of one stream's unread output.
pub const STREAM_UNREAD: usize = 256 * 1024;

/// Unread output that every stream may hold even if the fleet's limit has been reached. The value
/// is the size of one socket read.
pub const SHARE_MIN: usize = 4 * 1024;

/// Memory that libssh's buffers take for each connection whose output waits to be read. It counts
/// towards the output budget.
pub const WAITING_COST: usize = 160 * 1024;

/// Readiness events taken from the kernel at once.
pub const EVENTS_PER_POLL: usize = 1024;

/// Bytes of standard input that are queued per command before `write` waits for the peer.
pub const STDIN_QUEUE: usize = 1024 * 1024;

/// Capacity that the inbox of a tunnel or of an agent keeps between visits.
pub const INBOX_RETAINED: usize = 16 * 1024;

/// Longest text from a peer (disconnect message, signal text, libssh's report of either) that an
/// error shows, in bytes.
pub const PEER_TEXT: usize = 512;

/// Length limit, in bytes, of what a server says to the user before the login ends. Legal notices
/// have one or two kilobytes.
pub const BANNER: usize = 4 * 1024;

/// Largest amount of output that a server may send before it accepts the command: one SSH window.
pub const EARLY_OUTPUT: usize = 2 * 1024 * 1024;

/// Output that is kept beyond its stream's limit if it arrives after the command's end. The value
/// is one SSH window.
pub const LAST_OUTPUT: usize = 2 * 1024 * 1024;

/// Bytes of input that are passed to libssh per host and visit. Input beyond the limit waits for
/// the next visit. Each write counts as at least a [`WRITE_CHUNK`], because even a tiny packet
/// takes time.
pub const INPUT_PER_VISIT: usize = 8 * WRITE_CHUNK;

/// Name servers used (glibc: `MAXNS`).
pub const DNS_SERVERS: usize = 3;

/// Longest pause before a query is repeated (`resolv.conf(5)`: `timeout`).
pub const DNS_TIMEOUT: Duration = Duration::from_secs(5);

/// A lookup takes at most this many times [`DNS_TIMEOUT`] (`resolv.conf(5)`: `attempts`).
pub const DNS_ATTEMPTS: u32 = 2;

/// Pause before a query is sent for the second time: longer than the response time of any nearby
/// server.
pub const DNS_FIRST_PAUSE: Duration = Duration::from_millis(400);

/// How long a lookup that has the addresses of one family waits for those of the other (RFC 8305
/// section 3).
pub const DNS_GRACE: Duration = Duration::from_millis(50);

/// Largest number of concurrent lookups. The responses to that many fit in the receive buffers.
/// With 10,000 lookups at once, hundreds of responses are dropped.
pub const DNS_IN_FLIGHT: usize = 256;

/// How many responses may be read in one turn. The same limit applies to the timers that are
/// handled and to the lookups that are started. All of these together take less than 1 ms.
pub const DNS_PER_TURN: usize = 16;

/// UDP sockets per server. With one TCP connection each, three servers take 15 descriptors.
pub const DNS_PORTS: usize = 4;

/// Queries after which an idle UDP socket is replaced, so that the source port changes.
pub const DNS_PORT_QUERIES: u32 = 4096;

/// Size of the receive buffer that is requested from the system, to hold a burst of responses.
pub const DNS_RECEIVE_BUFFER: usize = 1024 * 1024;

/// Longest response accepted over UDP, which passes without fragmentation (DNS flag day 2020).
pub const DNS_PAYLOAD: u16 = 1232;

/// After this many consecutive queries without a response, a name server is tried last for
/// [`DNS_DEAD_PAUSE`].
pub const DNS_UNANSWERED: u32 = 4;

/// See [`DNS_UNANSWERED`].
pub const DNS_DEAD_PAUSE: Duration = Duration::from_secs(10);

/// For how long a name server is tried last after it was found unreachable.
pub const DNS_REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// Aliases followed from one name.
pub const DNS_ALIASES: usize = 8;

/// Longest time that a response is cached.
pub const DNS_TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest time that the absence of a name is cached (RFC 2308 section 5: one to three hours).
pub const DNS_NEGATIVE_TTL_MAX: Duration = Duration::from_secs(60 * 60);

/// Default size of the cache: two responses for each of ten thousand hosts, and aliases.
pub const DNS_CACHE_ENTRIES: usize = 32 * 1024;

/// Size of the cache for a client that begins with few hosts and may get more later.
pub const DNS_CACHE_ENTRIES_MIN: usize = 1024;

/// Longest server or user name for GSSAPI, in bytes. libssh writes the name after `host@` into a
/// buffer of 256 bytes and truncates it.
pub const GSSAPI_NAME: usize = 250;

/// Threads that wait for a KDC. A live KDC answers in milliseconds. A silent KDC blocks each thread
/// for half a minute, and the hosts that are queued for a blocked thread may wait until their own
/// time limits.
pub const GSSAPI_THREADS: usize = 4;

/// Descriptors that are left to the embedding program if the size of the pool is derived from the
/// process's descriptor limit.
pub const DESCRIPTORS_SPARED: usize = 16;

/// Largest usable descriptor. libssh stores a caller's descriptor in 16 bits (`SSH_OPTIONS_FD`), so
/// higher descriptors are rejected before they are passed to libssh.
pub const DESCRIPTOR_MAX: i32 = 0xffff;

/// Longest password for `sudo`. Old versions of `sudo` read 255 bytes including the line end, and
/// leave the rest to the command as input.
pub const SUDO_PASSWORD_BYTES: usize = 254;

/// Longest command, in bytes. The value is above any shell's own limit (Linux: 128 KiB per
/// argument) and below SSH's packet limit.
pub const COMMAND_BYTES: usize = 192 * 1024;

/// Longest name of a terminal or subsystem: many times the length of any in use.
pub const NAME_BYTES: usize = 256;

/// Time that a cancelled command has by default to exit after SIGTERM and EOF are sent. Then its
/// channel is closed.
pub const STOP_GRACE: Duration = Duration::from_secs(1);

/// Largest private key or certificate file, in bytes. An RSA key of 16,384 bits, the longest that
/// OpenSSH accepts, takes 13 KiB in any format. A certificate with two hundred principals takes
/// less. The remaining space is for comments and other lines.
pub const KEY_FILE: usize = 64 * 1024;

/// Default limit of the bcrypt rounds for decrypting a private key. It is 64 times the number that
/// `ssh-keygen` uses by default, and takes about 10 s.
pub const KDF_ROUNDS: u32 = 1024;

/// How many PBKDF2 iterations (PKCS#8) count as one bcrypt round, because they take about as long.
/// The resulting default limit is 10 million iterations. `openssl` uses 2,048, and password
/// managers up to 1 million.
pub const PBKDF2_PER_ROUND: u32 = 10_000;

/// Memory that scrypt (PKCS#8) may use, in bytes. It limits the time as well. It is four times the
/// amount that `openssl` uses.
pub const SCRYPT_BYTES: u128 = 64 * 1024 * 1024;

/// Sizes of RSA keys that are accepted, in bits. Keys below 1,024 bits are still read, so that the
/// login can fail with a clear error. The maximum is OpenSSH's. One signature with a key of that
/// size blocks the thread for 0.2 s.
pub const RSA_BITS: std::ops::RangeInclusive<usize> = 512..=16_384;

/// The sizes in bits that can be required of RSA keys. OpenSSH requires no fewer, and uses no more.
pub const REQUIRED_RSA_SIZE: std::ops::RangeInclusive<u16> = 1024..=16_384;

/// Longest public exponent of an RSA key, in bits (FIPS 186-5 section 5.1). Nearly all have 17.
pub const RSA_EXPONENT_BITS: usize = 256;

/// Longest message of an ssh-agent (OpenSSH: `MAX_AGENT_REPLY_LEN`).
pub const AGENT_MESSAGE: usize = 256 * 1024;

/// Keys that an ssh-agent may list (OpenSSH: `MAX_AGENT_IDENTITIES`).
pub const AGENT_KEYS: usize = 2048;

/// Length limit, in bytes, of the public key or certificate and of the comment of a key in an
/// ssh-agent. A key that exceeds the limit in either is not used. The value is ten times the size
/// of a certificate with dozens of principals. libssh receives both through one socket buffer.
pub const AGENT_KEY: usize = 16 * 1024;

/// Longest signature of an ssh-agent, in bytes. A signature by an RSA key of 16,384 bits, the
/// longest that OpenSSH accepts, has 2 KiB.
pub const AGENT_SIGNATURE: usize = 4 * 1024;

/// Channels to a forwarded ssh-agent that a server may have open at a time. Each needs a
/// descriptor. A command that uses the agent needs one channel, and OpenSSH's agent serves its
/// connections one request at a time anyway.
pub const AGENT_CHANNELS: usize = 16;

/// [`AGENT_CHANNELS`] for all hosts of a fleet together. The value is the number of connections
/// that an ssh-agent can have, since the agent's own limit is 1,024 descriptors on most systems.
/// The limit is lower if this process may open few descriptors: at most one in [`AGENT_SHARE`] of
/// them is used for such channels, so that the others remain for connections to hosts. Channels
/// above the limit are refused.
pub const AGENT_CONNECTIONS: usize = 1024;

/// See [`AGENT_CONNECTIONS`].
pub const AGENT_SHARE: usize = 4;

/// Bytes of queued requests to a forwarded ssh-agent, over all channels of a host. The value is
/// four of the longest messages. An agent's client sends one request and waits for its reply, so
/// there is rarely more than one request of a few hundred bytes in the queue.
pub const AGENT_WAITING: usize = 4 * AGENT_MESSAGE;

/// How often one visit to a host relays all of its channels to a forwarded agent. The limit amounts
/// to 64 relays of up to 30 µs each, as for tunnels.
pub const AGENT_ROUNDS_PER_VISIT: usize = 4;

/// How many threads of this process may be blocked in libssh forever before agent forwarding is
/// refused. A thread blocks in the first write to a channel if the host has announced a maximum
/// packet size that leaves no room for data. Each blocked thread keeps its session, a stack with a
/// few touched pages (50 KB in all), and a descriptor. One such host may be an accident, but not
/// four.
pub const PARKED_THREADS: usize = 4;

/// Time that the first write to an agent's channel may take before its thread counts as blocked.
/// Normally the write takes little longer than starting a thread, because it only puts a packet
/// into a buffer.
pub const FIRST_WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many unanswered requests an ssh-agent may have at a time: enough to keep it busy. Further
/// requests wait in this process, where they can be dropped if their hosts give up.
pub const AGENT_WINDOW: usize = 16;

/// Bytes that a tunnel takes from libssh before the host behind the proxy reads them. The value is
/// two packets of the usual size. Bytes beyond it stay in libssh, which then keeps the channel's
/// window closed.
pub const INBOX_TUNNEL: usize = 64 * 1024;

/// Bytes that libssh may buffer for one tunnel. The value is the tunnel's largest window (2 MiB).
/// The limit is necessary because libssh 0.10 accepts data beyond the window.
pub const TUNNEL_HELD: usize = 2 * 1024 * 1024;

/// Bytes of all tunnels of a proxy that may wait for its socket. Further bytes stay with the hosts
/// behind the proxy.
pub const TUNNEL_BACKLOG: usize = 256 * 1024;

/// How many tunnels are relayed, and how many are opened, in one visit to their proxy. Relaying
/// takes up to 30 µs per tunnel. Further tunnels wait for the next visit.
pub const TUNNELS_PER_VISIT: usize = 64;
