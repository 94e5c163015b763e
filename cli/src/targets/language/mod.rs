//! ClusterShell's language for sets of hosts, and what sshoal adds to it.

mod eval;
mod parser;
mod range;
mod set;
mod template;

pub use eval::{Evaluator, Lookup, matches};
pub use parser::{Operator, Parsed, Style, parse};
pub use range::positions;
pub use set::HostSet;
