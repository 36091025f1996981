//! Every metric, and their text for Prometheus.
//!
//! The composition root creates one [`Metrics`] and passes it on. There is no registry per process, so that tests can run
//! several services side by side. Labels are `&'static str`, so nothing from the network can become one: the number of series
//! is bounded, and no name or attribute can be injected.

use super::labels;
use super::resources::ResourceMetrics;
use super::series::{AccountCounters, AccountLabels, Counters, Labels, Times, begin};
use crate::call::sid::AccountSid;
use crate::call::step::Goal;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use std::sync::atomic::AtomicU64;

/// The prefix of every name.
pub const PREFIX: &str = "taskrouter_streams";

/// The media type of [`Metrics::render`].
pub const MEDIA_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Seconds, from a fast disk's fsync to the longest wait for a participant. One set for all, so that panels can be compared.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Writes in one commit, up to the default of `journal.batch_limit`.
const WRITES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Every metric, by who counts with it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// The public listener and the operators' routes.
    pub ingress: IngressMetrics,
    /// Steps and requests to Twilio.
    pub steps: StepMetrics,
    /// Streams, by call and over all calls.
    pub streams: StreamMetrics,
    pub commits: Commits,
    /// Calls in work, and background tasks.
    pub work: WorkMetrics,
    pub resources: ResourceMetrics,
}

/// Requests and events, counted by the public listener and the operators' routes.
#[derive(Debug)]
pub struct IngressMetrics {
    pub answers: Counters<2>,
    pub answer_seconds: Times<1>,
    pub events: AccountCounters<2>,
    pub event_delay_seconds: Histogram,
    pub late_events: Counters<1>,
    pub admin_refusals: Counters<1>,
    pub connections: Gauge,
    pub unverified_bytes: Gauge,
    pub evictions: Counters<1>,
    pub broken_connections: Counters<1>,
}

/// Steps, counted by call tasks.
#[derive(Debug)]
pub struct StepMetrics {
    pub settled: Counters<2>,
    pub settle_delay_seconds: Histogram,
    pub requests: AccountCounters<2>,
    pub request_seconds: Times<1>,
    pub retries: Counters<1>,
    pub parked: AccountCounters<1>,
    pub compensations: Counters<1>,
}

/// Streams, counted by call tasks and by the stream gauges.
#[derive(Debug)]
pub struct StreamMetrics {
    pub started: AccountCounters<0>,
    pub proven: Counter,
    pub stopped: Counter,
    pub unconfirmed: Counter,
    pub stops_unproven: Counter,
    pub leg_checks: Counters<1>,
    pub pauses: Counters<1>,
    pub seconds: Counter<f64, AtomicU64>,
    pub start_delay_seconds: Histogram,
    pub live: Gauge,
    pub running: Gauge,
    pub in_doubt: Gauge,
    pub orphaned: Gauge,
}

/// Commits, counted by the journal.
#[derive(Debug, Clone)]
pub struct Commits {
    pub writes: Histogram,
    pub seconds: Histogram,
    pub wal_bytes: Gauge,
}

/// Work in progress, and rounds of the background tasks.
#[derive(Debug)]
pub struct WorkMetrics {
    pub calls: Family<Labels<1>, Gauge>,
    pub call_tasks: Gauge,
    pub leases_lost: Counter,
    pub tasks_without_call: Counter,
    pub unreadable_calls: Gauge,
    pub backfilled: Counters<1>,
    pub records_unusable: Counter,
    pub rounds: Counters<2>,
    pub live_views: Gauge,
    pub spans_dropped: Counter,
    pub recorded: Counters<1>,
}

/// Registers metrics under the prefix.
struct Names(Registry);

impl Names {
    fn add<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}

impl Metrics {
    /// All at zero. `version` and `commit` identify the build.
    pub fn new(version: &'static str, commit: &'static str) -> Self {
        let mut names = Names(Registry::with_prefix(PREFIX));
        let help = "Always 1; the labels identify the build";
        let build: Family<Labels<2>, Gauge> = names.add("build_info", help, Family::default());
        build.get_or_create(&[("version", version), ("commit", commit)]).set(1);
        let metrics = Self {
            ingress: IngressMetrics::new(&mut names),
            steps: StepMetrics::new(&mut names),
            streams: StreamMetrics::new(&mut names),
            commits: Commits::new(&mut names),
            work: WorkMetrics::new(&mut names),
            resources: ResourceMetrics::new(&mut names.0),
            registry: names.0,
        };
        metrics.begin_at_zero();
        metrics
    }

