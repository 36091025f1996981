//! Asks for pauses and their ends, and waits until the worker has proven them: for `http` and `console`.
//!
//! A request is a fact like any other: it is journaled, and the worker acts on it. The proof is a fact as well, which the worker
//! journals. So it does not matter which process works on the call.

use super::{ingest_request, new_fact};
use crate::call::Call;
use crate::call::fact::FactKind;
use crate::call::pause::{PauseId, PauseOrigin, PauseReason, PauseScope, Paused, Resumed};
use crate::call::sid::{AccountSid, TaskSid};
use crate::call::summary::{PauseState, PauseSummary};
use crate::journal::{JournalError, Operators, Seq, neighbours};
use crate::telemetry::metrics::Metrics;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the journal is asked whether a pause is proven.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often, while all that speaks against it are other tasks' streams.
const LOOK_AROUND_EVERY: Duration = Duration::from_millis(200);

/// More of one call are a mistake in somebody's program.
const MOST_PAUSES: usize = 200;

/// Asks for pauses.
#[derive(Clone)]
pub struct PauseRequests {
    journal: Arc<dyn Operators>,
    metrics: Arc<Metrics>,
    confirm_within: Duration,
    /// Nothing is commanded, so that no stream is stopped.
    shadow: bool,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseRequest {
    /// Which pause.
    pub id: PauseId,
    /// Whose streams.
    pub scope: PauseScope,
    /// Why.
    pub reason: Option<PauseReason>,
    /// For how long.
    pub seconds: Option<u32>,
}

/// Why nothing was asked for.
#[derive(Debug, thiserror::Error)]
pub enum PauseRefusal {
    /// The journal has no such task.
    #[error("no such call: no event of this task has arrived, or it is past journal.retention_hours")]
    NoSuchCall,
    /// The reservation is not one of the task.
    #[error("the task has no such reservation")]
    NoSuchReservation,
    /// The id was used for something else.
    #[error("this id was used for another pause: use a new id for each")]
    OtherPause,
    /// Nothing is commanded in this mode.
    #[error("shadow mode: no stream is started or stopped by this service")]
    Shadow,
    /// A program that does not stop.
    #[error("this call has had too many pauses")]
    TooMany,
    /// It could not be written or read.
    #[error("the journal did not answer: {0}")]
    Journal(#[from] JournalError),
}

/// A call as far as it has been read.
struct Reading {
    call: Call,
    seen: Seq,
}

impl fmt::Debug for PauseRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PauseRequests").field("confirm_within", &self.confirm_within).finish_non_exhaustive()
    }
}

impl PauseRequests {
    /// Pauses count as not proven after `confirm_within`.
    pub fn new(journal: Arc<dyn Operators>, metrics: Arc<Metrics>, confirm_within: Duration, shadow: bool) -> Self {
        Self { journal, metrics, confirm_within, shadow }
    }

    /// Asks for a pause, and waits until it is proven or resumed, or its time to be proven is over. The same request again changes
    /// nothing, and tells how its pause stands.
    ///
    /// # Errors
    /// When nothing was asked for.
    pub async fn pause(
        &self,
        task: &TaskSid,
        request: PauseRequest,
        by: PauseOrigin,
    ) -> Result<PauseSummary, PauseRefusal> {
        let began = Instant::now();
        let mut reading = self.read(task).await?;
        let PauseRequest { id, scope, reason, seconds } = request;
        let paused = Paused { id: id.clone(), scope, reason, seconds, by };
        match reading.pause(&id) {
            Some(_) => {}
            None => self.begin(task, &reading, paused.clone()).await?,
        }
        loop {
            reading.catch_up(&*self.journal, task).await?;
            let mut look_again = LOOK_EVERY;
            if let Some(mut pause) = reading.pause(&id) {
                if !is_same(&pause, &paused) {
                    return Err(PauseRefusal::OtherPause);
                }
                // The worker may not have seen them yet.
                if pause.state() == PauseState::Paused && self.others_stream(&reading, task, &pause.scope).await? {
                    (pause.proven_at, look_again) = (None, LOOK_AROUND_EVERY);
                }
                let is_settled = matches!(pause.state(), PauseState::Paused | PauseState::Resumed);
                if is_settled || began.elapsed() >= self.confirm_within {
                    return Ok(pause);
                }
            }
            tokio::time::sleep(look_again).await;
        }
    }

