//! Claims calls that are due and runs a lane for each.

use super::lane::Lane;
use crate::call::Policy;
use crate::journal::{Claim, Journal, JournalError};
use crate::telemetry::metrics::Metrics;
use crate::twilio::client::Client;
use std::sync::Arc;
use std::time::Duration;
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
    /// The limits of the core.
    pub policy: Policy,
}

/// Works on the calls of a journal until told to stop.
pub struct Worker {
    journal: Arc<dyn Journal>,
    client: Arc<Client>,
    metrics: Arc<Metrics>,
    settings: Arc<WorkerSettings>,
}

impl Worker {
    /// A worker that performs its steps through `client`.
    pub fn new(
        journal: Arc<dyn Journal>,
        client: Arc<Client>,
        metrics: Arc<Metrics>,
        settings: WorkerSettings,
    ) -> Self {
        Self { journal, client, metrics, settings: Arc::new(settings) }
    }

    /// Works until `shutdown`, then lets every lane finish its step and give its call back.
    ///
    /// # Errors
    /// When the journal has failed for good: the process must stop.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), JournalError> {
        let lanes = TaskTracker::new();
        let room = Arc::new(Semaphore::new(self.settings.max_calls));
        let mut end = Ok(());
        while !shutdown.is_cancelled() {
            let hint = self.journal.hint();
            let woken = hint.notified();
            tokio::pin!(woken);
            // Before the claim, so that a commit between the claim and the wait is not slept through.
            woken.as_mut().enable();
            let claimed = self.claim(&room, &lanes, &shutdown).await;
            self.metrics.work.round("dispatcher", claimed.is_ok());
            match claimed {
                Ok(()) => {}
                Err(error @ JournalError::Fatal { .. }) => {
                    end = Err(error);
                    break;
                }
                Err(error) => tracing::warn!(%error, "no call can be claimed; trying again"),
            }
            tokio::select! {
                () = &mut woken => {}
                () = tokio::time::sleep(self.pause().await) => {}
                () = shutdown.cancelled() => {}
            }
        }
        lanes.close();
        lanes.wait().await;
        end
    }

    async fn claim(
        &self,
        room: &Arc<Semaphore>,
        lanes: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<(), JournalError> {
        let mut permits = Vec::new();
        while let Ok(permit) = room.clone().try_acquire_owned() {
            permits.push(permit);
        }
        if permits.is_empty() {
            return Ok(());
        }
        let claims = self.journal.claim(permits.len()).await?;
        for (claim, permit) in claims.into_iter().zip(permits) {
            lanes.spawn(self.lane(claim, permit, shutdown.clone()));
        }
        Ok(())
    }

    fn lane(
        &self,
        claim: Claim,
        permit: OwnedSemaphorePermit,
        shutdown: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let task = claim.call.clone();
        let hint = self.journal.hint();
        let metrics = self.metrics.clone();
        let lane = Lane::new(
            self.journal.clone(),
            self.client.clone(),
            metrics.clone(),
            self.settings.clone(),
            claim,
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
                Err(error) => {
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
