//! What each form writes, byte by byte.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::output::{Form, Headers, Sort};

const RULE: &str = "---------------";

pub fn options(form: Form) -> Options {
    Options { form, label: true, quiet: true, ..Options::default() }
}

const FOLDED: Form = Form::Folded { stderr: false };

/// What a run writes on pipes: standard output and standard error.
pub fn written(labels: &[&str], options: &Options, play: impl FnOnce(&mut Output<'_>)) -> (String, String) {
    let (out, err) = (Written::default(), Written::default());
    let hosts = hosts(labels);
    let mut output = run(&hosts, options, screen(&out, &err, false, false));
    play(&mut output);
    output.report(News::Finished, at(2_500)).unwrap();
    (out.text(), err.text())
}

/// Reports output, one turn after another, and that all hosts have ended well.
fn say(output: &mut Output<'_>, pieces: &[(usize, &str)]) {
    for (host, text) in pieces {
        output.report(super::output(*host, text), at(1)).unwrap();
        output.turn(at(1)).unwrap();
    }
}

pub fn end(output: &mut Output<'_>, ends: &[(usize, End)]) {
    for (host, end) in ends {
        output.report(ended(*host, end), at(10 * (*host as u64 + 1))).unwrap();
    }
}

#[test]
fn lines_are_written_whole_with_their_host() {
    let (out, err) = written(&["web1", "web10"], &options(Form::Stream), |output| {
        say(output, &[(0, "out:one\ntw"), (1, "out:ten\r\n"), (1, "err:oh"), (0, "out:o\n\nlast")]);
        say(output, &[(1, "err: no\n"), (1, "out:raw\x1b[2J\tbytes\n")]);
        end(output, &[(0, exited(0)), (1, exited(0))]);
    });
    // A program gets the bytes as they are, and one blank behind the label.
    assert_eq!(out, "web1: one\nweb10: ten\nweb1: two\nweb1: \nweb10: raw\x1b[2J\tbytes\nweb1: last\n");
    assert_eq!(err, "web10: oh no\n");
}

#[test]
fn a_very_long_line_is_written_in_pieces_and_ends_once() {
    let (begin, rest) = (format!("out:{}", "x".repeat(1 << 20)), "out:yz");
    let (out, _) = written(&["w1"], &options(Form::Stream), |output| {
        say(output, &[(0, &begin), (0, rest), (0, "out:\nnext\n")]);
    });
    assert_eq!(out, format!("w1: {}yz\nw1: next\n", &begin[4..]));
}

#[test]
fn labels_can_be_left_out() {
    let options = Options { label: false, ..options(Form::Stream) };
    let (out, _) = written(&["web1"], &options, |output| say(output, &[(0, "out:a\nb")]));
    assert_eq!(out, "a\nb\n");
    let folded = Options { form: FOLDED, ..options };
    let (out, _) = written(&["web1", "web2"], &folded, |output| {
        say(output, &[(0, "out:a\n"), (1, "out:b\n")]);
        end(output, &[(0, exited(0)), (1, exited(0))]);
    });
    assert_eq!(out, "a\nb\n");
}

#[test]
fn hosts_are_written_in_order() {
    let play = |output: &mut Output<'_>| {
        say(output, &[(2, "out:c1\n"), (1, "out:b1\n"), (0, "out:a1\na"), (1, "err:b!\n"), (2, "out:c2")]);
        end(output, &[(1, exited(0)), (2, exited(0))]);
        say(output, &[(0, "out:2\n")]);
        end(output, &[(0, exited(0))]);
    };
    let labels = ["a", "b", "c"];
    let (out, err) = written(&labels, &options(Form::Ordered), play);
    assert_eq!((&*out, &*err), ("a: a1\na: a2\nb: b1\nc: c1\nc: c2\n", "b: b!\n"));
    let by = |sort| Options { sort: Some(sort), ..options(Form::Ordered) };
    let (out, _) = written(&labels, &by(Sort::Time), play);
    assert_eq!(out, "b: b1\nc: c1\nc: c2\na: a1\na: a2\n");
    let (out, _) = written(&["a", "b", "c"], &by(Sort::Output), |output| {
        say(output, &[(0, "out:z\n"), (1, "out:10\n"), (2, "out:1\n")]);
    });
    assert_eq!(out, "c: 1\nb: 10\na: z\n");
}

