//! The words of a line of bash. bash itself gives words that are cut at `:`, `@` and `=`.

/// The words of a line up to the cursor, without quotes. The last one is that at the cursor, and is
/// empty behind a blank.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    // Whether a word has begun: it may be empty, as `''`.
    let mut is_open = false;
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '\\') if chars.peek().is_some_and(|next| "\"\\$`".contains(*next)) => {
                word.extend(chars.next());
            }
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => quote = Some(c),
            (None, '\\') => word.extend(chars.next()),
            (None, c) if c.is_whitespace() => {
                if is_open {
                    words.push(std::mem::take(&mut word));
                }
                is_open = false;
                continue;
            }
            (None, c) => word.push(c),
        }
        is_open = true;
    }
    words.push(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_are_taken_off() {
        for (line, expected) in [
            ("sshoal", &["sshoal"][..]),
            ("sshoal -w ", &["sshoal", "-w", ""]),
            ("sshoal  -w @a:b", &["sshoal", "-w", "@a:b"]),
            ("sshoal -w 'web1!we", &["sshoal", "-w", "web1!we"]),
            ("sshoal -w \"web1,\\\"x\\a", &["sshoal", "-w", "web1,\"x\\a"]),
            ("s my\\ key '' x\\", &["s", "my key", "", "x"]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }
}
