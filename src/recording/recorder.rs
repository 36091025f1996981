use super::answers;
use super::deliveries;
use super::forms::{self, Paths};
use super::pseudonyms::Pseudonyms;
use crate::call::fact::EpochMs;
use crate::call::sid::{AccountSid, TaskSid, WorkspaceSid};
use crate::telemetry::metrics::Metrics;
use crate::twilio::client::Request;
use crate::twilio::signature::Pair;
use crate::twilio::witness::Witness;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What waits to be written. More than this is lost: nobody who works on calls waits for a disk here.
const QUEUE: usize = 1_024;

/// As far as bodies go: a delivery of Event Streams may have some megabytes.
const QUEUE_BYTES: usize = 32 * 1024 * 1024;

/// A folder that grows for ever would fill the journal's disk. A file has some thousand bytes.
const MOST_FILES: u64 = 100_000;

/// Replacements are kept in memory.
const MOST_VALUES: usize = 500_000;

/// Where Twilio posts status callbacks, in a recording.
const CALLBACK_URL: &str = "https://streams.example.com/streams/status";

/// What the configuration says of what is recorded.
#[derive(Debug, Default)]
pub struct Known {
    /// They have the first replacements.
    pub accounts: Vec<(AccountSid, WorkspaceSid)>,
    /// The fields that rules and parameters use, as in `task.attributes.language`.
    pub fields: BTreeSet<String>,
    /// `streams.name_prefix` of each account.
    pub name_prefixes: Vec<String>,
}

/// Something that came from Twilio.
enum Arrival {
    Event(Form),
    Delivery(Vec<u8>),
    Status(TaskSid, Form),
    Answer { request: Request, status: u16, body: Vec<u8> },
}

type Form = Vec<Pair<'static>>;

impl Arrival {
    /// About what it takes of the memory.
    fn bytes(&self) -> usize {
        match self {
            Self::Event(form) | Self::Status(_, form) => {
                form.iter().map(|(name, value)| name.len() + value.len()).sum()
            }
            Self::Delivery(body) | Self::Answer { body, .. } => body.len(),
        }
    }
}

/// An arrival, its place among all, and when it came.
struct Placed {
    place: u64,
    at: EpochMs,
    arrival: Arrival,
}

/// Records what it sees, on a thread of its own. What cannot be recorded is lost, counted and told of once; nobody else notices.
#[derive(Debug)]
pub struct Recorder {
    queue: Mutex<Option<SyncSender<Placed>>>,
    /// The places that were given.
    places: AtomicU64,
    /// Of what waits.
    bytes: Arc<AtomicUsize>,
    thread: Mutex<Option<JoinHandle<()>>>,
    losses: Losses,
}

/// Counts what was written and what was not.
#[derive(Debug, Clone)]
struct Losses {
    metrics: Arc<Metrics>,
    told: Arc<AtomicBool>,
}

impl Losses {
    fn lost(&self, reason: &str) {
        self.metrics.work.recorded.get_or_create(&[("outcome", "lost")]).inc();
        self.tell(reason);
    }

    /// Once: what follows is counted.
    fn tell(&self, reason: &str) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                reason,
                "recording is incomplete; the service goes on, and the metric recorded_total counts what was lost"
            );
        }
    }

    fn written(&self) {
        self.metrics.work.recorded.get_or_create(&[("outcome", "written")]).inc();
    }
}

impl Recorder {
    /// Records into `folder` from now on; where that has something in it already, into a new folder in it.
    pub fn start(folder: &Path, known: Known, metrics: Arc<Metrics>) -> Self {
        let (sender, receiver) = sync_channel(QUEUE);
        let losses = Losses { metrics, told: Arc::new(AtomicBool::new(false)) };
        let mut files = RecordingFiles::new(folder.to_owned(), known, losses.clone());
        let bytes = Arc::new(AtomicUsize::new(0));
        let waiting = bytes.clone();
        let write = move || files.write_all(&receiver, &waiting);
        let thread = std::thread::Builder::new().name("recorder".to_owned()).spawn(write);
        let thread = thread.map_err(|error| losses.lost(&error.to_string())).ok();
        Self { queue: Mutex::new(Some(sender)), places: AtomicU64::new(0), bytes, thread: Mutex::new(thread), losses }
    }

    /// Writes what waits, if that takes no longer than `within`. What is seen later is not recorded.
    pub async fn close(&self, within: Duration) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let joined = tokio::task::spawn_blocking(move || thread.join());
        if tokio::time::timeout(within, joined).await.is_err() {
            self.losses.lost("it could not be finished in time");
        }
    }

    fn enqueue(&self, place: u64, arrival: Arrival) {
        let at = jiff::Timestamp::now().as_millisecond();
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = queue.as_ref() else { return };
        let bytes = arrival.bytes();
        if self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > QUEUE_BYTES {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return self.losses.lost("more arrives than can be written");
        }
        let Err(error) = sender.try_send(Placed { place, at, arrival }) else { return };
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.losses.lost(match error {
            TrySendError::Full(_) => "more arrives than can be written",
            TrySendError::Disconnected(_) => "the thread that writes has ended",
        });
    }
}

