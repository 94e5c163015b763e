use super::server::Server;
use crate::sftp::{Attrs, Extensions, Reply, Request, StatusCode};

/// Asks a server, and expects replies of one kind.
pub(super) struct Talk<'a> {
    server: &'a mut dyn Server,
    /// The number of the last request.
    id: u32,
}

impl<'a> Talk<'a> {
    pub(super) fn new(server: &'a mut dyn Server) -> Self {
        Self { server, id: 0 }
    }

    /// The packet of the reply, which has the number of the request.
    pub(super) fn ask(&mut self, request: Request<'_>, data: &[u8]) -> Vec<u8> {
        self.id += 1;
        let mut bytes = Vec::new();
        request.encode(self.id, &mut bytes);
        bytes.extend_from_slice(data);
        let packet = self.server.ask(&format!("{request:?}"), &bytes);
        let expected = (request != Request::Init).then_some(self.id);
        assert_eq!(Reply::parse(&packet).unwrap().id(), expected, "{request:?}");
        packet
    }

    pub(super) fn greet(&mut self) {
        self.greet_with(Extensions { posix_rename: true, fsync: true, limits: true });
    }

    #[track_caller]
    pub(super) fn greet_with(&mut self, extensions: Extensions) {
        let packet = self.ask(Request::Init, b"");
        assert_eq!(Reply::parse(&packet), Ok(Reply::Version { version: 3, extensions }));
    }

    #[track_caller]
    pub(super) fn ok(&mut self, request: Request<'_>) {
        assert_eq!(self.status(request), StatusCode::Ok, "{request:?}");
    }

    #[track_caller]
    pub(super) fn status(&mut self, request: Request<'_>) -> StatusCode {
        self.status_of(request, b"")
    }

    /// The status of a request with data.
    #[track_caller]
    pub(super) fn status_of(&mut self, request: Request<'_>, data: &[u8]) -> StatusCode {
        let packet = self.ask(request, data);
        let reply = Reply::parse(&packet).unwrap();
        let Reply::Status { code, text, .. } = reply else { panic!("{request:?}: {reply:?}") };
        assert!(!text.is_empty() && text.is_ascii(), "{reply:?}");
        code
    }

    #[track_caller]
    pub(super) fn handle(&mut self, request: Request<'_>) -> Vec<u8> {
        let packet = self.ask(request, b"");
        let reply = Reply::parse(&packet).unwrap();
        let Reply::Handle { handle, .. } = reply else { panic!("{request:?}: {reply:?}") };
        handle.to_vec()
    }

    #[track_caller]
    pub(super) fn data(&mut self, request: Request<'_>) -> Vec<u8> {
        let packet = self.ask(request, b"");
        let reply = Reply::parse(&packet).unwrap();
        let Reply::Data { bytes, .. } = reply else { panic!("{request:?}: {reply:?}") };
        bytes.to_vec()
    }

    #[track_caller]
    pub(super) fn attrs(&mut self, request: Request<'_>) -> Attrs {
        let packet = self.ask(request, b"");
        let reply = Reply::parse(&packet).unwrap();
        let Reply::Attrs { attrs, .. } = reply else { panic!("{request:?}: {reply:?}") };
        attrs
    }

    #[track_caller]
    pub(super) fn extended(&mut self, request: Request<'_>) -> Vec<u8> {
        let packet = self.ask(request, b"");
        let reply = Reply::parse(&packet).unwrap();
        let Reply::Extended { bytes, .. } = reply else { panic!("{request:?}: {reply:?}") };
        bytes.to_vec()
    }

    /// The only name of a reply.
    #[track_caller]
    pub(super) fn name(&mut self, request: Request<'_>) -> Vec<u8> {
        let packet = self.ask(request, b"");
        let names = names(&packet).unwrap_or_else(|| panic!("{request:?}: no names"));
        let [(name, _)] = &names[..] else { panic!("{request:?}: {names:?}") };
        name.clone()
    }

    /// The next entries of a directory, or `None` at its end.
    #[track_caller]
    pub(super) fn listing(&mut self, handle: &[u8]) -> Option<Vec<(Vec<u8>, Attrs)>> {
        let packet = self.ask(Request::Readdir { handle }, b"");
        names(&packet)
    }
}

/// The names of a reply, or `None` if it is the end of them.
#[track_caller]
fn names(packet: &[u8]) -> Option<Vec<(Vec<u8>, Attrs)>> {
    match Reply::parse(packet).unwrap() {
        Reply::Status { code: StatusCode::Eof, .. } => None,
        Reply::Names { names, .. } => {
            let (count, names) = (names.left() as usize, names.map(Result::unwrap));
            let names: Vec<_> = names.map(|name| (name.name.to_vec(), name.attrs)).collect();
            assert_eq!(names.len(), count);
            Some(names)
        }
        other => panic!("{other:?}"),
    }
}
