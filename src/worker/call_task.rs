//! One call's loop: fold, ask, perform, journal.

use super::accounts::Accounts;
use super::call_metrics::CallMetrics;
use super::settings::WorkerSettings;
use super::shadow::{Shadow, ShadowResult};
use super::trace::Trace;
use crate::call::fact::{Fact, Parked, What};
use crate::call::step::{Assumed, Outcome, Settled, Step};
use crate::call::{Call, Next};
use crate::journal::{self, Claim, Claims, Due, JournalError, Seq};
use crate::telemetry::labels;
use crate::telemetry::metrics::Metrics;
use crate::twilio::client::{Client, Performed, Permit};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Handles one claimed call.
pub(super) struct CallTask {
    journal: Arc<dyn Claims>,
    accounts: Arc<Accounts>,
    metrics: Arc<Metrics>,
    settings: Arc<WorkerSettings>,
    claim: Claim,
    shutdown: CancellationToken,
    call: Call,
    call_metrics: CallMetrics,
    shadow: Shadow,
    trace: Trace,
    seen: Seq,
    /// Taken before the lease was last requested, so that the lease lasts at least as long as counted from here.
    renewed: Instant,
}

impl CallTask {
    pub(super) fn new(
        journal: Arc<dyn Claims>,
        accounts: Arc<Accounts>,
        metrics: Arc<Metrics>,
        settings: Arc<WorkerSettings>,
        claim: Claim,
        claimed: Instant,
        shutdown: CancellationToken,
    ) -> Self {
        let (call, call_metrics, shadow) =
            (Call::default(), CallMetrics::new(metrics.clone()), Shadow::new(settings.shadow));
        let trace = Trace::new(settings.traces.clone(), claim.call.clone());
        Self {
            journal,
            accounts,
            metrics,
            settings,
            claim,
            shutdown,
            call,
            call_metrics,
            shadow,
            trace,
            seen: 0,
            renewed: claimed,
        }
    }

    /// Performs steps until nothing is due, then releases the call.
    pub(super) async fn run(mut self) -> Result<(), JournalError> {
        loop {
            self.catch_up().await?;
            if self.shutdown.is_cancelled() {
                return self.release(Due::After(Duration::ZERO)).await;
            }
            let now = journal::now();
            let Some(account) = self.accounts.of(self.call.account()).cloned() else {
                match self.call.unserved(&self.accounts.first().policy) {
                    Some(parked) => self.park(parked).await?,
                    None if self.call.has_nothing_left() => return self.release(Due::Over).await,
                    None => return self.release(Due::OnFact).await,
                }
                continue;
            };
            match self.call.next(now, &account.policy) {
                Next::Do(step) => {
                    if !self.perform(step, &account.client).await? {
                        let pause = self.settings.poll;
                        return self.release(Due::After(pause)).await;
                    }
                }
                Next::Park(parked) => self.park(parked).await?,
                Next::Report(what) => {
                    log_report(&self.claim, &what);
                    self.append(what).await?;
                }
                Next::WaitUntil(at) => {
                    let pause = Duration::from_millis(u64::try_from(at - now).unwrap_or(0));
                    if pause > self.settings.poll {
                        return self.release(Due::After(pause)).await;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.shutdown.cancelled() => {}
                    }
                    self.keep_lease().await?;
                }
                Next::Idle => return self.release(Due::OnFact).await,
                Next::Over => return self.release(Due::Over).await,
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), JournalError> {
        let fresh = self.seen > 0;
        let facts = loop {
            match self.journal.facts(&self.claim.call, self.seen).await {
                Ok(facts) => break facts,
                Err(error) => self.wait_or_fail(error).await?,
            }
        };
        for (seq, fact) in facts {
            self.seen = seq;
            // ShadowResult in the timeline only.
            if self.call.is_foreign(&fact.what) {
                continue;
            }
            self.call.apply(&fact);
            self.call_metrics.folded(&fact, &self.call, fresh);
            self.shadow.folded(&fact, &self.call);
            self.trace.folded(&fact, fresh);
        }
        Ok(())
    }

    async fn park(&self, parked: Parked) -> Result<(), JournalError> {
        tracing::error!(
            task_sid = %self.claim.call, change = %parked.change, reason = %parked.reason,
            "parked: this change was given up; fix its cause, then redrive or dismiss it"
        );
        self.append(What::Parked(parked)).await
    }

    /// Performs a step and journals how it ended; false when no permit was had in time, and nothing was done.
    async fn perform(&mut self, step: Step, client: &Client) -> Result<bool, JournalError> {
        let Some(permit) = self.permit(client).await? else { return Ok(false) };
        if step.operation.is_announced() && !self.shadow.is_on() {
            self.append(What::Begun(step.clone())).await?;
        }
        self.ensure_lease_outlasts(client.request_timeout()).await?;
        let (sent_at, began) = (journal::now(), Instant::now());
        let ShadowResult { asked, performed: Performed { outcome, request_id, status }, assumed } =
            if self.shadow.is_on() {
                self.shadow.perform(permit, &step.operation, self.call.customer()).await
            } else {
                let performed = permit.perform(&step.operation).await;
                ShadowResult { asked: Some(step.operation.name()), performed, assumed: None }
            };
        if let Some(asked) = asked {
            self.count(asked, status, began);
        }
        let settled = Settled { step, sent_at, outcome, request_id, assumed };
        log_outcome(&self.claim, &settled);
        self.append(What::Settled(settled)).await?;
        Ok(true)
    }

    fn count(&self, operation: &'static str, status: Option<u16>, began: Instant) {
        let (steps, status) = (&self.metrics.steps, labels::status(status));
        steps.requests.get_or_create(&[("operation", operation), ("status", status)]).inc();
        let time = steps.request_seconds.get_or_create(&[("operation", operation)]);
        time.observe(began.elapsed().as_secs_f64());
    }

    /// Waits for a permit to send a request and renews the lease meanwhile. With several accounts, the wait is limited: an
    /// account that Twilio does not answer must not block every call task.
    async fn permit<'a>(&mut self, client: &'a Client) -> Result<Option<Permit<'a>>, JournalError> {
        let permit = client.permit();
        tokio::pin!(permit);
        loop {
            self.keep_lease().await?;
            let renewal = self.journal.lease() / 3;
            let patience = if self.accounts.are_several() { self.settings.poll.min(renewal) } else { renewal };
            tokio::select! {
                permit = &mut permit => return Ok(Some(permit)),
                () = tokio::time::sleep(patience) => {}
            }
            if self.accounts.are_several() {
                return Ok(None);
            }
        }
    }