#[test]
fn the_first_host_is_not_held_back() {
    let stage = Stage::new(&["a", "b"]);
    let mut view = crate::output::ordered::Ordered::new(&stage.hosts, &options(Form::Ordered));
    stage.play(&mut view, &[(1, "out:later\nand"), (0, "out:now\n")]);
    assert_eq!(stage.out.text(), "a: now\n");
    stage.end(&mut view, 0, &exited(0));
    assert_eq!(stage.out.text(), "b: later\n");
    stage.play(&mut view, &[(1, "out: then\n")]);
    assert_eq!(stage.out.text(), "b: and then\n");
}

#[test]
fn the_order_of_a_hosts_streams_is_kept() {
    let stage = Stage::terminal(&["a", "b"], false);
    let mut view = crate::output::ordered::Ordered::new(&stage.hosts, &options(Form::Ordered));
    let pieces = [(1, "err:1\n"), (1, "out:2\nth"), (1, "err:3\n"), (1, "out:ree\n"), (1, "out:4\n")];
    stage.play(&mut view, &pieces);
    stage.end(&mut view, 0, &exited(0));
    // Both are one screen.
    stage.play(&mut view, &[(1, "err:5\n")]);
    let shown = |written: Vec<u8>| String::from_utf8(written).unwrap();
    let (out, err) = (shown(stage.out.take()), shown(stage.err.take()));
    assert_eq!((&*out, &*err), ("b: 2\nb: three\nb: 4\n", "b: 1\nb: 3\nb: 5\n"));
}

#[test]
fn hosts_that_differ_are_known_after_live_output_was_dropped() {
    let stage = Stage::terminal(&["a", "b", "other", "less", "more"], false);
    let mut view = crate::output::live::Live::new(&stage.hosts, &options(Form::Live));
    let all = [0, 1, 2, 3, 4];
    let first = |host| if host == 2 { "out:other\n" } else { "out:same\n" };
    stage.play(&mut view, &all.map(|host| (host, first(host))));
    // More than the store keeps of what was written.
    let line = format!("out:{}\n", "x".repeat(512 * 1024));
    for _ in 0..40 {
        stage.play(&mut view, &all.map(|host| (host, line.as_str())));
    }
    stage.end(&mut view, 3, &exited(0));
    for _ in 0..40 {
        stage.play(&mut view, &[0, 1, 2, 4].map(|host| (host, line.as_str())));
    }
    stage.play(&mut view, &[(4, "out:more\n")]);
    [0, 1, 2, 4].into_iter().for_each(|host| stage.end(&mut view, host, &exited(0)));
    stage.finish(&mut view);
    assert_eq!(view.differing(), Some(vec![2, 3, 4]));
}

#[test]
fn views_that_fold_know_which_hosts_differ() {
    let differing = |form: Options| {
        let hosts = hosts(&FIVE);
        let (out, err) = (Written::default(), Written::default());
        let mut output = run(&hosts, &form, screen(&out, &err, false, false));
        play_groups(&mut output);
        output.report(News::Finished, at(9)).unwrap();
        output.differing()
    };
    // w4 has printed nothing, w5 something else; w2 has failed with the same output.
    assert_eq!(differing(options(FOLDED)), Some(vec![3, 4]));
    assert_eq!(differing(Options { diff: true, ..options(FOLDED) }), Some(vec![3, 4]));
    assert_eq!(differing(options(Form::Live)), Some(vec![3, 4]));
    // Of the two that agree, one has written to standard error.
    assert_eq!(differing(options(Form::Folded { stderr: true })).map(|hosts| hosts.len()), Some(3));
    assert_eq!(differing(options(Form::Stream)), None);
}