fn owned(pairs: &[Pair<'_>]) -> Form {
    let own = |(name, value): &Pair<'_>| (name.clone().into_owned().into(), value.clone().into_owned().into());
    pairs.iter().map(own).collect()
}

impl Witness for Recorder {
    fn saw_event(&self, pairs: &[Pair<'_>]) {
        self.enqueue(self.place(), Arrival::Event(owned(pairs)));
    }

    fn saw_delivery(&self, body: &[u8]) {
        self.enqueue(self.place(), Arrival::Delivery(body.to_vec()));
    }

    fn saw_status(&self, task: &TaskSid, pairs: &[Pair<'_>]) {
        self.enqueue(self.place(), Arrival::Status(task.clone(), owned(pairs)));
    }

    fn place(&self) -> u64 {
        self.places.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn saw_answer(&self, place: u64, request: &Request, status: u16, body: &[u8]) {
        self.enqueue(place, Arrival::Answer { request: request.clone(), status, body: body.to_vec() });
    }
}

/// The files of one recording.
struct RecordingFiles {
    folder: PathBuf,
    /// It is this recording's own, and exists.
    ready: bool,
    paths: Paths,
    pseudonyms: Pseudonyms,
    losses: Losses,
}

impl RecordingFiles {
    fn new(folder: PathBuf, known: Known, losses: Losses) -> Self {
        let now = jiff::Timestamp::now();
        let mut pseudonyms = Pseudonyms::new(now.as_millisecond(), known.name_prefixes);
        for (account, workspace) in &known.accounts {
            pseudonyms.sid(account.as_str());
            pseudonyms.sid(workspace.as_str());
        }
        let below = |prefix: &str| {
            known.fields.iter().filter_map(|field| field.strip_prefix(prefix)).map(str::to_owned).collect()
        };
        let paths = Paths { task: below("task.attributes."), worker: below("worker.attributes.") };
        Self { folder, ready: false, paths, pseudonyms, losses }
    }

    fn write_all(&mut self, items: &Receiver<Placed>, waiting: &AtomicUsize) {
        if let Err(error) = self.settle() {
            self.losses.tell(&error.to_string());
        }
        while let Ok(Placed { place, at, arrival }) = items.recv() {
            waiting.fetch_sub(arrival.bytes(), Ordering::Relaxed);
            if place > MOST_FILES || self.pseudonyms.len() >= MOST_VALUES {
                self.losses.lost("the recording is as large as it may be");
                continue;
            }
            let Some((name, text)) = self.replaced(at, arrival) else { continue };
            match self.write(place, &name, &text) {
                Ok(()) => self.losses.written(),
                Err(error) => self.losses.lost(&error.to_string()),
            }
        }
    }

    /// The end of the file's name, and what stands in it; nothing where nothing is kept.
    fn replaced(&mut self, at: EpochMs, arrival: Arrival) -> Option<(String, String)> {
        let (paths, pseudonyms) = (&self.paths, &mut self.pseudonyms);
        let at = pseudonyms.moment(at);
        let timed = |mut value: Value| {
            value["at"] = json!(at);
            format!("{value:#}\n")
        };
        Some(match arrival {
            Arrival::Event(pairs) => {
                let kept = forms::kept(&pairs, paths, pseudonyms);
                let name = format!("{}.form", forms::event_type(&kept));
                (
                    name,
                    format!("{}\n", url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish()),
                )
            }
            Arrival::Delivery(body) => {
                let events = deliveries::kept(&body, CALLBACK_URL, paths, pseudonyms)?;
                ("event-streams.json".to_owned(), timed(json!({"events": events})))
            }
            Arrival::Status(task, pairs) => {
                let kept = forms::kept(&pairs, paths, pseudonyms);
                let name = format!("{}.status.json", forms::event_type(&kept));
                (name, timed(json!({"task": pseudonyms.sid(task.as_str())?, "form": kept})))
            }
            Arrival::Answer { request, status, body } => {
                let kept = answers::kept(&request, status, &body, paths, pseudonyms)?;
                (format!("{}.answer.json", answers::action(&request)), timed(kept))
            }
        })
    }

    fn write(&mut self, place: u64, name: &str, text: &str) -> io::Result<()> {
        self.settle()?;
        let path = self.folder.join(format!("{place:06}.{name}"));
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        if let Err(error) = file.write_all(text.as_bytes()) {
            // Half a fixture is worse than none.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(())
    }

    /// Makes the folder. What an earlier recording left has other replacements, and must not be mixed with this one's.
    fn settle(&mut self) -> io::Result<()> {
        if self.ready {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        if fs::read_dir(&self.folder)?.next().is_some() {
            let own = self.folder.join(jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string());
            fs::create_dir(&own)?;
            self.folder = own;
        }
        self.ready = true;
        tracing::info!(folder = %self.folder.display(), "recording what Twilio sends, without personal data");
        Ok(())
    }
}