    /// Whether another task's stream may run on a leg that is to be silent.
    async fn others_stream(&self, reading: &Reading, task: &TaskSid, scope: &PauseScope) -> Result<bool, JournalError> {
        match (scope, reading.call.customer()) {
            (PauseScope::Call, Some(leg)) => {
                let others = neighbours(&*self.journal, leg, task).await?;
                Ok(others.iter().any(|other| other.tracks > 0))
            }
            (PauseScope::Call, None) | (PauseScope::Reservation(_), _) => Ok(false),
        }
    }

    /// Asks for the end of a pause, which may not be known yet: then `None`.
    ///
    /// # Errors
    /// When nothing was asked for.
    pub async fn resume(
        &self,
        task: &TaskSid,
        id: PauseId,
        by: PauseOrigin,
    ) -> Result<Option<PauseSummary>, PauseRefusal> {
        let mut reading = self.read(task).await?;
        let identity = format!("resume:{task}:{id}");
        let resumed = FactKind::Resumed(Resumed { id: id.clone(), by });
        self.ingest(task, reading.call.account(), identity, resumed).await?;
        reading.catch_up(&*self.journal, task).await?;
        Ok(reading.pause(&id))
    }

    async fn begin(&self, task: &TaskSid, reading: &Reading, paused: Paused) -> Result<(), PauseRefusal> {
        if self.shadow || reading.call.is_shadow() {
            return Err(PauseRefusal::Shadow);
        }
        if reading.call.pauses().len() >= MOST_PAUSES {
            return Err(PauseRefusal::TooMany);
        }
        if let PauseScope::Reservation(own) = &paused.scope
            && !reading.call.reservations().any(|(sid, _)| sid == own)
        {
            return Err(PauseRefusal::NoSuchReservation);
        }
        let identity = format!("pause:{task}:{}", paused.id);
        self.ingest(task, reading.call.account(), identity, FactKind::Paused(paused)).await
    }

    async fn read(&self, task: &TaskSid) -> Result<Reading, PauseRefusal> {
        let mut reading = Reading { call: Call::default(), seen: 0 };
        reading.catch_up(&*self.journal, task).await?;
        if reading.call.task().is_none() { Err(PauseRefusal::NoSuchCall) } else { Ok(reading) }
    }

    async fn ingest(
        &self,
        task: &TaskSid,
        account: Option<&AccountSid>,
        identity: String,
        kind: FactKind,
    ) -> Result<(), PauseRefusal> {
        let fact = new_fact(self.journal.clock(), task.clone(), identity, kind);
        Ok(ingest_request(&*self.journal, &self.metrics, fact, account).await?)
    }
}

impl Reading {
    async fn catch_up(&mut self, journal: &dyn Operators, task: &TaskSid) -> Result<(), JournalError> {
        for (seq, fact) in journal.facts(task, self.seen).await? {
            self.call.apply(&fact);
            self.seen = seq;
        }
        Ok(())
    }

    fn pause(&self, id: &PauseId) -> Option<PauseSummary> {
        self.call.pauses().iter().find(|pause| pause.id == *id).map(|pause| PauseSummary::of(&self.call, pause))
    }
}

/// Whether the same is asked for again.
fn is_same(known: &PauseSummary, asked: &Paused) -> bool {
    let until = asked.seconds.map(|seconds| known.at + 1_000 * i64::from(seconds));
    known.scope == asked.scope && known.reason == asked.reason && known.until == until
}
