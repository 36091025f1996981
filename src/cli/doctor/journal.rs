//! The journal's store: is it writable, and how long does a durable write take?

use super::check::Check;
use crate::call::fact::EpochMs;
use crate::config::{JournalUrl, Settings};
use crate::journal::{Examination, OpenError, TOLERANCE_MS, examine_database, examine_file};
use crate::service::postgres_settings;
use crate::telemetry::metrics::Commits;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

const NAME: &str = "journal";

/// The size of a fact with its index entries.
const PAGE: [u8; 4096] = [0; 4096];

/// Enough for a median that one slow write does not change.
const WRITES: usize = 9;

/// Every event waits for one write; agents notice a disk that is slower than this.
const SLOW: Duration = Duration::from_millis(50);

pub(super) async fn checks(settings: &Settings) -> Vec<Check> {
    match &settings.journal.url {
        JournalUrl::Sqlite(path) => {
            let path = path.clone();
            let checked = tokio::task::spawn_blocking(move || file(&path).unwrap_or_else(|| disk(&path))).await;
            checked.into_iter().collect()
        }
        JournalUrl::Postgres(url) => {
            let settings = postgres_settings(&settings.journal, url, Commits::default());
            match examine_database(&settings).await {
                Ok(found) => [Some(database(&found)), clock(found.clock_ahead_ms)].into_iter().flatten().collect(),
                Err(error) => vec![unopened(&error)],
            }
        }
    }
}

/// What is wrong with the journal's file, if it exists.
fn file(path: &Path) -> Option<Check> {
    examine_file(path).err().as_ref().map(unopened)
}

fn unopened(error: &OpenError) -> Check {
    Check::failure(NAME, error.found(), &error.remedy())
}

/// Writes beside the journal's file, which a running service may be using.
fn disk(path: &Path) -> Check {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let timed = || -> std::io::Result<Duration> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        let mut times = Vec::new();
        for _ in 0..WRITES {
            let began = Instant::now();
            file.write_all(&PAGE)?;
            file.as_file().sync_data()?;
            times.push(began.elapsed());
        }
        times.sort();
        Ok(times.get(WRITES / 2).copied().unwrap_or_default())
    };
    let shown = directory.display();
    match timed() {
        Ok(took) if took < SLOW => {
            Check::ok(NAME, format!("{shown} takes a durable write in {:.1} ms (median)", took.as_secs_f64() * 1000.0))
        }
        Ok(took) => Check::warning(
            NAME,
            format!("{shown} takes a durable write in {} ms (median)", took.as_millis()),
            "use a faster disk: every event waits for one write",
        ),
        Err(error) => Check::failure(
            NAME,
            format!("{shown} cannot be written: {error}"),
            "create the directory of journal.url, and make it writable for the service's user",
        ),
    }
}

fn database(found: &Examination) -> Check {
    let Examination { connected, write, may_write, may_migrate, is_read_only, fsync, .. } = *found;
    let connected = format!("PostgreSQL, connected in {} ms", connected.as_millis());
    if is_read_only {
        return Check::failure(
            NAME,
            format!("{connected}, takes no writes: it is a standby, or its default_transaction_read_only is on"),
            "set journal.url to the primary",
        );
    }
    let Some(write) = write.filter(|_| may_write) else {
        return Check::failure(
            NAME,
            format!("{connected}, grants this role no write access"),
            "let the role create a schema (GRANT CREATE ON DATABASE), or create it: CREATE SCHEMA taskrouter_streams AUTHORIZATION \
             role; where the tables are there, GRANT USAGE on it and SELECT, INSERT, UPDATE, DELETE on all its tables",
        );
    };
    if !may_migrate {
        return Check::failure(
            NAME,
            format!("{connected}, has tables of an older version, which this role does not own"),
            "start the service once as their owner, which brings them to this version, or let this role own them",
        );
    }
    let written = format!("{connected}, takes a durable write in {:.1} ms (median)", write.as_secs_f64() * 1000.0);
    if !fsync {
        return Check::warning(
            NAME,
            format!("{written}, but its fsync is off"),
            "turn fsync on: acknowledged events can be lost when the database's machine fails",
        );
    }
    if write >= SLOW {
        return Check::warning(
            NAME,
            written,
            "use a faster disk or a nearer database: every event waits for one write",
        );
    }
    Check::ok(NAME, written)
}

/// Facts are stamped by the database's clock, logs by this machine's.
fn clock(ahead_ms: EpochMs) -> Option<Check> {
    let direction = if ahead_ms > 0 { "ahead of" } else { "behind" };
    (ahead_ms.abs() > TOLERANCE_MS).then(|| {
        Check::warning(
            "clock of the database",
            format!(
                "this machine's clock is {:.1} s {direction} it",
                Duration::from_millis(ahead_ms.unsigned_abs()).as_secs_f64()
            ),
            "synchronise the clocks of both machines (NTP): times in logs and timelines cannot be compared",
        )
    })
}
