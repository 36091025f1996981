//! [`PostgresJournal`]: what each part of a journal is for this store.

use super::address::Address;
use super::connect::{Prepared, prepare};
use super::handed::Handed;
use super::ingest::{Batcher, Event, Message};
use super::ops::{Claimed, CloseGap, OpenGap, PruneChunk, TakeLeases, TryOut, hash};
use super::reader::{Bodies, Count, NewestEvent, NextDue, Page, Size};
use super::server_time::ServerTime;
use super::session::Sessions;
use super::settings::PostgresSettings;
use super::under_claims::{Change, LANES, OwnFact, UnderClaims, WAITS_FOR_A_FACT};
use super::wake;
use crate::call::Summary;
use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::TaskSid;
use crate::journal::answers::Waiting;
use crate::journal::calls::text;
use crate::journal::foresight::Consulted;
use crate::journal::retention::Opening;
use crate::journal::running::{Failure, Running, failed};
use crate::journal::values::parse;
use crate::journal::{
    Backlog, CallQuery, CallRow, Claim, Claims, Clock, Coverage, Due, Facts, Foresight, Ingest, Ingested, Journal,
    JournalError, MachineTime, NewFact, OpenError, Promise, Reading, Seq, Storage, Timekeeping, Workload,
};
use std::pin::Pin;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_postgres::config::TargetSessionAttrs;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// A journal in a PostgreSQL database.
pub struct PostgresJournal {
    sessions: Arc<Sessions>,
    under_claims: Arc<UnderClaims>,
    handed: Arc<Handed>,
    consulted: Arc<Consulted>,
    events: mpsc::UnboundedSender<Message>,
    permits: Arc<Semaphore>,
    queue_limit: usize,
    lease: Duration,
    /// Which process this is, where it remembers calls.
    keeper: i64,
    clock: Arc<Clock>,
    server_time: ServerTime,
    opening: Opening,
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
        let address = Address::new(&settings.url, TargetSessionAttrs::ReadWrite)?;
        let Prepared { durable, measured, newest } = prepare(&address, settings.acquire_timeout).await?;
        let clock = Arc::new(Clock::of_server(MachineTime::default(), measured));
        let sessions = Arc::new(Sessions::new(address.clone(), &settings, durable, clock.clone()));
        let (hint, stop, tasks) = (Arc::new(Notify::new()), CancellationToken::new(), TaskTracker::new());
        let (events, queue) = mpsc::unbounded_channel();
        let own_origin = origin();
        let keeper = hash(&own_origin);
        let (handed, consulted) = (Arc::new(Handed::default()), Arc::new(Consulted::default()));
        let batcher = Batcher {
            sessions: sessions.clone(),
            consulted: consulted.clone(),
            handed: handed.clone(),
            lease: settings.lease,
            keeper,
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
        let under_claims = Arc::new(UnderClaims::new(sessions.clone(), settings.lease, keeper, settings.batch_limit));
        for _ in 0..LANES {
            let (running, lane) = (Running::new("writer of steps", failure.clone()), under_claims.clone());
            tasks.spawn(async move {
                lane.run().await;
                running.ended();
            });
        }
        if settings.listen {
            let running = Running::new("listener for notifications", failure.clone());
            let listening = wake::listen(address, settings.acquire_timeout, own_origin, hint.clone(), stop.clone());
            tasks.spawn(async move {
                listening.await;
                running.ended();
            });
        }
        Ok(Self {
            sessions,
            under_claims,
            handed,
            consulted,
            events,
            permits: Arc::new(Semaphore::new(settings.queue_limit)),
            queue_limit: settings.queue_limit,
            lease: settings.lease,
            keeper,
            clock,
            server_time: ServerTime::new(measured.at, newest.unwrap_or(0)),
            opening: Opening::now(newest),
            hint,
            failure,
            tasks,
            _stops_when_dropped: stop.clone().drop_guard(),
            stop,
        })
    }
}

impl Drop for PostgresJournal {
    /// One that was not closed leaves no lane behind.
    fn drop(&mut self) {
        self.under_claims.close();
    }
}

/// What this process names itself in its notifications: no other has this name at the same time.
fn origin() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", std::process::id(), since.as_nanos())
}

impl PostgresJournal {
    /// Somebody else has the call: what is known here is of no use to its task.
    fn lost(&self, claim: &Claim) -> JournalError {
        self.handed.released(claim);
        JournalError::LeaseLost { call: claim.call.clone() }
    }
}

