//! All options with other SFTP servers, and behind proxies.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use sshoal::transfer::{Get, Links, Placement, Put};
use sshoal::{Command, ParallelClient};
use tempfile::tempdir;

use super::{contents, done, error, names, sshd};
use crate::real::proxy::{GATE, SECOND_GATE, behind, gate, known};
use crate::real::{SLOW, build, client_for, guard};
use crate::support::dropbear::Dropbear;
use crate::support::keys::ClientKey;
use crate::support::peers::Asyncssh;
use crate::support::sftp::Chroot;
use crate::support::sshd::Sshd;

const HOST: [&str; 1] = ["127.0.2.1"];

/// Where a server has its files.
struct Place<'a> {
    /// A directory of this machine that the server may write to.
    folder: &'a Path,
    /// The same as the server names it.
    remote: &'a str,
    /// Whether commands run too.
    has_shell: bool,
    /// Whether it says where links lead. asyncssh in a directory of its own does not know that of
    /// relative links.
    reads_links: bool,
}

impl Place<'_> {
    fn remote(&self, path: &str) -> String {
        format!("{}/{path}", self.remote)
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").mode() & 0o7777
}

/// Copies a file with every option.
fn check_file(client: &mut ParallelClient, place: &Place<'_>) {
    let here = tempdir().expect("a folder");
    let (local, there) = (here.path().join("it's local"), place.folder.join("new/file"));
    let content = contents(500_000);
    fs::write(&local, &content).expect("written");
    fs::set_permissions(&local, fs::Permissions::from_mode(0o640)).expect("set");
    let put = || Put::new(&local, place.remote("new/file"));

    let refused = error(client, put().create_parents(false)).to_string();
    assert!(refused.contains("no such file"), "{refused}");
    for _ in 0..2 {
        let sent = done(client, put().keep_times(true).mode(0o604).sync(true));
        assert_eq!((sent.files, sent.bytes, sent.replaced_in_two_steps), (1, 500_000, 0), "{sent}");
    }
    assert!(fs::read(&there).expect("there") == content);
    let (copy, original) = (fs::metadata(&there).expect("there"), fs::metadata(&local).expect("there"));
    assert_eq!((mode(&there), copy.mtime()), (0o604, original.mtime()));
    assert_eq!(done(client, put().skip_same(true)).skipped, 1);
    let sent = done(client, put().in_place(true));
    assert_eq!((sent.files, fs::metadata(&there).expect("there").ino()), (1, copy.ino()));
    done(client, Put::new(&local, place.remote("new")).placement(Placement::Auto));
    assert_eq!(names(&place.folder.join("new")), ["file", "it's local"]);
    if place.has_shell {
        let sent = done(client, put().checksum(true));
        assert_eq!((sent.files, sent.verified), (1, 1), "{sent}");
    }
    let text = Put::bytes(*b"a script", place.remote("script")).mode(0o755);
    assert_eq!((done(client, text).bytes, mode(&place.folder.join("script"))), (8, 0o755));

    let get = |to: &str| Get::new(place.remote("new/it's local"), here.path().join(to));
    let fetched = done(client, get("a/copy").preserve(true).sync(true));
    assert_eq!((fetched.files, fetched.bytes), (1, 500_000), "{fetched}");
    assert!(fs::read(here.path().join("a/copy")).expect("there") == content);
    assert_eq!(mode(&here.path().join("a/copy")), 0o640);
    let refused = error(client, get("a/copy").overwrite(false)).to_string();
    assert!(refused.contains("copy"), "{refused}");
    let second = Get::new(place.remote("new/file"), here.path().join("a/second")).skip_same(true);
    assert_eq!(done(client, second.clone()).files, 1);
    assert_eq!(done(client, second).skipped, 1);
    assert_eq!(names(&here.path().join("a")), ["copy", "second"]);
}

