//! Groups in memory.

use super::super::error::{Error, shown};
use super::super::language::Lookup;
use super::generator::Source;

pub struct Tables {
    sources: Vec<Source>,
    pub known: Vec<String>,
}

impl Tables {
    pub fn new(sources: &[Source]) -> Self {
        Self { sources: sources.to_vec(), known: Vec::new() }
    }

    pub fn to_json(&self) -> serde_json::Value {
        let groups = |groups: &[(String, String)]| {
            let groups = groups.iter().map(|(name, set)| (name.clone(), set.clone().into()));
            serde_json::Value::Object(groups.collect())
        };
        self.sources.iter().map(|(name, own)| serde_json::json!([name, groups(own)])).collect()
    }

    fn source(&self, name: &str) -> Result<&Source, Error> {
        let source = self.sources.iter().find(|(known, _)| known == name);
        source.ok_or_else(|| Error::new(format!("no source {}", shown(name))))
    }
}

impl Lookup for Tables {
    fn default_source(&self) -> Result<String, Error> {
        self.sources.first().map(|(name, _)| name.clone()).ok_or_else(|| Error::new("no sources"))
    }

    fn group(&self, source: &str, name: &str) -> Result<String, Error> {
        let (_, groups) = self.source(source)?;
        let group = groups.iter().find(|(known, _)| known == name);
        group
            .map(|(_, set)| set.clone())
            .ok_or_else(|| Error::new(format!("no group {name} in source {source}")))
    }

    fn all(&self, source: &str) -> Result<Vec<String>, Error> {
        self.group(source, "all").map(|set| vec![set])
    }

    fn known_hosts(&self) -> &[String] {
        &self.known
    }

    fn groups(&self, source: &str) -> Result<Vec<String>, Error> {
        Ok(self.source(source)?.1.iter().map(|(name, _)| name.clone()).collect())
    }

    fn file(&self, path: &str) -> Result<String, Error> {
        Err(Error::new(format!("no file {path}")))
    }

    fn standard_input(&self) -> Result<String, Error> {
        Ok("in1 in2".to_owned())
    }
}
