//! Claims calls that are due and runs a task for each.

use super::accounts::Accounts;
use super::call_tasks::CallTasks;
use super::fold::KeptFolds;
use super::settings::WorkerSettings;
use super::tools::Tools;
use crate::journal::{Claims, Foresight, JournalError};
use crate::telemetry::metrics::Metrics;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Handles the calls of a journal until told to stop.
pub struct Worker {
    tools: Tools,
}

impl Worker {
    /// Each call's steps use the client of its account.
    pub fn new(journal: Arc<dyn Claims>, accounts: Accounts, metrics: Arc<Metrics>, settings: WorkerSettings) -> Self {
        let (accounts, settings) = (Arc::new(accounts), Arc::new(settings));
        let (leg_checks, leads, outage) = (Arc::default(), Arc::default(), Arc::default());
        let kept_folds = Arc::new(KeptFolds::new(settings.kept_calls));
        Self { tools: Tools { journal, accounts, metrics, settings, leg_checks, leads, outage, kept_folds } }
    }

    /// Runs until `shutdown`, then lets every call task finish its step and release its call.
    ///
    /// # Errors
    /// When the journal has failed for good: the process must stop.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), JournalError> {
        let tasks = Arc::new(CallTasks::new(self.tools.clone(), shutdown.clone()));
        let foresight: Weak<dyn Foresight> = Arc::<CallTasks>::downgrade(&tasks);
        self.tools.journal.consult(foresight);
        let (mut end, mut is_failing, mut is_behind) = (Ok(()), false, false);
        while !shutdown.is_cancelled() {
            let hint = self.tools.journal.hint();
            let woken = hint.notified();
            tokio::pin!(woken);
            // Enabled before the claim: a commit between the claim and the wait must wake us.
            woken.as_mut().enable();
            let claimed = self.claim(&tasks, is_behind).await;
            self.tools.metrics.work.round("dispatcher", claimed.is_ok());
            let pause = match claimed {
                Ok(has_capacity) => {
                    if std::mem::take(&mut is_failing) {
                        tracing::info!("claiming calls works again");
                    }
                    is_behind = !has_capacity;
                    if has_capacity {
                        self.pause().await
                    } else if tasks.wait_for_permit() {
                        self.tools.settings.poll
                    } else {
                        Duration::ZERO
                    }
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
        tasks.finish().await;
        end
    }

    /// Claims as many calls as it gets permits for, with all that are free if more calls may be due; returns whether all that were due are
    /// claimed.
    async fn claim(&self, tasks: &CallTasks, is_behind: bool) -> Result<bool, JournalError> {
        let free = tasks.permits_to_claim_with(is_behind);
        if free.is_empty() {
            return Ok(false);
        }
        let asked = Instant::now();
        let claims = self.tools.journal.claim(free.len()).await?;
        let has_capacity = claims.len() < free.len();
        for (claim, permit) in claims.into_iter().zip(free) {
            tasks.begin(claim, asked, permit);
        }
        Ok(has_capacity)
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
