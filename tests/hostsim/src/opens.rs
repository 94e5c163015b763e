//! A server that opens channels to its client. A client that requested no forwarding must refuse
//! them.

use std::sync::Arc;

use russh::server::Handle;

use crate::fleet::Host;
use crate::stats::count;

/// Opens one channel of each kind that a server may open, in turn, and counts the refusals.
pub(crate) async fn open_to_client(handle: Handle, host: Arc<Host>) {
    let counters = &host.counters;
    let note = |refused: bool| {
        count(&counters.server_opens);
        if refused {
            count(&counters.server_opens_refused);
        }
    };
    note(handle.channel_open_session().await.is_err());
    note(handle.channel_open_x11("127.0.0.1", 6000).await.is_err());
    note(handle.channel_open_agent().await.is_err());
    note(handle.channel_open_forwarded_tcpip("127.0.0.1", 80, "127.0.0.1", 40_000).await.is_err());
}
