mod decoder;
mod openssh;
mod replies;
mod requests;

use super::fields::put_string;

/// A packet with its length.
fn framed(packet: &[u8]) -> Vec<u8> {
    let mut framed = Vec::new();
    put_string(&mut framed, packet);
    framed
}
