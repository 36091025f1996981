//! What is wrong with a configuration. No message holds a secret.

use std::fmt;

/// One thing that is wrong: which key, where it was set, what was found, what to do. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key's full name, as in "server.listen".
    pub key: String,
    /// Where the value came from; `None` when there was none.
    pub origin: Option<String>,
    /// What was found; the rest of a sentence that begins with the key.
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
    /// The file is not TOML. The offending value is left out, because it may be a secret.
    #[error("{origin} is not valid TOML, see {place}{reason}")]
    Syntax {
        /// The file.
        origin: String,
        /// As in "line 3, column 14".
        place: String,
        /// The parser's reason and the line without its value, as the rest of the message; empty when unknown.
        reason: String,
    },
    /// Everything that is wrong with the keys, one line each.
    #[error("the configuration is invalid:\n{}", lines(.0))]
    Invalid(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n")
}
