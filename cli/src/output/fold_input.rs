//! Folds what other programs print: `sshoal fold`, as `dshbak -c` and `clubak` do.

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _};
use std::time::Duration;

use memchr::memmem;
use sshoal::StdStream;
use sshoal::fleet::Timings;

use super::files::Files;
use super::folded::Folded;
use super::gather::Gathered;
use super::live::Live;
use super::ordered::Ordered;
use super::{Fold, Form, HostIndex, Hosts, News, Options, Report, Screen};
use crate::end::End;

/// A line that is longer is cut: it would not be text.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Lines that have no label.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unlabelled {
    pub count: usize,
    /// The first of them, as it is.
    pub first: Vec<u8>,
}

/// Reads lines such as `host: text` to their end, and writes them as the options say: in the order
/// of hosts with [`Form::Ordered`], line by line with [`Form::Live`], else in groups; into files
/// too with [`Options::outdir`]. Lines without a label are counted and left out.
pub fn fold(
    input: &mut dyn BufRead,
    separator: &str,
    options: &Options,
    fold: &Fold,
    screen: &mut Screen<'_>,
) -> io::Result<Unlabelled> {
    let (gathered, labels, unlabelled) = read(input, separator)?;
    let hosts = Hosts::new(labels, fold);
    if let Some(folder) = &options.outdir {
        replay(&gathered, &hosts, &mut Files::new(folder, StdStream::Stdout, &hosts)?, screen)?;
    }
    let mut view: Box<dyn Report + '_> = match options.form {
        Form::Ordered => Box::new(Ordered::of(&hosts, options, gathered)),
        Form::Live => {
            let mut live = Live::new(&hosts, options);
            replay(&gathered, &hosts, &mut live, screen)?;
            Box::new(live)
        }
        _ => Box::new(Folded::of(&hosts, options, gathered)),
    };
    view.report(News::Finished, Duration::ZERO, screen)?;
    screen.flush()?;
    Ok(unlabelled)
}

/// The lines of all hosts, and the labels of the hosts in the order of their names.
fn read(input: &mut dyn BufRead, separator: &str) -> io::Result<(Gathered, Vec<String>, Unlabelled)> {
    let mut gathered = Gathered::new();
    let mut numbers: HashMap<Vec<u8>, HostIndex> = HashMap::new();
    let mut labels: Vec<String> = Vec::new();
    let mut unlabelled = Unlabelled::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        let Some((label, text)) = split(&line, separator.as_bytes()) else {
            if unlabelled.count == 0 {
                unlabelled.first = line.trim_ascii_end().to_vec();
            }
            unlabelled.count += 1;
            continue;
        };
        let host = match numbers.get(label) {
            Some(host) => *host,
            None => {
                labels.push(String::from_utf8_lossy(label).into_owned());
                numbers.insert(label.to_vec(), labels.len() - 1);
                labels.len() - 1
            }
        };
        gathered.output(host, StdStream::Stdout, text)?;
    }
    let mut order: Vec<HostIndex> = (0..labels.len()).collect();
    order.sort_by_cached_key(|host| natural(&labels[*host]));
    for host in 0..labels.len() {
        gathered.end(host, &End::Exited(0))?;
    }
    let sorted = order.iter().map(|host| labels[*host].clone()).collect();
    Ok((gathered.reordered(&order), sorted, unlabelled))
}

/// The label and the text of a line. The separator and a blank come first, because a label may have
/// the separator in it: `2001:db8::1: text`.
fn split<'l>(line: &'l [u8], separator: &[u8]) -> Option<(&'l [u8], &'l [u8])> {
    let is_label = |label: &[u8]| !label.is_empty() && !label.iter().any(u8::is_ascii_whitespace);
    let spaced = [separator, b" "].concat();
    let ended = [separator, b"\n"].concat();
    [(&*spaced, spaced.len()), (&ended, separator.len()), (separator, separator.len())].into_iter().find_map(
        |(wanted, skipped)| {
            let at = memmem::find(line, wanted)?;
            let label = line[..at].trim_ascii();
            is_label(label).then(|| (label, &line[at + skipped..]))
        },
    )
}

/// A key by which `web9` is before `web10`.
fn natural(label: &str) -> Vec<(String, u64)> {
    let mut key: Vec<(String, u64)> = vec![(String::new(), 0)];
    let mut in_number = false;
    for character in label.chars() {
        let digit = character.to_digit(10);
        if in_number && digit.is_none() {
            key.push((String::new(), 0));
        }
        in_number = digit.is_some();
        if let Some((text, number)) = key.last_mut() {
            match digit {
                Some(digit) => *number = number.saturating_mul(10).saturating_add(digit.into()),
                None => text.push(character),
            }
        }
    }
    key
}

/// Reports the output of all hosts, one after the other.
fn replay(
    gathered: &Gathered,
    hosts: &Hosts<'_>,
    view: &mut dyn Report,
    screen: &mut Screen<'_>,
) -> io::Result<()> {
    for host in 0..hosts.len() {
        gathered.pieces(gathered.position(host, StdStream::Stdout), &mut |bytes| {
            view.report(News::Output { host, stream: StdStream::Stdout, bytes }, Duration::ZERO, screen)
        })?;
        let news = News::Ended { host, end: &End::Exited(0), timings: Timings::default() };
        view.report(news, Duration::ZERO, screen)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::{JOIN, Stage};

    fn folded(input: &str, options: &Options) -> (String, Unlabelled) {
        let stage = Stage::new(&[]);
        let unlabelled = fold(&mut input.as_bytes(), ":", options, JOIN, &mut stage.screen()).unwrap();
        (stage.out.text(), unlabelled)
    }

    fn labelled() -> Options {
        Options { form: Form::Folded { stderr: false }, label: true, ..Options::default() }
    }

    #[test]
    fn streams_of_other_tools_are_folded() {
        let input = "web10: a\nweb9:  b\nweb9: c:d\n  web10:  b\nweb2:a\nweb2:  b\nweb10: c:d\nweb2: c:d\n";
        let rule = "---------------";
        let expected = format!("{rule}\nweb2,web10 (2)\n{rule}\na\n b\nc:d\n{rule}\nweb9\n{rule}\n b\nc:d\n");
        assert_eq!(folded(input, &labelled()), (expected, Unlabelled::default()));
    }

    #[test]
    fn labels_may_have_colons_and_hosts_may_be_called_0() {
        let options = Options { form: Form::Ordered, ..labelled() };
        let input = "2001:db8::1: up\n0: zero\nweb1:2222: a: b\nweb3:\nno label here\nno\n";
        let (shown, unlabelled) = folded(input, &options);
        assert_eq!(shown, "0: zero\n2001:db8::1: up\nweb1:2222: a: b\nweb3: \n");
        assert_eq!(unlabelled, Unlabelled { count: 2, first: b"no label here".to_vec() });
    }

    #[test]
    fn lines_are_folded_one_by_one() {
        let options = Options { form: Form::Live, ..labelled() };
        let input = "web2: same\nweb1: same\nweb2: two\nweb1: one\nweb1: more\n";
        let expected = "web1,web2: same\nweb1: one\nweb2: two\nweb1: more\n";
        assert_eq!(folded(input, &options).0, expected);
    }

    #[test]
    fn files_are_written_too() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { outdir: Some(folder.path().to_owned()), ..labelled() };
        folded("web1: a\n../web2: b\nweb1:  c", &options);
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((read("web1"), read("%2E.%2Fweb2")), ("a\n c\n".to_owned(), "b\n".to_owned()));
    }
}