/// Copies a directory there and back.
fn check_directory(client: &mut ParallelClient, place: &Place<'_>) {
    let here = tempdir().expect("a folder");
    let local = here.path().join("tree");
    for directory in ["empty", "a/b"] {
        fs::create_dir_all(local.join(directory)).expect("made");
    }
    for number in 0..20 {
        fs::write(local.join(format!("a/file{number}")), contents(number * 3000)).expect("written");
    }
    // asyncssh reads the paths of a link in the other order than OpenSSH.
    symlink("file1", local.join("a/link")).expect("made");
    symlink("a", local.join("way")).expect("made");
    let put = Put::new(&local, place.remote("trees/one")).recurse(true).links(Links::Copy);
    let sent = done(client, put.clone().skip_same(true));
    assert_eq!((sent.files, sent.directories, sent.links), (20, 4, 2), "{sent}");
    assert_eq!(done(client, put.skip_same(true)).skipped, 20);
    let get = Get::new(place.remote("trees/one"), here.path().join("{name} of {{a}}"));
    let (links, count) = if place.reads_links { (Links::Copy, 2) } else { (Links::Skip, 0) };
    let fetched = done(client, get.recurse(true).links(links).preserve(true));
    assert_eq!((fetched.files, fetched.directories, fetched.links), (20, 4, count), "{fetched}");
    for (root, links) in [(place.folder.join("trees/one"), 2), (here.path().join("one of {a}"), count)] {
        let all = ["a", "empty", "way"];
        assert_eq!(names(&root), all[..if links > 0 { 3 } else { 2 }]);
        assert_eq!(names(&root.join("a")).len(), if links > 0 { 22 } else { 21 });
        if links > 0 {
            assert_eq!(fs::read_link(root.join("a/link")).expect("a link"), Path::new("file1"));
            assert_eq!(fs::read_link(root.join("way")).expect("a link"), Path::new("a"));
        }
        for number in 0..20 {
            let copy = fs::read(root.join(format!("a/file{number}"))).expect("there");
            assert!(copy == contents(number * 3000), "{number}");
        }
    }
}

fn check(client: &mut ParallelClient, place: &Place<'_>) {
    check_file(client, place);
    check_directory(client, place);
}

#[test]
fn a_chroot_of_openssh_takes_and_gives_files() {
    let _dog = guard("transfer_chroot");
    let Some(root) = Chroot::create() else { return };
    let sshd = Sshd::builder().chrooted(&root).start();
    let folder = root.path().join("files");
    fs::create_dir(&folder).expect("made");
    let mut client = build(client_for(&sshd, HOST));
    check(&mut client, &Place { folder: &folder, remote: "/files", has_shell: false, reads_links: true });
    let local = folder.join("script");
    let refused = error(&mut client, Put::new(local, "/files/x").checksum(true)).to_string();
    assert!(refused.contains("sha256sum failed on the host"), "{refused}");
    assert!(!folder.join("x").exists());
}

#[test]
fn asyncssh_takes_and_gives_files() {
    let _dog = guard("transfer_asyncssh");
    let Some(server) = Asyncssh::start() else { return };
    let builder = ParallelClient::builder([server.address().to_string()]).user("anybody");
    let builder = builder.key_file(server.key()).known_hosts([server.known_hosts()]).timeout(SLOW);
    let mut client = build(builder.identity_auth(false).allow_agent(false).num_retries(1));
    check(&mut client, &Place { folder: &server.root(), remote: "", has_shell: false, reads_links: false });
}

#[test]
fn dropbear_with_sftp_takes_and_gives_files() {
    let _dog = guard("transfer_dropbear");
    let Some(server) = Dropbear::start() else { return };
    let builder = ParallelClient::builder([server.address().to_string()]).user(server.user().name());
    let builder = builder.identity_auth(false).allow_agent(false).known_hosts([server.known_hosts()]);
    let builder = builder.num_retries(1).timeout(SLOW).key_file(server.key(ClientKey::Ed25519));
    let folder = tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("set");
    let remote = folder.path().to_str().expect("UTF-8");
    check(&mut build(builder), &Place { folder: folder.path(), remote, has_shell: true, reads_links: true });
}

#[test]
fn files_go_through_one_proxy_and_through_two() {
    let _dog = guard("transfer_proxies");
    let (outer, inner, target) = (Sshd::start(), Sshd::start(), sshd().start());
    let hosts = ["127.0.2.1", "127.0.2.2"];
    let known_hosts = known(&[(&outer, &[GATE]), (&inner, &[SECOND_GATE]), (&target, &hosts)]);
    let two = client_for(&target, hosts).known_hosts([known_hosts]);
    let two = two.proxies([gate(&outer, GATE), gate(&inner, SECOND_GATE)]);
    let folder = tempdir().expect("a folder");
    let local = folder.path().join("local");
    // Several windows of the channels.
    let content = contents(6_000_000);
    fs::write(&local, &content).expect("written");
    for (number, builder) in [behind(&outer, &target, &hosts), two].into_iter().enumerate() {
        let mut client = build(builder);
        let remote = |host: &str| folder.path().join(format!("there{number}/{host}"));
        let path = folder.path().join(format!("there{number}/%s")).to_str().expect("UTF-8").to_owned();
        let put = Command::from(Put::new(&local, path.clone()).checksum(true)).host_args(hosts);
        let get = Get::new(path, folder.path().join(format!("back{number}/{{host}}")));
        for work in [put, Command::from(get).host_args(hosts)] {
            for outcome in super::transfer(&mut client, work) {
                assert!(outcome.is_success(), "{number}: {outcome}");
            }
        }
        for host in hosts {
            assert!(fs::read(remote(host)).expect("there") == content, "{number}: {host}");
            let back = fs::read(folder.path().join(format!("back{number}/{host}")));
            assert!(back.expect("there") == content, "{number}: {host}");
        }
    }
}
