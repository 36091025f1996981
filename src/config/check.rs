//! The keys, section by section: their ranges, and the relations between them.

mod accounts;
mod addresses;
mod admin;
mod destinations;
mod rules;
mod streams;
mod twilio;

pub(super) use accounts::renamed;
pub(super) use admin::{admin_alone, admin_token_alone};

use super::layers::{Layers, Replaced};
use super::problem::ConfigError;
use super::reader::{HOUR_MS, Reader};
use super::settings::{
    BackfillConfig, JournalConfig, JournalUrl, LogConfig, Mode, PauseConfig, RedirectConfig, RetryConfig, ServerConfig,
    Settings, ShutdownConfig, WithoutEffect, WorkerConfig,
};
use crate::call::pause::OnExpiry;
use crate::telemetry::traces::TraceSettings;
use crate::telemetry::{FILTER_EXAMPLE, LogFormat, check_filter};
use crate::twilio::assignment::ConferenceInstruction;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

const DAY_MS: u64 = 24 * HOUR_MS;
const GIB: u64 = 1 << 30;

/// Reads and checks every section; on failure, returns every problem.
pub(super) fn settings(layers: Layers) -> Result<Settings, ConfigError> {
    let before = layers.found.clone();
    let replaced = layers.replaced.clone();
    let mut reader = Reader::new(layers);
    // Every section is read before any is missed, so that all problems are found.
    let listen = (reader.address("server.listen"), reader.address("admin.listen"));
    let mode = reader.choice("mode", &[Mode::Live, Mode::Shadow].map(|mode| (mode.as_str(), mode)));
    let server = server(&mut reader, listen.0);
    let admin = admin::admin(&mut reader, listen.1);
    let twilio = twilio::twilio(&mut reader);
    let journal = journal(&mut reader);
    let worker = worker(&mut reader);
    let backfill = backfill(&mut reader);
    let retry = retry(&mut reader);
    let redirect = redirect(&mut reader);
    let eligibility = streams::eligibility(&mut reader);
    let assignment = assignment(&mut reader);
    let streams = streams::streams(&mut reader);
    let pause = pause(&mut reader);
    let accounts = accounts::accounts(&mut reader, &before);
    let shutdown = reader.millis("shutdown.grace_ms", 1..=HOUR_MS).map(|grace| ShutdownConfig { grace });
    let traces = traces(&mut reader);
    let log = log(&mut reader);
    listeners_differ(&mut reader, listen.0, listen.1);
    if mode == Some(Mode::Shadow) && matches!(assignment, Some(Some(_))) {
        let remedy = "disable one of them: an answered assignment makes TaskRouter call the worker";
        reader.problem("assignment.enabled", "is true, but mode is \"shadow\", which sends no commands", remedy);
    }
    cross_check(&mut reader);
    let strategy_by_default = !reader.is_written("streams.strategy");
    let without_effect = without_effect(&reader, journal.as_ref().map(|journal| &journal.url), &replaced);
    let all = || {
        Some(Settings {
            mode: mode?,
            server: server?,
            admin: admin?,
            twilio: twilio?,
            journal: journal?,
            worker: worker?,
            backfill: backfill?,
            retry: retry?,
            redirect: redirect?,
            eligibility: eligibility?,
            assignment: assignment?,
            streams: streams?,
            pause: pause?,
            accounts: accounts?,
            shutdown: shutdown?,
            traces: traces?,
            log: log?,
            strategy_by_default,
            without_effect,
            record: None,
        })
    };
    let all = all();
    reader.finish(all)
}

/// Reads and checks `twilio.auth_tokens` only.
pub(super) fn auth_tokens_alone(mut layers: Layers) -> Result<Vec<SecretString>, ConfigError> {
    layers.retain(|key| key == twilio::AUTH_TOKENS);
    let mut reader = Reader::new(layers);
    let tokens = twilio::auth_tokens(&mut reader);
    reader.finish(tokens)
}

