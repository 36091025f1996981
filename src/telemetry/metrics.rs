//! Metrics: every instrument that there is, and their text for Prometheus.
//!
//! The composition root makes one [`Metrics`] and hands it to whoever counts; there is no registry per process, so that tests
//! can run several services side by side. Labels are `&'static str`: nothing that comes from the network can become one, so
//! the number of series is bounded by this program's text and no name or attribute can be injected.

use super::labels;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use std::sync::atomic::AtomicU64;

/// What every name begins with.
pub const PREFIX: &str = "taskrouter_streams";

/// The media type of [`Metrics::render`].
pub const MEDIA_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Names and values of an instrument's labels.
pub type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Whole numbers that only grow, one for each combination of labels.
pub type Counters<const N: usize> = Family<Labels<N>, Counter>;

/// Times, one distribution for each combination of labels.
pub type Times<const N: usize> = Family<Labels<N>, Histogram>;

/// Seconds, from a fast disk's fsync to the longest wait for a participant. One set for all, so that panels can be compared.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Writes in one commit, up to the default of `journal.batch_limit`.
const WRITES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Every instrument, by who counts with it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// The public listener.
    pub door: Door,
    /// Steps and the requests that they are.
    pub steps: Steps,
    /// Streams.
    pub streams: Streams,
    /// The journal's commits.
    pub commits: Commits,
    /// What goes on in the background.
    pub work: Work,
}

/// What the public listener and the operators' routes count.
#[derive(Debug)]
#[expect(missing_docs, reason = "each has its help text, which Prometheus reads too")]
pub struct Door {
    pub answers: Counters<2>,
    pub answer_seconds: Times<1>,
    pub events: Counters<2>,
    pub event_delay_seconds: Histogram,
}

/// What a call's lane counts of its steps.
#[derive(Debug)]
#[expect(missing_docs, reason = "each has its help text, which Prometheus reads too")]
pub struct Steps {
    pub settled: Counters<2>,
    pub settle_delay_seconds: Histogram,
    pub requests: Counters<2>,
    pub request_seconds: Times<1>,
    pub retries: Counters<1>,
    pub parked: Counters<1>,
    pub compensations: Counters<1>,
}

/// What a call's lane, and the census, count of streams.
#[derive(Debug)]
#[expect(missing_docs, reason = "each has its help text, which Prometheus reads too")]
pub struct Streams {
    pub started: Counter,
    pub stopped: Counter,
    pub unconfirmed: Counter,
    pub seconds: Counter<f64, AtomicU64>,
    pub start_delay_seconds: Histogram,
    pub live: Gauge,
    pub orphaned: Gauge,
}

/// What a journal tells of its commits.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each has its help text, which Prometheus reads too")]
pub struct Commits {
    pub writes: Histogram,
    pub seconds: Histogram,
    pub wal_bytes: Gauge,
}

/// What is going on, and the rounds of the background tasks.
#[derive(Debug)]
#[expect(missing_docs, reason = "each has its help text, which Prometheus reads too")]
pub struct Work {
    pub calls: Family<Labels<1>, Gauge>,
    pub lanes: Gauge,
    pub leases_lost: Counter,
    pub backfilled: Counter,
    pub rounds: Counters<2>,
    pub live_views: Gauge,
    pub spans_dropped: Counter,
}

/// Registers under the prefix, and gives the instrument to whoever counts with it.
struct Names(Registry);

impl Names {
    fn add<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}

impl Metrics {
    /// All at nothing. `version` and `commit` say which build this is.
    pub fn new(version: &'static str, commit: &'static str) -> Self {
        let mut names = Names(Registry::with_prefix(PREFIX));
        let help = "Always 1; the labels say which build this is";
        let build: Family<Labels<2>, Gauge> = names.add("build_info", help, Family::default());
        build.get_or_create(&[("version", version), ("commit", commit)]).set(1);
        let metrics = Self {
            door: Door::new(&mut names),
            steps: Steps::new(&mut names),
            streams: Streams::new(&mut names),
            commits: Commits::new(&mut names),
            work: Work::new(&mut names),
            registry: names.0,
        };
        metrics.begin_at_nothing();
        metrics
    }

    /// A series that appears with its first count looks to Prometheus as if nothing had happened: those that must not be missed are there
    /// from the beginning.
    fn begin_at_nothing(&self) {
        for change in labels::CHANGES {
            self.steps.parked.get_or_create(&[("change", change)]).inc_by(0);
        }
        for change in ["raise_guard", "hold_again"] {
            self.steps.compensations.get_or_create(&[("change", change)]).inc_by(0);
        }
        for event in labels::EVENTS {
            self.door.events.get_or_create(&[("type", event), ("verdict", "refused")]).inc_by(0);
        }
        for task in ["dispatcher", "janitor", "census", "backfill", "traces"] {
            self.work.rounds.get_or_create(&[("task", task), ("outcome", "failed")]).inc_by(0);
        }
    }

