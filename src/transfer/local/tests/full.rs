//! Disks that take no more.

use super::small_disk::SmallDisk;
use super::*;

#[test]
fn a_write_that_fails_says_what_and_where_and_leaves_nothing() {
    let rig = Rig::new();
    let part = rig.begin("file", 10);
    // Further than any file system goes.
    let text = write(&part, i64::MAX as u64 - 1, b"x").unwrap_err().to_string();
    let path = rig.root().join("file");
    assert_eq!(text, format!("cannot write to {}: File too large (os error 27)", path.display()));
    assert!(write(&part, u64::MAX, b"x").is_err());
    abandon(&part, false);
    assert_eq!(names(rig.root()), [""; 0]);
}

#[test]
fn a_full_disk_ends_a_file_with_what_and_where_and_leaves_room_for_others() {
    let Some(disk) = SmallDisk::new() else {
        eprintln!("skipped: this user may not mount a small disk");
        return;
    };
    let mut rig = Rig::new();
    let root = disk.path();
    rig.root = Some(root.clone());
    let part = rig.begin("folder/large", 300 * 1024);
    let bytes = contents(100 * 1024);
    write(&part, 0, &bytes).unwrap();
    write(&part, 100 * 1024, &bytes).unwrap();
    let text = write(&part, 200 * 1024, &bytes).unwrap_err().to_string();
    let path = root.join("folder/large");
    assert_eq!(text, format!("cannot write to {}: No space left on device (os error 28)", path.display()));
    abandon(&part, false);
    assert_eq!(names(&root.join("folder")), [""; 0]);
    put(&rig, "folder/other", &contents(200 * 1024));

    // No room for names.
    let parts: Vec<_> = (0..16).map(|number| rig.try_begin(&number.to_string(), sized(0))).collect();
    let problem = parts.iter().find_map(|begun| begun.as_ref().err()).unwrap();
    assert!(matches!(problem, LocalProblem::Io { action: "create", .. }), "{problem}");
    drop(parts);
    assert_eq!(names(&root), ["folder"]);
    put(&rig, "15", b"");
}
