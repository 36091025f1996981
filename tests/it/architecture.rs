//! The directions of dependencies, held by reading the sources: the compiler lets every module see every other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lines that a reader can hold in mind.
const LONGEST_FILE: usize = 400;

/// What each part of the crate may name of the others. A path allows everything below it.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("call", &["call"]),
    ("twilio", &["call", "twilio"]),
    ("journal", &["call", "journal", "telemetry::metrics"]),
    ("ingest", &["call", "journal", "telemetry"]),
    ("http", &["call", "twilio", "journal", "ingest", "http", "telemetry"]),
    ("worker", &["call", "twilio", "journal", "ingest", "worker", "telemetry"]),
    ("console", &["call", "journal", "ingest", "console", "telemetry", "timeline"]),
    ("timeline", &["call"]),
    ("telemetry", &["telemetry", "call", "twilio::event_types"]),
    ("config", &["call::sid", "call::rules", "call::policy", "telemetry", "twilio", "config"]),
    ("service", &["call", "config", "console", "http", "journal", "telemetry", "twilio", "worker"]),
    (
        "cli",
        &["call", "cli", "config", "console::view", "http", "journal", "service", "telemetry", "timeline", "twilio"],
    ),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// What each part of the simulator may name of the service: wire types and SIDs; the testbed and `demo` also start it.
const SIMULATOR_MAY_NAME: &[(&str, &[&str])] = &[
    ("testbed", &["call::fact::Fact", "call::sid", "config", "journal::JournalError", "service"]),
    ("cli", &["call::fact", "call::policy::Strategy", "call::sid", "config::Mode", "console::picture", "timeline"]),
];

/// For its other parts.
const WIRE_TYPES: &[&str] = &["call::sid", "twilio::signature", "twilio::twiml"];

struct Source {
    /// Relative to the package's `src`, as in "call/next.rs".
    name: String,
    text: String,
}

impl Source {
    /// The part of the crate that it belongs to, as in "call".
    fn part(&self) -> &str {
        self.name.split(['/', '.']).next().unwrap()
    }

