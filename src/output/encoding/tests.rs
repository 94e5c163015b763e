use encoding_rs::{BIG5, EUC_JP, EUC_KR, GB18030, GBK, SHIFT_JIS, WINDOWS_1252};
use proptest::prelude::*;

use super::*;
use crate::output::LineBuffer;
use crate::text::sanitise;

fn encoding(label: &str) -> Encoding {
    Encoding::for_label(label).unwrap()
}

fn lossy(encoding: Encoding) -> Decoding {
    Decoding { encoding, strict: false }
}

fn strict(encoding: Encoding) -> Decoding {
    Decoding { encoding, strict: true }
}

/// The bytes that a host with this encoding sends for a text.
fn bytes(encoding: Encoding, text: &str) -> Vec<u8> {
    match encoding.line_ends() {
        LineEnds::Bytes => encoding.encode(text.as_bytes()).unwrap().into_owned(),
        LineEnds::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        LineEnds::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    }
}

/// The lines of a text by the rules of [`LineBuffer`].
fn lines_of(text: &str) -> Vec<String> {
    let mut lines: Vec<&str> = text.split('\n').collect();
    let rest = lines.pop().filter(|rest| !rest.is_empty());
    let lines = lines.into_iter().map(|line| line.strip_suffix('\r').unwrap_or(line));
    lines.chain(rest).map(str::to_owned).collect()
}

/// Decodes the first line of a stream.
fn decode(decoding: Decoding, line: &[u8]) -> Result<String, Malformed> {
    decoding.decode(line, true, &mut String::new()).map(str::to_owned)
}

/// Takes all lines that can be read so far.
fn drain(buffer: &mut LineBuffer, decoding: Decoding) -> Vec<Result<String, Malformed>> {
    buffer.set_line_ends(decoding.encoding.line_ends());
    let mut text = String::new();
    let next = || {
        let at_start = buffer.position() == 0;
        Some(decoding.decode(buffer.next_line()?, at_start, &mut text).map(str::to_owned))
    };
    std::iter::from_fn(next).collect()
}

fn read<'a>(
    decoding: Decoding,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Result<String, Malformed>> {
    let mut buffer = LineBuffer::new();
    let mut lines = Vec::new();
    for chunk in chunks {
        buffer.push(chunk);
        lines.extend(drain(&mut buffer, decoding));
    }
    buffer.finish();
    lines.extend(drain(&mut buffer, decoding));
    lines
}

fn read_lossy<'a>(encoding: Encoding, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    read(lossy(encoding), chunks).into_iter().map(Result::unwrap).collect()
}

#[test]
fn labels_are_those_of_the_standard() {
    for (label, name) in [
        ("utf-8", "UTF-8"),
        ("UTF8", "UTF-8"),
        (" Latin1 ", "windows-1252"),
        ("ascii", "windows-1252"),
        ("iso-8859-15", "ISO-8859-15"),
        ("utf-16", "UTF-16LE"),
        ("utf-16be", "UTF-16BE"),
        ("sjis", "Shift_JIS"),
        ("koi8-r", "KOI8-R"),
    ] {
        assert_eq!(encoding(label).name(), name, "{label}");
    }
    // The last two labels exist in the standard, but their decoder turns any input into a single
    // error.
    for label in ["", "klingon", "utf-32", "utf-7", "utf-8\0", "hz-gb-2312", "replacement"] {
        match Encoding::for_label(label) {
            Err(error @ Error::Config { .. }) => {
                let problem = "no label of the WHATWG's Encoding standard";
                assert_eq!(error.to_string(), format!("encoding \"{}\": {problem}", sanitise(label)));
            }
            other => panic!("{label:?}: {other:?}"),
        }
    }
}

/// Texts with characters of one to four bytes, some of which contain the bytes of `\n`,
/// `\r` or `\` in one of the encodings.
const TEXTS: [(&str, &str); 7] = [
    ("utf-8", "é\r\n\r\n表示\rĊഊ\u{1f980}\n\n\r\r\n\u{feff}no end\r"),
    ("utf-16le", "é\r\n\r\n表示\rĊഊ\u{a0d}\u{a00}\n\u{1f980}\n\n\r\r\n\u{feff}no end\r"),
    ("utf-16be", "é\r\n\r\n表示\rĊഊ\u{a0d}\u{a00}\n\u{1f980}\n\n\r\r\n\u{feff}no end\r"),
    ("shift_jis", "ア\r\n\r\n表示\rソ\\\n\n\r\r\nｱ no end\r"),
    ("latin1", "é\r\n\r\nüß\r€\n\n\r\r\nno end\r"),
    ("gb18030", "é\r\n\r\n表示\rĊഊ\u{1f980}\u{feff}\n\n\r\r\nno end\r"),
    ("big5", "功\r\n\r\n表許\r蓋\\\n\n\r\r\nno end\r"),
];

