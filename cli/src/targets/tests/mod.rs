//! Unit tests, and the comparison with ClusterShell.

mod clustershell;
mod folding;
mod generator;
mod groups;
mod language;
mod table;
