//! The last actions of a connection: what happens to a TCP stream that was taken from the SSH
//! server.

use std::io;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::faults::Action;
use crate::wire::Connection;

/// How often a stalled connection checks whether its peer has gone.
const LOOK: Duration = Duration::from_millis(100);

const HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nnot SSH\n";

/// Performs `action` and holds the connection until its peer has gone; it counts as open until
/// then.
pub(crate) async fn retire(connection: Connection, action: Action) {
    let Connection { mut tcp, open } = connection;
    // The peer may be gone already; then an error does not matter.
    let _ = last_words(&mut tcp, action).await;
    drop(tcp);
    drop(open);
}

async fn last_words(tcp: &mut TcpStream, action: Action) -> io::Result<()> {
    match action {
        Action::Rst => return tcp.set_zero_linger(),
        Action::Stall => return stall(tcp).await,
        Action::Lines => return lines(tcp).await,
        Action::Fin => tcp.shutdown().await?,
        Action::Garbage => tcp.write_all(&garbage()).await?,
        Action::Raw(bytes) => tcp.write_all(&bytes).await?,
        Action::LongLine => tcp.write_all(&vec![b'x'; 1 << 20]).await?,
        Action::Http => {
            tcp.write_all(HTTP).await?;
            tcp.shutdown().await?;
        }
        Action::Disconnect(text) => {
            tcp.write_all(&clear_disconnect(&text)).await?;
            tcp.shutdown().await?;
        }
        // Silence. The other actions never get here, because they leave the connection to the
        // session.
        _ => (),
    }
    drain(tcp).await
}

/// Reads and discards, so that the peer's writes succeed and are not answered by a reset.
async fn drain(tcp: &mut TcpStream) -> io::Result<()> {
    let mut sink = [0; 4096];
    while tcp.read(&mut sink).await? > 0 {}
    Ok(())
}

/// Waits for the peer to close, without reading: poll(2) reports its FIN or RST even behind unread
/// data.
async fn stall(tcp: &TcpStream) -> io::Result<()> {
    loop {
        let mut fds = [PollFd::new(tcp, PollFlags::RDHUP)];
        if poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0 {
            return Ok(());
        }
        sleep(LOOK).await;
    }
}

/// Sends lines that RFC 4253 section 4.2 allows before the identification string, until the peer
/// closes.
async fn lines(tcp: &mut TcpStream) -> io::Result<()> {
    let block = b"this host will let you in soon\r\n".repeat(32);
    loop {
        tcp.write_all(&block).await?;
    }
}

/// Always the same 4 KiB, so that failures are reproducible.
fn garbage() -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    StdRng::seed_from_u64(0).fill_bytes(&mut bytes);
    bytes
}

/// SSH_MSG_DISCONNECT (RFC 4253 section 11.1) as a packet without encryption.
fn clear_disconnect(text: &str) -> Vec<u8> {
    const SSH_MSG_DISCONNECT: u8 = 1;
    const BY_APPLICATION: u32 = 11;
    let mut payload = vec![SSH_MSG_DISCONNECT];
    payload.extend(BY_APPLICATION.to_be_bytes());
    for field in [text, ""] {
        payload.extend(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        payload.extend(field.as_bytes());
    }
    // At least 4 bytes of padding, and a multiple of 8 in all.
    let padding = 4 + (8 - (payload.len() + 5 + 4) % 8) % 8;
    let length = payload.len() + 1 + padding;
    let mut packet = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    packet.push(u8::try_from(padding).unwrap_or(u8::MAX));
    packet.extend(payload);
    packet.resize(4 + length, 0);
    packet
}

#[cfg(test)]
mod tests {
    use super::clear_disconnect;

    #[test]
    fn clear_packets_are_padded_as_rfc_4253_section_6_demands() {
        for length in 0..20 {
            let packet = clear_disconnect(&"x".repeat(length));
            let said = u32::from_be_bytes(packet[..4].try_into().unwrap()) as usize;
            assert_eq!(said + 4, packet.len());
            assert_eq!(packet.len() % 8, 0, "length {length}");
            assert!(packet[4] >= 4 && packet.len() >= 16);
        }
    }
}