impl Timekeeping for PostgresJournal {
    fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl Ingest for PostgresJournal {
    fn ingest(&self, fact: NewFact) -> Promise<'_, Ingested> {
        Box::pin(async move {
            let Ok(_permit) = self.permits.try_acquire() else {
                return Err(JournalError::Overloaded { limit: self.queue_limit });
            };
            let closed = || JournalError::Unavailable { reason: "it has been closed".to_owned() };
            let (waiting, answered) = Waiting::begin();
            self.events.send(Message::Ingest(Box::new(Event { fact, waiting }))).map_err(|_| closed())?;
            answered.await.map_err(|_| closed())?
        })
    }
}

impl Facts for PostgresJournal {
    fn facts<'a>(&'a self, call: &'a TaskSid, after: Seq) -> Promise<'a, Vec<(Seq, Fact)>> {
        Box::pin(async move { parse(call, self.sessions.run(&Bodies { call, after }).await?) })
    }
}

impl Claims for PostgresJournal {
    fn claim(&self, limit: usize) -> Promise<'_, Vec<Claim>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Box::pin(async move {
            let earliest = self.server_time.earliest();
            let work = TakeLeases { limit, lease: self.lease, keeper: self.keeper, earliest };
            let (now, claimed) = self.sessions.run(&work).await?;
            self.server_time.told(now, earliest);
            let claims = claimed.into_iter().map(|Claimed { claim, from, facts }| {
                // One that cannot be read is found when the worker asks for it.
                if let Ok(facts) = parse(&claim.call, facts) {
                    self.handed.claimed(&claim, from, facts);
                }
                claim
            });
            Ok(claims.collect())
        })
    }

    fn news<'a>(&'a self, claim: &'a Claim, after: Seq) -> Promise<'a, Vec<(Seq, Fact)>> {
        match self.handed.take(claim, after) {
            Some(facts) => Box::pin(std::future::ready(Ok(facts))),
            None => self.facts(&claim.call, after),
        }
    }

    fn append<'a>(&'a self, claim: &'a Claim, fact: Fact) -> Promise<'a, Seq> {
        Box::pin(async move {
            let appended = self.under_claims.write(claim, Change::Append(OwnFact::new(&fact)?)).await?;
            let seq = appended.number.ok_or_else(|| self.lost(claim))?;
            self.handed.appended(claim, seq, fact);
            Ok(seq)
        })
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> Promise<'a, ()> {
        Box::pin(async move {
            let renewed = self.under_claims.write(claim, Change::Renew).await?;
            renewed.number.map(drop).ok_or_else(|| self.lost(claim))
        })
    }

    fn release_summed_up<'a>(
        &'a self,
        claim: &'a Claim,
        seen: Seq,
        due: Due,
        summary: Option<Summary>,
    ) -> Promise<'a, ()> {
        Box::pin(async move {
            let summary = summary.as_ref().and_then(text);
            self.handed.released(claim);
            let released = self.under_claims.write(claim, Change::Release { seen, due, summary }).await?;
            if released.number != Some(WAITS_FOR_A_FACT) {
                self.hint.notify_one();
            }
            (released.number.is_some() || released.asked_before).then_some(()).ok_or_else(|| self.lost(claim))
        })
    }

    fn next_due(&self) -> Promise<'_, Option<Duration>> {
        Box::pin(self.sessions.run(&NextDue))
    }

    fn consult(&self, foresight: Weak<dyn Foresight>) {
        self.consulted.consult(foresight);
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

    fn storage(&self) -> Promise<'_, Storage> {
        Box::pin(self.sessions.run(&Size))
    }

    fn ready(&self) -> Promise<'_, ()> {
        Box::pin(self.sessions.tried_out(&TryOut))
    }
}

impl Reading for PostgresJournal {
    fn calls(&self, query: CallQuery) -> Promise<'_, Vec<CallRow>> {
        Box::pin(async move { self.sessions.run(&Page { query }).await })
    }
}

impl Journal for PostgresJournal {
    fn prune_chunk(&self, retention: Duration) -> Promise<'_, u64> {
        let oldest_kept = self.opening.oldest_kept(retention);
        Box::pin(async move { self.sessions.run(&PruneChunk { retention, oldest_kept }).await })
    }

    /// Only when one of our own tasks dies: a database that is away comes back, and its commits are its own affair.
    fn failed(&self) -> Pin<Box<dyn Future<Output = JournalError> + Send + '_>> {
        failed(&self.failure)
    }

    fn close(&self) -> Promise<'_, ()> {
        Box::pin(async move {
            // When the task is gone already, so is what it would have had to finish.
            drop(self.events.send(Message::Close));
            self.under_claims.close();
            self.stop.cancel();
            self.tasks.close();
            self.tasks.wait().await;
            self.sessions.close().await;
            Ok(())
        })
    }
}