#[test]
fn every_cut_of_a_text_gives_the_same_lines() {
    for (label, text) in TEXTS {
        let encoding = encoding(label);
        let sent = bytes(encoding, text);
        let expected = lines_of(text);
        for second in 0..=sent.len() {
            for first in 0..=second {
                let chunks = [&sent[..first], &sent[first..second], &sent[second..]];
                assert_eq!(read_lossy(encoding, chunks), expected, "{label} cut at {first} and {second}");
            }
        }
        assert_eq!(read_lossy(encoding, sent.chunks(1)), expected, "{label} byte by byte");
    }
}

#[test]
fn lines_that_are_decoded_together_are_what_each_of_them_is() {
    for (label, text) in TEXTS {
        let encoding = encoding(label);
        let sent = bytes(encoding, text);
        match encoding.decode_lines(sent.clone()) {
            Ok(together) => assert_eq!((label, together.as_str()), ("utf-8", text)),
            Err(as_it_was) => assert!(label != "utf-8" && as_it_was == sent, "{label}"),
        }
    }
    let torn = b"\xc3\n\xa9\n".to_vec();
    assert_eq!(encoding("utf-8").decode_lines(torn.clone()), Err(torn));
}

/// If a line end could be part of a longer character, or be swallowed by an error, the lines would
/// depend on where the input is split.
#[test]
fn no_character_that_is_cut_short_takes_the_line_end_with_it() {
    for encoding in [BIG5, EUC_JP, EUC_KR, GB18030, GBK, SHIFT_JIS, WINDOWS_1252, UTF_8] {
        for pair in 0..=u16::MAX {
            let [first, second] = pair.to_be_bytes();
            for sent in [&[first, b'\n'][..], &[first, second, b'\n'], &[first, second, first, b'\n']] {
                let (text, _) = encoding.decode_without_bom_handling(sent);
                assert!(text.ends_with('\n'), "{sent:x?} in {}", encoding.name());
            }
        }
    }
}

#[test]
fn each_line_of_iso_2022_jp_begins_in_ascii() {
    let jp = encoding("iso-2022-jp");
    let text = "日本\r\nascii \\\n表\n";
    assert_eq!(read_lossy(jp, [&bytes(jp, text)[..]]), lines_of(text));
    // The first line does not return to ASCII, although RFC 1468 requires it.
    let careless = [b"\x1b$B".as_slice(), b"\x46\x7c\nplain\n"].concat();
    assert_eq!(read_lossy(jp, [&careless[..]]), ["日", "plain"]);
}

#[test]
fn a_byte_order_mark_counts_at_the_start_of_the_stream_alone() {
    for label in ["utf-8", "utf-16le", "utf-16be"] {
        let encoding = encoding(label);
        let sent = bytes(encoding, "\u{feff}a\n\u{feff}b\n");
        for chunk in 1..=sent.len() {
            assert_eq!(read_lossy(encoding, sent.chunks(chunk)), ["a", "\u{feff}b"], "{label}");
        }
        // Of two byte order marks, the first is dropped and the second is a character.
        assert_eq!(read_lossy(encoding, [&bytes(encoding, "\u{feff}\u{feff}\n")[..]]), ["\u{feff}"]);
        assert_eq!(read_lossy(encoding, [&bytes(encoding, "\u{feff}")[..]]), [""]);
        assert_eq!(read(strict(encoding), [&bytes(encoding, "\u{feff}a\n")[..]]), [Ok("a".to_owned())]);
    }
    // The byte order mark of another encoding does not change the encoding.
    assert_eq!(read_lossy(encoding("latin1"), [&b"\xef\xbb\xbfa\n"[..]]), ["ï»¿a"]);
    assert_eq!(read_lossy(encoding("utf-8"), [&b"\xff\xfea\n"[..]]), ["\u{fffd}\u{fffd}a"]);
    assert_eq!(read_lossy(encoding("utf-16le"), [&b"\xfe\xff\0a"[..]]), ["\u{fffe}\u{6100}"]);
}

