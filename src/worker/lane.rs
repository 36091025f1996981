//! One call's loop: fold, ask, perform, journal.

use super::accounts::Accounts;
use super::dispatcher::WorkerSettings;
use super::meter::Meter;
use super::shadow::{Shadow, Shown};
use super::trace::Trace;
use crate::call::fact::{Fact, Parked, What};
use crate::call::step::{Assumed, Outcome, Settled, Step};
use crate::call::{Call, Next};
use crate::journal::{self, Claim, Claims, Due, JournalError, Seq};
use crate::telemetry::labels;
use crate::telemetry::metrics::Metrics;
use crate::twilio::client::{Client, Performed, Turn};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The work on one claimed call.
pub(super) struct Lane {
    journal: Arc<dyn Claims>,
    accounts: Arc<Accounts>,
    metrics: Arc<Metrics>,
    settings: Arc<WorkerSettings>,
    claim: Claim,
    shutdown: CancellationToken,
    call: Call,
    meter: Meter,
    shadow: Shadow,
    trace: Trace,
    seen: Seq,
    /// Before the lease was last asked for: it lasts at least as long as counted from here.
    renewed: Instant,
}

impl Lane {
    pub(super) fn new(
        journal: Arc<dyn Claims>,
        accounts: Arc<Accounts>,
        metrics: Arc<Metrics>,
        settings: Arc<WorkerSettings>,
        claim: Claim,
        claimed: Instant,
        shutdown: CancellationToken,
    ) -> Self {
        let (call, meter, shadow) = (Call::default(), Meter::new(metrics.clone()), Shadow::new(settings.shadow));
        let trace = Trace::new(settings.traces.clone(), claim.call.clone());
        Self {
            journal,
            accounts,
            metrics,
            settings,
            claim,
            shutdown,
            call,
            meter,
            shadow,
            trace,
            seen: 0,
            renewed: claimed,
        }
    }

