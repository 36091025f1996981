//! Claims calls that are due and runs a lane for each.

use super::accounts::Accounts;
use super::lane::Lane;
use crate::journal::{Claim, Claims, JournalError};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How much the worker does at once.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Calls worked on in parallel.
    pub max_calls: usize,
    /// Between looks at the journal when no commit wakes the worker. Also the longest pause that a lane keeps its
    /// claim through.
    pub poll: Duration,
    /// Calls that begin now are decided and shown; Twilio is only read.
    pub shadow: bool,
    /// Where steps are traced.
    pub traces: Traces,
}

/// Works on the calls of a journal until told to stop.
pub struct Worker {
    journal: Arc<dyn Claims>,
    accounts: Arc<Accounts>,
    metrics: Arc<Metrics>,
    settings: Arc<WorkerSettings>,
}

impl Worker {
    /// A worker that performs its steps through the client of the call's account.
    pub fn new(journal: Arc<dyn Claims>, accounts: Accounts, metrics: Arc<Metrics>, settings: WorkerSettings) -> Self {
        Self { journal, accounts: Arc::new(accounts), metrics, settings: Arc::new(settings) }
    }

    /// Works until `shutdown`, then lets every lane finish its step and give its call back.
    ///
    /// # Errors
    /// When the journal has failed for good: the process must stop.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), JournalError> {
        let lanes = TaskTracker::new();
        let room = Arc::new(Semaphore::new(self.settings.max_calls));
        let (mut end, mut away) = (Ok(()), false);
        while !shutdown.is_cancelled() {
            let hint = self.journal.hint();
            let woken = hint.notified();
            tokio::pin!(woken);
            // Before the claim, so that a commit between the claim and the wait is not slept through.
            woken.as_mut().enable();
            let claimed = self.claim(&room, &lanes, &shutdown).await;
            self.metrics.work.round("dispatcher", claimed.is_ok());
            let pause = match claimed {
                Ok(room_left) => {
                    if std::mem::take(&mut away) {
                        tracing::info!("calls can be claimed again");
                    }
                    // Without room, until a lane ends and wakes us.
                    if room_left { self.pause().await } else { self.settings.poll }
                }
                Err(error @ JournalError::Fatal { .. }) => {
                    end = Err(error);
                    break;
                }
                Err(error) => {
                    // Once, however long it lasts.
                    if !std::mem::replace(&mut away, true) {
                        tracing::warn!(%error, "no call can be claimed; trying until one can");
                    }
                    self.settings.poll
                }
            };
            tokio::select! {
                () = &mut woken => {}
                () = tokio::time::sleep(pause) => {}
                () = shutdown.cancelled() => {}
            }
        }
        lanes.close();
        lanes.wait().await;
        end
    }

    /// Takes as many calls as there is room for; says whether there is room left.
    async fn claim(
        &self,
        room: &Arc<Semaphore>,
        lanes: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<bool, JournalError> {
        let mut permits = Vec::new();
        while let Ok(permit) = room.clone().try_acquire_owned() {
            permits.push(permit);
        }
        if permits.is_empty() {
            return Ok(false);
        }
        let asked = Instant::now();
        let claims = self.journal.claim(permits.len()).await?;
        let room_left = claims.len() < permits.len();
        for (claim, permit) in claims.into_iter().zip(permits) {
            lanes.spawn(self.lane(claim, asked, permit, shutdown.clone()));
        }
        Ok(room_left)
    }

    fn lane(
        &self,
        claim: Claim,
        claimed: Instant,
        permit: OwnedSemaphorePermit,
        shutdown: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let task = claim.call.clone();
        let hint = self.journal.hint();
        let metrics = self.metrics.clone();
        let lane = Lane::new(
            self.journal.clone(),
            self.accounts.clone(),
            metrics.clone(),
            self.settings.clone(),
            claim,
            claimed,
            shutdown,
        );
        async move {
            metrics.work.lanes.inc();
            match lane.run().await {
                Ok(()) => {}
                Err(JournalError::LeaseLost { .. }) => {
                    metrics.work.leases_lost.inc();
                    tracing::warn!(task_sid = %task, "another worker has taken this call over");
                }
                Err(error @ (JournalError::Unavailable { .. } | JournalError::Overloaded { .. })) => {
                    tracing::warn!(task_sid = %task, %error, "work on this call pauses until the journal is back");
                }
                Err(error @ JournalError::Fatal { .. }) => {
                    tracing::error!(task_sid = %task, %error, "work on this call stopped; its lease will run out and it will be taken up again");
                }
            }
            metrics.work.lanes.dec();
            drop(permit);
            // There is room for one more call.
            hint.notify_one();
        }
    }

    async fn pause(&self) -> Duration {
        let poll = self.settings.poll;
        match self.journal.next_due().await {
            Ok(Some(due)) => due.min(poll),
            Ok(None) | Err(_) => poll,
        }
        .max(Duration::from_millis(1))
    }
}
