//! `sshoal`: runs commands on thousands of hosts over SSH.
//!
//! | module | what it holds |
//! |---|---|
//! | `args` | the flags, and what they mean together |
//! | `targets` | host sets: the language, where groups are from, folding names back into sets |
//! | `run` | a run: the loop over the fleet, batches, signals, exit codes |
//! | `output` | what a person or another program reads: lines, folded output, JSON, progress, summary |
//! | `end` | how a command on one host ended; what `run` reports and `output` shows |

mod end;
mod output;
mod run;
mod targets;

fn main() {}
