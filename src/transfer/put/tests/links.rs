//! Symbolic links, on servers of both orders of the two paths.

use std::cell::RefCell;
use std::os::unix::fs::symlink;
use std::rc::Rc;

use tempfile::{TempDir, tempdir};

use super::world::World;
use crate::error::TransferProblem;
use crate::sftp::{Request, StatusCode};
use crate::transfer::local::Links;
use crate::transfer::put::Put;

const SITE: &str = "/srv/app/site";

/// Links: `a` to a place outside, `b/up` and `c` within.
const LINKS: [(&str, &str); 3] = [("a", "/precious"), ("b/up", "../c"), ("c", "b")];

fn world() -> (TempDir, World) {
    let source = tempdir().unwrap();
    std::fs::create_dir(source.path().join("b")).unwrap();
    for (name, target) in LINKS {
        symlink(target, source.path().join(name)).unwrap();
    }
    let put = Put::new(source.path(), SITE).recurse(true).links(Links::Copy);
    let mut world = World::of(&put, false);
    world.may_lack_target = true;
    (source, world)
}

/// All paths below the target, and what they contain.
fn there(world: &World) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let below = world.host.nodes.iter().filter_map(|(path, node)| {
        let name = text(path).strip_prefix(SITE)?.strip_prefix('/')?.to_owned();
        (name != "b").then(|| (name, text(&node.bytes)))
    });
    below.collect()
}

fn links() -> Vec<(String, String)> {
    LINKS.map(|(name, target)| (name.to_owned(), target.to_owned())).to_vec()
}

#[test]
fn links_are_right_whatever_order_the_server_reads() {
    for has_draft_links in [false, true] {
        let (_source, mut world) = world();
        world.host.has_draft_links = has_draft_links;
        let before = world.host.nodes.len();
        // Replaced, whatever it was.
        world.host.nodes.insert(SITE.into(), super::host::Node::directory());
        world.host.link(format!("{SITE}/c").as_bytes(), b"elsewhere");
        assert_eq!(world.finish().unwrap().links, 3);
        assert_eq!(there(&world), links());
        assert_eq!(world.host.nodes.len(), before + 5, "{:?}", world.host.nodes.keys());
        assert_eq!(world.transfer.left_over().len(), 0);
    }
}

#[test]
fn nothing_but_temporary_names_is_sent_before_the_order_is_known() {
    let (_source, mut world) = world();
    let sent = Rc::new(RefCell::new(Vec::new()));
    let seen = sent.clone();
    world.host.refuse = Box::new(move |_, request| {
        if let Request::Symlink { target, link } = request {
            seen.borrow_mut().push([target, link].map(|path| String::from_utf8_lossy(path).into_owned()));
        }
        None
    });
    world.finish().unwrap();
    let probe = [format!("{SITE}/.a.sshoal-1"), format!("{SITE}/.a.sshoal-2")];
    assert_eq!(sent.borrow().len(), 4);
    assert_eq!(sent.borrow()[0], probe);
}

#[test]
fn temporary_links_of_other_puts_are_left_alone() {
    for (has_draft_links, taken, is_known) in
        [(false, 2, true), (true, 1, true), (false, 1, false), (true, 2, false)]
    {
        let (_source, mut world) = world();
        world.host.has_draft_links = has_draft_links;
        world.host.nodes.insert(SITE.into(), super::host::Node::directory());
        let other = format!("{SITE}/.a.sshoal-{taken}");
        world.host.link(other.as_bytes(), b"of another put");
        let ended = world.finish();
        assert_eq!(world.host.bytes(other.as_bytes()), Some(&b"of another put"[..]));
        if is_known {
            assert_eq!(ended.unwrap().links, 3);
            assert_eq!(world.host.temporaries(), [other]);
        } else {
            // Both names are there, and either may be the one that was made.
            let error = ended.unwrap_err().to_string();
            assert!(error.contains("cannot create the link /srv/app/site/a: failure; it is not"), "{error}");
            assert_eq!(there(&world).len(), 4, "the others are copied: {:?}", there(&world));
            assert_eq!(world.transfer.left_over().len(), 2);
        }
    }
}

#[test]
fn each_request_of_the_first_link_may_be_refused() {
    for code in [StatusCode::Failure, StatusCode::OpUnsupported] {
        for has_draft_links in [false, true] {
            for at in 0..5 {
                let (_source, mut world) = world();
                world.host.has_draft_links = has_draft_links;
                let mut number = 0;
                world.host.refuse = Box::new(move |_, request| {
                    let is_of_probe = match request {
                        Request::Symlink { target, link } => target.ends_with(b"-1") && link.ends_with(b"-2"),
                        Request::Lstat { path } | Request::Remove { path } => {
                            path.starts_with(b"/srv/app/site/.")
                        }
                        _ => false,
                    };
                    number += usize::from(is_of_probe);
                    (is_of_probe && number == at + 1).then_some(code)
                });
                let ended = world.finish();
                let named: Vec<String> = world.transfer.left_over().iter().map(ToString::to_string).collect();
                for left in world.host.temporaries() {
                    assert!(named.contains(&left), "{code:?} {at}: {left} is left and not named");
                }
                assert!(world.host.bytes(b"/precious").is_none());
                match ended {
                    Ok(done) => assert_eq!((done.links, there(&world).len() - named.len()), (3, 3)),
                    Err(TransferProblem::Incomplete { failed, .. }) => assert_eq!(failed, 1),
                    Err(other) => panic!("{other}"),
                }
            }
        }
    }
}

#[test]
fn a_put_that_is_cancelled_removes_the_temporary_link() {
    for stop_at in 0..40 {
        let (_source, mut world) = world();
        let mut steps = 0;
        let mut named = Vec::new();
        loop {
            if steps == stop_at {
                named = world.transfer.left_over();
                world.transfer.stop();
            }
            steps += 1;
            world.work();
            if world.transfer.end().is_some() {
                break;
            }
            assert!(world.deliver(), "the transfer waits for nothing");
        }
        assert_eq!(world.host.temporaries(), [""; 0], "{stop_at}");
        assert_eq!(world.transfer.left_over().len(), 0, "{stop_at}: {named:?}");
    }
}
