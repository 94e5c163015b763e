use std::borrow::Cow;

use proptest::prelude::*;

use super::{must_escape, sanitise, sanitise_bounded, sanitise_lines};

fn assert_shown(attack: impl AsRef<[u8]>, shown: &str) {
    let attack = attack.as_ref();
    assert_eq!(sanitise(attack), shown);
    assert_eq!(sanitise(shown), shown, "not idempotent");
    assert_eq!(sanitise_bounded(attack, shown.len()), shown);
}

#[test]
fn osc_52_cannot_set_the_clipboard() {
    assert_shown("\x1b]52;c;cm0gLXJmIC8=\x07", r"\x1b]52;c;cm0gLXJmIC8=\x07");
    assert_shown("\u{9d}52;c;eA==\u{9c}", r"\u{9d}52;c;eA==\u{9c}");
}

#[test]
fn osc_8_cannot_disguise_a_link() {
    assert_shown(
        "\x1b]8;;http://evil.test\x1b\\https://good.test\x1b]8;;\x1b\\",
        r"\x1b]8;;http://evil.test\x1b\https://good.test\x1b]8;;\x1b\",
    );
}

#[test]
fn osc_0_cannot_rename_the_window() {
    assert_shown("\x1b]0;root@bank\x07", r"\x1b]0;root@bank\x07");
}

#[test]
fn csi_cannot_clear_the_screen() {
    assert_shown("\x1b[2J\x1b[H", r"\x1b[2J\x1b[H");
    assert_shown("\u{9b}2J", r"\u{9b}2J");
}

