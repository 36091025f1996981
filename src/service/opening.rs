//! Opens the journal that the settings name, however long it takes.
//!
//! A database may start after its clients, or be in the middle of a failover; a file may be locked, or its disk full; and one that was not
//! closed in order is read as a whole before it is used. Meanwhile both listeners are up: probes see a process that lives and is not ready, and whoever posts is asked to
//! come again.

use super::descriptors::admin_connections;
use super::error::StartError;
use super::supervisor::{ADMIN, Ended, PUBLIC, Supervisor};
use crate::config::{self, JournalUrl, Settings};
use crate::http::{self, ListenerHandle};
use crate::journal::{
    DatabaseUrl, Journal, OpenError, PostgresJournal, PostgresSettings, SqliteJournal, SqliteSettings,
};
use crate::telemetry::log_throttle::LogThrottle;
use crate::telemetry::metrics::Commits;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Between tries; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whoever connects meanwhile waits in the listeners' queues, and is answered by the service. An event that is refused is lost until a
/// backfill, and most journals are open by then, also on a busy machine; a probe that waits for so long is tried again.
const UNANSWERED: Duration = Duration::from_millis(1_500);

/// Opens the journal. Waits for one that cannot be used now; anything else that is wrong does not mend itself.
pub(super) async fn open(
    settings: &Settings,
    commits: &Commits,
    public: &TcpListener,
    admin: &TcpListener,
) -> Result<Arc<dyn Journal>, StartError> {
    let unreachable = Notify::new();
    let mut opening = pin!(open_patiently(settings, commits, &unreachable));
    tokio::select! {
        opened = &mut opening => return Ok(opened?),
        () = unreachable.notified() => {}
        () = tokio::time::sleep(UNANSWERED) => {}
    }
    let mut waiting = Waiting::start(settings, public, admin)?;
    tracing::info!("the journal is not open yet: not ready, and events are answered with 503");
    let opened = tokio::select! {
        opened = &mut opening => opened,
        Ended { task, reason, .. } = waiting.tasks.ended() => return Err(StartError::Ended { task, reason }),
    };
    waiting.stop().await;
    if opened.is_ok() {
        tracing::info!("the journal is open");
    }
    Ok(opened?)
}

async fn open_patiently(
    settings: &Settings,
    commits: &Commits,
    unreachable: &Notify,
) -> Result<Arc<dyn Journal>, OpenError> {
    let (throttle, mut pause) = (LogThrottle::default(), FIRST_PAUSE);
    loop {
        match try_open(settings, commits.clone()).await {
            Err(error @ OpenError::Unreachable { .. }) => {
                unreachable.notify_one();
                throttle.log(|suppressed| {
                    tracing::warn!(%error, suppressed, "waiting for the database: not ready, and events are answered with 503");
                });
            }
            opened => return opened,
        }
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// The servers on both listeners until the journal is open.
struct Waiting {
    handles: Vec<ListenerHandle>,
    tasks: Supervisor,
}

impl Waiting {
    fn start(settings: &Settings, public: &TcpListener, admin: &TcpListener) -> Result<Self, StartError> {
        let (retry_after_s, connections) = (settings.server.retry_after.as_secs(), admin_connections(&settings.server));
        let (mut handles, mut tasks) = (Vec::new(), Supervisor::default());
        let listeners = [(PUBLIC, "server.listen", public, false), (ADMIN, "admin.listen", admin, true)];
        for (name, key, listener, has_health) in listeners {
            let unlistened = |reason| match listener.local_addr() {
                Ok(address) => StartError::Listen { key, address, reason },
                Err(_) => StartError::Listen { key, address: settings.server.listen, reason },
            };
            let server =
                listener.try_clone().and_then(|own| http::waiting(own, connections, has_health, retry_after_s));
            let server = server.map_err(unlistened)?;
            handles.push(server.handle());
            tasks.spawn(name, server.run());
        }
        Ok(Self { handles, tasks })
    }

    async fn stop(mut self) {
        for handle in &self.handles {
            handle.stop().await;
        }
        self.tasks.join(&[PUBLIC, ADMIN]).await;
    }
}

async fn try_open(settings: &Settings, commits: Commits) -> Result<Arc<dyn Journal>, OpenError> {
    let journal = &settings.journal;
    match &journal.url {
        JournalUrl::Sqlite(path) => {
            let settings = SqliteSettings {
                path: path.clone(),
                queue_limit: journal.queue_limit,
                batch_limit: journal.batch_limit,
                lease: journal.lease,
                wal_limit_bytes: journal.wal_limit_bytes,
                commits,
            };
            open_file(settings).await
        }
        JournalUrl::Postgres(url) => {
            Ok(Arc::new(PostgresJournal::open(postgres_settings(journal, url, commits)).await?))
        }
    }
}

/// On a thread of its own: it reads and waits, possibly for minutes. It cannot be cancelled, so a process that is told to stop ends
/// without it; nothing has been accepted yet.
async fn open_file(settings: SqliteSettings) -> Result<Arc<dyn Journal>, OpenError> {
    let path = settings.path.display().to_string();
    match tokio::task::spawn_blocking(move || SqliteJournal::open(settings)).await {
        Ok(opened) => Ok(Arc::new(opened?)),
        Err(died) => Err(OpenError::Unopenable { path, reason: died.to_string(), remedy: "report it, with the log" }),
    }
}

/// For the database that the settings name.
pub(crate) fn postgres_settings(
    journal: &config::JournalConfig,
    url: &DatabaseUrl,
    commits: Commits,
) -> PostgresSettings {
    PostgresSettings {
        url: url.clone(),
        pool_size: journal.pool_size,
        acquire_timeout: journal.acquire_timeout,
        statement_timeout: journal.statement_timeout,
        listen: journal.listen,
        queue_limit: journal.queue_limit,
        batch_limit: journal.batch_limit,
        lease: journal.lease,
        commits,
    }
}