fn server(reader: &mut Reader, listen: Option<SocketAddr>) -> Option<ServerConfig> {
    let public_url = addresses::public_url(reader);
    // With less, the first bytes of a body could be taken for a head that is too long.
    let head_limit_bytes = reader.count("server.head_limit_bytes", 8192..=131_072);
    let body_limit_bytes = reader.count("server.body_limit_bytes", 1024..=GIB);
    let form_pairs_limit = reader.count("server.form_pairs_limit", 50..=100_000);
    let unverified_bytes_limit = reader.count("server.unverified_bytes_limit", 131_072..=GIB);
    let event_streams_body_limit_bytes = reader.count("server.event_streams_body_limit_bytes", 1024..=GIB);
    let event_streams_bytes_limit = reader.count("server.event_streams_bytes_limit", 1024..=GIB);
    let threads = reader.count("server.threads", 1..=1024);
    let max_connections = reader.count("server.max_connections", 1..=1_000_000);
    let max_connections_per_peer = reader.count("server.max_connections_per_peer", 1..=1_000_000);
    let uncapped_peers = addresses::networks(reader, "server.uncapped_peers");
    let descriptor_reserve = reader.count("server.descriptor_reserve", 32..=100_000);
    let client_timeout = reader.millis("server.client_timeout_ms", 1..=HOUR_MS);
    let keep_alive = reader.millis("server.keep_alive_ms", 1..=HOUR_MS);
    let retry_after = reader.number("server.retry_after_s", 1..=3600).map(Duration::from_secs);
    Some(ServerConfig {
        listen: listen?,
        public_url: public_url?,
        head_limit_bytes: head_limit_bytes?,
        body_limit_bytes: body_limit_bytes?,
        form_pairs_limit: form_pairs_limit?,
        unverified_bytes_limit: unverified_bytes_limit?,
        event_streams_body_limit_bytes: event_streams_body_limit_bytes?,
        event_streams_bytes_limit: event_streams_bytes_limit?,
        threads: threads?,
        max_connections: max_connections?,
        max_connections_per_peer: max_connections_per_peer?,
        uncapped_peers: uncapped_peers?,
        descriptor_reserve: descriptor_reserve?,
        client_timeout: client_timeout?,
        keep_alive: keep_alive?,
        retry_after: retry_after?,
    })
}

fn journal(reader: &mut Reader) -> Option<JournalConfig> {
    let url = addresses::journal_url(reader);
    let queue_limit = reader.count("journal.queue_limit", 1..=1_000_000);
    let batch_limit = reader.count("journal.batch_limit", 1..=100_000);
    let wal_limit_bytes = reader.number("journal.wal_limit_bytes", 65_536..=64 * GIB);
    let pool_size = reader.number("journal.pool_size", 1..=1000).and_then(|size| u32::try_from(size).ok());
    let acquire_timeout = reader.millis("journal.acquire_timeout_ms", 1..=60_000);
    let statement_timeout = reader.millis("journal.statement_timeout_ms", 1..=60_000);
    let listen = reader.truth("journal.listen");
    let lease = reader.millis("journal.lease_ms", 1..=HOUR_MS);
    let retention = reader.number("journal.retention_hours", 1..=87_600);
    let prune_every = reader.millis("journal.prune_every_ms", 1..=DAY_MS);
    Some(JournalConfig {
        url: url?,
        queue_limit: queue_limit?,
        batch_limit: batch_limit?,
        wal_limit_bytes: wal_limit_bytes?,
        pool_size: pool_size?,
        acquire_timeout: acquire_timeout?,
        statement_timeout: statement_timeout?,
        listen: listen?,
        lease: lease?,
        retention: Duration::from_secs(retention? * 3600),
        prune_every: prune_every?,
    })
}

/// The keys of the store that is not used, and the destinations that a variable replaced.
fn without_effect(
    reader: &Reader,
    url: Option<&JournalUrl>,
    replaced: &BTreeMap<String, Replaced>,
) -> Vec<WithoutEffect> {
    let (keys, why): (&[_], _) = match url {
        None => (&[], ""),
        Some(JournalUrl::Sqlite(_)) => (
            &["journal.pool_size", "journal.acquire_timeout_ms", "journal.statement_timeout_ms", "journal.listen"],
            "it is for PostgreSQL, and journal.url names a SQLite file",
        ),
        Some(JournalUrl::Postgres(_)) => {
            (&["journal.wal_limit_bytes"], "it is for SQLite, and journal.url names a PostgreSQL database")
        }
    };
    let of_other_store = keys.iter().filter_map(|key| {
        let origin = reader.set_by(key)?.to_owned();
        Some(WithoutEffect { key: (*key).to_owned(), origin, why: why.to_owned() })
    });
    let unknown = match url {
        Some(JournalUrl::Postgres(url)) => url.unknown_parameters(),
        Some(JournalUrl::Sqlite(_)) | None => &[],
    };
    let unknown = unknown.iter().filter_map(|place| {
        let origin = reader.set_by("journal.url")?.to_owned();
        let (key, why) = (format!("parameter {place} of journal.url"), "it is none that this program knows".to_owned());
        Some(WithoutEffect { key, origin, why })
    });
    let dropped = replaced.iter().map(|(key, Replaced { tables, origin, by })| {
        let why = format!(
            "{by} replaces the whole list, so its {tables} tables with their names, tracks and parameters are dropped"
        );
        WithoutEffect { key: key.clone(), origin: origin.clone(), why }
    });
    of_other_store.chain(unknown).chain(dropped).collect()
}

