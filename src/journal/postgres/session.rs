//! Transactions: one message each, bounded in time, repeated where that is safe.
//!
//! A transaction is sent as one string of statements, which the server begins and ends by itself. So a process that stalls or
//! dies has locked nothing, and no prepared statement, setting or session lock outlives a transaction: it works the same
//! behind a pooler that gives each transaction another connection.

use super::connect::measure;
use super::error::{READ_ONLY, is_read_only, is_refusal, is_transient, unavailable};
use super::settings::PostgresSettings;
use crate::journal::{Clock, JournalError};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, PgPool, Postgres};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a transaction is sent before it is given up: more than there are ways to collide with others by chance.
const ATTEMPTS: u32 = 8;

/// Between attempts, times their number: long enough for the other side of a deadlock to be gone.
const PAUSE: Duration = Duration::from_millis(5);

/// Beyond `statement_timeout`, for the server's own refusal to arrive.
const GRACE: Duration = Duration::from_millis(500);

/// What is done in one transaction.
pub(super) trait Work: Send + Sync {
    type Output: Send;

    /// Whether it may be done again when nobody knows whether the first was committed.
    const REPEATABLE: bool;

    /// Whether its commit waits for the disk.
    const DURABLE: bool = true;

    /// Whether it writes, and so is refused by a server that takes no writes.
    const WRITES: bool = true;

    /// Its statements, with their values.
    fn statements(&self) -> String;

    /// What the rows of all its statements say.
    fn output(&self, rows: Vec<PgRow>) -> Result<Self::Output, sqlx::Error>;
}

/// Refused by a server that takes no writes, and nothing else: what such a server shows is behind, and work on it would be
/// done twice. This costs no look at a row.
const ON_A_WRITABLE_SERVER: &str = "SELECT FROM taskrouter_streams.mark WHERE false FOR UPDATE; ";

/// The pool, and how its transactions begin.
pub(super) struct Sessions {
    pool: PgPool,
    distrust: Arc<Distrust>,
    /// A write has failed since something was last written to see.
    refusing: AtomicBool,
    begin: String,
    limit: Duration,
    durable: bool,
}

/// Connections made before a time are let go. After a failover behind one address they may lead to the old server, which is
/// well and takes no writes; a new connection leads to the new one, or will soon.
#[derive(Default)]
struct Distrust(Mutex<Option<Instant>>);

impl Distrust {
    /// Lets go of all that there are.
    fn begin_anew(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_trusted(&self, age: Duration) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_none_or(|since| age < since.elapsed())
    }
}

/// Why a transaction did not come to its end.
enum Failed {
    /// Certainly not committed, because this server takes no writes.
    ReadOnly,
    /// Certainly not committed.
    Refused(sqlx::Error),
    /// Perhaps committed.
    Lost(sqlx::Error),
    /// No answer in time; perhaps committed.
    Silent,
}

impl Sessions {
    /// `durable` tells whether the server's own setting makes a commit wait for the disk. `clock` follows the server's.
    pub(super) fn new(
        options: PgConnectOptions,
        settings: &PostgresSettings,
        durable: bool,
        clock: Arc<Clock>,
    ) -> Self {
        let distrust = Arc::new(Distrust::default());
        let judge = distrust.clone();
        let pool = PgPoolOptions::new()
            .max_connections(settings.pool_size)
            .acquire_timeout(settings.acquire_timeout)
            // A connection that has died says so when it is used, which costs no round trip of its own.
            .test_before_acquire(false)
            .before_acquire(move |_, connection| {
                let is_trusted = judge.is_trusted(connection.age);
                Box::pin(async move { Ok(is_trusted) })
            })
            .after_connect(move |connection, _| {
                let clock = clock.clone();
                Box::pin(async move {
                    clock.follow(measure(connection).await?);
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        // A role or a database can have another isolation level than a server. That nothing may be written is an
        // administrator's word, such as for a server that was replaced, and stays.
        let limit = settings.statement_timeout;
        let begin = format!(
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {}; ",
            limit.as_millis()
        );
        Self { pool, distrust, refusing: AtomicBool::new(false), begin, limit: limit + GRACE, durable }
    }

    /// Whether a write has failed since this was last asked.
    pub(super) fn was_refused(&self) -> bool {
        self.refusing.swap(false, Ordering::Relaxed)
    }

    /// Does the work in a transaction of its own and commits it.
    ///
    /// # Errors
    /// When the database is away, refuses, or does not answer in time.
    pub(super) async fn run<W: Work>(&self, work: &W) -> Result<W::Output, JournalError> {
        self.insist(work).await.map(|(output, _)| output)
    }

    /// As [`Sessions::run`]; also says whether it may have been done before, its answer having been lost.
    pub(super) async fn insist<W: Work>(&self, work: &W) -> Result<(W::Output, bool), JournalError> {
        let (mut attempt, mut lost_one, mut read_only) = (0, false, false);
        let statements = self.begin::<W>() + &work.statements();
        loop {
            attempt += 1;
            let attempted = match self.pool.acquire().await {
                Ok(connection) => self.attempt(connection, &statements).await,
                Err(error) => return Err(self.refuse::<W>(unavailable(&error))),
            };
            let (may_repeat, error) = match attempted {
                Ok(rows) => {
                    let output = work.output(rows).map_err(|error| unavailable(&error))?;
                    return Ok((output, lost_one));
                }
                // By a new connection, once: the address may lead elsewhere by now, or in a while.
                Err(Failed::ReadOnly) => (
                    !std::mem::replace(&mut read_only, true),
                    JournalError::Unavailable { reason: READ_ONLY.to_owned() },
                ),
                Err(Failed::Refused(error)) => (is_transient(&error), unavailable(&error)),
                Err(Failed::Lost(error)) => {
                    lost_one = true;
                    (W::REPEATABLE && is_transient(&error), unavailable(&error))
                }
                // Whoever waits has waited for long enough.
                Err(Failed::Silent) => (false, JournalError::Unavailable { reason: "it does not answer".to_owned() }),
            };
            if !may_repeat || attempt == ATTEMPTS {
                return Err(self.refuse::<W>(error));
            }
            tokio::time::sleep(PAUSE * attempt).await;
        }
    }

    fn refuse<W: Work>(&self, error: JournalError) -> JournalError {
        self.refusing.fetch_or(W::WRITES, Ordering::Relaxed);
        error
    }

    fn begin<W: Work>(&self) -> String {
        let commit = match (W::DURABLE, self.durable) {
            (true, true) => "",
            (true, false) => "SET LOCAL synchronous_commit = on; ",
            (false, _) => "SET LOCAL synchronous_commit = off; ",
        };
        self.begin.clone() + commit + if W::WRITES { "" } else { ON_A_WRITABLE_SERVER }
    }

    async fn attempt(&self, mut connection: PoolConnection<Postgres>, statements: &str) -> Result<Vec<PgRow>, Failed> {
        let sent = sqlx::raw_sql(AssertSqlSafe(statements)).fetch_all(&mut *connection);
        let done = match tokio::time::timeout(self.limit, sent).await {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(error)) if is_read_only(&error) => {
                self.distrust.begin_anew();
                Err(Failed::ReadOnly)
            }
            Ok(Err(error)) if is_refusal(&error) => Err(Failed::Refused(error)),
            Ok(Err(error)) => Err(Failed::Lost(error)),
            Err(_) => Err(Failed::Silent),
        };
        if !matches!(done, Err(Failed::Refused(_))) {
            // Out of the pool at once: a connection to a host that is gone would occupy its place for many minutes.
            drop(connection.detach());
        }
        done
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}
