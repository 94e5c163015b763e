//! `%{name}` in commands.

use std::collections::HashMap;

/// The values of one host.
pub type Values = HashMap<String, String>;

/// Fills in `%{name}`. `%%` stands for `%`; any other `%` stands for itself.
///
/// # Errors
/// A name without a value, or one without an end.
pub fn filled(text: &[u8], values: &Values) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.first() {
            Some(b'%') => {
                out.push(b'%');
                rest = &rest[1..];
            }
            Some(b'{') => {
                let end = memchr::memchr(b'}', rest).ok_or("`%{` without `}`; write %% for %")?;
                let name = String::from_utf8_lossy(&rest[1..end]);
                let value = values.get(&*name).ok_or_else(|| unknown(&name, values))?;
                out.extend_from_slice(value.as_bytes());
                rest = &rest[end + 1..];
            }
            _ => out.push(b'%'),
        }
    }
    out.extend_from_slice(rest);
    Ok(out)
}

fn unknown(name: &str, values: &Values) -> String {
    let mut names: Vec<&str> = values.keys().map(String::as_str).collect();
    names.sort_unstable();
    let name = sshoal::output::sanitise(name);
    format!(
        "%{{{name}}} has no value: there are {}; write %%{{{name}}} for the text itself",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Result<String, String> {
        let values = Values::from([("host".into(), "web1".into()), ("role".into(), "a b".into())]);
        filled(text.as_bytes(), &values).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn names_become_values() {
        assert_eq!(fill("echo %{host} is %{role}, 100%").unwrap(), "echo web1 is a b, 100%");
        assert_eq!(fill("date +%%{host} +%F 50%%").unwrap(), "date +%{host} +%F 50%");
    }

    #[test]
    fn a_name_without_a_value_is_named() {
        let text = fill("echo %{rack}").unwrap_err();
        assert_eq!(text, "%{rack} has no value: there are host, role; write %%{rack} for the text itself");
        assert!(fill("echo %{host").is_err());
    }
}