/// Five hosts: two agree, one differs, one agrees but fails, one prints nothing.
fn play_groups(output: &mut Output<'_>) {
    say(output, &[(4, "out:x\n"), (0, "out:sa"), (2, "out:same"), (0, "err:warn\n"), (0, "out:me\n")]);
    say(output, &[(1, "out:same\n"), (1, "err:warn")]);
    end(output, &[(0, exited(0)), (1, exited(1)), (2, exited(0)), (3, exited(0)), (4, exited(0))]);
}

const FIVE: [&str; 5] = ["w1", "w2", "w3", "w4", "w5"];

#[test]
fn groups_are_hosts_with_the_same_output_and_end() {
    let (out, err) = written(&FIVE, &options(FOLDED), play_groups);
    let expected =
        format!("{RULE}\nw1,w3 (2)\n{RULE}\nsame\n{RULE}\nw5\n{RULE}\nx\n{RULE}\nw2: exit 1\n{RULE}\nsame\n");
    assert_eq!(out, expected);
    assert_eq!(err, "w1: warn\nw2: warn\nsshoal: w2: exit 1\n");

    let (out, err) = written(&FIVE, &options(Form::Folded { stderr: true }), play_groups);
    assert_eq!(out, expected);
    let expected =
        format!("{RULE}\nw1\n{RULE}\nwarn\n{RULE}\nw2: exit 1\n{RULE}\nwarn\nsshoal: w2: exit 1\n");
    assert_eq!(err, expected);
}

#[test]
fn groups_are_sorted() {
    let headers = |sort| {
        let options = Options { sort: Some(sort), ..options(FOLDED) };
        let (out, _) = written(&["a", "b", "c", "d"], &options, |output| {
            say(output, &[(0, "out:z\n"), (1, "out:y\n"), (2, "out:y\n"), (3, "out:x\n")]);
            end(output, &[(3, exited(0)), (1, exited(0)), (0, exited(0)), (2, exited(0))]);
        });
        let lines: Vec<&str> = out.lines().collect();
        lines.chunks(4).map(|group| group[1].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(headers(Sort::Host), ["a", "b,c (2)", "d"]);
    assert_eq!(headers(Sort::Output), ["d", "b,c (2)", "a"]);
    assert_eq!(headers(Sort::Time), ["d", "b,c (2)", "a"]);
}

#[test]
fn headers_can_be_those_of_dshbak() {
    let play = |output: &mut Output<'_>| {
        say(output, &[(0, "out:a\n"), (1, "out:a\n")]);
        end(output, &[(0, exited(0)), (1, exited(0))]);
    };
    let rule = "-".repeat(16);
    let by = |headers| Options { headers, ..options(FOLDED) };
    let (out, _) = written(&["w1", "w2"], &by(Headers::Dshbak), play);
    assert_eq!(out, format!("{rule}\nw1,w2\n{rule}\na\n"));
    let (out, _) = written(&["w1", "w2"], &by(Headers::DshbakEach), play);
    assert_eq!(out, format!("{rule}\nw1\n{rule}\na\n{rule}\nw2\n{rule}\na\n"));
}

#[test]
fn groups_are_shown_as_differences_to_the_largest() {
    let options = Options { diff: true, ..options(FOLDED) };
    let common = "out:1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    let (out, _) = written(&["w1", "w2", "w3"], &options, |output| {
        say(output, &[(0, "out:1\n2\n3\n4\n5\n6\nseven\n8\n9\nten"), (1, common), (2, common)]);
        end(output, &[(0, exited(2)), (1, exited(0)), (2, exited(0))]);
    });
    let expected = "--- w2,w3 (2)\n+++ w1: exit 2\n@@ -4,6 +4,7 @@\n 4\n 5\n 6\n-7\n+seven\n 8\n 9\n+ten\n";
    assert_eq!(out, expected);
    // The largest group counts although it failed; of groups of the same size, one that did not.
    let reference = |hosts: &[(usize, &str, u32)]| {
        let (out, _) = written(&["w1", "w2", "w3"], &options, |output| {
            for (host, text, status) in hosts {
                say(output, &[(*host, text)]);
                end(output, &[(*host, exited(*status))]);
            }
        });
        out.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(reference(&[(0, "out:a", 0), (1, "out:b", 1), (2, "out:b", 1)]), "--- w2,w3 (2): exit 1");
    assert_eq!(reference(&[(0, "out:a", 1), (1, "out:b", 0)]), "--- w2");
    // Nothing to compare with: the output is shown.
    let (out, _) = written(&["w1"], &options, |output| {
        say(output, &[(0, "out:a\n")]);
        end(output, &[(0, exited(0))]);
    });
    assert_eq!(out, format!("{RULE}\nw1\n{RULE}\na\n"));
}