    /// Prometheus cannot see the first increase of a series that appears with it. Series that matter for alerts exist from the
    /// start.
    fn begin_at_zero(&self) {
        labels::lost_answers().for_each(|lost| _ = self.ingress.answers.get_or_create(&lost).inc_by(0));
        begin(&self.ingress.late_events, "verdict", &["new", "duplicate"]);
        begin(&self.ingress.admin_refusals, "reason", &["wrong_token", "too_many"]);
        begin(&self.ingress.broken_connections, "reason", &["malformed", "io", "other"]);
        begin(&self.ingress.evictions, "reason", &["full", "peer", "head", "unverified_bytes"]);
        begin(&self.streams.leg_checks, "outcome", &["stayed", "moved", "unverified"]);
        begin(&self.streams.pauses, "outcome", &["proven", "unproven", "overdue"]);
        begin(&self.steps.compensations, "change", &["raise_guard", "hold_again"]);
        begin(&self.work.backfilled, "after", &["stop", "outage", "silence"]);
        let serve = labels::goal(&Goal::Serve);
        self.steps.parked.get_or_create(&AccountLabels::new([("change", serve)], None)).inc_by(0);
        self.work.rounds.get_or_create(&[("task", "dispatcher"), ("outcome", "done")]).inc_by(0);
        for task in ["dispatcher", "janitor", "stream_gauges", "backfill", "traces"] {
            self.work.rounds.get_or_create(&[("task", task), ("outcome", "failed")]).inc_by(0);
        }
    }

    /// The same for the series of an account that is served.
    pub fn begin_account(&self, account: &AccountSid) {
        let of = Some(account);
        for change in labels::GOALS {
            self.steps.parked.get_or_create(&AccountLabels::new([("change", change)], of)).inc_by(0);
        }
        for event in labels::events() {
            let refused = [("type", event), ("verdict", "refused")];
            self.ingress.events.get_or_create(&AccountLabels::new(refused, of)).inc_by(0);
        }
        self.streams.started.get_or_create(&AccountLabels::new([], of)).inc_by(0);
    }

    /// The text for Prometheus.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }
}

impl IngressMetrics {
    /// Counts an event, or a command of operators, and what became of it.
    pub fn count_event(&self, kind: &'static str, verdict: &'static str, account: Option<&AccountSid>) {
        self.events.get_or_create(&AccountLabels::new([("type", kind), ("verdict", verdict)], account)).inc();
    }

    fn new(names: &mut Names) -> Self {
        Self {
            answers: names.add("answers", "Answers of the public listener, by path and status", Family::default()),
            answer_seconds: names.add(
                "answer_seconds",
                "Seconds from a request's head to its answer, by path; an event has been committed by then",
                times(),
            ),
            events: names.add(
                "events",
                "Events received, by type, verdict (new, duplicate, not_ours, malformed, refused) and account",
                Family::default(),
            ),
            event_delay_seconds: names.add(
                "event_delay_seconds",
                "Seconds from an event, by Twilio's clock, to its commit, by ours",
                seconds(),
            ),
            late_events: names.add(
                "events_late",
                "Authentic events older than backfill.max_age_minutes, by verdict (new, duplicate): possible replays",
                Family::default(),
            ),
            admin_refusals: names.add(
                "admin_refusals",
                "Requests to the console that were refused, by reason (missing_token, wrong_token, too_many, disabled, foreign_host, \
                 cross_site)",
                Family::default(),
            ),
            connections: names.add("connections", "Connections of the public listener", Gauge::default()),
            unverified_bytes: names.add(
                "unverified_bytes",
                "Bytes received by the public listener whose signature has not been checked",
                Gauge::default(),
            ),
            evictions: names.add(
                "connections_evicted",
                "Connections closed by a limit: server.max_connections (full), server.max_connections_per_peer (peer), \
                 server.head_limit_bytes (head) or server.unverified_bytes_limit (unverified_bytes)",
                Family::default(),
            ),
            broken_connections: names.add(
                "connections_broken",
                "Connections that ended with an error, by reason (malformed, io, other)",
                Family::default(),
            ),
        }
    }
}