fn worker(reader: &mut Reader) -> Option<WorkerConfig> {
    let max_calls = reader.count("worker.max_calls", 1..=100_000);
    let kept_calls = reader.count("worker.kept_calls", 1..=1_000_000);
    let poll = reader.millis("worker.poll_ms", 1..=60_000);
    Some(WorkerConfig { max_calls: max_calls?, kept_calls: kept_calls?, poll: poll? })
}

/// Checked even while disabled, so that enabling it holds no surprise.
fn assignment(reader: &mut Reader) -> Option<Option<ConferenceInstruction>> {
    let enabled = reader.truth("assignment.enabled");
    // Twilio lets a call ring for ten minutes at most.
    let ring = reader.number("assignment.ring_s", 1..=600).map(Duration::from_secs);
    let from = reader.optional_text("assignment.from");
    if from.as_deref().is_some_and(|from| !is_caller_id(from)) {
        let remedy =
            "write a number with its country, as in \"+15550100001\", or the name of a client, as in \"client:desk\"";
        reader.problem("assignment.from", "is no caller ID", remedy);
    }
    let instruction = ConferenceInstruction { from, ring: ring? };
    Some(enabled?.then_some(instruction))
}

/// Whether Twilio could show it to whoever is called.
fn is_caller_id(text: &str) -> bool {
    let is_number = |digits: &str| (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = |name: &str| !name.is_empty() && !name.contains(char::is_whitespace);
    text.strip_prefix('+').is_some_and(is_number)
        || ["client:", "sip:"].into_iter().filter_map(|kind| text.strip_prefix(kind)).any(is_name)
}

fn backfill(reader: &mut Reader) -> Option<BackfillConfig> {
    // TaskRouter redacts the attributes of events that are older than 30 days.
    let max_age = reader.number("backfill.max_age_minutes", 1..=30 * 24 * 60);
    let overlap = reader.millis("backfill.overlap_ms", 1..=HOUR_MS);
    let max_events = reader.count("backfill.max_events", 1..=1_000_000);
    let again = reader.millis("backfill.again_ms", 1..=HOUR_MS);
    let silence = reader.millis("backfill.silence_ms", 0..=DAY_MS);
    let max_age = Duration::from_secs(max_age? * 60);
    Some(BackfillConfig { max_age, overlap: overlap?, max_events: max_events?, again: again?, silence: silence? })
}

fn retry(reader: &mut Reader) -> Option<RetryConfig> {
    let first = reader.millis("retry.first_ms", 1..=HOUR_MS);
    let cap = reader.millis("retry.cap_ms", 1..=60_000);
    let give_up = reader.millis("retry.give_up_ms", 1..=HOUR_MS);
    let slow = reader.millis("retry.slow_ms", 1..=HOUR_MS);
    let doubt = reader.millis("retry.doubt_ms", 1..=60_000);
    let landing_margin = reader.millis("retry.landing_margin_ms", 0..=60_000);
    Some(RetryConfig {
        first: first?,
        cap: cap?,
        give_up: give_up?,
        slow: slow?,
        doubt: doubt?,
        landing_margin: landing_margin?,
    })
}

fn redirect(reader: &mut Reader) -> Option<RedirectConfig> {
    let verify_guard = reader.millis("redirect.verify_guard_ms", 1..=60_000);
    let rejoin = reader.millis("redirect.rejoin_ms", 1..=600_000);
    let watch = reader.millis("redirect.watch_ms", 1..=HOUR_MS);
    let poll = reader.millis_list("redirect.poll_ms", 0..=5_000);
    let reading_max_age = reader.millis("redirect.reading_max_age_ms", 1..=60_000);
    if poll.as_deref().and_then(<[Duration]>::last).is_some_and(Duration::is_zero) {
        let remedy = "end it with the pause between readings, as in [0, 50, 100, 200]";
        reader.problem("redirect.poll_ms", "ends with 0, so readings would repeat without a pause", remedy);
    }
    Some(RedirectConfig {
        verify_guard: verify_guard?,
        rejoin: rejoin?,
        watch: watch?,
        poll: poll?,
        reading_max_age: reading_max_age?,
    })
}

fn pause(reader: &mut Reader) -> Option<PauseConfig> {
    let secret = admin::guarded_secret(reader, "pause.secret");
    let confirm_within = reader.millis("pause.confirm_within_ms", 100..=60_000);
    let max = reader.number("pause.max_s", 1..=24 * 3600).map(Duration::from_secs);
    let on_expiry = reader.choice("pause.on_expiry", &[("stay", OnExpiry::Stay), ("resume", OnExpiry::Resume)]);
    let recording = reader.truth("pause.recording");
    Some(PauseConfig {
        secret: secret?,
        confirm_within: confirm_within?,
        max: max?,
        on_expiry: on_expiry?,
        recording: recording?,
    })
}

fn traces(reader: &mut Reader) -> Option<Option<TraceSettings>> {
    let otlp_url = addresses::otlp_url(reader);
    let timeout = reader.millis("traces.timeout_ms", 1..=60_000);
    let export_every = reader.millis("traces.export_every_ms", 1..=HOUR_MS);
    let queue_limit = reader.count("traces.queue_limit", 1..=1_000_000);
    let (timeout, export_every, queue_limit) = (timeout?, export_every?, queue_limit?);
    Some(otlp_url.map(|otlp_url| TraceSettings { otlp_url, timeout, export_every, queue_limit }))
}

fn log(reader: &mut Reader) -> Option<LogConfig> {
    let format = reader.choice("log.format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
    let filter = reader.text("log.filter", FILTER_EXAMPLE);
    if let Some(Err(unfit)) = filter.as_deref().map(check_filter) {
        reader.problem("log.filter", unfit.to_string(), FILTER_EXAMPLE);
    }
    Some(LogConfig { format: format?, filter: filter? })
}

fn listeners_differ(reader: &mut Reader, server: Option<SocketAddr>, admin: Option<SocketAddr>) {
    if server.is_some() && server == admin && server.is_some_and(|address| address.port() != 0) {
        let remedy = "give each listener its own address";
        reader.problem("admin.listen", "is the same address as server.listen", remedy);
    }
}

/// Relations between numbers; those that are not valid numbers have been reported already.
fn cross_check(reader: &mut Reader) {
    for (smaller, greater) in [
        ("twilio.connect_timeout_ms", "twilio.request_timeout_ms"),
        ("server.body_limit_bytes", "server.event_streams_body_limit_bytes"),
        ("server.body_limit_bytes", "server.unverified_bytes_limit"),
        ("server.event_streams_body_limit_bytes", "server.event_streams_bytes_limit"),
        ("journal.batch_limit", "journal.queue_limit"),
        ("journal.statement_timeout_ms", "journal.lease_ms"),
        ("retry.first_ms", "retry.cap_ms"),
        ("retry.cap_ms", "retry.give_up_ms"),
    ] {
        let (Some(low), Some(high)) = (reader.read(smaller), reader.read(greater)) else {
            continue;
        };
        if low > high {
            let remedy = format!("make it at most {greater}, which is {high}, or raise that");
            reader.problem(smaller, format!("is {low}"), remedy);
        }
    }
    lease_outlasts_requests(reader);
}

fn lease_outlasts_requests(reader: &mut Reader) {
    const LEASE: &str = "journal.lease_ms";
    let timeouts = (reader.read("twilio.connect_timeout_ms"), reader.read("twilio.request_timeout_ms"));
    let (Some(lease), (Some(connect), Some(request))) = (reader.read(LEASE), timeouts) else {
        return;
    };
    if lease <= connect + request {
        let remedy = format!(
            "make it more than {}, the sum of twilio.connect_timeout_ms and twilio.request_timeout_ms, \
             or a slow request would lose its call",
            connect + request
        );
        reader.problem(LEASE, format!("is {lease}"), remedy);
    }
}
