//! Links to the program, by the names of others.

use super::support::{Done, Program, Site};

/// pdsh reads no file of ours, so the environment says which configuration is used.
fn pdsh(site: &Site) -> Program {
    site.named("pdsh").env("PDSH_SSH_ARGS_APPEND", &format!("-F {}", site.config()))
}

#[test]
fn the_line_of_deepspeed_runs_unchanged() {
    let site = Site::start();
    let line = "pdsh -S -f 1024 -w web1,web2 export NCCL_DEBUG=INFO; export PYTHONPATH=/srv; cd /; \
                echo python -u -m deepspeed.launcher.launch --world_info=e30= --node_rank=%n --master_addr=web1";
    let words = line.split_ascii_whitespace().skip(1);
    let done = pdsh(&site).env("PDSH_RCMD_TYPE", "ssh").args(words).run();
    let rank = |rank| {
        format!(
            "python -u -m deepspeed.launcher.launch --world_info=e30= --node_rank={rank} --master_addr=web1"
        )
    };
    assert_eq!(done.sorted(), [format!("web1: {}", rank(0)), format!("web2: {}", rank(1))], "{done:?}");
    assert_eq!(done.code, Some(0));
    assert_eq!(pdsh(&site).args(["-S", "-w", "web1,web2", "exit", "%n"]).run().code, Some(1));
}

#[test]
fn the_exit_code_is_that_of_pdsh() {
    let site = Site::start();
    let done = pdsh(&site).args(["-w", "web1,gone1", "exit 7"]).run();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("web1: exit 7") && done.err.contains("gone1: connecting failed"), "{done:?}");
    assert_eq!(pdsh(&site).args(["-S", "-w", "web1,gone1", "exit 7"]).run().code, Some(254));
    assert_eq!(pdsh(&site).args(["-Z"]).run().code, Some(2));
    let unknown = pdsh(&site).env("PDSH_SSH_ARGS", "-2 -a -x -l%u %h -W").args(["-w", "web1", "true"]).run();
    assert!(unknown.err.contains("PDSH_SSH_ARGS") && unknown.code == Some(2), "{unknown:?}");
}

#[test]
fn hosts_are_shown_on_request() {
    let site = Site::start();
    let done = pdsh(&site).args(["-q", "-w", "web[1-3]", "-x", "web2"]).run();
    assert_eq!(done.out, "web1\nweb3\n", "{done:?}");
    let done = pdsh(&site).args(["-N", "-w", "web1", "echo", "%h", "100%%", "%d"]).run();
    assert_eq!(done.out, "web1 100% %d\n", "{done:?}");
}

#[test]
fn dshbak_shows_hosts_together() {
    let site = Site::start();
    let lines = b"n1: same\nn3: other\nn2: same\n";
    let line = "----------------";
    let done: Done = site.named("dshbak").run_with(lines);
    assert_eq!(
        done.out,
        format!("{line}\nn1\n{line}\nsame\n{line}\nn2\n{line}\nsame\n{line}\nn3\n{line}\nother\n"),
        "{done:?}"
    );
    let done = site.named("dshbak").args(["-c"]).run_with(lines);
    assert_eq!(done.out, format!("{line}\nn[1-2]\n{line}\nsame\n{line}\nn3\n{line}\nother\n"), "{done:?}");
    let folder = format!("{}/outputs", site.sshd.dir().display());
    let done = site.named("dshbak").args(["-d", &folder]).run_with(lines);
    assert!(done.code == Some(2) && done.err.contains("-f creates it"), "{done:?}");
    site.named("dshbak").args(["-f", "-d", &folder]).run_with(lines);
    assert_eq!(std::fs::read_to_string(format!("{folder}/n3")).expect("a file for each host"), "other\n");
}
