//! Claims calls that are due and runs a task for each.

use super::accounts::Accounts;
use super::call_task::{CallTask, Tools};
use super::quarantine::Quarantine;
use super::settings::WorkerSettings;
use crate::journal::{Claim, Claims, JournalError};
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Handles the calls of a journal until told to stop.
pub struct Worker {
    tools: Tools,
}

impl Worker {
    /// Each call's steps use the client of its account.
    pub fn new(journal: Arc<dyn Claims>, accounts: Accounts, metrics: Arc<Metrics>, settings: WorkerSettings) -> Self {
        let (accounts, settings) = (Arc::new(accounts), Arc::new(settings));
        let (leg_checks, leads, outage) = (Arc::default(), Arc::default(), Arc::default());
        Self { tools: Tools { journal, accounts, metrics, settings, leg_checks, leads, outage } }
    }

    /// Runs until `shutdown`, then lets every call task finish its step and release its call.
    ///
    /// # Errors
    /// When the journal has failed for good: the process must stop.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), JournalError> {
        let tasks = TaskTracker::new();
        let permits = Arc::new(Semaphore::new(self.tools.settings.max_calls));
        let (mut end, mut is_failing) = (Ok(()), false);
        while !shutdown.is_cancelled() {
            let hint = self.tools.journal.hint();
            let woken = hint.notified();
            tokio::pin!(woken);
            // Enabled before the claim: a commit between the claim and the wait must wake us.
            woken.as_mut().enable();
            let claimed = self.claim(&permits, &tasks, &shutdown).await;
            self.tools.metrics.work.round("dispatcher", claimed.is_ok());
            let pause = match claimed {
                Ok(has_capacity) => {
                    if std::mem::take(&mut is_failing) {
                        tracing::info!("claiming calls works again");
                    }
                    // At capacity, a call task that ends wakes us.
                    if has_capacity { self.pause().await } else { self.tools.settings.poll }
                }
                Err(error @ JournalError::Fatal { .. }) => {
                    end = Err(error);
                    break;
                }
                Err(error) => {
                    // Logged once per outage.
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "cannot claim calls; retrying until the journal answers");
                    }
                    self.tools.settings.poll
                }
            };
            tokio::select! {
                () = &mut woken => {}
                () = tokio::time::sleep(pause) => {}
                () = shutdown.cancelled() => {}
            }
        }
        tasks.close();
        tasks.wait().await;
        end
    }

    /// Claims as many calls as there are free permits; returns whether permits are left.
    async fn claim(
        &self,
        permits: &Arc<Semaphore>,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<bool, JournalError> {
        let mut free = Vec::new();
        while let Ok(permit) = permits.clone().try_acquire_owned() {
            free.push(permit);
        }
        if free.is_empty() {
            return Ok(false);
        }
        let asked = Instant::now();
        let claims = self.tools.journal.claim(free.len()).await?;
        let has_capacity = claims.len() < free.len();
        for (claim, permit) in claims.into_iter().zip(free) {
            tasks.spawn(self.call_task(claim, asked, permit, shutdown.clone()));
        }
        Ok(has_capacity)
    }

    fn call_task(
        &self,
        claim: Claim,
        claimed: Instant,
        permit: OwnedSemaphorePermit,
        shutdown: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (task, quarantine) =
            (claim.call.clone(), Quarantine { journal: self.tools.journal.clone(), claim: claim.clone() });
        let hint = self.tools.journal.hint();
        let metrics = self.tools.metrics.clone();
        let call_task = CallTask::new(self.tools.clone(), claim, claimed, shutdown);
        async move {
            metrics.work.call_tasks.inc();
            match call_task.run().await {
                Ok(()) => {}
                Err(JournalError::LeaseLost { .. }) => {
                    metrics.work.leases_lost.inc();
                    tracing::warn!(task_sid = %task, "another worker has taken over this call");
                }
                Err(error @ (JournalError::Unavailable { .. } | JournalError::Overloaded { .. })) => {
                    tracing::warn!(task_sid = %task, %error, "the journal is unavailable; this call is taken up again once it is back");
                }
                Err(JournalError::Unreadable { seq, .. }) => quarantine.begin(seq, &metrics).await,
                Err(error @ JournalError::Fatal { .. }) => {
                    tracing::error!(task_sid = %task, %error, "the journal failed; this call is taken up again when its lease expires");
                }
            }
            metrics.work.call_tasks.dec();
            drop(permit);
            // A permit is free for the next call.
            hint.notify_one();
        }
    }

    async fn pause(&self) -> Duration {
        let poll = self.tools.settings.poll;
        match self.tools.journal.next_due().await {
            Ok(Some(due)) => due.min(poll),
            Ok(None) | Err(_) => poll,
        }
        .max(Duration::from_millis(1))
    }
}
