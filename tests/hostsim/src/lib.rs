//! A simulated fleet of thousands of SSH hosts in one process.
//!
//! Every address of 127.0.0.0/8 reaches this machine, so one listener on 0.0.0.0 serves as many
//! hosts as there are addresses: the local address of a socket tells which host a connection is
//! for. The SSH server is russh, an implementation that shares no code with sshoal or libssh.
//!
//! # Parts
//! A program becomes the fleet by calling [`serve_from_args`]; a test, bench or example starts that
//! program through [`Sim`], which knows addresses, keys and counters, and ends it when dropped. A
//! program may start itself:
//!
//! ```no_run
//! # use std::process::{Command, ExitCode};
//! fn main() -> ExitCode {
//!     if hostsim::asked_to_serve() {
//!         return hostsim::serve_from_args();
//!     }
//!     # let run = || -> Result<(), Box<dyn std::error::Error>> {
//!     let sim = hostsim::Sim::builder()
//!         .rule("i%100==7 stream@1000:rst")
//!         .spawn(Command::new(std::env::current_exe()?))?;
//!     println!("{} {}", sim.host(0), sim.port());
//!     println!("{}", sim.stats()?.execs);
//!     # Ok(()) };
//!     # run().unwrap();
//!     ExitCode::SUCCESS
//! }
//! ```
//!
//! The fleet ends with its standard input, so it cannot outlive its parent.
//!
//! # Commands
//! The commands of an exec request; several are joined with `;`. Wrappers like `$SHELL -c '...'`,
//! `bash -c '...'` and `sudo -S -u bob $SHELL -c '...'` are removed.
//!
//! | command | effect |
//! |---|---|
//! | `echo TEXT`, `stderr TEXT`, `both TEXT` | prints a line on stdout, stderr, or both |
//! | `hostname` | the host's own address and a line feed |
//! | `bytes N` | N bytes on stdout; byte number i is [`pattern_byte`]`(i)`: i modulo 251 |
//! | `lines N` | `line 0` to `line N-1` |
//! | `cat` | copies input to stdout, until EOF |
//! | `cat > FILE` | nothing; the input goes to the file, which SFTP shows too |
//! | `count` | the number of input bytes, after EOF |
//! | `yes` | endless `y` lines, as the window allows |
//! | `drip TEXT` | one byte per 100 ms |
//! | `sleep SECONDS` | waits; fractions are allowed |
//! | `true`, `false`, `exit K` | exit status 0, 1, K; `exit` ends the program |
//! | `signal NAME` | ends with exit-signal instead of a status |
//! | `noexit` | ends with EOF and CLOSE, without status |
//! | `hang` | is accepted, and never ends |
//!
//! Any other command prints a message and exits with status 127. A program's status is that of its
//! last command. A session holds at most a few pieces of 32 KiB of output: a client that does not
//! read slows the program down. Input that no command reads is dropped; `cat` holds up to 64 MiB
//! that it cannot send, then the host disconnects. Requests for a pty and for environment variables
//! succeed without effect; shells are refused, and subsystems other than `sftp`.
//!
//! # Files
//! The subsystem `sftp` serves version 3 with `posix-rename@openssh.com`, `fsync@openssh.com` and
//! `limits@openssh.com`. Each host has a disk in memory, which begins with an empty `/home`, where
//! relative paths begin, and with the files of the setting `sftp-files`, which have any size and
//! take no memory. Of a file above `sftp-keep` the host keeps only size and [`digest`], so 1,000
//! hosts can take 10 MB each. [`Sim::files_of`] says what a disk holds. Of permissions, the owner's
//! for reading and writing count. See [`SftpConfig`] for all settings.
//!
//! # Faults
//! A [`Rule`] gives some hosts ([`Subset`]) a [`Fault`] (an [`Action`] at a [`Stage`]) or another
//! [`Setting`], all in text forms that also serve as command line:
//!
//! | rule | meaning |
//! |---|---|
//! | `* accept:http` | every host responds with HTTP |
//! | `127.1.0.0/24 kex:silence` | no response to the client's KEXINIT |
//! | `i%10==3 stream@1000:disconnect=bye` | SSH_MSG_DISCONNECT after exactly 1000 bytes of output |
//! | `i:5..9 end:fin` | FIN right after the output, no status, no CLOSE |
//! | `127.1.0.7 wire@4096:flip=80` | flips a bit in byte 4096 of the encrypted stream |
//! | `127.1.0.8 set:other-host-key=true` | a changed host key |
//! | `i%10==4 set:ciphers=aes256-ctr` | one cipher only |
//! | `i%2==1 set:sftp=false` | no SFTP |
//! | `i:0..9 set:sftp-files=data/big=1000000000` | a file of 1 GB |
//!
//! An action at `auth` other than `refuse` happens once per connection; `disconnect` there follows
//! a USERAUTH_FAILURE, because russh responds before it looks at the action. Faults of `stream@N`
//! do not affect shorter output; the answers of the SFTP server are output too.

mod auth;
mod builder;
mod config;
mod exec;
mod faults;
mod fleet;
mod handler;
mod keys;
mod opens;
mod retire;
mod run;
mod serve;
mod setting;
mod sftp;
mod sim;
mod slots;
mod stats;
mod subset;
mod tracker;
mod tunnel;
mod wire;

pub use builder::SimBuilder;
pub use config::Config;
pub use exec::pattern_byte;
pub use faults::{AFTER_MAX, Action, Behaviour, Fault, Rule, Stage};
pub use keys::{Keys, hashed_name, known_hosts_name};
pub use serve::{asked_to_serve, serve_from_args};
pub use setting::{AuthPolicy, HostConfig, HostKeyKind, Setting};
pub use sftp::{FileKind, RemoteFile, SftpConfig, SftpExtension, SftpLimits, digest};
pub use sim::{Sim, SimError};
pub use stats::Stats;
pub use subset::{HOSTS_MAX, Subset, host_address, host_index};
