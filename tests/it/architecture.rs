//! The directions of dependencies, held by reading the sources: the compiler lets every module see every other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Lines that a reader can hold in mind.
const LONGEST_FILE: usize = 400;

/// Longer ones, looked at: each holds one type with all that folds or shows it, which scattered would be harder to read.
const ONE_TYPE_EACH: &[&str] = &[
    "call/leg.rs",
    "call/next.rs",
    "call/state.rs",
    "call/step.rs",
    "call/streams.rs",
    "journal/sqlite/live.rs",
    "timeline.rs",
    // The simulator's: a verb for everything that people and Twilio can do.
    "world.rs",
    "world/taskrouter.rs",
];

/// What each part of the crate may name of the others. A path allows everything below it.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("call", &["call"]),
    ("twilio", &["call", "twilio"]),
    ("journal", &["call", "journal", "telemetry::metrics"]),
    ("ingest", &["call", "journal", "telemetry"]),
    ("recording", &["call", "recording", "telemetry::metrics", "twilio"]),
    ("http", &["call", "twilio", "journal", "ingest", "http", "telemetry"]),
    ("worker", &["call", "twilio", "journal", "ingest", "worker", "telemetry"]),
    ("console", &["call", "journal", "ingest", "console", "telemetry", "timeline"]),
    ("timeline", &["call"]),
    ("telemetry", &["telemetry", "call", "twilio::event_types"]),
    (
        "config",
        &[
            "call::sid",
            "call::rules",
            "call::pause",
            "call::policy",
            "journal::DatabaseUrl",
            "telemetry",
            "twilio",
            "config",
        ],
    ),
    (
        "service",
        &[
            "call",
            "config",
            "console",
            "http",
            "journal",
            "ingest::pause_requests",
            "recording",
            "telemetry",
            "twilio",
            "worker",
        ],
    ),
    (
        "cli",
        &["call", "cli", "config", "console::view", "http", "journal", "service", "telemetry", "timeline", "twilio"],
    ),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// What each part of the simulator may name of the service: wire types and SIDs; the testbed and `demo` also start it.
const SIMULATOR_MAY_NAME: &[(&str, &[&str])] = &[
    ("recorded", &["call::sid", "config", "service", "twilio::signature"]),
    ("testbed", &["call::fact::Fact", "call::sid", "config", "journal::JournalError", "service"]),
    (
        "cli",
        &[
            "call::fact",
            "call::policy::Strategy",
            "call::sid",
            "config::Mode",
            "console::picture",
            "console::view",
            "timeline",
        ],
    ),
];

/// For its other parts.
const WIRE_TYPES: &[&str] = &["call::sid", "twilio::signature", "twilio::twiml"];

struct Source {
    /// Relative to the package's `src`, as in "call/next.rs".
    name: String,
    text: String,
}

impl Source {
    /// The module that it holds, as in "call::next" and, for the folder's own file, "call".
    fn module(&self) -> String {
        let path = self.name.trim_end_matches(".rs").trim_end_matches("/mod");
        if path == "lib" || path == "main" { String::new() } else { path.replace('/', "::") }
    }

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

/// Modules, what they name, and what they hand on from others.
struct Modules {
    files: BTreeMap<String, Source>,
    /// By module and name: the path behind a `pub use`.
    handed_on: BTreeMap<(String, String), String>,
}

impl Modules {
    fn of(sources: Vec<Source>) -> Self {
        let sources = sources.into_iter().filter(|source| source.part() != "main");
        let files: BTreeMap<String, Source> = sources.map(|source| (source.module(), source)).collect();
        let mut modules = Self { files, handed_on: BTreeMap::new() };
        for module in modules.files.keys().cloned().collect::<Vec<_>>() {
            let code = modules.files[&module].code();
            let uses = code.match_indices("use ").filter(|(at, _)| is_handed_on(&code[..*at]));
            for (at, found) in uses {
                let mut named = BTreeSet::new();
                expand(&code[at + found.len()..], "", &mut named);
                let paths: Vec<String> = named.iter().filter_map(|path| modules.absolute(&module, path)).collect();
                for path in paths {
                    let name = path.rsplit("::").next().unwrap().to_owned();
                    modules.handed_on.insert((module.clone(), name), path);
                }
            }
        }
        modules
    }

