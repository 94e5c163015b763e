//! A command's output and input, and how it ended.

mod encoding;
pub(crate) mod file_result;
mod keep;
mod lines;
pub(crate) mod outcome;
mod sink;
pub(crate) mod stdin;
mod stream;
pub(crate) mod transferred;

pub(crate) use encoding::{Decoding, Encoding, Malformed};
pub(crate) use file_result::{DirectoryEntry, FileKind, FileMetadata, FileResult};
pub use keep::{Deliver, Keep};
pub use lines::LineEnds;
pub(crate) use lines::{LineBuffer, SpareBuffers};
pub use outcome::ExitSignal;
pub(crate) use outcome::Outcome;
pub use sink::{Piece, Sink};
pub(crate) use stdin::StdinQueue;
pub(crate) use stream::{Bound, Excess, Origin, Room, Stream};
pub use stream::{LentLine, Line};
pub(crate) use transferred::Transferred;

pub use crate::text::sanitise;