    /// The text for Prometheus.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }
}

impl Door {
    fn new(names: &mut Names) -> Self {
        Self {
            answers: names.add("answers", "Answers of the public listener, by path and status", Family::default()),
            answer_seconds: names.add(
                "answer_seconds",
                "Seconds from a request's head to its answer, by path: an event is on disk by then",
                times(),
            ),
            events: names.add(
                "events",
                "Facts brought to the door, by type and verdict (new, duplicate, not_ours, refused)",
                Family::default(),
            ),
            event_delay_seconds: names.add(
                "event_delay_seconds",
                "Seconds from an event, by Twilio's clock, to its journaling, by ours",
                seconds(),
            ),
        }
    }
}

impl Steps {
    fn new(names: &mut Names) -> Self {
        Self {
            settled: names.add("steps", "Steps by operation and outcome", Family::default()),
            settle_delay_seconds: names.add(
                "settle_delay_seconds",
                "Seconds from a call's newest event to the end of a step that changed its streams, guard or hold",
                seconds(),
            ),
            requests: names.add(
                "twilio_requests",
                "Requests to Twilio by operation and status; a list of several pages counts once",
                Family::default(),
            ),
            request_seconds: names.add(
                "twilio_request_seconds",
                "Seconds of a request to Twilio, with the wait for its turn, by operation",
                times(),
            ),
            retries: names.add(
                "retries",
                "Operations tried again for a change for which they had failed, by operation",
                Family::default(),
            ),
            parked: names.add("parked", "Changes that were given up, by kind", Family::default()),
            compensations: names.add(
                "compensations",
                "Guards raised and customers held again after we had changed them, by kind",
                Family::default(),
            ),
        }
    }
}

impl Streams {
    fn new(names: &mut Names) -> Self {
        Self {
            started: names.add("streams_started", "Streams that were started", Counter::default()),
            stopped: names.add(
                "streams_stopped",
                "Streams that were stopped while their call went on",
                Counter::default(),
            ),
            seconds: names.add(
                "stream_seconds",
                "Seconds that streams ran, added up at each census, which in each process is of the whole journal",
                Counter::default(),
            ),
            unconfirmed: names.add(
                "streams_unconfirmed",
                "Streams whose socket nobody had heard of in time",
                Counter::default(),
            ),
            start_delay_seconds: names.add(
                "stream_start_delay_seconds",
                "Seconds from an agent's acceptance, by Twilio's clock, to the start of the stream, by ours",
                seconds(),
            ),
            live: names.add(
                "streams_live",
                "Streams that run, by the last census, which in each process is of the whole journal",
                Gauge::default(),
            ),
            orphaned: names.add(
                "streams_orphaned",
                "Streams that run for an agent who is not on the call, by the last census",
                Gauge::default(),
            ),
        }
    }
}

impl Commits {
    fn new(names: &mut Names) -> Self {
        let commits = Self::default();
        names.add("journal_commit_writes", "Writes that shared one commit", commits.writes.clone());
        names.add("journal_commit_seconds", "Seconds of one commit", commits.seconds.clone());
        let help = "Bytes of SQLite's write-ahead log; far more than journal.wal_limit_bytes while somebody reads the file for long";
        names.add("journal_wal_bytes", help, commits.wal_bytes.clone());
        commits
    }
}

/// Counts that nobody reads.
impl Default for Commits {
    fn default() -> Self {
        Self { writes: Histogram::new(WRITES), seconds: seconds(), wal_bytes: Gauge::default() }
    }
}

impl Work {
    fn new(names: &mut Names) -> Self {
        Self {
            calls: names.add(
                "calls",
                "Calls in the journal: active (due or worked on), waiting (for a time), live (not over), parked",
                Family::default(),
            ),
            lanes: names.add("lanes", "Calls that this process works on", Gauge::default()),
            leases_lost: names.add(
                "leases_lost",
                "Calls that another worker took over while this one worked on them",
                Counter::default(),
            ),
            backfilled: names.add(
                "events_backfilled",
                "Events that had not arrived and were read from TaskRouter's records",
                Counter::default(),
            ),
            rounds: names.add(
                "background_rounds",
                "Rounds of the background tasks, by task and outcome (done, failed)",
                Family::default(),
            ),
            live_views: names.add("console_live_views", "Pages that the console keeps up to date", Gauge::default()),
            spans_dropped: names.add(
                "trace_spans_dropped",
                "Spans of traces that were dropped because traces.queue_limit waited already",
                Counter::default(),
            ),
        }
    }

    /// Notes that a background task has ended a round.
    pub fn round(&self, task: &'static str, done: bool) {
        let outcome = if done { "done" } else { "failed" };
        self.rounds.get_or_create(&[("task", task), ("outcome", outcome)]).inc();
    }
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

fn times<const N: usize>() -> Times<N> {
    Family::new_with_constructor(seconds)
}
