//! The call tasks that are under way: no more than so many, begun by the dispatcher or, before their events are committed, by the
//! journal.

use super::call_task::CallTask;
use super::quarantine::Quarantine;
use super::tools::Tools;
use crate::call::fact::Fact;
use crate::call::sid::{CallSid, TaskSid};
use crate::journal::{Claim, Foreseen, Foresight, GivenBack, JournalError, Seq};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// One in so many free permits is left by whoever claims.
const LEFT: usize = 4;

pub(super) struct CallTasks {
    tools: Tools,
    permits: Arc<Semaphore>,
    /// Somebody waits for a permit.
    is_waited_for: Arc<AtomicBool>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    runtime: Handle,
    /// Those whose events are being committed.
    foreseen: Mutex<HashMap<TaskSid, Waiting>>,
}

/// A call task that begins once its events are durable.
struct Waiting {
    call_task: Box<CallTask>,
    permit: OwnedSemaphorePermit,
    _tracked: TaskTrackerToken,
}

impl CallTasks {
    /// Tasks run on the runtime that this is called in.
    pub(super) fn new(tools: Tools, shutdown: CancellationToken) -> Self {
        let permits = Arc::new(Semaphore::new(tools.settings.max_calls));
        let (tracker, runtime, foreseen) = (TaskTracker::new(), Handle::current(), Mutex::default());
        Self { tools, permits, is_waited_for: Arc::default(), tracker, shutdown, runtime, foreseen }
    }

    /// Most of those that are free, or all of them. A claim holds its permits until it is answered, and some are left for calls that are
    /// taken with their events meanwhile.
    pub(super) fn permits_to_claim_with(&self, all: bool) -> Vec<OwnedSemaphorePermit> {
        let free = self.permits.available_permits();
        let left = if all { 0 } else { free / LEFT };
        let permit = || self.permits.clone().try_acquire_owned().ok();
        std::iter::from_fn(permit).take(free - left).collect()
    }

    /// Whether the next claim has to wait for a permit. Then the journal's hint tells of the first that becomes free.
    pub(super) fn wait_for_permit(&self) -> bool {
        // Before the look: a task that ends after it must see this.
        self.is_waited_for.store(true, Ordering::SeqCst);
        let is_full = self.permits.available_permits() == 0;
        self.is_waited_for.fetch_and(is_full, Ordering::SeqCst);
        is_full
    }

    /// Begins the task of a call that was claimed by a request sent at `asked`.
    pub(super) fn begin(&self, claim: Claim, asked: Instant, permit: OwnedSemaphorePermit) {
        let call_task = CallTask::new(self.tools.clone(), claim.clone(), asked, self.shutdown.clone());
        self.spawn(claim, Box::new(call_task), permit);
    }

    /// Waits until every task has finished its step and released its call.
    pub(super) async fn finish(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    fn spawn(&self, claim: Claim, call_task: Box<CallTask>, permit: OwnedSemaphorePermit) {
        let (task, quarantine) = (claim.call.clone(), Quarantine { journal: self.tools.journal.clone(), claim });
        let hint = self.tools.journal.hint();
        let (metrics, is_waited_for) = (self.tools.metrics.clone(), self.is_waited_for.clone());
        let run = async move {
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
            // The permit is free for the next call.
            if is_waited_for.swap(false, Ordering::SeqCst) {
                hint.notify_one();
            }
        };
        self.tracker.spawn_on(run, &self.runtime);
    }

    fn foreseen(&self) -> MutexGuard<'_, HashMap<TaskSid, Waiting>> {
        self.foreseen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Foresight for CallTasks {
    fn foresee(
        &self,
        claim: &Claim,
        claimed: Instant,
        news: Vec<(Seq, Fact)>,
        is_alone: &dyn Fn(&CallSid) -> bool,
    ) -> Option<Foreseen> {
        if self.shutdown.is_cancelled() {
            return None;
        }
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        let mut call_task = CallTask::new(self.tools.clone(), claim.clone(), claimed, self.shutdown.clone());
        let foreseen = call_task.foresee(news, is_alone)?;
        let waiting = Waiting { call_task: Box::new(call_task), permit, _tracked: self.tracker.token() };
        self.foreseen().insert(claim.call.clone(), waiting);
        Some(foreseen)
    }

    fn settled(&self, claim: &Claim, is_durable: bool) {
        // Whatever was folded of what is not durable is forgotten.
        let Some(Waiting { call_task, permit, _tracked }) = self.foreseen().remove(&claim.call) else { return };
        if is_durable {
            self.spawn(claim.clone(), call_task, permit);
        }
    }

    fn given_back(&self, call: &TaskSid) -> Option<GivenBack> {
        self.tools.kept_folds.given_back(call)
    }
}
