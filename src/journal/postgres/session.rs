//! Transactions: begun, bounded in time, repeated where that is safe.
//!
//! Everything happens in a transaction and nothing outlives one: no prepared statement, no setting, no session lock. So it
//! works the same behind a pooler that gives each transaction another connection.

use crate::journal::JournalError;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres};
use std::time::Duration;

/// How often a transaction is begun before it is given up: more than there are ways to collide with others by chance.
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

    fn perform(&self, connection: &mut PgConnection) -> impl Future<Output = Result<Self::Output, sqlx::Error>> + Send;
}

/// The pool, and how its transactions begin.
pub(super) struct Sessions {
    pool: PgPool,
    begin: String,
    limit: Duration,
}

/// Why a transaction did not come to its end.
enum Failed {
    /// Certainly not committed.
    Before(sqlx::Error),
    /// Perhaps committed.
    AtCommit(sqlx::Error),
    /// No answer in time; perhaps committed.
    Silent,
}

impl Sessions {
    /// `durable` asks for a commit that waits for the disk, where the server's own setting does not.
    pub(super) fn new(pool: PgPool, statement_timeout: Duration, durable: bool) -> Self {
        let ms = statement_timeout.as_millis();
        // The second limit frees the rows that a stalled process has locked.
        let mut begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = {ms}; \
             SET LOCAL idle_in_transaction_session_timeout = {ms}"
        );
        if !durable {
            begin.push_str("; SET LOCAL synchronous_commit = on");
        }
        Self { pool, begin, limit: statement_timeout + GRACE }
    }

    /// Does the work in a transaction of its own and commits it.
    ///
    /// # Errors
    /// When the database is away, refuses, or does not answer in time.
    pub(super) async fn run<W: Work>(&self, work: &W) -> Result<W::Output, JournalError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let connection = self.pool.acquire().await.map_err(|error| unavailable(&error))?;
            let (may_repeat, error) = match self.attempt(connection, work).await {
                Ok(output) => return Ok(output),
                Err(Failed::Before(error)) => (is_transient(&error), unavailable(&error)),
                Err(Failed::AtCommit(error)) => (W::REPEATABLE && is_transient(&error), unavailable(&error)),
                // Whoever waits has waited for long enough.
                Err(Failed::Silent) => (false, JournalError::Unavailable { reason: "it does not answer".to_owned() }),
            };
            if !may_repeat || attempt == ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(PAUSE * attempt).await;
        }
    }

    async fn attempt<W: Work>(&self, mut connection: PoolConnection<Postgres>, work: &W) -> Result<W::Output, Failed> {
        let done = tokio::time::timeout(self.limit, self.transact(&mut connection, work)).await;
        let done = done.unwrap_or(Err(Failed::Silent));
        let is_broken = match &done {
            Ok(_) => false,
            Err(Failed::Before(error) | Failed::AtCommit(error)) => error.as_database_error().is_none(),
            Err(Failed::Silent) => true,
        };
        if is_broken {
            // Out of the pool at once: a connection to a host that is gone would occupy its place for many minutes.
            drop(connection.detach());
        }
        done
    }

    async fn transact<W: Work>(&self, connection: &mut PgConnection, work: &W) -> Result<W::Output, Failed> {
        let mut transaction = connection.begin_with(AssertSqlSafe(self.begin.clone())).await.map_err(Failed::Before)?;
        let output = work.perform(&mut transaction).await.map_err(Failed::Before)?;
        transaction.commit().await.map_err(Failed::AtCommit)?;
        Ok(output)
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Statements without parameters, as they are.
pub(super) async fn plain(connection: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

/// Whether the same again can end better: a deadlock, a conflict with another transaction, a connection that broke.
fn is_transient(error: &sqlx::Error) -> bool {
    match error.as_database_error().map(|error| error.code()) {
        // Serialization failure, deadlock, an identity that another connection committed at the same moment; and a
        // server that goes down or comes up, whose connections are closed one by one.
        Some(Some(code)) => matches!(&*code, "40001" | "40P01" | "23505" | "57P01" | "57P02" | "57P03" | "25P03"),
        Some(None) => false,
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::BeginFailed),
    }
}

/// Whether the server objects to a value, and so would to every transaction that holds it.
pub(super) fn objects_to_a_value(reason: &str) -> bool {
    reason.starts_with(&format!("{REFUSED} 22")) || reason.starts_with(&format!("{REFUSED} 54"))
}

const REFUSED: &str = "PostgreSQL refused with SQLSTATE";

pub(super) fn unavailable(error: &sqlx::Error) -> JournalError {
    // By code only: a server's message can hold values.
    let reason = match (error.as_database_error().map(|error| error.code()), error) {
        (Some(Some(code)), _) => format!("{REFUSED} {code}"),
        (Some(None), _) => REFUSED.to_owned(),
        (None, sqlx::Error::Io(error)) => format!("the connection failed: {}", error.kind()),
        (None, sqlx::Error::PoolTimedOut) => "no connection could be had in time".to_owned(),
        (None, sqlx::Error::PoolClosed) => "it has been closed".to_owned(),
        (None, _) => "the connection failed".to_owned(),
    };
    JournalError::Unavailable { reason }
}

/// What the server or the connection said, for whoever opens the journal: there are no values of ours in it yet.
pub(super) fn describe(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(refusal) => refusal.message().to_owned(),
        None => error.to_string(),
    }
}
