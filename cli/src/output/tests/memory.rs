//! How much memory the output of many hosts takes, by what is allocated.

use allocation_counter::measure;

use super::*;
use crate::output::Form;

/// Folded, and nothing else written.
fn options() -> Options {
    Options { form: Form::Folded { stderr: false }, label: true, quiet: true, ..Options::default() }
}

/// 10,000 hosts with the same megabyte, in pieces of different sizes, interleaved.
#[test]
fn equal_output_of_many_hosts_takes_the_memory_of_one() {
    const HOSTS: usize = 10_000;
    let text: Vec<u8> = (0..16_384_u32).flat_map(|line| format!("{line:0>63}\n").into_bytes()).collect();
    assert_eq!(text.len(), 1 << 20);
    let labels: Vec<String> = (0..HOSTS).map(|host| format!("host{host}")).collect();
    let hosts = Hosts::new(labels, JOIN);
    let (out, err) = (Written::default(), Written::default());
    let mut finished = Duration::ZERO;
    let mut last = Duration::ZERO;
    let peak = measure(|| {
        let mut output = run(&hosts, &options(), screen(&out, &err, false, false));
        let mut at_byte = vec![0; HOSTS];
        for round in 0.. {
            let mut is_over = true;
            for (host, sent) in at_byte.iter_mut().enumerate() {
                // The last host falls silent in the middle.
                let whole = if host == HOSTS - 1 { text.len() / 2 } else { text.len() };
                let size = 60_000 + (host * 7 + round * 13) % 5_000;
                let bytes = &text[*sent..whole.min(*sent + size)];
                if !bytes.is_empty() {
                    is_over = false;
                    *sent += bytes.len();
                    output.report(News::Output { host, stream: StdStream::Stdout, bytes }, at(1)).unwrap();
                }
            }
            if is_over {
                break;
            }
        }
        for host in 0..HOSTS - 1 {
            output.report(ended(host, &exited(0)), at(2)).unwrap();
        }
        let start = std::time::Instant::now();
        let rest = &text[text.len() / 2..];
        let (host, stream) = (HOSTS - 1, StdStream::Stdout);
        output.report(News::Output { host, stream, bytes: rest }, at(3)).unwrap();
        output.report(ended(host, &exited(0)), at(3)).unwrap();
        last = start.elapsed();
        output.report(News::Finished, at(3)).unwrap();
        finished = start.elapsed();
    });
    let shown = out.take();
    assert!(shown.ends_with(&text) && shown.len() < text.len() + 200_000, "{} bytes", shown.len());
    println!("{} bytes at most, folded in {finished:?} after the last output in {last:?}", peak.bytes_max);
    assert!(peak.bytes_max < 16 << 20, "{} bytes", peak.bytes_max);
    assert!(finished < Duration::from_secs(1), "{finished:?}");
}

/// Output that has nothing in common does not fill the memory.
#[test]
fn different_output_of_many_hosts_goes_to_a_file() {
    const HOSTS: usize = 1_000;
    let labels: Vec<String> = (0..HOSTS).map(|host| format!("host{host}")).collect();
    let hosts = Hosts::new(labels, JOIN);
    let (out, err) = (Written::default(), Written::default());
    let line = "x".repeat(99);
    let peak = measure(|| {
        let mut output = run(&hosts, &options(), screen(&out, &err, false, false));
        let stream = StdStream::Stdout;
        for round in 0..10 {
            for host in 0..HOSTS {
                let bytes = format!("{host} {round} {line}\n").repeat(100);
                output.report(News::Output { host, stream, bytes: bytes.as_bytes() }, at(1)).unwrap();
            }
        }
        // Not finished, because what is written is in memory here.
    });
    assert!(peak.bytes_max < 48 << 20, "{} bytes", peak.bytes_max);
}

#[test]
fn live_folding_forgets_what_was_written() {
    let stage = Stage::terminal(&["a", "b"], false);
    let mut view = crate::output::live::Live::new(&stage.hosts, &Options { form: Form::Live, ..options() });
    let line = format!("out:{}\n", "x".repeat(999_999));
    let peak = measure(|| {
        for _ in 0..60 {
            stage.play(&mut view, &[(0, &line), (1, &line)]);
            let written = stage.out.text();
            assert_eq!((written.len(), &written[..6]), (line.len() - 4 + 5, "a,b: x"));
        }
        stage.play(&mut view, &[(0, "out:begun"), (1, "out:be")]);
        stage.play(&mut view, &[(0, "out:\n"), (1, "out:gun\n")]);
    });
    assert_eq!(stage.out.text(), "a,b: begun\n");
    assert!(peak.bytes_max < 24 << 20, "{} bytes", peak.bytes_max);
}
