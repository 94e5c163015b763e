//! An SFTP server behind a scripted link. It keeps no contents, and has a file at every path.

use crate::sftp::{Attrs, Extensions, Reply, Request, StatusCode, peer};

#[derive(Debug)]
pub(super) struct Server {
    /// The size of the file.
    size: u64,
    /// What was received of the next request.
    input: Vec<u8>,
}

impl Server {
    pub(super) fn new(size: u64) -> Self {
        Self { size, input: Vec::new() }
    }

    /// Handles input, and returns what the server answers.
    pub(super) fn serve(&mut self, input: &[u8]) -> Vec<u8> {
        self.input.extend(input);
        let stream = std::mem::take(&mut self.input);
        let (mut rest, mut replies) = (&stream[..], Vec::new());
        while let Some(received) = peer::receive(rest).unwrap() {
            rest = received.rest;
            replies.extend(self.reply(received.id, &received.request));
        }
        self.input = rest.to_vec();
        replies
    }

    fn reply(&mut self, id: u32, request: &Request<'_>) -> Vec<u8> {
        let code = match *request {
            Request::Init => {
                let extensions = Extensions { posix_rename: true, ..Extensions::default() };
                return peer::encode(&Reply::Version { version: 3, extensions });
            }
            Request::Open { attrs, .. } => {
                // Files are created with a mode.
                self.size = if attrs.mode.is_some() { 0 } else { self.size };
                return peer::encode(&Reply::Handle { id, handle: b"file" });
            }
            Request::Stat { .. } | Request::Lstat { .. } | Request::Fstat { .. } => {
                let attrs = Attrs { size: Some(self.size), mode: Some(0o100_644), ..Attrs::default() };
                return peer::encode(&Reply::Attrs { id, attrs });
            }
            Request::Read { offset, len, .. } if offset < self.size => {
                let bytes = vec![b'x'; u64::from(len).min(self.size - offset) as usize];
                return peer::encode(&Reply::Data { id, bytes: &bytes });
            }
            Request::Read { .. } => StatusCode::Eof,
            Request::Write { offset, data_len, .. } => {
                self.size = self.size.max(offset + u64::from(data_len));
                StatusCode::Ok
            }
            _ => StatusCode::Ok,
        };
        peer::status(id, code, b"")
    }
}