#[test]
fn what_is_not_in_the_encoding_is_replaced_or_an_error_with_its_bytes() {
    let lone = |units: &[u16]| units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<u8>>();
    for (label, line, offset, text) in [
        ("utf-8", b"ok \xff\xe8\xa1".to_vec(), 3, "ok \u{fffd}\u{fffd}"),
        ("shift_jis", b"ok \x95".to_vec(), 3, "ok \u{fffd}"),
        ("shift_jis", b"ok \x95\x5c \xff".to_vec(), 6, "ok 表 \u{fffd}"),
        ("gb18030", b"ok \x81\x30\x81".to_vec(), 3, "ok \u{fffd}"),
        ("utf-16le", lone(&[0x61, 0xd800, 0x62]), 2, "a\u{fffd}b"),
        ("utf-16le", lone(&[0x61, 0xdc00]), 2, "a\u{fffd}"),
        ("utf-16le", b"a\0b".to_vec(), 2, "a\u{fffd}"),
    ] {
        let encoding = encoding(label);
        assert_eq!(decode(lossy(encoding), &line), Ok(text.to_owned()), "{label}");
        let malformed = Malformed { line: line.clone(), offset };
        assert_eq!(decode(strict(encoding), &line), Err(malformed), "{label}");
    }
    // The invalid byte comes after a byte order mark and after more text than the search buffer
    // holds.
    let long = [b"\xef\xbb\xbf".as_slice(), &b"x".repeat(1000), b"\xff tail"].concat();
    let malformed = Malformed { line: long.clone(), offset: 1003 };
    assert_eq!(decode(strict(encoding("utf-8")), &long), Err(malformed));
}

#[test]
fn valid_utf_8_is_not_copied_and_other_text_takes_no_new_memory() {
    let mut text = String::new();
    let line = "\u{feff}表 valid".as_bytes();
    let decoded = lossy(encoding("utf-8")).decode(line, true, &mut text).unwrap();
    assert_eq!((decoded, decoded.as_ptr()), ("表 valid", line[3..].as_ptr()));
    assert_eq!(text.capacity(), 0);
    for (label, line) in [("utf-8", b"a\xffb".repeat(300)), ("utf-16le", b"a\0\xe9\0".repeat(300))] {
        let decoding = lossy(encoding(label));
        decoding.decode(&line, false, &mut text).unwrap();
        let (place, capacity) = (text.as_ptr(), text.capacity());
        for len in [line.len(), 4, 0, line.len()] {
            let decoded = decoding.decode(&line[..len], false, &mut text).unwrap();
            assert_eq!(*decoded, *encoding(label).0.decode_without_bom_handling(&line[..len]).0);
        }
        assert_eq!((text.as_ptr(), text.capacity()), (place, capacity), "{label}");
    }
    // A long line keeps no memory beyond the next one.
    let long = b"\xff".repeat(3 * TEXT_RETAINED);
    assert_eq!(lossy(encoding("latin1")).decode(&long, false, &mut text).unwrap(), "ÿ".repeat(long.len()));
    lossy(encoding("latin1")).decode(b"\xff", false, &mut text).unwrap();
    assert!(text.capacity() <= TEXT_RETAINED, "{}", text.capacity());
}

#[test]
fn an_error_takes_one_line_and_no_more() {
    for (label, broken) in [("utf-8", &b"\xff\xfe"[..]), ("utf-16be", b"\xd8\0"), ("shift_jis", b"\x81")] {
        let encoding = encoding(label);
        let sent = [bytes(encoding, "a\n"), broken.to_vec(), bytes(encoding, "\r\nb\n")].concat();
        for chunk in 1..=sent.len() {
            let lines = read(strict(encoding), sent.chunks(chunk));
            let malformed = Malformed { line: broken.to_vec(), offset: 0 };
            assert_eq!(lines, [Ok("a".to_owned()), Err(malformed), Ok("b".to_owned())], "{label}");
        }
    }
}

