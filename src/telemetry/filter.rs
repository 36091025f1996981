//! `log.filter`: which lines are logged, in the syntax of `tracing-subscriber`'s `EnvFilter`.
//!
//! It takes any word that is no level for the name of a crate, and shows nothing but that crate's lines. So a level with a typing error
//! would switch off all others, errors too; such a filter is refused.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// This program's own lines.
const OWN: &str = "taskrouter_streams";

/// Crates whose lines can be asked for by their name alone.
const CRATES: [&str; 11] = [
    OWN,
    "actix_http",
    "actix_server",
    "actix_web",
    "h2",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "sqlx",
    "tokio_postgres",
];

/// What strangers can make at will: the connections that end so are counted instead.
const STRANGERS: &str = "actix_http=off,h2=error";

/// What to write.
pub const FILTER_EXAMPLE: &str = "write a level (off, error, warn, info, debug or trace), or a level and crates, as in \"info,taskrouter_streams=debug\"";

/// What is wrong with a filter: the rest of a sentence that begins with the key. Carries no part of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfitFilter {
    #[error("is not a filter")]
    Syntax,
    /// The place of a single word.
    #[error("has in place {0} a word that is neither a level nor a known crate")]
    Word(usize),
    #[error("has no level, so that it would switch off this program's own lines")]
    Silent,
}

/// Whether a filter can be used.
pub fn check(filter: &str) -> Result<(), UnfitFilter> {
    read(filter).map(drop)
}

pub(super) fn read(filter: &str) -> Result<EnvFilter, UnfitFilter> {
    // With white space in front, EnvFilter takes a level for a crate.
    let parts: Vec<&str> = filter.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let is_level = |part: &str| part.parse::<LevelFilter>().is_ok();
    let is_known = |part: &str| part.split("::").next().is_some_and(|name| CRATES.contains(&name));
    let is_unknown = |part: &&str| !part.contains(['=', '[']) && !is_level(part) && !is_known(part);
    if let Some(place) = parts.iter().position(is_unknown) {
        return Err(UnfitFilter::Word(place + 1));
    }
    let is_ours = |part: &&str| {
        let target = part.split(['=', '[']).next().unwrap_or_default();
        is_level(part) || (!target.is_empty() && OWN.starts_with(target))
    };
    if !parts.iter().any(is_ours) {
        return Err(UnfitFilter::Silent);
    }
    EnvFilter::try_new(format!("{STRANGERS},{}", parts.join(","))).map_err(|_| UnfitFilter::Syntax)
}
