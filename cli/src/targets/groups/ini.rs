//! The format of groups.conf(5): that of Python's `ConfigParser`.

use crate::targets::error::Error;

/// Sections in the order of the file; `[DEFAULT]` is merged into the others.
#[derive(Debug, Default)]
pub struct Ini {
    sections: Vec<(String, Vec<(String, String)>)>,
}

impl Ini {
    /// Adds the sections of a text. A later value replaces an earlier one.
    pub fn read(&mut self, text: &str) -> Result<(), Error> {
        let mut section: Option<usize> = None;
        // Whether an indented line continues the last value.
        let mut open = false;
        for (number, line) in text.lines().enumerate() {
            let fault = |what: &str| Error::new(format!("line {}: {what}", number + 1));
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with([' ', '\t']) && open {
                let last = section.and_then(|at| self.sections[at].1.last_mut());
                if let Some((_, value)) = last {
                    value.push('\n');
                    value.push_str(trimmed);
                }
                continue;
            }
            if let Some(name) = trimmed.strip_prefix('[') {
                let name = name.split(']').next().unwrap_or_default();
                section = Some(self.section(name));
                open = false;
                continue;
            }
            let at = section.ok_or_else(|| fault("a value before the first [section]"))?;
            let (key, value) = trimmed
                .split_once([':', '='])
                .ok_or_else(|| fault("neither [section] nor \"name: value\""))?;
            let key = key.trim().to_lowercase();
            let values = &mut self.sections[at].1;
            // At the end, so that the next line can continue it.
            values.retain(|(known, _)| *known != key);
            values.push((key, value.trim().to_owned()));
            open = true;
        }
        Ok(())
    }

    fn section(&mut self, name: &str) -> usize {
        let known = self.sections.iter().position(|(known, _)| known == name);
        known.unwrap_or_else(|| {
            self.sections.push((name.to_owned(), Vec::new()));
            self.sections.len() - 1
        })
    }

    /// The names of all sections but `[DEFAULT]`.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|(name, _)| &**name).filter(|name| *name != "DEFAULT")
    }

    pub fn get(&self, section: &str, key: &str) -> Option<&str> {
        let value = |section: &str| {
            let (_, values) = self.sections.iter().find(|(name, _)| name == section)?;
            values.iter().find(|(name, _)| name == key).map(|(_, value)| &**value)
        };
        value(section).or_else(|| value("DEFAULT"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_by_python() {
        let mut ini = Ini::default();
        let text =
            "# comment\n[Main]\ndefault: local\nconfdir = a\n  b c\n\n; comment\n[x,y]\nMAP: echo a:b = c\n";
        ini.read(text).unwrap();
        ini.read("[Main]\ndefault: other\n[DEFAULT]\ncache_time: 5\n").unwrap();
        assert_eq!(ini.sections().collect::<Vec<_>>(), ["Main", "x,y"]);
        assert_eq!(ini.get("Main", "default"), Some("other"));
        assert_eq!(ini.get("Main", "confdir"), Some("a\nb c"));
        assert_eq!(ini.get("x,y", "map"), Some("echo a:b = c"));
        assert_eq!(ini.get("x,y", "cache_time"), Some("5"));
        assert_eq!(ini.get("x,y", "all"), None);
    }

    #[test]
    fn faults_name_their_line() {
        let fault = |text: &str| Ini::default().read(text).unwrap_err().to_string();
        assert_eq!(fault("\nmap: x\n"), "line 2: a value before the first [section]");
        assert_eq!(fault("[a]\nmap\n"), "line 2: neither [section] nor \"name: value\"");
    }
}