#[test]
fn text_is_encoded_or_refused_with_its_place() {
    assert_eq!(*encoding("shift_jis").encode("ls 表".as_bytes()).unwrap(), *b"ls \x95\x5c");
    assert_eq!(*encoding("latin1").encode("é€".as_bytes()).unwrap(), *b"\xe9\x80");
    assert_eq!(*encoding("iso-2022-jp").encode("日".as_bytes()).unwrap(), *b"\x1b$B\x46\x7c\x1b(B");
    for label in ["utf-8", "utf-16le", "utf-16be"] {
        assert_eq!(*encoding(label).encode(b"\xff as it is").unwrap(), *b"\xff as it is", "{label}");
    }
    let long = format!("{}é\u{1f980}", "é".repeat(5000));
    for (label, text, offset) in [
        ("latin1", "aé表", 3),
        ("shift_jis", "表é", 3),
        ("iso-2022-jp", "日\u{1b}x", 3),
        ("big5", "\u{1f980}", 0),
        ("latin1", &long, 10_002),
    ] {
        let encoding = encoding(label);
        let problem = CommandProblem::Unencodable { offset, encoding: encoding.name() };
        assert_eq!(encoding.encode(text.as_bytes()), Err(problem), "{label}");
    }
    let problem = CommandProblem::NotUtf8 { offset: 1, encoding: "windows-1252" };
    assert_eq!(encoding("latin1").encode(b"a\xe9"), Err(problem));
}

/// A text whose characters all exist in its encoding.
fn text() -> impl Strategy<Value = (&'static str, String)> {
    let any = || prop_oneof![6 => any::<char>(), 1 => Just('\n'), 1 => Just('\r')];
    let of = |characters: &'static str| prop::sample::select(characters.chars().collect::<Vec<_>>());
    let text = |label: &'static str, characters: BoxedStrategy<char>| {
        let text = prop::collection::vec(characters, 0..60).prop_map(String::from_iter);
        text.prop_map(move |text| (label, text))
    };
    prop_oneof![
        text("utf-8", any().boxed()),
        text("utf-16le", any().boxed()),
        text("utf-16be", any().boxed()),
        // GB18030 has no code for one of the private-use characters, and encodes others as those
        // that have replaced them.
        text("gb18030", any().prop_filter("private use", |c| !('\u{e000}'..='\u{f8ff}').contains(c)).boxed()),
        text("shift_jis", of("表示ソ能ア｡ｱaz\\0\n\n\r").boxed()),
        text("latin1", of("éß€ÿ az\\0\n\n\r").boxed()),
    ]
}

/// Bytes with many line ends and many invalid sequences.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => any::<u8>(), 2 => Just(b'\n'), 1 => Just(b'\r'), 2 => Just(0), 1 => Just(0xd8), 1 => Just(b'0'),
    ];
    prop::collection::vec(byte, 0..40)
}

proptest! {
    #[test]
    fn any_chunks_of_a_text_give_its_lines((label, text) in text(), sizes in prop::collection::vec(1_usize..9, 400)) {
        let encoding = encoding(label);
        let sent = bytes(encoding, &text);
        let mut rest = &sent[..];
        let chunks = sizes.into_iter().map_while(|size| {
            let (chunk, tail) = rest.split_at_checked(size).unwrap_or((rest, &[]));
            rest = tail;
            Some(chunk).filter(|chunk| !chunk.is_empty())
        });
        let mut expected = lines_of(&text);
        if label.starts_with("utf") && let Some(first) = expected.first_mut() {
            *first = first.strip_prefix('\u{feff}').unwrap_or(first).to_owned();
        }
        prop_assert_eq!(read(strict(encoding), chunks), expected.into_iter().map(Ok).collect::<Vec<_>>());
    }

    /// GB18030 is left out because a truncated long character at the end of a text consumes more
    /// bytes than one at the end of a line.
    #[test]
    fn lines_of_any_bytes_are_those_of_the_whole_text(
        label in prop::sample::select(vec!["utf-8", "utf-16le", "utf-16be", "shift_jis", "latin1", "big5"]),
        chunks in prop::collection::vec(noise(), 0..12),
    ) {
        let encoding = encoding(label);
        let sent = chunks.concat();
        let mark = encoding.mark(&sent, true);
        let (whole, _) = encoding.0.decode_without_bom_handling(&sent[mark..]);
        let mut expected = lines_of(&whole);
        if expected.is_empty() && mark > 0 {
            expected.push(String::new());
        }
        let chunks = || chunks.iter().map(Vec::as_slice);
        prop_assert_eq!(&read_lossy(encoding, chunks()), &expected);
        // Strict decoding gives the same lines, except for an error in place of each line with
        // replacements.
        for (line, expected) in read(strict(encoding), chunks()).into_iter().zip(expected) {
            match line {
                Ok(line) => prop_assert_eq!(line, expected),
                Err(Malformed { line, offset }) => {
                    prop_assert!(expected.contains(char::REPLACEMENT_CHARACTER));
                    prop_assert!(offset < line.len());
                }
            }
        }
    }
}
