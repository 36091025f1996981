//! The journal of several processes: one PostgreSQL database.
//!
//! Events go through one task that commits many at once; the worker's writes are a transaction each. A transaction is one
//! message, and so one round trip. A call is claimed with `FOR UPDATE SKIP LOCKED`, so that processes share the calls without
//! waiting for one another. Every time is the database's.
//! A database that is away makes [`JournalError::Unavailable`] of everything until it is back; nothing needs to be restarted.

mod examine;
mod ingest;
mod ops;
mod reader;
mod schema;
mod session;
mod sql;
mod wake;

use super::running::{self, Failure, Running};
use super::{
    Backlog, CallQuery, CallRow, Claim, Claims, Coverage, Due, Facts, Ingest, Ingested, Journal, JournalError, NewFact,
    OpenError, Promise, Reading, Seq, Workload,
};
use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::TaskSid;
use crate::journal;
use crate::telemetry::metrics::Commits;
pub use examine::Examination;
use ingest::{Batcher, Message, Waiting};
use ops::{Append, CloseGap, OpenGap, PruneChunk, Release, Renew, TakeLeases};
use reader::{Bodies, Count, NewestEvent, NextDue, Page};
use secrecy::{ExposeSecret as _, SecretString};
use session::{Sessions, describe};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// How the database is used.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/database?sslmode=…`.
    pub url: SecretString,
    /// Connections, besides the one that listens.
    pub pool_size: u32,
    /// How long a connection may take to be had, and to be made.
    pub acquire_timeout: Duration,
    /// How long a transaction may take.
    pub statement_timeout: Duration,
    /// Whether processes wake one another by NOTIFY. It needs a session, which a transaction pooler does not give.
    pub listen: bool,
    /// Events that may wait for the database; more are answered with [`JournalError::Overloaded`].
    pub queue_limit: usize,
    /// Events in one commit.
    pub batch_limit: usize,
    /// How long a claim lasts unless renewed.
    pub lease: Duration,
    /// Counts the commits of events.
    pub commits: Commits,
}

/// A journal in a PostgreSQL database.
pub struct PostgresJournal {
    sessions: Arc<Sessions>,
    events: mpsc::UnboundedSender<Message>,
    permits: Arc<Semaphore>,
    queue_limit: usize,
    lease: Duration,
    hint: Arc<Notify>,
    failure: Failure,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stops_when_dropped: DropGuard,
}

impl PostgresJournal {
    /// Connects, and makes or migrates the tables, which are in a schema of their own.
    ///
    /// # Errors
    /// When the database cannot be reached or used, or a newer version has migrated it.
    pub async fn open(settings: PostgresSettings) -> Result<Self, OpenError> {
        let options = options(&settings)?;
        let shown = shown(&options);
        let durable = prepare(&options, &shown, settings.acquire_timeout).await?;
        let pool = PgPoolOptions::new()
            .max_connections(settings.pool_size)
            .acquire_timeout(settings.acquire_timeout)
            // A connection that has died says so when it is used, which costs no round trip of its own.
            .test_before_acquire(false)
            .connect_lazy_with(options.clone());
        let sessions = Arc::new(Sessions::new(pool, settings.statement_timeout, durable));
        let (hint, stop, tasks) = (Arc::new(Notify::new()), CancellationToken::new(), TaskTracker::new());
        let (events, queue) = mpsc::unbounded_channel();
        let own_origin = origin();
        let batcher = Batcher {
            sessions: sessions.clone(),
            batch_limit: settings.batch_limit,
            hint: hint.clone(),
            origin: settings.listen.then(|| own_origin.clone()),
            mark: AtomicI64::new(0),
            commits: settings.commits,
        };
        let failure = Failure::new(None);
        let running = Running::new("writer of events", failure.clone());
        tasks.spawn(async move {
            batcher.run(queue).await;
            running.ended();
        });
        if settings.listen {
            let running = Running::new("listener for notifications", failure.clone());
            let listening = wake::listen(options, settings.acquire_timeout, own_origin, hint.clone(), stop.clone());
            tasks.spawn(async move {
                listening.await;
                running.ended();
            });
        }
        Ok(Self {
            sessions,
            events,
            permits: Arc::new(Semaphore::new(settings.queue_limit)),
            queue_limit: settings.queue_limit,
            lease: settings.lease,
            hint,
            failure,
            tasks,
            _stops_when_dropped: stop.clone().drop_guard(),
            stop,
        })
    }
}

/// Without what a session would have to keep, and without what a pooler may refuse at the beginning.
fn options(settings: &PostgresSettings) -> Result<PgConnectOptions, OpenError> {
    let options: PgConnectOptions = settings.url.expose_secret().parse().map_err(|_| OpenError::Unopenable {
        path: "in PostgreSQL".to_owned(),
        // The parser's message may quote the address, and so the password.
        reason: "journal.url is not an address of PostgreSQL".to_owned(),
    })?;
    Ok(options
        .application_name("taskrouter-streams")
        .statement_cache_capacity(0)
        .extra_float_digits(None)
        .disable_statement_logging())
}

/// Where the database is, without user and password.
fn shown(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or("the user's own database");
    format!("{database} in PostgreSQL at {}:{}", options.get_host(), options.get_port())
}

