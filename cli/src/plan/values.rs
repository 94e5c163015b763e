//! The values of each host: what is known about every host, and the columns of `--arg-file`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::template::Values;
use crate::targets::Target;

/// The values of each target, in order.
///
/// # Errors
/// The file cannot be read, or has no line for some target.
pub fn values(targets: &[Target], file: Option<&Path>) -> Result<Vec<Values>, String> {
    let mut rows = match file {
        None => HashMap::new(),
        Some(path) => {
            let place = |problem: String| format!("--arg-file {}: {problem}", path.display());
            let text = fs::read_to_string(path).map_err(|error| place(error.to_string()))?;
            let rows = rows(&text).map_err(place)?;
            let is_missing = |target: &&Target| !rows.contains_key(&target.name);
            let missing: Vec<&str> =
                targets.iter().filter(is_missing).map(|target| target.name.as_str()).collect();
            if !missing.is_empty() {
                return Err(place(format!("no line for {}", crate::targets::fold(&missing))));
            }
            rows
        }
    };
    let of_target = |(number, target): (usize, &Target)| {
        let mut values = rows.remove(&target.name).unwrap_or_default();
        values.insert("name".to_owned(), target.name.clone());
        values.insert("host".to_owned(), target.host.clone());
        values.insert("n".to_owned(), number.to_string());
        values
    };
    Ok(targets.iter().enumerate().map(of_target).collect())
}

/// The rows of a file by their column `host`: JSON Lines if the first one begins with `{`, else CSV
/// with a header.
fn rows(text: &str) -> Result<HashMap<String, Values>, String> {
    let is_json = text.trim_start().starts_with('{');
    let rows = if is_json { json_rows(text)? } else { csv_rows(text)? };
    let mut by_host = HashMap::with_capacity(rows.len());
    for (line, row) in rows {
        let Some(host) = row.get("host").cloned() else {
            return Err("no column `host`, which says what host a line is for".to_owned());
        };
        if by_host.insert(host.clone(), row).is_some() {
            let host = sshoal::output::sanitise(&host);
            return Err(format!("line {line}: a second line for {host}"));
        }
    }
    Ok(by_host)
}

fn json_rows(text: &str) -> Result<Vec<(usize, Values)>, String> {
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let object: serde_json::Map<String, Value> =
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1))?;
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        rows.push((index + 1, object.into_iter().map(|(name, value)| (name, text(value))).collect()));
    }
    Ok(rows)
}

fn csv_rows(text: &str) -> Result<Vec<(usize, Values)>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().map_err(|error| error.to_string())?.clone();
    let row = |record: csv::Result<csv::StringRecord>| {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, |position| position.line());
        let fields = names.iter().zip(&record).map(|(name, field)| (name.to_owned(), field.to_owned()));
        Ok((usize::try_from(line).unwrap_or(0), fields.collect()))
    };
    reader.records().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_say_the_same() {
        let csv = "host,role,note\r\nweb1,\"a, \"\"b\"\"\",\"two\nlines\"\nweb2,,7\n";
        let json = r#"{"host":"web1","role":"a, \"b\"","note":"two\nlines"}
{"host":"web2","role":"","note":7}"#;
        assert_eq!(rows(csv), rows(json));
        assert_eq!(rows(csv).unwrap()["web1"]["note"], "two\nlines");
        assert_eq!(rows(csv).unwrap()["web2"]["note"], "7");
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, problem) in [
            ("name\nweb1", "no column `host`"),
            ("host,role\nweb1", "line: 2"),
            ("host\nweb1\n\nweb1", "a second line for web1"),
            ("{\"host\":", "line 1: "),
        ] {
            let error = rows(text).unwrap_err();
            assert!(error.contains(problem), "{text:?}: {error}");
        }
    }
}