#[test]
fn dcs_cannot_make_the_terminal_answer() {
    assert_shown("\x1bP$q\"p\x1b\\", r#"\x1bP$q"p\x1b\"#);
}

#[test]
fn raw_c1_bytes_are_not_controls_in_disguise() {
    assert_shown(b"\x9b2J\x9d0;x\x9c", r"\x9b2J\x9d0;x\x9c");
    for byte in 0x80..=0x9f_u8 {
        assert_shown([b'a', byte, b'b'], &format!("a\\x{byte:02x}b"));
    }
}

#[test]
fn carriage_return_cannot_overwrite_what_was_printed() {
    assert_shown("FAILED\rpassed", r"FAILED\rpassed");
    assert_shown("FAILED\x08\x08\x08\x08\x08\x08passed", r"FAILED\x08\x08\x08\x08\x08\x08passed");
}

#[test]
fn newline_cannot_forge_a_log_line() {
    assert_shown("bye\nINFO accepted\tkey", r"bye\nINFO accepted\tkey");
    assert_shown("bye\u{2028}INFO\u{2029}\u{85}", r"bye\u{2028}INFO\u{2029}\u{85}");
}

#[test]
fn bell_nul_and_del_are_shown() {
    assert_shown("\x07\0\x7f", r"\x07\x00\x7f");
}

#[test]
fn bidirectional_controls_cannot_reorder_text() {
    assert_shown("exe\u{202e}gpj.txt", r"exe\u{202e}gpj.txt");
    for code in [0x61c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x2066, 0x2067, 0x2068, 0x2069] {
        let control = char::from_u32(code).unwrap_or_default();
        assert_shown(control.to_string(), &format!("\\u{{{code:x}}}"));
    }
}

#[test]
fn invisible_characters_cannot_make_two_names_look_alike() {
    for code in [0xad, 0x34f, 0x180e, 0x200b, 0x200c, 0x200d, 0x2060, 0x3164, 0xfe0f, 0xfeff, 0xe0100] {
        let invisible = char::from_u32(code).unwrap_or_default();
        assert_shown(format!("web{invisible}1"), &format!("web\\u{{{code:x}}}1"));
    }
}

#[test]
fn tag_characters_cannot_smuggle_text() {
    let smuggled: String = "rm".chars().filter_map(|c| char::from_u32(0xe0000 + u32::from(c))).collect();
    assert_shown(format!("hi{smuggled}\u{e007f}"), r"hi\u{e0072}\u{e006d}\u{e007f}");
}

#[test]
fn malformed_utf8_cannot_hide_a_control() {
    // An overlong ESC, a surrogate half, a sequence cut short by ESC, a byte that UTF-8 never uses.
    assert_shown(b"\xc0\x9b", r"\xc0\x9b");
    assert_shown(b"\xed\xa0\x80", r"\xed\xa0\x80");
    assert_shown(b"\xe2\x80\x1b[m", r"\xe2\x80\x1b[m");
    assert_shown(b"\xff", r"\xff");
}

#[test]
fn honest_text_is_left_alone_and_not_copied() {
    for text in ["", "Grüße aus Łódź", "日本語 🦀", r"C:\new\x1b", "a b\u{a0}c", "नमस्ते", "שלום"]
    {
        assert!(matches!(sanitise(text), Cow::Borrowed(same) if same == text));
        assert!(matches!(sanitise_bounded(text, text.len()), Cow::Borrowed(same) if same == text));
    }
}

#[test]
fn every_control_and_format_character_is_escaped() {
    let escaped = ('\0'..=char::MAX).filter(|&c| must_escape(c)).count();
    assert_eq!(escaped, 4_273, "a changed table needs a changed count");
    assert!(('\0'..=char::MAX).filter(|c| c.is_control()).all(must_escape));
    assert!((' '..='~').all(|c| !must_escape(c)));
}

#[test]
fn a_bounded_text_is_cut_at_a_character_or_an_escape() {
    assert_eq!(sanitise_bounded("connection closed", 10), "connect…");
    assert_eq!(sanitise_bounded("connection", 10), "connection");
    assert_eq!(sanitise_bounded("ab\x1bcd", 8), r"ab\x1bcd");
    assert_eq!(sanitise_bounded("ab\x1bcd", 7), "ab…");
    assert_eq!(sanitise_bounded("äöüß", 7), "äö…");
    assert_eq!(sanitise_bounded("a\u{e0001}", 10), r"a\u{e0001}");
    assert_eq!(sanitise_bounded("a\u{e0001}", 9), "a…");
    assert_eq!(sanitise_bounded(b"\xff\xff\xff", 8), r"\xff…");
    for (max, shown) in [(0, ""), (1, ""), (2, ""), (3, "…"), (4, "a…")] {
        assert_eq!(sanitise_bounded("abcdefgh", max), shown);
    }
}

#[test]
fn a_flood_costs_no_more_than_its_bound() {
    let flood = vec![0x1b; 8 << 20];
    let shown = sanitise_bounded(&flood, 64);
    assert_eq!(shown, format!("{}…", r"\x1b".repeat(15)));
    assert!(matches!(shown, Cow::Owned(text) if text.capacity() <= 256));
}

proptest! {
    #[test]
    fn any_bytes_become_clean_bounded_and_stable(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            any::<String>().prop_map(String::into_bytes),
        ],
        max in 0_usize..100,
    ) {
        let whole = sanitise(&bytes);
        prop_assert!(!whole.chars().any(must_escape));
        prop_assert_eq!(sanitise(&*whole), &*whole);
        let bounded = sanitise_bounded(&bytes, max);
        prop_assert!(bounded.len() <= max);
        prop_assert_eq!(sanitise_bounded(&*bounded, max), &*bounded);
        if whole.len() <= max {
            prop_assert_eq!(bounded, whole);
        } else {
            prop_assert!(max < "…".len() || bounded.ends_with('…'));
            prop_assert!(whole.starts_with(bounded.trim_end_matches('…')));
        }
    }
}

#[test]
fn lines_stay_lines_and_nothing_else_does() {
    let text = b"one\r\ntwo\tx\n\n\x1b[2J\rthree\xff\r\n \r\n";
    assert_eq!(sanitise_lines(text, 100), "one\ntwo\\tx\n\n\\x1b[2J\\rthree\\xff");
    assert_eq!(sanitise_lines(b"one\ntwo\nthree", 10), "one\ntwo…");
    assert_eq!(sanitise_lines(b" \r\n", 10), "");
}
