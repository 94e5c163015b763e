//! The process: listens, passes connections to russh, answers its parent's commands, and ends with
//! the parent.

use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use russh::server::run_stream;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::sleep;

use crate::config::{Config, USAGE};
use crate::faults::{Action, Stage};
use crate::fleet::Fleet;
use crate::handler::HostHandler;
use crate::sftp::to_line;
use crate::stats::count;
use crate::wire::{Wire, WireStream};

/// Contains the arguments from [`crate::Sim`], one per line, so that any program can serve,
/// whatever its own arguments are.
pub(crate) const ENVIRONMENT: &str = "HOSTSIM_ARGS";

/// Connections queued for accept; the kernel limits it to net.core.somaxconn.
const BACKLOG: u32 = 8192;

/// Below the ports that the kernel uses for outgoing connections, which could take ours.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Whether [`crate::Sim`] started this process as a fleet: then its `main` should return what
/// [`serve_from_args`] returns.
#[must_use]
pub fn asked_to_serve() -> bool {
    std::env::var_os(ENVIRONMENT).is_some()
}

/// Serves a fleet, as described by [`crate::Sim`] or by the command line, until standard input
/// ends.
///
/// Prints `listening PORT` when ready, or `error REASON`, on standard output.
#[must_use]
pub fn serve_from_args() -> ExitCode {
    let args: Vec<String> = match std::env::var(ENVIRONMENT) {
        Ok(lines) => lines.lines().map(str::to_owned).collect(),
        Err(_) => std::env::args().skip(1).collect(),
    };
    if args.iter().any(|arg| arg == "--help") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match Config::from_args(args).and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // Not `println!`, which test harnesses capture.
            let _ = writeln!(io::stdout(), "error {reason}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config) -> Result<(), String> {
    raise_descriptor_limit();
    let (port, ipv6) = (config.port, config.ipv6);
    let fleet = Arc::new(Fleet::new(config)?);
    let counted = fleet.clone();
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        counted.count_panic();
        report(info);
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async move {
        let (listener, port) = match port {
            Some(port) => {
                (listen((Ipv4Addr::UNSPECIFIED, port).into()).map_err(|error| error.to_string())?, port)
            }
            None => listen_anywhere(ipv6)?,
        };
        if ipv6 {
            let listener = listen((Ipv6Addr::LOCALHOST, port).into()).map_err(|error| error.to_string())?;
            tokio::spawn(accept(listener, fleet.clone()));
        }
        let mut stdout = io::stdout();
        let said = writeln!(stdout, "listening {port}").and_then(|()| stdout.flush());
        said.map_err(|error| error.to_string())?;
        let commands = fleet.clone();
        // A separate thread, so that even a busy fleet ends at once with its parent.
        std::thread::spawn(move || answer_parent(&commands));
        accept(listener, fleet).await;
        Ok(())
    })
}

/// Each connection takes a descriptor; distributions allow 1024 per process.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Small fleets work with the limit as it is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn listen_anywhere(ipv6: bool) -> Result<(TcpListener, u16), String> {
    let mut random = [0; 2];
    for _ in 0..1000 {
        let filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        filled.map_err(|error| error.to_string())?;
        let port = PORTS.start + u16::from_ne_bytes(random) % (PORTS.end - PORTS.start);
        // A port that is free for only one family would fail later.
        let free6 = !ipv6 || listen((Ipv6Addr::LOCALHOST, port).into()).is_ok();
        match listen((Ipv4Addr::UNSPECIFIED, port).into()) {
            Ok(listener) if free6 => return Ok((listener, port)),
            _ => (),
        }
    }
    Err(format!("no free port in {PORTS:?}"))
}

async fn accept(listener: TcpListener, fleet: Arc<Fleet>) {
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                tokio::spawn(connection(tcp, fleet.clone()));
            }
            // No descriptors left, or the client has gone already: other clients can still be
            // served.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(tcp: TcpStream, fleet: Arc<Fleet>) {
    let Ok(local) = tcp.local_addr() else { return };
    let host = match fleet.host(local.ip()) {
        Ok(host) => host,
        Err(reason) => return eprintln!("hostsim: {local}: {reason}"),
    };
    count(&host.counters.connections);
    // The client may have gone already; then reading reports it.
    let _ = tcp.set_nodelay(true);
    let wire = Arc::new(Wire::new(tcp, &host));
    match host.profile.plan.action(Stage::Accept) {
        None | Some(Action::Drip) => (),
        Some(Action::Delay(time)) => sleep(*time).await,
        Some(action) => return wire.retire(action),
    }
    let config = host.profile.server.clone();
    let handler = HostHandler::new(host, wire.clone());
    let handle = handler.handle.clone();
    // The session runs in a separate task; an error here is a client that left before it identified
    // itself.
    if let Ok(session) = run_stream(config, WireStream(wire), handler).await {
        let _ = handle.set(session.handle());
    }
}

/// Answers the parent's commands; ends the process when the parent closes the pipe or dies.
fn answer_parent(fleet: &Fleet) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let answer =
            match line.split_once(' ').map_or((line.as_str(), None), |(word, rest)| (word, Some(rest))) {
                ("stats", None) => fleet.stats(None).to_json(),
                ("stats", Some(address)) => match address.parse() {
                    Ok(address) => fleet.stats(Some(address)).to_json(),
                    Err(_) => format!("error not an address: {address:?}"),
                },
                ("files", Some(address)) => match address.parse() {
                    Ok(address) => match fleet.files(address) {
                        Ok(files) => to_line(&files),
                        Err(reason) => format!("error {reason}"),
                    },
                    Err(_) => format!("error not an address: {address:?}"),
                },
                _ => format!("error not a command: {line:?}"),
            };
        let mut stdout = io::stdout();
        if writeln!(stdout, "{answer}").and_then(|()| stdout.flush()).is_err() {
            break;
        }
    }
    std::process::exit(0);
}
