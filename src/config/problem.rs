//! What is wrong with a configuration, in words that hold no secret.

use std::fmt;

/// One thing that is wrong: which key, where it was set, what was found, what to do. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key's full name, as in "server.listen".
    pub key: String,
    /// Where the value came from; `None` when there was none.
    pub origin: Option<String>,
    /// What was found, as the rest of a sentence that begins with the key.
    pub wrong: String,
    /// What to do, as an imperative.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { key, origin, wrong, remedy } = self;
        match origin {
            Some(origin) => write!(f, "{key} (from {origin}) {wrong}: {remedy}"),
            None => write!(f, "{key} {wrong}: {remedy}"),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read: {reason}")]
    Unreadable {
        /// The file, as given.
        path: String,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The file is not TOML. The offending text is left out, because it may be a secret.
    #[error("{origin} is not TOML: {place}")]
    Syntax {
        /// Which file.
        origin: String,
        /// Where in it.
        place: String,
    },
    /// Everything that is wrong with the keys, one line each.
    #[error("the configuration cannot be used:\n{}", lines(.0))]
    Invalid(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n")
}