#[test]
fn a_line_is_folded_live_when_no_host_can_add_to_it() {
    let stage = Stage::terminal(&["a", "b", "c"], false);
    let mut view = crate::output::live::Live::new(&stage.hosts, &options(Form::Live));
    stage.play(&mut view, &[(0, "out:one\ntwo\nthree\n"), (1, "out:one\n2\nthr")]);
    assert_eq!(stage.out.text(), "");
    stage.play(&mut view, &[(2, "out:one\n")]);
    assert_eq!(stage.out.text(), "a,b,c: one\n");
    // A host that has ended is not waited for.
    stage.end(&mut view, 2, &exited(0));
    assert_eq!(stage.out.text(), "a: two\nb: 2\n");
    stage.play(&mut view, &[(1, "out:ee\nfour")]);
    assert_eq!(stage.out.text(), "a,b: three\n");
    stage.end(&mut view, 0, &exited(0));
    assert_eq!(stage.out.text(), "");
    stage.end(&mut view, 1, &exited(0));
    assert_eq!(stage.out.text(), "b: four\n");
    stage.finish(&mut view);
    assert_eq!(stage.out.text(), "");
}

#[test]
fn without_a_terminal_lines_are_folded_at_the_end() {
    let stage = Stage::new(&["a", "b"]);
    let mut view = crate::output::live::Live::new(&stage.hosts, &options(Form::Live));
    stage.play(&mut view, &[(0, "out:one\nx\n"), (1, "out:one\nlast")]);
    stage.end(&mut view, 0, &exited(0));
    assert_eq!(stage.out.text(), "");
    stage.finish(&mut view);
    assert_eq!(stage.out.text(), "a,b: one\na: x\nb: last\n");
}

#[test]
fn a_view_that_fails_writes_what_it_has_and_the_others_go_on() {
    /// Has room for one piece.
    struct Full(Vec<u8>);

    impl Report for Full {
        fn report(&mut self, news: News<'_>, _: Duration, screen: &mut Screen<'_>) -> io::Result<()> {
            match news {
                News::Output { bytes, .. } if self.0.is_empty() => self.0 = bytes.to_vec(),
                News::Output { .. } => return Err(io::Error::other("full")),
                News::Finished => screen.bytes(StdStream::Stderr, &self.0)?,
                _ => {}
            }
            Ok(())
        }
    }

    let (out, err) = written(&["w1"], &options(Form::Stream), |output| {
        output.views.insert(0, Box::new(Full(Vec::new())));
        say(output, &[(0, "out:one\n")]);
        let error = output.report(super::output(0, "out:two\n"), at(1)).unwrap_err();
        assert_eq!(error.to_string(), "full");
        say(output, &[(0, "out:three\n")]);
    });
    assert_eq!((&*out, &*err), ("w1: one\nw1: two\nw1: three\n", "one\n"));
}

