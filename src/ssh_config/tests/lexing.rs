//! The lexers, from the behaviour of OpenSSH 9.2 (misc.c, `strdelim` and `argv_split`; its unit
//! tests are in regress/unittests/misc/test_argv.c and test_strdelim.c).

use crate::ssh_config::lexer::{LexError, delimited, line, split};

fn words(text: &str) -> Result<Vec<String>, LexError> {
    let words = split(text.as_bytes())?;
    Ok(words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect())
}

#[track_caller]
fn splits(text: &str, expected: &[&str]) {
    assert_eq!(words(text).unwrap(), expected, "{text:?}");
}

#[test]
fn arguments_are_split_as_by_argv_split() {
    splits("", &[]);
    splits("    \t", &[]);
    splits("leamas", &["leamas"]);
    splits("smiley ghost", &["smiley", "ghost"]);
    splits("  a \t b ", &["a", "b"]);
    // A carriage return is no white space here.
    splits("a\rb", &["a\rb"]);
    splits("\"smiley\"", &["smiley"]);
    splits("'smiley is' here", &["smiley is", "here"]);
    splits("a'b'\"c d\"e", &["abc de"]);
    splits("'' \"\"", &["", ""]);
    splits("\"it's\" '\"'", &["it's", "\""]);
}

#[test]
fn a_backslash_escapes_quotes_backslashes_and_bare_blanks() {
    splits(r"a\ b", &["a b"]);
    splits(r"'a\ b'", &[r"a\ b"]);
    splits(r#"\"a\'"#, &["\"a'"]);
    splits(r#""a\"b""#, &["a\"b"]);
    splits(r"'it\'s'", &["it's"]);
    splits(r"\\", &[r"\"]);
    splits(r"a\nb\", &[r"a\nb\"]);
    splits("a\\\tb", &["a\\", "b"]);
}

#[test]
fn a_comment_begins_at_the_start_of_a_word() {
    splits("a # b", &["a"]);
    splits("#", &[]);
    splits("a#b c", &["a#b", "c"]);
    splits("'#' \"#a\" # x", &["#", "#a"]);
    splits(r"\# a", &[r"\#", "a"]);
    // A quote in a comment needs no end.
    splits("a # it's", &["a"]);
}

#[test]
fn quotes_have_to_end() {
    for text in ["'", "\"a", "a 'b\"", r#""a\""#] {
        assert_eq!(words(text), Err(LexError::Quote), "{text}");
    }
}

fn delimit(text: &str) -> Vec<String> {
    let mut rest = Some(text.as_bytes());
    let mut words = Vec::new();
    while let Some(word) = delimited(&mut rest) {
        words.push(String::from_utf8(word.into_owned()).unwrap());
    }
    words
}

#[test]
fn criteria_are_cut_as_by_strdelim() {
    assert_eq!(delimit("blob"), ["blob"]);
    assert_eq!(delimit("blob   "), ["blob", ""]);
    assert_eq!(delimit("  blob"), ["", "blob"]);
    assert_eq!(delimit("a=b"), ["a", "b"]);
    assert_eq!(delimit("a = b"), ["a", "b"]);
    assert_eq!(delimit("a==b"), ["a", "", "b"]);
    assert_eq!(delimit("a = = b"), ["a", "", "b"]);
    assert_eq!(delimit("\"b c\" d"), ["b c", "d"]);
    // A quote ends the word where it closes.
    assert_eq!(delimit("a\"b c\"d"), ["ab c", "d"]);
    // Single quotes and backslashes mean nothing.
    assert_eq!(delimit("'a b'"), ["'a", "b'"]);
    assert_eq!(delimit("\"a"), [""; 0]);
    assert_eq!(delimit("x \"a"), ["x"]);
}

#[track_caller]
fn cuts(text: &str, keyword: &str, rest: &str) {
    let line = line(text.as_bytes()).unwrap().unwrap();
    assert_eq!((&*line.keyword, line.rest), (keyword.as_bytes(), rest.as_bytes()), "{text:?}");
}

#[test]
fn keywords_are_cut() {
    cuts("Host a b", "host", "a b");
    cuts("  HoSt\ta", "host", "a");
    cuts("Host=a", "host", "a");
    cuts("Host = a", "host", "a");
    cuts("Host == a", "host", "= a");
    cuts("\"Host\" a", "host", "a");
    cuts("= Host a", "host", "a");
    cuts("User a \t\r\n\x0c", "user", "a");
    cuts("User a # b", "user", "a # b");
    for text in ["", " ", "\t\r", "# Host a", "  # x", "#", "\"Host", "\"\" a", "\x0c"] {
        assert!(matches!(line(text.as_bytes()), Ok(None) | Err(LexError::NoArgument)), "{text:?}");
    }
    assert_eq!(line(b"Host"), Err(LexError::NoArgument));
    assert_eq!(line(b"Host = "), Err(LexError::NoArgument));
    assert_eq!(line(b"# Host a"), Ok(None));
}
