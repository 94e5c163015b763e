//! Host sets.

use std::fmt;

/// A host of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub user: Option<String>,
    pub host: String,
    pub port: Option<u16>,
}

/// The name of the target in output.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

pub fn parse(sets: &[String]) -> Result<Vec<Target>, sshoal::error::HostSpecError> {
    let names = sets.iter().flat_map(|set| set.split(','));
    let target = |name: &str| {
        let spec: sshoal::HostSpec = name.parse()?;
        Ok(Target { user: spec.user().map(str::to_owned), host: spec.host().to_owned(), port: spec.port() })
    };
    names.map(target).collect()
}
