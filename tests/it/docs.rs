//! The documents, held against what they describe.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use taskrouter_streams::config;

const BEGIN: &str = "<!-- The reference is made from config/default.toml: `make docs` -->\n";

/// What fits on one page.
const README_WORDS: usize = 900;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every document of ours, wherever it stands.
fn documents() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                walk(&path, found);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(found.len() > 8, "{found:?}");
    found
}

/// The keys of one section, in the order of the default file.
#[derive(Default)]
struct Section {
    title: String,
    about: Vec<String>,
    keys: Vec<Keys>,
}

/// Keys that share a comment: names and defaults.
struct Keys {
    named: Vec<(String, String)>,
    comment: Vec<String>,
}

/// The default file, taken apart: comments belong to what follows them.
fn sections() -> Vec<Section> {
    let mut sections = vec![Section { title: "Top level".to_owned(), ..Section::default() }];
    let mut comment: Vec<String> = Vec::new();
    for line in config::default_text().lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let section = sections.last_mut().unwrap();
        if bare.starts_with('[') && bare.ends_with(']') {
            let about = std::mem::take(&mut comment);
            sections.push(Section { title: format!("`{bare}`"), about, keys: Vec::new() });
        } else if let Some((name, default)) = key(bare) {
            let default = if line.starts_with('#') { "none".to_owned() } else { format!("`{default}`") };
            match section.keys.last_mut() {
                Some(keys) if comment.is_empty() => keys.named.push((name, default)),
                Some(_) | None => {
                    section.keys.push(Keys { named: vec![(name, default)], comment: std::mem::take(&mut comment) });
                }
            }
        } else if line.trim().is_empty() || line == "#" {
            // The head of the file stands before any key; rules are explained before their section begins.
            if section.keys.is_empty() && section.title == "Top level" {
                comment.clear();
            }
        } else {
            comment.push(bare.trim_start_matches('#').to_owned());
        }
    }
    sections
}

/// A key and its value; the examples of conditions have a comment behind them.
fn key(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(" = ")?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    is_name.then(|| (name.to_owned(), value.split("  ").next().unwrap_or_default().to_owned()))
}

fn unit(name: &str) -> &'static str {
    let units = [("_ms", "ms"), ("_s", "s"), ("_bytes", "bytes"), ("_hours", "hours"), ("_minutes", "minutes")];
    units.into_iter().find(|(ending, _)| name.ends_with(ending)).map_or("", |(_, unit)| unit)
}

/// A comment as one cell of a table: choices, which are indented, on lines of their own.
fn cell(comment: &[String]) -> String {
    let mut text = String::new();
    for line in comment {
        let is_choice = line.trim_start().starts_with('"') && line.starts_with(' ');
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        let separator = if text.is_empty() {
            ""
        } else if is_choice {
            "<br>"
        } else {
            " "
        };
        let _ = write!(text, "{separator}{line}");
    }
    text
}

fn reference() -> String {
    let mut text = String::from(BEGIN);
    for Section { title, about, keys } in sections().iter().filter(|section| !section.keys.is_empty()) {
        let _ = write!(text, "\n### {title}\n\n");
        if !about.is_empty() {
            let _ = write!(text, "{}\n\n", cell(about));
        }
        text.push_str("| key | default | unit | meaning |\n|---|---|---|---|\n");
        for Keys { named, comment } in keys {
            let joined = |part: fn(&(String, String)) -> String| {
                let mut parts: Vec<String> = named.iter().map(part).collect();
                parts.dedup();
                parts.join("<br>")
            };
            let (shown, default) = (joined(|(name, _)| format!("`{name}`")), joined(|(_, default)| default.clone()));
            let _ = writeln!(text, "| {shown} | {default} | {} | {} |", unit(&named[0].0), cell(comment));
        }
    }
    text
}

#[test]
fn the_reference_of_the_configuration_is_made_from_the_default_file() {
    let path = root().join("docs/configuration.md");
    let document = read(&path);
    let at = document.find(BEGIN).expect("docs/configuration.md has no place for the reference");
    let wanted = format!("{}{}", &document[..at], reference());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert!(document == wanted, "docs/configuration.md is older than config/default.toml: run `make docs`");
    }
    let keys = config::default_text().lines().filter_map(|line| key(line.strip_prefix("# ").unwrap_or(line)));
    for (name, _) in keys {
        assert!(wanted.contains(&format!("`{name}`")), "{name} is missing");
    }
}

#[test]
fn every_example_of_a_configuration_is_accepted() {
    let document = read(&root().join("docs/configuration.md"));
    let examples: Vec<&str> = document.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        super::config::accepted(example, &super::config::without("TRS__STREAMS__DESTINATIONS"));
    }
}

/// Targets of links, without those of other sites.
fn links(document: &str) -> Vec<&str> {
    let ends = document.match_indices("](").map(|(at, mark)| &document[at + mark.len()..]);
    let targets = ends.filter_map(|rest| rest.split([')', ' ', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:")).collect()
}

#[test]
fn every_link_leads_to_a_file_that_there_is() {
    let mut broken = Vec::new();
    for path in documents() {
        let document = read(&path);
        let is_there = |target: &&str| path.parent().unwrap().join(target).exists();
        broken.extend(
            links(&document)
                .into_iter()
                .filter(|target| !is_there(target))
                .map(|target| format!("{}: {target}", path.display())),
        );
    }
    assert_eq!(broken, [""; 0]);
}

#[test]
fn every_make_target_that_a_document_names_exists() {
    let makefile = read(&root().join("Makefile"));
    let targets: BTreeSet<&str> =
        makefile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    let mut unknown = Vec::new();
    for path in documents() {
        let document = read(&path);
        let named = document.match_indices("make ").filter(|(at, _)| document[..*at].ends_with(['`', '\n']));
        for (at, mark) in named {
            let rest = &document[at + mark.len()..];
            let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            if !targets.contains(name.as_str()) {
                unknown.push(format!("{}: make {name}", path.display()));
            }
        }
    }
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn the_readme_fits_on_a_page_and_nobody_is_he_in_any_document() {
    let words = read(&root().join("README.md")).split_whitespace().count();
    assert!(words <= README_WORDS, "README.md has {words} words");
    for path in documents() {
        let document = read(&path).to_lowercase();
        let found = document.split(|c: char| !c.is_alphabetic()).find(|word| ["he", "him", "his"].contains(word));
        assert_eq!(found, None, "{}", path.display());
    }
}
