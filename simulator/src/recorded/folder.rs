use serde::Deserialize;
use serde_json::{Map, Value};
use std::io;
use std::path::{Path, PathBuf};
use taskrouter_streams::call::sid::{AccountSid, WorkspaceSid};
use taskrouter_streams::twilio::signature::parse_pairs;

/// A folder that cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The folder or a file in it cannot be read.
    #[error("{path} cannot be read: {reason}", path = path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// A file is not as `serve --record` writes it.
    #[error("{path} is not as `serve --record` writes it: {reason}", path = path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: serde_json::Error,
    },
    /// No event that names its account and workspace.
    #[error("{path} has no event: name a folder that `serve --record` has written", path = path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

/// What was recorded, in its order.
#[derive(Debug)]
pub struct Recording {
    pub(super) items: Vec<RecordedItem>,
    pub(super) account: AccountSid,
    pub(super) workspace: WorkspaceSid,
}

/// One file.
#[derive(Debug)]
pub(super) struct RecordedItem {
    pub(super) name: String,
    pub(super) what: RecordedContent,
}

#[derive(Debug)]
pub(super) enum RecordedContent {
    /// An Event Callback.
    Event(Form),
    /// A delivery of Event Streams.
    Delivery(RecordedDelivery),
    /// A stream's status callback.
    Status(RecordedStatus),
    /// An answer of the API.
    Answer(RecordedAnswer),
}

pub(super) type Form = Vec<(String, String)>;

#[derive(Debug, Deserialize)]
pub(super) struct RecordedDelivery {
    pub(super) at: i64,
    pub(super) events: Vec<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RecordedStatus {
    pub(super) at: i64,
    pub(super) task: String,
    pub(super) form: Form,
}

/// A request and its answer.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RecordedAnswer {
    pub(super) method: String,
    pub(super) path: String,
    #[serde(default)]
    query: Map<String, Value>,
    #[serde(default)]
    form: Map<String, Value>,
    pub(super) status: u16,
    pub(super) body: Value,
}

/// Which request: the same one is asked again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) method: String,
    pub(super) path: String,
    /// The name of a stream that is to start, or of a conference that is looked for.
    pub(super) name: Option<String>,
}

impl Key {
    pub(super) fn is_command(&self) -> bool {
        self.method == "POST"
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

impl RecordedAnswer {
    pub(super) fn key(&self) -> Key {
        let name = |from: &Map<String, Value>, name: &str| from.get(name)?.as_str().map(str::to_owned);
        let name = name(&self.form, "Name").or_else(|| name(&self.query, "FriendlyName"));
        Key { method: self.method.clone(), path: self.path.clone(), name }
    }
}

impl RecordedItem {
    /// When it came, in the recording's time.
    pub(super) fn at(&self) -> Option<i64> {
        match &self.what {
            RecordedContent::Event(form) => parameter(form, "TimestampMs")?.parse().ok(),
            RecordedContent::Delivery(delivery) => Some(delivery.at),
            RecordedContent::Status(status) => Some(status.at),
            RecordedContent::Answer(_) => None,
        }
    }
}

pub(super) fn parameter<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

impl Recording {
    /// Reads a folder; files of other kinds are left alone.
    ///
    /// # Errors
    /// When it cannot be read, or is no recording.
    pub fn read(folder: &Path) -> Result<Self, RecordingError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |reason| RecordingError::Unreadable { path, reason }
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
            files.push(entry.map_err(unreadable(folder))?.path());
        }
        files.sort();
        let mut items = Vec::new();
        for path in files {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let read = || std::fs::read_to_string(&path).map_err(unreadable(&path));
            let malformed = |reason| RecordingError::Malformed { path: path.clone(), reason };
            let what = if name.ends_with(".form") {
                let text = read()?;
                let pairs = parse_pairs(text.trim_end().as_bytes());
                RecordedContent::Event(
                    pairs.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
                )
            } else if name.ends_with(".event-streams.json") {
                RecordedContent::Delivery(serde_json::from_str(&read()?).map_err(malformed)?)
            } else if name.ends_with(".status.json") {
                RecordedContent::Status(serde_json::from_str(&read()?).map_err(malformed)?)
            } else if name.ends_with(".answer.json") {
                RecordedContent::Answer(serde_json::from_str(&read()?).map_err(malformed)?)
            } else {
                continue;
            };
            items.push(RecordedItem { name, what });
        }
        let site = items.iter().find_map(site).ok_or_else(|| RecordingError::Empty { path: folder.to_owned() });
        let (account, workspace) = site?;
        Ok(Self { items, account, workspace })
    }

    /// Whether the service took the customer's leg out of its conference for each change.
    pub(super) fn has_redirects(&self) -> bool {
        self.answers().any(|answer| answer.form.contains_key("Twiml"))
    }

    /// Addresses for as many destinations as there were, in their order, and the track of each.
    pub(super) fn destinations(&self) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        for answer in self.answers() {
            let text = |name: &str| answer.form.get(name).and_then(Value::as_str);
            let Some(url) = text("Url").filter(|url| found.iter().all(|(known, _)| known != url)) else { continue };
            found.push((url.to_owned(), text("Track").unwrap_or("inbound_track").to_owned()));
        }
        found
    }

    fn answers(&self) -> impl Iterator<Item = &RecordedAnswer> {
        self.items.iter().filter_map(|item| match &item.what {
            RecordedContent::Answer(answer) => Some(answer),
            RecordedContent::Event(_) | RecordedContent::Delivery(_) | RecordedContent::Status(_) => None,
        })
    }
}

fn site(item: &RecordedItem) -> Option<(AccountSid, WorkspaceSid)> {
    match &item.what {
        RecordedContent::Event(form) => {
            Some((parameter(form, "AccountSid")?.parse().ok()?, parameter(form, "WorkspaceSid")?.parse().ok()?))
        }
        RecordedContent::Delivery(delivery) => delivery.events.iter().find_map(|event| {
            let text = |name: &str| event.pointer(&format!("/data/payload/{name}")).and_then(Value::as_str);
            Some((text("account_sid")?.parse().ok()?, text("workspace_sid")?.parse().ok()?))
        }),
        RecordedContent::Status(_) | RecordedContent::Answer(_) => None,
    }
}
