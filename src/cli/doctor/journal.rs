//! The journal's store: can it be written, and how long does that take?

use super::check::Check;
use crate::cli::service::open_journal;
use crate::config::{JournalUrl, Settings};
use crate::telemetry::metrics::Commits;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

const NAME: &str = "journal";

/// As many bytes as a fact and its index entries take.
const PAGE: [u8; 4096] = [0; 4096];

/// Enough for a median that one slow write does not change.
const WRITES: usize = 9;

/// Every event waits for one write: a disk that is slower than this is felt.
const SLOW: Duration = Duration::from_millis(50);

pub(super) async fn checks(settings: &Settings, is_running: bool) -> Vec<Check> {
    match &settings.journal.url {
        JournalUrl::Sqlite(path) => {
            let path = path.clone();
            let checked = tokio::task::spawn_blocking(move || disk(&path)).await;
            checked.into_iter().collect()
        }
        JournalUrl::Postgres(_) if is_running => {
            vec![Check::ok(NAME, "in PostgreSQL; the running worker uses it")]
        }
        JournalUrl::Postgres(_) => vec![database(settings).await],
    }
}

/// Beside the journal's file, which is left alone: it may be a running worker's.
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
            "every event waits for one: give the journal a faster disk",
        ),
        Err(error) => Check::failure(
            NAME,
            format!("{shown} cannot be written: {error}"),
            "make the directory of journal.url, and let the worker's user write there",
        ),
    }
}

async fn database(settings: &Settings) -> Check {
    let began = Instant::now();
    match open_journal(settings, Commits::default()).await {
        Ok(journal) => {
            let connected = began.elapsed();
            let (began, counted) = (Instant::now(), journal.backlog().await);
            let asked = began.elapsed();
            // Nothing was written, so nothing can be lost.
            let _ = journal.close().await;
            match counted {
                Ok(_) => Check::ok(
                    NAME,
                    format!(
                        "PostgreSQL: connected in {} ms, counts in {} ms",
                        connected.as_millis(),
                        asked.as_millis()
                    ),
                ),
                Err(error) => Check::failure(NAME, error.to_string(), "look into the database's log"),
            }
        }
        Err(error) => Check::failure(NAME, error.to_string(), "check journal.url, and that the database is up"),
    }
}
