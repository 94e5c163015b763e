//! Hosts that try to write outside of the target.

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn a_name_is_a_name_in_one_directory() {
    let rig = Rig::new();
    let long = [b'n'; 256];
    let bad: [(&[u8], &str); 7] = [
        (b"", "is empty"),
        (b".", "leads to another directory"),
        (b"..", "leads to another directory"),
        (b"a/b", "contains a slash"),
        (b"/etc", "contains a slash"),
        (b"a\0b", "contains a NUL byte"),
        (&long, "is too long"),
    ];
    for (name, reason) in bad {
        for path in
            [vec![name.to_vec()], vec![name.to_vec(), b"x".to_vec()], vec![b"x".to_vec(), name.to_vec()]]
        {
            for problem in [rig.begin_at(path.clone(), sized(1)).unwrap_err(), rig.make(path).unwrap_err()] {
                assert!(problem.to_string().ends_with(reason), "{problem}");
            }
        }
    }
    let deep = vec![b"d".to_vec(); limits::TRANSFER_DEPTH + 1];
    assert!(matches!(rig.make(deep), Err(LocalProblem::TooDeep { .. })));
    assert!(rig.begin_at(Vec::new(), sized(1)).is_err());
    assert_eq!(names(rig.root()), [""; 0]);
}

#[test]
fn names_are_shown_without_controls() {
    let rig = Rig::new();
    let problem = rig.begin_at(vec![b"\x1b[2J/\xff".to_vec()], sized(1)).unwrap_err();
    let text = problem.to_string();
    assert!(text.contains(r#"the host's name "\x1b[2J/\xff" for a file in /"#), "{text}");
}

#[test]
fn the_longest_names_work() {
    let rig = Rig::with(|options| options.resume = true);
    let name = "n".repeat(limits::FILE_NAME_BYTES);
    let file = NewFile { times: Some(Times { access: 5, modified: 6 }), ..sized(1) };
    let Ok(Begun::Part { part, .. }) = rig.try_begin(&name, file) else { panic!() };
    write(&part, 0, b"x").unwrap();
    finish(&part, file).unwrap();
    assert_eq!(names(rig.root()), [name]);
}

#[test]
fn bytes_that_are_no_text_are_names() {
    use std::os::unix::ffi::OsStrExt as _;
    let rig = Rig::new();
    let name = b"\xff\n\x01";
    let Ok(Begun::Part { part, .. }) = rig.begin_at(vec![name.to_vec()], sized(0)) else { panic!() };
    finish(&part, sized(0)).unwrap();
    assert!(rig.root().join(std::ffi::OsStr::from_bytes(name)).exists());
}

#[test]
fn a_link_in_the_place_of_a_directory_is_not_followed() {
    let rig = Rig::new();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), rig.root().join("link")).unwrap();
    fs::write(rig.root().join("file"), "").unwrap();
    let problem = rig.try_begin("link/file", sized(1)).unwrap_err();
    assert!(matches!(problem, LocalProblem::Link { .. }), "{problem}");
    let problem = rig.make(host_path("link")).unwrap_err();
    assert!(matches!(problem, LocalProblem::Link { .. }), "{problem}");
    let problem = rig.make(host_path("link/folder")).unwrap_err();
    assert!(matches!(problem, LocalProblem::Link { .. }), "{problem}");
    let problem = rig.try_begin("file/file", sized(1)).unwrap_err();
    assert!(matches!(problem, LocalProblem::NotADirectory { .. }), "{problem}");
    let problem = rig.make(host_path("file")).unwrap_err();
    assert!(matches!(problem, LocalProblem::NotADirectory { .. }), "{problem}");
    assert_eq!(names(outside.path()), [""; 0]);
}

#[test]
fn a_directory_that_becomes_a_link_meanwhile_is_not_followed() {
    let rig = Rig::new();
    let outside = tempfile::tempdir().unwrap();
    let part = rig.begin("folder/file", 1);
    write(&part, 0, b"x").unwrap();
    fs::rename(rig.root().join("folder"), rig.root().join("moved")).unwrap();
    symlink(outside.path(), rig.root().join("folder")).unwrap();
    let problem = finish(&part, sized(1)).unwrap_err();
    assert!(matches!(problem, LocalProblem::Link { .. }), "{problem}");
    assert_eq!(names(outside.path()), [""; 0]);
}

#[test]
fn a_link_in_the_place_of_a_file_is_replaced_and_its_target_is_untouched() {
    let rig = Rig::new();
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "old").unwrap();
    symlink(&victim, rig.root().join("file")).unwrap();
    put(&rig, "file", b"new");
    assert_eq!(fs::read(&victim).unwrap(), b"old");
    assert!(fs::symlink_metadata(rig.root().join("file")).unwrap().is_file());
}

#[test]
fn a_directory_is_not_replaced_by_a_file_or_a_link() {
    let rig = Rig::new();
    fs::create_dir(rig.root().join("folder")).unwrap();
    let problem = rig.try_begin("folder", sized(1)).unwrap_err();
    assert!(matches!(problem, LocalProblem::IsADirectory { .. }), "{problem}");
    let problem = rig.link("folder", "x").unwrap_err();
    assert!(matches!(problem, LocalProblem::IsADirectory { .. }), "{problem}");
}

#[test]
fn links_that_may_lead_out_are_refused() {
    let rig = Rig::new();
    let cases = [
        ("link", "/etc/passwd"),
        ("link", ".."),
        ("link", "../x"),
        ("link", "./../x"),
        ("a/link", "../../x"),
        ("a/b/link", "../../../x"),
        // Down and up again: `down` may be a link to the root.
        ("a/b/link", "down/../../.."),
        ("a/b/link", "down/.."),
        ("a/b/link", "../down/../x"),
        ("link", ""),
        ("link", "x\0y"),
    ];
    for (path, target) in cases {
        let problem = rig.link(path, target).unwrap_err();
        assert!(matches!(problem, LocalProblem::LinkOut { .. }), "{path} -> {target}: {problem}");
    }
    for (path, target) in [("one", "x"), ("a/two", "../one"), ("a/b/three", "./../../a//two"), ("four", ".")]
    {
        assert!(rig.link(path, target).unwrap());
        assert_eq!(fs::read_link(rig.root().join(path)).unwrap(), Path::new(target));
    }
    assert_eq!(names(rig.root()), ["a", "four", "one"]);
}

#[test]
fn links_are_claimed_and_replace_files_as_files_do() {
    let mut rig = Rig::new();
    fs::write(rig.root().join("name"), "old").unwrap();
    assert!(rig.link("name", "other").unwrap());
    assert!(matches!(rig.link("name", "other"), Err(LocalProblem::Claimed { .. })));
    assert!(matches!(rig.try_begin("name", sized(1)), Err(LocalProblem::Claimed { .. })));
    rig.run();
    rig.options.overwrite = false;
    assert!(rig.link("name", "other").is_ok(), "it is there already");
    rig.run();
    assert!(matches!(rig.link("name", "new"), Err(LocalProblem::Exists { .. })));
}

/// A bind mount stands for a disk that ignores case; without the right to make one, a claim on the
/// directory under another name does.
#[test]
fn two_names_of_one_directory_are_refused() {
    let rig = Rig::new();
    rig.make(host_path("Folder")).unwrap();
    fs::rename(rig.root().join("Folder"), rig.root().join("folder")).unwrap();
    let problem = rig.make(host_path("folder")).unwrap_err();
    assert!(matches!(problem, LocalProblem::Claimed { .. }), "{problem}");
    // One name is enough.
    rig.make(host_path("other")).unwrap();
    rig.make(host_path("other")).unwrap();
}
