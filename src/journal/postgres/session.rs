//! Transactions: one round trip each, bounded in time, repeated where that is safe.
//!
//! ```text
//! BEGIN; SET LOCAL … ─┐
//! statement, values   ├─▶ sent at once ─▶ answers
//! COMMIT ─────────────┘
//! ```
//!
//! A server that refuses a statement refuses those after it, and rolls back at the COMMIT. No prepared statement, setting or session lock
//! outlives a transaction: it works the same behind a pooler that gives each transaction another connection. When the rest of a transaction
//! does not arrive, the server ends it soon, so that a process that stalls or dies keeps nothing locked.

use super::address::Address;
use super::error::{READ_ONLY, Unexpected, is_read_only, is_refusal, is_transient, unavailable};
use super::pool::{Pool, Pooled};
use super::settings::PostgresSettings;
use super::sql::Statement;
use crate::journal::failed_writes::FailedWrites;
use crate::journal::{Clock, JournalError};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::{Client, Error, Row};

/// How often a transaction is sent before it is given up: more than there are ways to collide with others by chance.
const ATTEMPTS: u32 = 8;

/// Between attempts, times their number: long enough for the other side of a deadlock to be gone.
const PAUSE: Duration = Duration::from_millis(5);

/// Beyond `statement_timeout`, for the server's own refusal to arrive.
const GRACE: Duration = Duration::from_millis(500);

/// The part of `statement_timeout` that the rest of a transaction may take to arrive after its beginning: it was sent along with it.
const REST_OF_A_TRANSACTION: u32 = 4;

/// What is done in one transaction.
pub(super) trait Work: Send + Sync {
    type Output: Send;

    /// Whether it may be done again when nobody knows whether the first was committed.
    const REPEATABLE: bool;

    /// Whether its commit waits for the disk.
    const DURABLE: bool = true;

    /// Whether it writes, and so is refused by a server that takes no writes.
    const WRITES: bool = true;

    /// What is set for the transaction besides what is set for each.
    fn settings(&self) -> &'static str {
        ""
    }

    /// Its statements, in their order.
    fn statements(&self) -> Vec<Statement<'_>>;

    /// What the rows of all its statements say.
    fn output(&self, rows: Vec<Row>) -> Result<Self::Output, Unexpected>;
}

/// [`Work::settings`] for what finds each row by its key, whatever a plan for so many rows of a table of such a size would be.
pub(super) const BY_KEY: &str =
    "; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";

/// The same for what also joins many rows that are in no table, which takes long without a hash.
pub(super) const BY_INDEX: &str = "; SET LOCAL enable_seqscan = off";

/// Refused by a server that takes no writes, and nothing else: what such a server shows is behind, and work on it would be
/// done twice. This costs no look at a row.
const ON_A_WRITABLE_SERVER: &str = "; SELECT FROM taskrouter_streams.mark WHERE false FOR UPDATE";

/// The pool, and how its transactions begin.
pub(super) struct Sessions {
    pool: Pool,
    failed_writes: FailedWrites,
    begin: String,
    limit: Duration,
    durable: bool,
}

/// Why a transaction did not come to its end.
enum Failed {
    /// Certainly not committed, because this server takes no writes.
    ReadOnly,
    /// Certainly not committed.
    Refused(Error),
    /// Perhaps committed.
    Lost(Error),
    /// No answer in time; perhaps committed.
    Silent,
}

