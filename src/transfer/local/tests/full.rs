//! Disks that take no more.

use super::*;

#[test]
fn a_write_that_fails_says_what_and_where_and_leaves_nothing() {
    let rig = Rig::new();
    let part = rig.begin("file", 10);
    // Further than any file system goes.
    let text = write(&part, i64::MAX as u64 - 1, b"x").unwrap_err().to_string();
    let expected =
        format!("cannot write to {}: File too large (os error 27)", rig.root().join("file").display());
    assert_eq!(text, expected);
    assert!(write(&part, u64::MAX, b"x").is_err());
    abandon(&part, false);
    assert_eq!(names(rig.root()), [""; 0]);
}
