//! Gets that may not ask for all bytes at once.

use super::{Host, Run, contents, done};
use crate::limits::SFTP_READ;

#[test]
fn a_get_asks_for_no_more_than_it_is_allowed() {
    let mut run = Run::new();
    let contents = contents(3 * SFTP_READ + 100);
    let mut rig = run.get("/file", "copy", Host::new().file("/file", contents.clone()), |get| get);
    rig.allowance = 0;
    for asked in 0..3 {
        while rig.step() {}
        assert_eq!((rig.host.count("Read"), rig.transfer.lack() as usize), (asked, SFTP_READ));
        rig.allowance = SFTP_READ as u64 - 1;
        while rig.exchange() || rig.step() {}
        assert_eq!((rig.host.count("Read"), rig.allowance), (asked, SFTP_READ as u64 - 1));
        rig.allowance = SFTP_READ as u64 + 7;
        while rig.exchange() || rig.step() {}
        assert_eq!(rig.allowance, 7);
    }
    assert_eq!(rig.transfer.lack(), 100);
    rig.allowance = 100;
    assert_eq!(done(rig.run()).bytes, contents.len() as u64);
    assert_eq!((rig.transfer.lack(), rig.allowance), (0, 0));
    assert!(run.read("copy") == contents);
}

#[test]
fn a_read_uses_up_what_it_brings() {
    // A file below /proc says that it is empty, and a server may return less than was asked for.
    for (size, found) in [(Some(0), 1_000), (None, 2 * SFTP_READ + 10)] {
        let mut run = Run::new();
        let host = Host::new().file("/file", contents(found)).with(|host| {
            host.sizes.extend(size.map(|size| ("/file".to_owned(), size)));
            host.max_read = 1_500;
        });
        let mut rig = run.get("/file", "copy", host, |get| get);
        rig.allowance = 10 * SFTP_READ as u64;
        done(rig.run());
        assert!(run.read("copy") == contents(found));
        rig.exchange();
        assert_eq!(rig.allowance, (10 * SFTP_READ - found) as u64, "{size:?}");
    }
}

#[test]
fn an_empty_file_uses_up_nothing() {
    let mut run = Run::new();
    let mut rig = run.get("/file", "copy", Host::new().file("/file", ""), |get| get);
    rig.allowance = SFTP_READ as u64;
    assert_eq!(done(rig.run()).files, 1);
    rig.exchange();
    assert_eq!(rig.allowance, SFTP_READ as u64);
}
