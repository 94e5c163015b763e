//! What is said at the end of a run.

use sshoal::error::Label;

use super::views::{end, options, written};
use super::*;
use crate::output::Form;

#[test]
fn failures_are_folded_with_what_to_do() {
    let new_key = |number: u32| {
        let text = format!("host key {number} not on record");
        let advice = Some("Run `sshoal keyscan` to record the keys.");
        failed_as(RunStage::Handshaking, Label::HostKeyUnknown, &text, advice)
    };
    let labels: Vec<String> = (0..30).map(|number| format!("h{number}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let options = Options {
        quiet: false,
        rerun: Some("sshoal --last=failed uptime".to_owned()),
        ..options(Form::Stream)
    };
    let (out, err) = written(&labels, &options, |output| {
        for host in 0..20 {
            end(output, &[(host, new_key(host as u32 / 2))]);
        }
        let cancelled = failed_as(RunStage::Running, Label::Cancelled, "cancelled", None);
        end(output, &[(24, exited(1)), (22, exited(1)), (23, signaled("KILL")), (25, cancelled)]);
        end(output, &[(26, exited(0)), (27, exited(0)), (28, exited(0))]);
    });
    assert_eq!(out, "");
    let expected = "sshoal: h23: killed by signal KILL\n\
        sshoal: h25: cancelled\n\
        sshoal: h22,h24 (2): exit 1\n\
        sshoal: h0,h1 (2): host key 0 not on record\n\
        sshoal: h2,h3 (2): host key 1 not on record\n\
        sshoal: h4,h5 (2): host key 2 not on record\n\
        sshoal: h6,h7 (2): host key 3 not on record\n\
        sshoal: h8,h9 (2): host key 4 not on record\n\
        sshoal: h10,h11 (2): host key 5 not on record\n\
        sshoal: h12,h13 (2): host key 6 not on record\n\
        sshoal: h14,h15 (2): host key 7 not on record\n\
        sshoal: h16,h17,h18,h19 (4): 2 other texts of this kind (--json has them all)\n\
        \x20   Run `sshoal keyscan` to record the keys.\n\
        sshoal: to run it again on those that failed: sshoal --last=failed uptime\n\
        sshoal: 2.5 s; half of the hosts ended within 0.1 s, 95 % within 0.3 s\n\
        30 hosts: 3 ok, 23 failed, 1 cancelled, 3 not ended\n";
    assert_eq!(err, expected);
}

#[test]
fn the_reason_comes_before_a_long_set() {
    let labels: Vec<String> = (0..9).map(|number| format!("database{number}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let (_, err) = written(&labels, &options(Form::Stream), |output| {
        let advice = Some("Start sshd.");
        let refused = failed_as(RunStage::Connecting, Label::Connect, "connection refused\nby all", advice);
        for host in 0..7 {
            end(output, &[(host, refused.clone())]);
        }
        end(output, &[(7, exited(0)), (8, exited(0))]);
    });
    let expected = format!(
        "sshoal: 7 hosts: connection refused\n    by all\n    {}\n    Start sshd.\n",
        labels[..7].join(",")
    );
    assert_eq!(err, expected);
}

#[test]
fn a_run_without_failures_ends_with_its_counts() {
    let options = Options { quiet: false, rerun: Some("again".to_owned()), ..options(Form::Stream) };
    let (_, err) = written(&["w1"], &options, |output| end(output, &[(0, exited(0))]));
    assert_eq!(err, "sshoal: 2.5 s\n1 host: 1 ok, 0 failed\n");
    let quiet = Options { quiet: true, ..options };
    let (_, err) = written(&["w1"], &quiet, |output| end(output, &[(0, exited(0))]));
    assert_eq!(err, "");
}
