//! Journals with the product's own defaults, to fill past the door.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use taskrouter_streams::journal::{Journal, PostgresJournal, PostgresSettings, SqliteJournal, SqliteSettings};
use taskrouter_streams::telemetry::metrics::Commits;

const LEASE: Duration = Duration::from_secs(15);

pub(crate) fn sqlite(path: &Path) -> Arc<dyn Journal> {
    let settings = SqliteSettings {
        path: path.to_owned(),
        queue_limit: 4096,
        batch_limit: 512,
        lease: LEASE,
        wal_limit_bytes: 64 << 20,
        commits: Commits::default(),
    };
    Arc::new(SqliteJournal::open(settings).unwrap())
}

pub(crate) async fn postgres(url: &str) -> Arc<dyn Journal> {
    let settings = PostgresSettings {
        url: url.parse().unwrap(),
        pool_size: 8,
        acquire_timeout: Duration::from_secs(2),
        statement_timeout: Duration::from_secs(3),
        listen: true,
        queue_limit: 4096,
        batch_limit: 512,
        lease: LEASE,
        commits: Commits::default(),
    };
    Arc::new(PostgresJournal::open(settings).await.unwrap())
}
