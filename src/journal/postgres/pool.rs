//! A few connections, which transactions take turns on.

use super::address::{Address, Connection};
use super::connect::measure;
use super::error::{READ_ONLY, finds_no_writable, may_come, unavailable};
use super::settings::PostgresSettings;
use crate::journal::{Clock, JournalError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Client;

/// Before a server that refuses a connection is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// A connection that was not used for so long is let go, and so is one that is so old: networks and poolers forget them.
const LONGEST_REST: Duration = Duration::from_secs(600);
const LONGEST_LIFE: Duration = Duration::from_secs(1_800);

/// The connections of a journal.
pub(super) struct Pool {
    address: Address,
    acquire_timeout: Duration,
    size: u32,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Idle>>,
    clock: Arc<Clock>,
}

/// What waits for its next use.
#[derive(Default)]
struct Idle {
    sessions: Vec<Session>,
    /// Connections made before a time are let go. After a failover behind one address they may lead to the old server, which is well and
    /// takes no writes; a new connection leads to the new one, or will soon.
    trusted_since: Option<Instant>,
}

struct Session {
    connection: Connection,
    made: Instant,
    used: Instant,
}

impl Session {
    fn is_fit(&self, trusted_since: Option<Instant>) -> bool {
        !self.connection.client.is_closed()
            && self.used.elapsed() < LONGEST_REST
            && self.made.elapsed() < LONGEST_LIFE
            && trusted_since.is_none_or(|since| self.made > since)
    }
}

impl Pool {
    /// `clock` follows the server's with each connection.
    pub(super) fn new(address: Address, settings: &PostgresSettings, clock: Arc<Clock>) -> Self {
        let size = settings.pool_size;
        let permits = Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(Semaphore::MAX_PERMITS)));
        Self { address, acquire_timeout: settings.acquire_timeout, size, permits, idle: Arc::default(), clock }
    }

    /// # Errors
    /// When none can be had in time.
    pub(super) async fn acquire(&self) -> Result<Pooled, JournalError> {
        let acquired = tokio::time::timeout(self.acquire_timeout, async {
            let permit = self.permits.clone().acquire_owned().await;
            let permit = permit.map_err(|_| JournalError::Unavailable { reason: "it has been closed".to_owned() })?;
            let session = match self.idle() {
                Some(session) => session,
                None => self.connect().await?,
            };
            Ok(Pooled { session, idle: self.idle.clone(), _permit: permit })
        });
        let in_time = "no connection could be had in time";
        acquired.await.unwrap_or_else(|_| Err(JournalError::Unavailable { reason: in_time.to_owned() }))
    }

    fn idle(&self) -> Option<Session> {
        let mut idle = lock(&self.idle);
        let trusted_since = idle.trusted_since;
        // The one that was used last: others may rest until they are let go.
        while let Some(session) = idle.sessions.pop() {
            if session.is_fit(trusted_since) {
                return Some(session);
            }
        }
        None
    }

    /// Until it is made or refused for good, one is given back, or the caller's time is over.
    async fn connect(&self) -> Result<Session, JournalError> {
        loop {
            let made = Instant::now();
            let opened = match Connection::open(&self.address).await {
                Ok(connection) => measure(&connection.client).await.map(|measured| (connection, measured)),
                Err(error) => Err(error),
            };
            match opened {
                Ok((connection, measured)) => {
                    self.clock.follow(measured);
                    return Ok(Session { connection, made, used: made });
                }
                Err(error) if finds_no_writable(&error) => {
                    return Err(JournalError::Unavailable { reason: READ_ONLY.to_owned() });
                }
                Err(error) if may_come(&error) => {
                    tokio::time::sleep(PAUSE).await;
                    // A server with no connection left gives none for long; those that we have serve all.
                    if let Some(session) = self.idle() {
                        return Ok(session);
                    }
                }
                Err(error) => return Err(unavailable(&error)),
            }
        }
    }

    /// Lets go of all connections that there are.
    pub(super) fn begin_anew(&self) {
        lock(&self.idle).trusted_since = Some(Instant::now());
    }

    /// Waits for what is under way.
    pub(super) async fn close(&self) {
        drop(self.permits.acquire_many(self.size).await);
        self.permits.close();
        let sessions = std::mem::take(&mut lock(&self.idle).sessions);
        futures_util::future::join_all(sessions.into_iter().map(|session| session.connection.close())).await;
    }
}

fn lock(idle: &Mutex<Idle>) -> MutexGuard<'_, Idle> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection in use. Unless it is given back it ends, and with it what it was used for.
pub(super) struct Pooled {
    session: Session,
    idle: Arc<Mutex<Idle>>,
    _permit: OwnedSemaphorePermit,
}

impl Pooled {
    pub(super) fn client(&self) -> &Client {
        &self.session.connection.client
    }

    /// For the next transaction: this one has come to its end.
    pub(super) fn give_back(self) {
        lock(&self.idle).sessions.push(Session { used: Instant::now(), ..self.session });
    }
}
