//! Settings that a request does not have, and values that cannot work.

use super::*;

fn refusal(request: FileRequest, is_privileged: bool) -> String {
    match plan(request, is_privileged) {
        Err(PlanProblem::Config(problem)) => problem.to_string(),
        Err(PlanProblem::Template(problem)) => problem.to_string(),
        Ok(plan) => panic!("{plan:?}"),
    }
}

#[test]
fn a_setting_that_a_request_does_not_have_is_an_error() {
    let conflict = |setting, other| format!("{setting} cannot be combined with {other}: give one of them");
    for (request, setting, other) in [
        (FileRequest::read("f").recurse(true), "FileRequest::recurse", "FileRequest::read"),
        (FileRequest::read("f").max_entries(1), "FileRequest::max_entries", "FileRequest::read"),
        (FileRequest::list("f").max_depth(1), "FileRequest::max_depth", "FileRequest::list"),
        (FileRequest::metadata("f").max_bytes(1), "FileRequest::max_bytes", "FileRequest::metadata"),
        (FileRequest::symlink_metadata("f").mode(1), "FileRequest::mode", "FileRequest::symlink_metadata"),
        (FileRequest::remove("f").max_depth(1), "FileRequest::max_depth", "FileRequest::remove"),
        (FileRequest::create_dir("f").max_bytes(1), "FileRequest::max_bytes", "FileRequest::create_dir"),
        (
            FileRequest::rename("f", "g").create_parents(true),
            "FileRequest::create_parents",
            "FileRequest::rename",
        ),
    ] {
        assert_eq!(refusal(request, false), conflict(setting, other));
    }
    assert_eq!(refusal(FileRequest::read("f"), true), conflict("FileRequest::read", "sudo or run_as"));
}

#[test]
fn values_that_cannot_work_are_refused() {
    for path in ["", "a\0b"] {
        assert!(refusal(FileRequest::read(path), false).contains("must not be empty"), "{path}");
        assert!(refusal(FileRequest::rename("a", path), false).contains("the new path"), "{path}");
    }
    for path in ["/", "//", ".", "..", "a/..", "a/./", "../"] {
        for request in [FileRequest::remove(path), FileRequest::remove(path).recurse(true)] {
            assert!(refusal(request, false).contains("its last component must be the name"), "{path}");
        }
    }
    let deep = FileRequest::remove("a").recurse(true).max_depth(65);
    assert_eq!(refusal(deep, false), "FileRequest::max_depth must be at most 64");
    let mode = FileRequest::create_dir("a").mode(0o10000);
    assert_eq!(refusal(mode, false), "FileRequest::mode must be at most 0o7777");
}
