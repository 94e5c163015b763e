//! Which hosts are meant, and how names are written as sets.
//!
//! | module | what it holds |
//! |---|---|
//! | `args` | the flags that name hosts |
//! | `language` | the language of sets: from a text to names |
//! | `groups` | sources of groups: ClusterShell's, pdsh's, an Ansible inventory |
//! | `places` | where files of the system and the user are |
//! | `select` | from flags to targets |
//! | `fold` | from names to the text of a set |
//! | `regroup` | from names to groups |
//! | `error` | what is wrong with a set |

mod args;
mod error;
mod fold;
mod groups;
mod language;
mod places;
mod regroup;
mod select;

pub use args::TargetArgs;
pub use fold::{Folded, fold, fold_labels};
pub use language::positions;
pub use places::Places;
pub use regroup::regroup;
pub use select::{NO_HOSTS, Selection, Sources, Target};

#[cfg(test)]
mod tests;
