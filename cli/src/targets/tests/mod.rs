//! Unit tests, and the comparison with ClusterShell.

mod clustershell;
mod generator;
mod table;