    /// The source without comments.
    fn code(&self) -> String {
        let lines = self.text.lines().map(|line| match line.find("//") {
            // As in "https://…" inside a string.
            Some(at) if !line[..at].ends_with(':') => &line[..at],
            Some(_) | None => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The sources of the service.
fn sources() -> Vec<Source> {
    sources_below("src")
}

fn simulator_sources() -> Vec<Source> {
    sources_below("simulator/src")
}

fn sources_below(folder: &str) -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    assert!(found.len() > 20, "the sources are where this test looks for them");
    let read = |path: PathBuf| Source {
        name: path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(),
        text: std::fs::read_to_string(&path).unwrap(),
    };
    found.into_iter().map(read).collect()
}

/// The paths that code names below `root`, as in "twilio::signature" for `crate::twilio::signature::Verifier`; groups in
/// braces are taken apart.
fn named_below(code: &str, root: &str) -> BTreeSet<String> {
    let prefix = format!("{root}::");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut named = BTreeSet::new();
    for (at, _) in code.match_indices(&prefix) {
        if !code[..at].ends_with(is_word) {
            expand(&code[at + prefix.len()..], "", &mut named);
        }
    }
    named
}

/// Reads one path or one group of paths, and gives back what follows it.
fn expand<'a>(text: &'a str, above: &str, named: &mut BTreeSet<String>) -> &'a str {
    let mut rest = text.trim_start();
    if let Some(mut group) = rest.strip_prefix('{') {
        loop {
            group = expand(group, above, named).trim_start();
            group = match group.strip_prefix(',') {
                Some(more) if !more.trim_start().starts_with('}') => more,
                Some(more) => return more.trim_start().strip_prefix('}').unwrap_or(""),
                None => return group.strip_prefix('}').unwrap_or(""),
            };
        }
    }
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let path = if above.is_empty() { rest[..end].to_owned() } else { format!("{above}::{}", &rest[..end]) };
    rest = &rest[end..];
    match rest.strip_prefix("::") {
        Some(below) => expand(below, &path, named),
        None => {
            named.insert(path);
            let alias = rest.trim_start().strip_prefix("as ");
            alias.map_or(rest, |name| name.trim_start_matches(is_ident))
        }
    }
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_within(path: &str, allowed: &str) -> bool {
    path.strip_prefix(allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Fails with every offence at once.
fn none(offences: Vec<String>) {
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn groups_of_paths_are_taken_apart() {
    let code = "use crate::call::{fact::Fact, sid::{TaskSid, self}, x as y};\nuse crate::{config::World, cli};\n\
                fn f(a: crate::twilio::Client) -> mycrate::other::X {}";
    let expected = [
        "call::fact::Fact",
        "call::sid::TaskSid",
        "call::sid::self",
        "call::x",
        "config::World",
        "cli",
        "twilio::Client",
    ];
    assert_eq!(named_below(code, "crate"), expected.map(str::to_owned).into_iter().collect());
}

#[test]
fn dependencies_point_one_way() {
    let mut offences = Vec::new();
    for source in sources() {
        let Some((_, allowed)) = MAY_NAME.iter().find(|(part, _)| *part == source.part()) else {
            offences.push(format!("{}: a part that MAY_NAME does not know", source.name));
            continue;
        };
        let root = if source.part() == "main" { "taskrouter_streams" } else { "crate" };
        let named = named_below(&source.code(), root);
        let offending = named.iter().filter(|path| !allowed.iter().any(|allowed| is_within(path, allowed)));
        offences.extend(offending.map(|path| format!("{} names {root}::{path}", source.name)));
    }
    none(offences);
}

#[test]
fn the_simulator_knows_of_the_service_only_what_goes_over_the_wire() {
    let mut offences = Vec::new();
    for source in simulator_sources() {
        let more = SIMULATOR_MAY_NAME.iter().find(|(part, _)| *part == source.part());
        let allowed = more.map_or(WIRE_TYPES, |(_, allowed)| *allowed);
        let named = named_below(&source.code(), "taskrouter_streams");
        let offending = named.iter().filter(|path| !allowed.iter().any(|allowed| is_within(path, allowed)));
        offences.extend(offending.map(|path| format!("simulator: {} names {path}", source.name)));
    }
    none(offences);
}

#[test]
fn a_part_is_not_reached_through_super() {
    // `super` from a part's own root would lead past the rule above.
    let mut offences = Vec::new();
    for source in sources() {
        let depth = source.name.matches('/').count() + usize::from(!source.name.ends_with("mod.rs"));
        let climb = "super::".repeat(depth.max(1));
        if source.code().contains(&climb) {
            offences.push(format!("{} climbs out of its part by {climb}", source.name));
        }
    }
    none(offences);
}

#[test]
fn the_core_knows_no_clock_no_disk_no_network_and_no_runtime() {
    const FOREIGN: &[&str] = &[
        "Instant",
        "SystemTime",
        "std::fs",
        "std::net",
        "std::io",
        "std::env",
        "std::thread",
        "std::process",
        "std::sync",
        "tokio",
        "tracing",
        "reqwest",
        "rusqlite",
        "actix",
        "jiff",
        "async ",
        ".await",
        "println!",
        "static ",
        "rand",
    ];
    let mut offences = Vec::new();
    for source in sources().iter().filter(|source| source.part() == "call") {
        let code = source.code();
        for foreign in FOREIGN {
            let is_whole = |(at, _): (usize, &str)| !code[..at].ends_with(|c| is_ident(c) || c == '\'');
            if code.match_indices(foreign).any(is_whole) {
                offences.push(format!("{} names {foreign}", source.name));
            }
        }
    }
    none(offences);
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold_in_mind() {
    let length = |source: &Source| source.text.lines().count();
    let long = sources().into_iter().chain(simulator_sources()).filter(|source| length(source) > LONGEST_FILE);
    none(
        long.map(|source| format!("{} has {} lines, {LONGEST_FILE} are allowed", source.name, length(&source)))
            .collect(),
    );
}

#[test]
fn lints_are_expected_with_a_reason_and_tests_live_outside_of_src() {
    let mut offences = Vec::new();
    for source in sources().into_iter().chain(simulator_sources()) {
        let code = source.code();
        for forbidden in ["#[allow", "#![allow", "cfg(test)", "#[test]", "todo!", "unimplemented!"] {
            if code.contains(forbidden) {
                offences.push(format!("{} has {forbidden}", source.name));
            }
        }
    }
    none(offences);
}
