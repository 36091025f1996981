//! Values that stand in files of their own, as secrets do: variables that end in `_FILE`, and systemd's credentials.

use super::names::{PREFIX, SEPARATOR, TWILIO_NAMES};
use super::problem::Problem;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// What a variable that names a file ends with.
const SUFFIX: &str = "_FILE";

/// Where systemd puts what `LoadCredential=` and `SetCredential=` name.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Sections whose keys a credential may be named after; others are for somebody else.
const SECTIONS: [&str; 5] = ["accounts.", "admin.", "journal.", "pause.", "twilio."];

/// More is no secret.
const LONGEST: u64 = 64 * 1024;

/// A key's value from a file of its own.
pub(super) struct FileValue {
    pub(super) key: String,
    /// The variable, or the credential, that named it.
    pub(super) origin: String,
    pub(super) text: String,
}

/// What was found, and what could not be read.
#[derive(Default)]
pub(super) struct FileValues {
    pub(super) credentials: Vec<FileValue>,
    pub(super) twilio: Vec<FileValue>,
    pub(super) own: Vec<FileValue>,
    pub(super) problems: Vec<Problem>,
}

/// The key of a variable that names the file of its value.
pub(super) fn key_of(variable: &str) -> Option<String> {
    let name = variable.strip_suffix(SUFFIX)?;
    let twilio = TWILIO_NAMES.iter().find(|(known, _)| *known == name).map(|(_, key)| (*key).to_owned());
    twilio.or_else(|| Some(name.strip_prefix(PREFIX)?.to_ascii_lowercase().replace(SEPARATOR, ".")))
}

/// Reads every file that the environment names.
pub(super) fn values(environment: &BTreeMap<String, String>) -> FileValues {
    let mut values = FileValues::default();
    if let Some(directory) = environment.get(CREDENTIALS) {
        values.credentials(Path::new(directory));
    }
    for (variable, path) in environment.iter().filter(|(_, path)| !path.is_empty()) {
        let (Some(key), Some(plain)) = (key_of(variable), variable.strip_suffix(SUFFIX)) else { continue };
        if environment.get(plain).is_some_and(|text| !text.is_empty()) {
            values.problem(key, variable, format!("is set twice, also by {plain}"), "remove one of the two variables");
            continue;
        }
        let is_own = variable.starts_with(PREFIX);
        if let Some(value) = values.read(key, variable, Path::new(path)) {
            if is_own { values.own.push(value) } else { values.twilio.push(value) }
        }
    }
    values
}

impl FileValues {
    fn credentials(&mut self, directory: &Path) {
        let Ok(entries) = std::fs::read_dir(directory) else {
            let remedy = "start the service by systemd, or unset it";
            return self.problem(CREDENTIALS.to_owned(), CREDENTIALS, "is not a directory that can be read", remedy);
        };
        let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        for name in names.into_iter().filter(|name| SECTIONS.iter().any(|section| name.starts_with(section))) {
            let origin = format!("the credential {name}");
            let value = self.read(name.clone(), &origin, &directory.join(&name));
            self.credentials.extend(value);
        }
    }

    fn read(&mut self, key: String, origin: &str, path: &Path) -> Option<FileValue> {
        match text(path) {
            Ok(text) => return Some(FileValue { key, origin: origin.to_owned(), text }),
            Err(reason) => {
                let wrong = format!("names the file {}, which cannot be read: {reason}", path.display());
                self.problem(key, origin, wrong, "check the path and who may read it");
            }
        }
        None
    }

    fn problem(&mut self, key: String, origin: &str, wrong: impl Into<String>, remedy: &str) {
        let (origin, wrong, remedy) = (Some(origin.to_owned()), wrong.into(), remedy.to_owned());
        self.problems.push(Problem { key, origin, wrong, remedy });
    }
}

/// A file's lines, as one value: separated by commas, as in a variable.
fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    if File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)? as u64 > LONGEST {
        return Err(io::Error::other(format!("it has more than {LONGEST} bytes")));
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.collect::<Vec<_>>().join(","))
}
