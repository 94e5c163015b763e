//! JSON Lines, and that they are as the schema describes them.

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::collection::vec;
use proptest::prelude::*;
use sshoal::error::Label;
use sshoal::transfer::Transferred;

use super::*;
use crate::output::Form;

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/json-lines.schema.json");

/// Reads lines and says which ones the schema does not allow, and which types were there.
const VALIDATOR: &str = "
import json, sys
from jsonschema import Draft202012Validator
schema = json.load(open(sys.argv[1]))
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
types = set()
for line in sys.stdin.buffer:
    record = json.loads(line)
    types.add(record.get('t'))
    errors = list(validator.iter_errors(record))
    if errors:
        print('not allowed:', line, errors[0].message)
print(*sorted(types))
";

/// The one that Debian's packages are for: another one may come first on the path.
const PYTHON: &str = "/usr/bin/python3";

/// What the validator says.
fn validated(lines: &str) -> String {
    let mut python = Command::new(PYTHON)
        .args(["-c", VALIDATOR, SCHEMA])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{PYTHON} with jsonschema failed (Debian: python3-jsonschema)");
    String::from_utf8(output.stdout).unwrap()
}

fn written(labels: &[&str], play: impl FnOnce(&mut Output<'_>)) -> String {
    let (out, err) = (Written::default(), Written::default());
    let hosts = hosts(labels);
    let options =
        Options { form: Form::Json, command: "ls \"/tmp\"".to_owned(), quiet: true, ..Options::default() };
    let mut output = run(&hosts, &options, screen(&out, &err, false, false));
    play(&mut output);
    output.report(News::Finished, at(2_500)).unwrap();
    out.text()
}

fn report(output: &mut Output<'_>, news: News<'_>) {
    output.report(news, at(1_500)).unwrap();
}

fn play_all(output: &mut Output<'_>) {
    let timings = Timings::default();
    report(output, News::Entered { host: 0, stage: RunStage::Connecting });
    report(output, News::Connected { host: 0, timings });
    report(output, News::Started { host: 0 });
    report(output, super::output(0, "out:Grüße\t\"x\"\r\nbeg"));
    report(output, News::Output { host: 0, stream: StdStream::Stderr, bytes: b"\xff\x00\n" });
    report(output, super::output(0, "out:un"));
    let mut done = Transferred::default();
    (done.files, done.bytes, done.total) = (1, 10, 12);
    for _ in 0..2 {
        report(output, News::Progress { host: 2, done: &done });
    }
    report(output, ended(0, &exited(7)));
    report(output, ended(1, &signaled("TERM")));
    report(output, News::BatchDone { batch: 0, left: 2 });
    report(output, ended(2, &End::Copied(done)));
    let advice = Some("Try again.");
    report(output, ended(3, &failed_as(RunStage::Authenticating, Label::Auth, "no key accepted", advice)));
    report(output, ended(4, &End::NoStatus));
}

#[test]
fn each_event_is_an_object_on_a_line() {
    let lines = written(&["web1", "web2", "db1", "db2", "db3"], play_all);
    let expected = r#"{"v":1,"t":"start","hosts":5,"command":"ls \"/tmp\"","ts":0.0}
{"v":1,"t":"connected","timings_us":{},"ts":1.5,"host":"web1"}
{"v":1,"t":"started","ts":1.5,"host":"web1"}
{"v":1,"t":"line","stream":"stdout","text":"Grüße\t\"x\"\r","ts":1.5,"host":"web1"}
{"v":1,"t":"line","stream":"stderr","b64":"/wA=","ts":1.5,"host":"web1"}
{"v":1,"t":"progress","files":1,"directories":0,"links":0,"skipped":0,"deleted":0,"bytes":10,"total":12,"verified":0,"ts":1.5,"host":"db1"}
{"v":1,"t":"line","stream":"stdout","text":"begun","ts":1.5,"host":"web1"}
{"v":1,"t":"end","outcome":{"exit":7},"timings_us":{},"ts":1.5,"host":"web1"}
{"v":1,"t":"end","outcome":{"signal":"TERM"},"timings_us":{},"ts":1.5,"host":"web2"}
{"v":1,"t":"batch","batch":0,"left":2,"ts":1.5}
{"v":1,"t":"end","outcome":{"copied":{"files":1,"directories":0,"links":0,"skipped":0,"deleted":0,"bytes":10,"total":12,"verified":0}},"timings_us":{},"ts":1.5,"host":"db1"}
{"v":1,"t":"end","outcome":{"failed":{"stage":"authenticating","kind":"auth","text":"no key accepted","advice":"Try again."}},"timings_us":{},"ts":1.5,"host":"db2"}
{"v":1,"t":"end","outcome":{"no_status":true},"timings_us":{},"ts":1.5,"host":"db3"}
{"v":1,"t":"summary","hosts":5,"ok":1,"failed":4,"seconds":2.5,"kinds":{"auth":1,"exit_status":1,"no_status":1,"signaled":1,"succeeded":1},"ts":2.5}
"#;
    assert_eq!(lines, expected);
}

#[test]
fn objects_are_safe_for_a_terminal() {
    let lines = written(&["web1"], |output| {
        let hostile = "out:\x1b]52;c;\x07\u{9b}2J\u{202e}\u{e0001}\x7fé\n";
        report(output, super::output(0, hostile));
    });
    let expected = r#""text":"\u001b]52;c;\u0007\u009b2J\u202e\udb40\udc01\u007fé","#;
    assert!(lines.contains(expected), "{lines}");
}

#[test]
fn each_line_is_as_the_schema_says() {
    let lines = written(&["web1", "web2", "db1", "db2", "db3"], |output| {
        play_all(output);
        let long = format!("out:{}", "x".repeat(1 << 20));
        report(output, super::output(1, &long));
        report(output, super::output(1, "out:more"));
    });
    assert_eq!(lines.matches("\"partial\":true").count(), 1);
    assert_eq!(validated(&lines), "batch connected end line progress start started summary\n");
    // The validator can say no.
    let wrong = lines.replace("\"exit\":7", "\"exit\":-7");
    assert!(validated(&wrong).starts_with("not allowed"), "{}", validated(&wrong));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Output can be read back as it was, whatever it is and however it arrives.
    #[test]
    fn lines_have_all_bytes(pieces in vec(vec(prop_oneof![Just(b'\n'), Just(b'"'), any::<u8>()], 0..20), 0..10)) {
        let lines = written(&["web1"], |output| {
            for bytes in &pieces {
                report(output, News::Output { host: 0, stream: StdStream::Stdout, bytes });
            }
            report(output, ended(0, &exited(0)));
        });
        let mut found = Vec::new();
        for line in lines.lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            if record["t"] == "line" {
                match (record["text"].as_str(), record["b64"].as_str()) {
                    (Some(text), None) => found.extend(text.bytes()),
                    (None, Some(b64)) => {
                        found.extend(base64::Engine::decode(&base64::prelude::BASE64_STANDARD, b64).unwrap());
                    }
                    other => panic!("{other:?}"),
                }
                found.push(b'\n');
            }
        }
        let mut expected = pieces.concat();
        if expected.last().is_some_and(|last| *last != b'\n') {
            expected.push(b'\n');
        }
        prop_assert_eq!(found, expected);
    }
}