impl StepMetrics {
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
                "Requests to Twilio by operation, status and account; a list of several pages counts once",
                Family::default(),
            ),
            request_seconds: names.add(
                "twilio_request_seconds",
                "Seconds of a request to Twilio, by operation",
                times(),
            ),
            retries: names.add("retries", "Operations retried after a failure, by operation", Family::default()),
            parked: names.add("parked", "Changes that were parked, by kind and account", Family::default()),
            compensations: names.add(
                "compensations",
                "Guards raised and holds restored after we had changed them, by kind",
                Family::default(),
            ),
        }
    }
}

impl StreamMetrics {
    fn new(names: &mut Names) -> Self {
        Self {
            started: names.add("streams_started", "Streams whose start Twilio took, by account", Family::default()),
            proven: names.add("streams_proven", "Streams of which Twilio told that they run", Counter::default()),
            stopped: names.add("streams_stopped", "Streams that are over, by Twilio's word or by proof", Counter::default()),
            stops_unproven: names.add(
                "stops_unproven",
                "Stops that Twilio took twice without telling that the stream is over",
                Counter::default(),
            ),
            leg_checks: names.add(
                "leg_checks",
                "Starts that were checked, by outcome: the leg stayed, moved, or could not be read (unverified)",
                Family::default(),
            ),
            pauses: names.add("pauses", "Pauses, by outcome (proven, unproven, overdue)", Family::default()),
            running: names.add(
                "streams_running",
                "Streams of which Twilio told that they run, at the last count; each process counts the whole journal",
                Gauge::default(),
            ),
            in_doubt: names.add(
                "streams_in_doubt",
                "Streams of which nobody knows whether they run, at the last count; each process counts the whole journal",
                Gauge::default(),
            ),
            seconds: names.add(
                "stream_seconds",
                "Seconds that streams ran, added up at each count; each process counts the whole journal",
                Counter::default(),
            ),
            unconfirmed: names.add(
                "streams_unconfirmed",
                "Streams whose socket was not confirmed in time",
                Counter::default(),
            ),
            start_delay_seconds: names.add(
                "stream_start_delay_seconds",
                "Seconds from an agent's acceptance, by Twilio's clock, to the start of the stream, by ours",
                seconds(),
            ),
            live: names.add(
                "streams_live",
                "Streams that run, at the last count; each process counts the whole journal",
                Gauge::default(),
            ),
            orphaned: names.add(
                "streams_orphaned",
                "Streams that run for an agent who is not on the call, at the last count",
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

/// Not registered: for journals whose commits nobody reads.
impl Default for Commits {
    fn default() -> Self {
        Self { writes: Histogram::new(WRITES), seconds: seconds(), wal_bytes: Gauge::default() }
    }
}

impl WorkMetrics {
    fn new(names: &mut Names) -> Self {
        Self {
            calls: names.add(
                "calls",
                "Calls in the journal: active (due or in work), waiting (for a time), live (not over), parked",
                Family::default(),
            ),
            call_tasks: names.add("call_tasks", "Calls that this process is handling", Gauge::default()),
            leases_lost: names.add("leases_lost", "Calls that another worker took over", Counter::default()),
            backfilled: names.add(
                "events_backfilled",
                "Events that were not delivered and were fetched from TaskRouter's records: after a stop, an outage of the journal, or silence",
                Family::default(),
            ),
            records_unusable: names.add("records_unusable", "TaskRouter's unreadable records", Counter::default()),
            rounds: names.add("background_rounds", "Rounds of background tasks (done, failed)", Family::default()),
            tasks_without_call: names.add(
                "tasks_without_call",
                "Voice tasks of which no call could be found: callbacks, voicemails, calls between agents",
                Counter::default(),
            ),
            unreadable_calls: names.add(
                "calls_unreadable",
                "Calls that are not over and have a fact that cannot be read, at the last count; they are parked",
                Gauge::default(),
            ),
            live_views: names.add("console_live_views", "Pages that the console keeps up to date", Gauge::default()),
            recorded: names.add("recorded", "With --record: fixtures that were written or lost", Family::default()),
            spans_dropped: names.add(
                "trace_spans_dropped",
                "Spans that were dropped because traces.queue_limit waited already",
                Counter::default(),
            ),
        }
    }

    /// Counts a round of a background task.
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