impl Sessions {
    /// `durable` tells whether the server's own setting makes a commit wait for the disk. `clock` follows the server's.
    pub(super) fn new(address: Address, settings: &PostgresSettings, durable: bool, clock: Arc<Clock>) -> Self {
        // A role or a database can have another isolation level than a server. That nothing may be written is an administrator's word,
        // such as for a server that was replaced, and stays. A server compiles what it expects to take long, which takes longer than
        // any statement here: where it has no statistics yet, it expects that of a claim among some ten thousand calls.
        let limit = settings.statement_timeout;
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL jit = off; SET LOCAL statement_timeout = {}; \
             SET LOCAL idle_in_transaction_session_timeout = {}",
            limit.as_millis(),
            (limit / REST_OF_A_TRANSACTION).as_millis().max(1)
        );
        let pool = Pool::new(address, settings, clock);
        Self { pool, failed_writes: FailedWrites::default(), begin, limit: limit + GRACE, durable }
    }

    /// Whether writes succeed: by this one, where one has failed.
    ///
    /// # Errors
    /// Those of [`Sessions::run`].
    pub(super) async fn tried_out<W: Work<Output = ()>>(&self, trial: &W) -> Result<(), JournalError> {
        self.failed_writes.tried_out(self.run(trial)).await
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
        let (begin, statements) = (self.begin(work), work.statements());
        loop {
            attempt += 1;
            let attempted = match self.pool.acquire().await {
                Ok(connection) => self.attempt(connection, &begin, &statements).await,
                Err(error) => return Err(self.refuse::<W>(error)),
            };
            let (may_repeat, error) = match attempted {
                Ok(rows) => {
                    return Ok((work.output(rows)?, lost_one));
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
        if W::WRITES {
            self.failed_writes.note();
        }
        error
    }

    fn begin<W: Work>(&self, work: &W) -> String {
        let commit = match (W::DURABLE, self.durable) {
            (true, true) => "",
            (true, false) => "; SET LOCAL synchronous_commit = on",
            (false, _) => "; SET LOCAL synchronous_commit = off",
        };
        self.begin.clone() + commit + work.settings() + if W::WRITES { "" } else { ON_A_WRITABLE_SERVER }
    }

    async fn attempt(&self, connection: Pooled, begin: &str, statements: &[Statement<'_>]) -> Result<Vec<Row>, Failed> {
        let Ok(sent) = tokio::time::timeout(self.limit, send(connection.client(), begin, statements)).await else {
            // Nobody is to wait for each connection to that server in turn.
            self.pool.begin_anew();
            return Err(Failed::Silent);
        };
        let error = match sent {
            Ok(rows) => {
                connection.give_back();
                return Ok(rows);
            }
            Err(error) => error,
        };
        // Without a beginning, each statement may have been committed by itself.
        match error {
            Unsuccessful::Begun(error) | Unsuccessful::Stated { error, .. } if is_read_only(&error) => {
                self.pool.begin_anew();
                Err(Failed::ReadOnly)
            }
            Unsuccessful::Stated { error, has_ended } if is_refusal(&error) => {
                if has_ended {
                    connection.give_back();
                }
                Err(Failed::Refused(error))
            }
            Unsuccessful::Begun(error) | Unsuccessful::Stated { error, .. } => Err(Failed::Lost(error)),
        }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// The first that failed of what was sent.
enum Unsuccessful {
    Begun(Error),
    /// A statement, or the COMMIT itself. `has_ended`: the server has answered the COMMIT, and takes the next transaction.
    Stated {
        error: Error,
        has_ended: bool,
    },
}

/// Sends a transaction at once, in order: the first poll of each part sends it. The COMMIT of one with a refused statement is a ROLLBACK
/// that succeeds, so that every answer is looked at.
async fn send(client: &Client, begin: &str, statements: &[Statement<'_>]) -> Result<Vec<Row>, Unsuccessful> {
    let statements = statements
        .iter()
        .map(|statement| async move { client.query_typed(&statement.text, &statement.typed_values()).await });
    let (begun, stated, committed) = tokio::join!(
        biased;
        client.batch_execute(begin),
        join_all(statements),
        client.batch_execute("COMMIT")
    );
    begun.map_err(Unsuccessful::Begun)?;
    let mut rows = Vec::new();
    for stated in stated {
        match stated {
            Ok(mut stated) => rows.append(&mut stated),
            Err(error) => return Err(Unsuccessful::Stated { error, has_ended: committed.is_ok() }),
        }
    }
    match committed {
        Ok(()) => Ok(rows),
        // The server refuses it when something is wrong with the whole, and the transaction is over.
        Err(error) => Err(Unsuccessful::Stated { has_ended: is_refusal(&error), error }),
    }
}