/// Migrates, and finds out whether the server's commits wait for the disk.
async fn prepare(options: &PgConnectOptions, shown: &str, limit: Duration) -> Result<bool, OpenError> {
    let mut connection = connect(options, shown, limit).await?;
    let durable = schema::migrate(&mut connection, shown).await?;
    // Whatever is wrong with it now no longer matters.
    drop(connection.close().await);
    Ok(durable)
}

async fn connect(options: &PgConnectOptions, shown: &str, limit: Duration) -> Result<PgConnection, OpenError> {
    let unopenable = |reason: String| OpenError::Unopenable { path: shown.to_owned(), reason };
    match tokio::time::timeout(limit, PgConnection::connect_with(options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(unopenable(describe(&error))),
        Err(_) => Err(unopenable(format!("no connection within {} ms", limit.as_millis()))),
    }
}

/// What this process names itself in its notifications: no other has this name at the same time.
fn origin() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", std::process::id(), since.as_nanos())
}

fn body(fact: &Fact) -> Result<String, JournalError> {
    serde_json::to_string(fact)
        .map_err(|_| JournalError::Unavailable { reason: "a fact could not be written as JSON".to_owned() })
}

fn lost(claim: &Claim) -> JournalError {
    JournalError::LeaseLost { call: claim.call.clone() }
}

impl Ingest for PostgresJournal {
    fn ingest(&self, fact: NewFact) -> Promise<'_, Ingested> {
        Box::pin(async move {
            let Ok(_permit) = self.permits.try_acquire() else {
                return Err(JournalError::Overloaded { limit: self.queue_limit });
            };
            let closed = || JournalError::Unavailable { reason: "it has been closed".to_owned() };
            let (answer, answered) = oneshot::channel();
            self.events.send(Message::Ingest(Box::new(Waiting { fact, answer }))).map_err(|_| closed())?;
            answered.await.map_err(|_| closed())?
        })
    }
}

impl Facts for PostgresJournal {
    fn facts<'a>(&'a self, call: &'a TaskSid, after: Seq) -> Promise<'a, Vec<(Seq, Fact)>> {
        Box::pin(async move { journal::parse(call, self.sessions.run(&Bodies { call, after }).await?) })
    }
}

impl Claims for PostgresJournal {
    fn claim(&self, limit: usize) -> Promise<'_, Vec<Claim>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Box::pin(async move { self.sessions.run(&TakeLeases { limit, lease: self.lease }).await })
    }

    fn append<'a>(&'a self, claim: &'a Claim, fact: Fact) -> Promise<'a, Seq> {
        Box::pin(async move {
            let appended = self.sessions.run(&Append { claim, fact: &fact, body: body(&fact)? }).await?;
            appended.ok_or_else(|| lost(claim))
        })
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> Promise<'a, ()> {
        Box::pin(async move {
            let held = self.sessions.run(&Renew { claim, lease: self.lease }).await?;
            held.then_some(()).ok_or_else(|| lost(claim))
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim, seen: Seq, due: Due) -> Promise<'a, ()> {
        Box::pin(async move {
            let (held, asked_before) = self.sessions.insist(&Release { claim, seen, due }).await?;
            // It may be due at once.
            self.hint.notify_one();
            (held || asked_before).then_some(()).ok_or_else(|| lost(claim))
        })
    }

    fn next_due(&self) -> Promise<'_, Option<Duration>> {
        Box::pin(self.sessions.run(&NextDue))
    }

    fn hint(&self) -> Arc<Notify> {
        self.hint.clone()
    }

    fn lease(&self) -> Duration {
        self.lease
    }
}

impl Coverage for PostgresJournal {
    fn newest_event(&self) -> Promise<'_, Option<EpochMs>> {
        Box::pin(self.sessions.run(&NewestEvent))
    }

    fn open_gap(&self, from: EpochMs) -> Promise<'_, EpochMs> {
        Box::pin(async move { self.sessions.run(&OpenGap { from }).await })
    }

    fn close_gap(&self, from: EpochMs) -> Promise<'_, ()> {
        Box::pin(async move { self.sessions.run(&CloseGap { from }).await })
    }
}

impl Workload for PostgresJournal {
    fn backlog(&self) -> Promise<'_, Backlog> {
        Box::pin(self.sessions.run(&Count))
    }
}

impl Reading for PostgresJournal {
    fn calls(&self, query: CallQuery) -> Promise<'_, Vec<CallRow>> {
        Box::pin(async move { self.sessions.run(&Page { query }).await })
    }
}

impl Journal for PostgresJournal {
    fn prune_chunk(&self, retention: Duration) -> Promise<'_, u64> {
        Box::pin(async move { self.sessions.run(&PruneChunk { retention }).await })
    }

    /// Only when one of our own tasks dies: a database that is away comes back, and its commits are its own affair.
    fn failed(&self) -> Pin<Box<dyn Future<Output = JournalError> + Send + '_>> {
        running::failed(&self.failure)
    }

    fn close(&self) -> Promise<'_, ()> {
        Box::pin(async move {
            // When the task is gone already, so is what it would have had to finish.
            drop(self.events.send(Message::Close));
            self.stop.cancel();
            self.tasks.close();
            self.tasks.wait().await;
            self.sessions.close().await;
            Ok(())
        })
    }
}