    /// Works on the call until nothing is due, then gives it back.
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
                    report(&self.claim, &what);
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
                Err(error) => self.wait_for_the_journal(error).await?,
            }
        };
        for (seq, fact) in facts {
            self.seen = seq;
            // The timeline tells of it; nobody else is to be misled.
            if self.call.is_foreign(&fact.what) {
                continue;
            }
            self.call.apply(&fact);
            self.meter.folded(&fact, &self.call, fresh);
            self.shadow.folded(&fact, &self.call);
            self.trace.folded(&fact, fresh);
        }
        Ok(())
    }

    async fn park(&self, parked: Parked) -> Result<(), JournalError> {
        tracing::error!(
            task_sid = %self.claim.call, change = %parked.change, reason = %parked.reason,
            "given up: this change was not made and waits to be redriven"
        );
        self.append(What::Parked(parked)).await
    }

    /// Performs a step and journals how it ended; false when its turn did not come, and nothing was done.
    async fn perform(&mut self, step: Step, client: &Client) -> Result<bool, JournalError> {
        let Some(turn) = self.turn(client).await? else { return Ok(false) };
        if step.operation.is_announced() && !self.shadow.is_on() {
            self.append(What::Begun(step.clone())).await?;
        }
        self.outlast(client.request_timeout()).await?;
        let (sent_at, began) = (journal::now(), Instant::now());
        let Shown { asked, performed: Performed { outcome, request_id, status }, assumed } = if self.shadow.is_on() {
            self.shadow.perform(turn, &step.operation, self.call.customer()).await
        } else {
            let performed = turn.perform(&step.operation).await;
            Shown { asked: Some(step.operation.name()), performed, assumed: None }
        };
        if let Some(asked) = asked {
            self.count(asked, status, began);
        }
        let settled = Settled { step, sent_at, outcome, request_id, assumed };
        tell(&self.claim, &settled);
        self.append(What::Settled(settled)).await?;
        Ok(true)
    }

    fn count(&self, operation: &'static str, status: Option<u16>, began: Instant) {
        let (steps, status) = (&self.metrics.steps, labels::status(status));
        steps.requests.get_or_create(&[("operation", operation), ("status", status)]).inc();
        let time = steps.request_seconds.get_or_create(&[("operation", operation)]);
        time.observe(began.elapsed().as_secs_f64());
    }

    /// Waits for the turn of a request and keeps the lease alive meanwhile. Of several accounts, one that Twilio does not answer
    /// must not hold up all lanes there are: there a lane that has waited for long goes without its turn.
    async fn turn<'a>(&mut self, client: &'a Client) -> Result<Option<Turn<'a>>, JournalError> {
        let turn = client.turn();
        tokio::pin!(turn);
        loop {
            self.keep_lease().await?;
            let renewal = self.journal.lease() / 3;
            let patience = if self.accounts.are_several() { self.settings.poll.min(renewal) } else { renewal };
            tokio::select! {
                turn = &mut turn => return Ok(Some(turn)),
                () = tokio::time::sleep(patience) => {}
            }
            if self.accounts.are_several() {
                return Ok(None);
            }
        }
    }

    /// Makes sure that the lease lasts for longer than a request may take. The fence keeps a stalled worker out of the
    /// journal, but not out of Twilio: this is as close to the sending as a check can be.
    async fn outlast(&mut self, request: Duration) -> Result<(), JournalError> {
        // Asked again after a renewal, which can be what the worker was stalled in.
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
                Err(error) => self.wait_for_the_journal(error).await?,
            }
        }
    }

    /// Appends a fact. What has been done must be written down, or it would be done again.
    async fn append(&self, what: What) -> Result<(), JournalError> {
        let fact = Fact { at: journal::now(), what };
        loop {
            match self.journal.append(&self.claim, fact.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) => self.wait_for_the_journal(error).await?,
            }
        }
    }

    async fn release(self, due: Due) -> Result<(), JournalError> {
        let mut asked_before = false;
        loop {
            match self.journal.release(&self.claim, self.seen, due).await {
                Ok(()) => return Ok(()),
                // The answer to the first was lost.
                Err(JournalError::LeaseLost { .. }) if asked_before => return Ok(()),
                Err(error) => self.wait_for_the_journal(error).await?,
            }
            asked_before = true;
        }
    }

    /// Pauses while the journal is away, for as long as the lease lasts.
    ///
    /// # Errors
    /// When waiting is of no use.
    async fn wait_for_the_journal(&self, error: JournalError) -> Result<(), JournalError> {
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

fn report(claim: &Claim, what: &What) {
    if let What::Unconfirmed { name } = what {
        tracing::warn!(
            task_sid = %claim.call, name,
            "Twilio took this stream and does not say that its socket is open: look at the destination"
        );
    }
}

fn tell(claim: &Claim, settled: &Settled) {
    let Settled { step, outcome, request_id, assumed, .. } = settled;
    let (task_sid, operation) = (&claim.call, step.operation.name());
    let request_id = request_id.as_deref().unwrap_or("-");
    match outcome {
        Outcome::Done(_) if *assumed == Some(Assumed::NotSent) => {
            tracing::info!(%task_sid, operation, "decided and not sent: the call is in shadow mode");
        }
        Outcome::Done(_) | Outcome::Gone if step.operation.is_idempotent() => {
            tracing::debug!(%task_sid, operation, request_id, "step done");
        }
        Outcome::Done(_) => tracing::info!(%task_sid, operation, request_id, "streams changed"),
        Outcome::Gone => tracing::info!(%task_sid, operation, request_id, "the customer's call is over"),
        Outcome::TryLater(trouble) | Outcome::Unknown(trouble) | Outcome::Refused(trouble) => {
            tracing::warn!(%task_sid, operation, request_id, status = trouble.status, code = trouble.code, reason = %trouble.reason, "step failed");
        }
    }
}
