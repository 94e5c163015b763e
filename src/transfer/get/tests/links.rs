//! Gets of directories with links, and with entries of which little is known.

use super::host::status;
use super::trees::tree;
use super::*;
use crate::sftp::{Attrs, Reply, Request, StatusCode};
use crate::transfer::Links;

fn links() -> Host {
    tree()
        .node("/srv/b/to-file", Node::Link("c"), 0o777)
        .node("/srv/b/to-directory", Node::Link("/srv/b/d"), 0o777)
        .node("/srv/b/to-self", Node::Link("."), 0o777)
        .node("/srv/dangling", Node::Link("nowhere"), 0o777)
        .node("/srv/out", Node::Link("/etc/passwd"), 0o777)
        .file("/etc/passwd", "root")
}

#[test]
fn links_are_followed_but_not_in_circles() {
    for lists_attrs in [true, false] {
        let mut run = Run::new();
        let host = links().with(|host| host.lists_attrs = lists_attrs);
        let mut rig = run.get("/srv", "copy", host, |get| get.recurse(true)).in_random_order(4);
        let text = failed(rig.run());
        assert!(text.starts_with("2 of the files were not copied; the first: "), "{text}");
        assert!(run.read("copy/b/to-file") == contents(50_000));
        assert!(run.read("copy/b/to-directory/e") == contents(7));
        assert_eq!(run.read("copy/out"), b"root");
        assert!(!run.tree().iter().any(|path| path.contains("to-self") || path.contains("dangling")));
    }
    // The path of a circle is named.
    let mut run = Run::new();
    let host = tree().node("/srv/b/up", Node::Link("/srv"), 0o777);
    let text = failed(run.get("/srv", "copy", host, |get| get.recurse(true)).run());
    assert!(text.ends_with("/srv/b/up: the link leads back to a directory that contains it"), "{text}");
}

#[test]
fn without_real_paths_circles_end_at_the_deepest_level() {
    let mut run = Run::new();
    let host = links().quirk(|id, request| {
        matches!(request, Request::Realpath { .. }).then(|| status(id, StatusCode::OpUnsupported))
    });
    let text = failed(run.get("/srv", "copy", host, |get| get.recurse(true).max_depth(5)).run());
    assert!(text.contains(" of the files were not copied"), "{text}");
    assert!(run.read("copy/b/to-directory/e") == contents(7));
}

#[test]
fn links_are_copied_or_left_out_on_request() {
    let mut run = Run::new();
    let mut rig = run.get("/srv", "copy", links(), |get| get.recurse(true).links(Links::Copy));
    let text = failed(rig.run());
    assert!(text.starts_with("2 of the files were not copied; the first: "), "{text}");
    assert!(text.contains("the host's symbolic link leads to"), "{text}");
    let link = |name: &str| fs::read_link(run.path().join("copy").join(name));
    assert_eq!(link("b/to-file").unwrap(), Path::new("c"));
    assert_eq!(link("b/to-self").unwrap(), Path::new("."));
    assert_eq!(link("dangling").unwrap(), Path::new("nowhere"));
    assert!(link("out").is_err() && link("b/to-directory").is_err());
    assert_eq!(rig.transfer.progress().links, 3);

    let mut run = Run::new();
    let done = done(run.get("/srv", "copy", links(), |get| get.recurse(true).links(Links::Skip)).run());
    assert_eq!((done.links, done.files), (0, 4));
}

#[test]
fn what_the_server_has_said_about_an_entry_is_not_asked_for_again() {
    let mut run = Run::new();
    let mut rig = run.get("/srv", "copy", links(), |get| get.recurse(true).links(Links::Copy));
    failed(rig.run());
    assert_eq!(rig.host.count("Lstat"), 0);
    // Entries of which nothing is known are looked at, even if links are left out.
    let mut run = Run::new();
    let host = links().with(|host| host.lists_attrs = false);
    let end = run.get("/srv", "copy", host, |get| get.recurse(true).links(Links::Skip)).run();
    assert_eq!(done(end).files, 4);
    // An entry of unknown kind may be a file.
    let mut run = Run::new();
    let host = Host::new().file("/srv/x", "x").with(|host| host.lists_attrs = false).quirk(|id, request| {
        let attrs = Attrs { size: Some(1), ..Attrs::default() };
        matches!(request, Request::Lstat { .. }).then(|| vec![peer::encode(&Reply::Attrs { id, attrs })])
    });
    assert_eq!(done(run.get("/srv", "copy", host, |get| get.recurse(true)).run()).files, 1);
}

#[test]
fn answers_about_links_are_not_believed() {
    let get = |host: Host, links: Links| {
        failed(Run::new().get("/srv", "copy", host, |get| get.recurse(true).links(links)).run())
    };
    let host = tree().node("/srv/l", Node::Link("b"), 0o777);
    let text = get(
        host.quirk(|id, request| match request {
            Request::Realpath { path: b"/srv/l" } => Some(super::host::data(id, b"x")),
            _ => None,
        }),
        Links::Follow,
    );
    assert_eq!(text, "the SFTP server violated the protocol: the answer to a request is DATA");
    let reading = |answer: fn(u32) -> Vec<Vec<u8>>| {
        let host = tree().node("/srv/l", Node::Link("b"), 0o777);
        let host =
            host.quirk(move |id, request| matches!(request, Request::Readlink { .. }).then(|| answer(id)));
        get(host, Links::Copy)
    };
    let text = reading(|id| vec![peer::names(id, &[])]);
    assert_eq!(text, "the SFTP server violated the protocol: a link without a target");
    let text = reading(|id| status(id, StatusCode::PermissionDenied));
    assert!(text.contains("cannot read the link /srv/l: permission denied"), "{text}");
}

#[test]
fn the_path_itself_is_followed() {
    let mut run = Run::new();
    let host = tree().node("/link", Node::Link("/srv"), 0o777);
    done(run.get("/link", "copy", host, |get| get.recurse(true).links(Links::Skip)).run());
    assert!(run.read("copy/a") == contents(100));
}