    /// Makes sure that the lease lasts longer than a request may take. The fence keeps a stalled worker out of the journal,
    /// but not out of Twilio, so this check is made just before sending.
    async fn ensure_lease_outlasts(&mut self, request: Duration) -> Result<(), JournalError> {
        // Checked again after a renewal, because the worker may have stalled in it.
        while self.journal.lease().saturating_sub(self.renewed.elapsed()) <= request {
            self.renew().await?;
        }
        Ok(())
    }

    async fn keep_lease(&mut self) -> Result<(), JournalError> {
        if self.renewed.elapsed() < self.journal.lease() / 3 {
            return Ok(());
        }
        self.renew().await
    }

    async fn renew(&mut self) -> Result<(), JournalError> {
        loop {
            let asked = Instant::now();
            match self.journal.renew(&self.claim).await {
                Ok(()) => {
                    self.renewed = asked;
                    return Ok(());
                }
                Err(error) => self.wait_or_fail(error).await?,
            }
        }
    }

    /// Appends a fact. Retried while the lease lasts: a step that is not journaled would be repeated.
    async fn append(&self, what: What) -> Result<(), JournalError> {
        let fact = Fact { at: journal::now(), what };
        loop {
            match self.journal.append(&self.claim, fact.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) => self.wait_or_fail(error).await?,
            }
        }
    }

    async fn release(self, due: Due) -> Result<(), JournalError> {
        let mut is_retry = false;
        loop {
            match self.journal.release(&self.claim, self.seen, due).await {
                Ok(()) => return Ok(()),
                // An earlier attempt succeeded, and its answer was lost.
                Err(JournalError::LeaseLost { .. }) if is_retry => return Ok(()),
                Err(error) => self.wait_or_fail(error).await?,
            }
            is_retry = true;
        }
    }

    /// Pauses before a retry if the journal is unavailable and the lease lasts; else returns the error.
    async fn wait_or_fail(&self, error: JournalError) -> Result<(), JournalError> {
        match error {
            JournalError::Unavailable { .. } | JournalError::Overloaded { .. }
                if self.renewed.elapsed() < self.journal.lease() =>
            {
                tokio::time::sleep(self.settings.poll).await;
                Ok(())
            }
            JournalError::Unavailable { .. }
            | JournalError::Overloaded { .. }
            | JournalError::LeaseLost { .. }
            | JournalError::Fatal { .. } => Err(error),
        }
    }
}

fn log_report(claim: &Claim, what: &What) {
    if let What::Unconfirmed { name } = what {
        tracing::warn!(
            task_sid = %claim.call, name,
            "Twilio accepted this stream but has not confirmed that its socket is open: check the destination"
        );
    }
}

fn log_outcome(claim: &Claim, settled: &Settled) {
    let Settled { step, outcome, request_id, assumed, .. } = settled;
    let (task_sid, operation) = (&claim.call, step.operation.name());
    let request_id = request_id.as_deref().unwrap_or("-");
    match outcome {
        Outcome::Done(_) if *assumed == Some(Assumed::NotSent) => {
            tracing::info!(%task_sid, operation, "not sent: the call is in shadow mode");
        }
        Outcome::Done(_) | Outcome::Gone if step.operation.is_idempotent() => {
            tracing::debug!(%task_sid, operation, request_id, "step done");
        }
        Outcome::Done(_) => tracing::info!(%task_sid, operation, request_id, "command accepted"),
        Outcome::Gone => tracing::info!(%task_sid, operation, request_id, "the customer's call has ended"),
        Outcome::TryLater(trouble) | Outcome::Unknown(trouble) | Outcome::Refused(trouble) => {
            tracing::warn!(%task_sid, operation, request_id, status = trouble.status, code = trouble.code, reason = %trouble.reason, "step failed");
        }
    }
}