#[test]
fn both_streams_are_not_written_to_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let (outdir, errdir) = (Some(path.clone()), Some(path.join("../x")));
    let options = Options { outdir, errdir, ..options(Form::Stream) };
    let (hosts, written) = (hosts(&["w1"]), Written::default());
    let screen = screen(&written, &written, false, false);
    let error = Output::new(&options, &hosts, screen, SystemTime::UNIX_EPOCH).err().unwrap().to_string();
    let expected =
        "--outdir and --errdir are the same folder, where one file would replace another: give two";
    assert_eq!(error, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Every host is in the folded output once, with what it has printed.
    #[test]
    fn folded_output_has_every_host_once(
        pieces in vec((0..5_usize, "(one|two|\n){0,3}"), 0..40),
        statuses in vec(0..2_u32, 5),
        diff_sort in prop_oneof![Just(None), Just(Some(Sort::Host)), Just(Some(Sort::Output)), Just(Some(Sort::Time))],
    ) {
        let options = Options { sort: diff_sort, ..options(FOLDED) };
        let mut expected: BTreeMap<String, String> = BTreeMap::new();
        let (out, _) = written(&FIVE, &options, |output| {
            for (host, text) in &pieces {
                say(output, &[(*host, &format!("out:{text}"))]);
                expected.entry(FIVE[*host].to_owned()).or_default().push_str(text);
            }
            for (host, status) in statuses.iter().enumerate() {
                end(output, &[(host, exited(*status))]);
            }
        });
        expected.retain(|_, text| !text.is_empty());
        for text in expected.values_mut().filter(|text| !text.ends_with('\n')) {
            text.push('\n');
        }
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        let rule = format!("{RULE}\n");
        let mut parts = out.split(&*rule).skip(1);
        while let (Some(header), Some(text)) = (parts.next(), parts.next()) {
            let (set, is_failed) = match header.trim_end().strip_suffix(": exit 1") {
                Some(set) => (set, true),
                None => (header.trim_end(), false),
            };
            for host in set.split(" (").next().unwrap_or_default().split(',') {
                let number = FIVE.iter().position(|label| *label == host).unwrap();
                prop_assert_eq!(statuses[number] == 1, is_failed);
                prop_assert!(found.insert(host.to_owned(), text.to_owned()).is_none(), "{} twice", host);
            }
        }
        prop_assert_eq!(found, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Each form that writes `host: line` has the lines of each host once and in order, also if
    /// hosts end early or do not end at all.
    #[test]
    fn lines_of_a_host_stay_in_order(
        steps in vec((0..5_usize, "(one|two|\n){0,3}", any::<bool>()), 0..40),
        form in prop_oneof![Just(Form::Stream), Just(Form::Ordered), Just(Form::Live)],
        sort in prop_oneof![Just(None), Just(Some(Sort::Output)), Just(Some(Sort::Time))],
        terminal in any::<bool>(),
    ) {
        let hosts = hosts(&FIVE);
        let (out, err) = (Written::default(), Written::default());
        let screen = screen(&out, &err, terminal, false);
        let mut output = run(&hosts, &Options { sort, ..options(form) }, screen);
        let mut expected = vec![String::new(); 5];
        let mut has_ended = [false; 5];
        for (host, text, ends) in &steps {
            if has_ended[*host] {
                continue;
            }
            expected[*host].push_str(text);
            say(&mut output, &[(*host, &format!("out:{text}"))]);
            if *ends {
                has_ended[*host] = true;
                end(&mut output, &[(*host, exited(0))]);
            }
        }
        output.report(News::Finished, at(9)).unwrap();
        let mut found = vec![Vec::new(); 5];
        let shown = out.text();
        for line in shown.lines() {
            let (set, text) = line.split_once(": ").unwrap();
            for label in set.split(',') {
                found[FIVE.iter().position(|known| *known == label).unwrap()].push(text);
            }
        }
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert_eq!(found, &expected.lines().collect::<Vec<_>>());
        }
    }
}