    /// A path as from the crate's root; `None` where it begins in another crate.
    fn absolute(&self, module: &str, path: &str) -> Option<String> {
        let (first, rest) = path.split_once("::").unwrap_or((path, ""));
        let above = |module: &str| module.rsplit_once("::").map_or(String::new(), |(above, _)| above.to_owned());
        match first {
            "crate" => Some(rest.to_owned()),
            "self" => Some(join(module, rest)),
            "super" if rest.starts_with("super") => self.absolute(&above(module), rest),
            "super" => Some(join(&above(module), rest)),
            child => self.files.contains_key(&join(module, child)).then(|| join(module, path)),
        }
    }

    /// The file in which a path ends, behind whatever hands it on.
    fn file_of(&self, path: &str) -> Option<String> {
        let mut module = String::new();
        for name in path.split("::") {
            let below = join(&module, name);
            if self.files.contains_key(&below) {
                module = below;
            } else if let Some(behind) = self.handed_on.get(&(module.clone(), name.to_owned())) {
                return if behind == path { Some(module) } else { self.file_of(behind) };
            } else {
                break;
            }
        }
        (!module.is_empty()).then_some(module)
    }

    /// The other files that a module needs. Handing on is not needing.
    fn needed_by(&self, module: &str) -> BTreeSet<String> {
        let code = self.files[module].code();
        let children = self.files.keys().filter_map(|file| file.strip_prefix(&format!("{module}::")));
        let roots = ["crate", "super", "self"].into_iter().chain(children.filter(|child| !child.contains("::")));
        let mut needed = BTreeSet::new();
        for root in roots {
            for path in named_below(&without_handing_on(&code), root) {
                let path = self.absolute(module, &format!("{root}::{path}"));
                needed.extend(path.and_then(|path| self.file_of(&path)));
            }
        }
        needed.remove(module);
        needed
    }
}

fn join(module: &str, path: &str) -> String {
    match (module, path) {
        ("", path) => path.to_owned(),
        (module, "" | "self") => module.to_owned(),
        (module, path) => format!("{module}::{path}"),
    }
}

/// Whether a `use` after this text is public, so that it hands on.
fn is_handed_on(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default().trim_start();
    line == "pub " || (line.starts_with("pub(") && line.ends_with(") "))
}

/// The code without public uses, and without the paths of visibilities, which import nothing.
fn without_handing_on(code: &str) -> String {
    let code = code.replace("pub(in crate::", "pub(in ");
    let mut rest = String::new();
    for statement in code.split_inclusive(';') {
        let is_handing_on = statement.find("use ").is_some_and(|at| is_handed_on(&statement[..at]));
        rest.push_str(if is_handing_on { "" } else { statement });
    }
    rest
}

/// Where modules still import each other in a circle: the core is being rebuilt, and each store shares types with its parts.
const MAY_BE_CIRCULAR: [&str; 3] = ["call", "journal::postgres", "journal::sqlite"];

#[test]
fn the_test_of_circles_sees_imports() {
    let modules = Modules::of(sources());
    assert!(modules.needed_by("http::routes").contains("http::state"), "beside it");
    assert!(modules.needed_by("worker::backfill").contains("twilio::client::event_log"), "behind what is handed on");
    assert!(modules.needed_by("service").contains("worker::dispatcher"), "in another part");
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let circular = circular(&Modules::of(sources())).into_iter();
    let offending = circular.filter(|(module, _)| !MAY_BE_CIRCULAR.iter().any(|part| is_within(module, part)));
    none(offending.map(|(module, needed)| format!("{module} is in a circle: it needs {needed:?}")).collect());
}

/// The modules that need themselves, and what they need of each other.
fn circular(modules: &Modules) -> BTreeMap<String, BTreeSet<String>> {
    let mut needs: BTreeMap<String, BTreeSet<String>> =
        modules.files.keys().map(|module| (module.clone(), modules.needed_by(module))).collect();
    // What needs nothing any more is in no circle, and nor is what only needs that.
    loop {
        let free: Vec<String> =
            needs.iter().filter(|(_, needed)| needed.is_empty()).map(|(module, _)| module.clone()).collect();
        if free.is_empty() {
            break;
        }
        for module in &free {
            needs.remove(module);
        }
        needs.values_mut().for_each(|needed| needed.retain(|module| !free.contains(module)));
    }
    let reaches_itself = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = open.pop() {
            open.extend(needs[&module].iter().filter(|next| seen.insert((*next).clone())).cloned());
        }
        seen.contains(from)
    };
    needs.iter().filter(|(module, _)| reaches_itself(module)).map(|(m, needed)| (m.clone(), needed.clone())).collect()
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
    let long = long.filter(|source| !ONE_TYPE_EACH.contains(&source.name.as_str()));
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
