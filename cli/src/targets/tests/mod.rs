//! Unit tests, and the comparison with ClusterShell.

mod clustershell;
mod folding;
mod generator;
mod groups;
mod guide;
mod inventory;
mod language;
mod table;
