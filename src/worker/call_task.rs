//! One call's loop: fold, ask, perform, journal.

use super::belied_pauses::belied_pauses;
use super::call_clock::CallClock;
use super::call_log::{log_altered, log_outcome, log_report};
use super::fold::Fold;
use super::shadow::ShadowResult;
use super::tools::Tools;
use crate::call::fact::{Fact, FactKind, Parked};
use crate::call::sid::CallSid;
use crate::call::step::{Command, Operation, Outcome, Settled, Step};
use crate::call::{Around, Neighbour, Next, Policy};
use crate::journal::{Claim, Due, Foreseen, JournalError, Seq, neighbours};
use crate::telemetry::labels;
use crate::telemetry::series::AccountLabels;
use crate::twilio::client::{Arming, Client, Performed, Permit};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How old the knowledge of other tasks on the leg may be for a command that they bear on.
const NEIGHBOURS_AGE: Duration = Duration::from_millis(200);

/// How old it may be otherwise.
const NEIGHBOURS_REST: Duration = Duration::from_secs(5);

/// Handles one claimed call.
pub(super) struct CallTask {
    tools: Tools,
    claim: Claim,
    shutdown: CancellationToken,
    fold: Box<Fold>,
    /// All facts up to the claim are folded.
    is_caught_up: bool,
    clock: CallClock,
    /// Other tasks on the customer's leg, and when they were last looked for.
    neighbours: Vec<Neighbour>,
    neighbours_at: Option<Instant>,
    /// Before the claim was asked for.
    claimed: Instant,
    /// A command that was journaled as begun with the event that it is due to.
    begun: Option<Step>,
    /// Taken before the lease was last requested, so that the lease lasts at least as long as counted from here.
    renewed: Instant,
}

impl CallTask {
    pub(super) fn new(tools: Tools, claim: Claim, claimed: Instant, shutdown: CancellationToken) -> Self {
        Self {
            fold: tools
                .kept_folds
                .take(&claim)
                .unwrap_or_else(|| Box::new(Fold::new(&tools.metrics, &tools.settings, &claim.call))),
            is_caught_up: false,
            clock: CallClock::new(&claim.call, tools.journal.clock(), &tools.leads),
            neighbours: Vec::new(),
            neighbours_at: None,
            claimed,
            begun: None,
            renewed: claimed,
            tools,
            claim,
            shutdown,
        }
    }

    /// Folds the newest facts, which are not committed yet, and decides whether a command can be begun in the same commit: none
    /// that has to wait for anything else.
    pub(super) fn foresee(&mut self, news: Vec<(Seq, Fact)>, is_alone: &dyn Fn(&CallSid) -> bool) -> Option<Foreseen> {
        if news.first().is_none_or(|(first, _)| *first != self.fold.seen + 1) {
            return None;
        }
        self.fold.take(news, false);
        self.is_caught_up = true;
        self.clock.not_before(self.fold.call.last_fact_at(), &self.claim.call);
        Some(Foreseen { first: self.begin_ahead(is_alone) })
    }

    fn begin_ahead(&mut self, is_alone: &dyn Fn(&CallSid) -> bool) -> Option<Fact> {
        let account = self.tools.accounts.of(self.fold.call.account())?.clone();
        if self.fold.shadow.is_on() || !account.client.has_permits() {
            return None;
        }
        if let Some(leg) = self.fold.call.customer() {
            if !is_alone(leg) {
                return None;
            }
            self.claim.alone_on = Some(leg.clone());
        }
        let now = self.clock.now();
        let Next::Do(step) = self.fold.call.next(now, &account.policy, self.around()) else { return None };
        step.operation.command()?;
        let step = self.fitting(step, &account.client);
        self.begun = Some(step.clone());
        Some(Fact { at: now, kind: FactKind::Begun(step) })
    }

    /// Performs steps until nothing is due, then releases the call.
    pub(super) async fn run(mut self) -> Result<(), JournalError> {
        if let Some(step) = self.begun.take() {
            self.perform_begun(step).await?;
        }
        loop {
            self.catch_up().await?;
            if self.shutdown.is_cancelled() {
                return self.release(Due::After(Duration::ZERO)).await;
            }
            self.look_around(NEIGHBOURS_REST).await?;
            let now = self.clock.now();
            let Some(account) = self.tools.accounts.of(self.fold.call.account()).cloned() else {
                match self.fold.call.unserved(&self.tools.accounts.first().policy) {
                    Some(parked) => self.park(parked).await?,
                    None if self.fold.call.has_nothing_left() => return self.release(Due::Over).await,
                    None => return self.release(Due::OnFact).await,
                }
                continue;
            };
            match self.fold.call.next(now, &account.policy, self.around()) {
                // What others do to the leg bears on it: asked again, when that has not been looked at just now.
                next if next.is_shared() && self.look_around(NEIGHBOURS_AGE).await? => {}
                Next::Do(step) => {
                    if !self.perform(step, &account.client, &account.policy).await? {
                        let pause = self.tools.settings.poll;
                        return self.release(Due::After(pause)).await;
                    }
                }
                Next::Park(parked) => self.park(parked).await?,
                Next::Report(kind) => {
                    log_report(&self.claim, &kind, &self.fold.call, &self.tools.outage);
                    self.append(kind).await?;
                }
                Next::WaitUntil(at) => {
                    let pause = Duration::from_millis(u64::try_from(at - now).unwrap_or(0));
                    if pause > self.tools.settings.poll {
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
        let facts = loop {
            match self.tools.journal.news(&self.claim, self.fold.seen).await {
                Ok(facts) => break facts,
                Err(error) => self.wait_or_fail(error).await?,
            }
        };
        self.fold.take(facts, self.is_caught_up);
        self.is_caught_up = true;
        self.clock.not_before(self.fold.call.last_fact_at(), &self.claim.call);
        Ok(())
    }

    fn around(&self) -> Around<'_> {
        Around { neighbours: &self.neighbours, verify: self.tools.leg_checks.are_due() }
    }

    /// Looks for other tasks on the customer's leg, unless that was done less than `age` ago; says whether it did.
    async fn look_around(&mut self, age: Duration) -> Result<bool, JournalError> {
        let Some(leg) = self.fold.call.customer().cloned() else { return Ok(false) };
        let age = if self.neighbours.is_empty() { age } else { age.min(NEIGHBOURS_AGE) };
        let claimed = || self.claim.alone_on.as_ref().filter(|alone_on| **alone_on == leg).map(|_| self.claimed);
        if self.neighbours_at.or_else(claimed).is_some_and(|at| at.elapsed() < age) {
            return Ok(false);
        }
        self.neighbours = loop {
            match neighbours(&*self.tools.journal, &leg, &self.claim.call).await {
                Ok(neighbours) => break neighbours,
                Err(error) => self.wait_or_fail(error).await?,
            }
        };
        self.neighbours_at = Some(Instant::now());
        Ok(true)
    }

    async fn park(&self, parked: Parked) -> Result<(), JournalError> {
        tracing::error!(
            task_sid = %self.claim.call, goal = %parked.goal, reason = %parked.reason,
            "parked: this was given up and is tried again now and then; fix its cause, then redrive or dismiss it"
        );
        self.append(FactKind::Parked(parked)).await
    }

    /// Performs a step and journals how it ended; false when no permit was had in time, and nothing was done.
    async fn perform(&mut self, step: Step, client: &Client, policy: &Policy) -> Result<bool, JournalError> {
        let Some(permit) = self.permit(client).await? else { return Ok(false) };
        let step = self.fitting(step, client);
        if step.operation.command().is_some() && !self.fold.shadow.is_on() {
            self.append(FactKind::Begun(step.clone())).await?;
            self.belie_pauses(&step).await?;
        }
        self.send(step, permit, client, policy).await?;
        Ok(true)
    }

    /// Looks around once more: whoever proves a pause from now on finds the stream that is begun.
    async fn belie_pauses(&mut self, step: &Step) -> Result<(), JournalError> {
        let starts = step.operation.command().is_some_and(|command| !command.starts().is_empty());
        if starts && !self.neighbours.is_empty() {
            self.look_around(Duration::ZERO).await?;
            for fact in belied_pauses(&self.neighbours, &self.claim.call, step, &self.tools) {
                while let Err(error) = self.tools.journal.ingest(fact.clone()).await {
                    self.wait_or_fail(error).await?;
                }
            }
        }
        Ok(())
    }

    /// Performs what was journaled as begun before this task had anything to wait with.
    async fn perform_begun(&mut self, step: Step) -> Result<(), JournalError> {
        let Some(account) = self.tools.accounts.of(self.fold.call.account()).cloned() else { return Ok(()) };
        let permit = loop {
            if let Some(permit) = self.permit(&account.client).await? {
                break permit;
            }
        };
        self.send(step, permit, &account.client, &account.policy).await
    }

    /// The step as it is sent, so that the timeline tells it before it is.
    fn fitting(&self, step: Step, client: &Client) -> Step {
        let step = Step { operation: client.fit(step.operation), ..step };
        log_altered(&self.claim, &step, &self.fold.call);
        step
    }

    /// Sends a step that is journaled as far as it must be, and journals how it ended.
    async fn send(
        &mut self,
        step: Step,
        permit: Permit<'_>,
        client: &Client,
        policy: &Policy,
    ) -> Result<(), JournalError> {
        self.ensure_lease_outlasts(client.request_timeout()).await?;
        let (sent_at, began) = (self.clock.now(), Instant::now());
        let arming = self.arming(&step.operation, client, policy);
        let ShadowResult { asked, performed: Performed { outcome, request_id, status }, assumed } =
            if self.fold.shadow.is_on() {
                self.fold.shadow.perform(permit, &step.operation, self.fold.call.customer()).await
            } else {
                let performed = permit.perform(&step.operation, arming).await;
                ShadowResult { asked: Some(step.operation.name()), performed, assumed: None }
            };
        if let Some(asked) = asked {
            self.count(asked, status, began);
        }
        if let (Operation::Command(Command::CreateStream { .. }), Outcome::Done(_)) = (&step.operation, &outcome) {
            self.tools.leg_checks.started();
        }
        let settled = Settled { step, sent_at, outcome, request_id, assumed };
        log_outcome(&self.claim, &settled, &self.fold.call, &self.tools.outage);
        self.append(FactKind::Settled(settled)).await
    }

    /// Whether a command may still be written when its connection is ready. The lease must outlast the request: whoever takes
    /// the call over counts on that. Not too much time may have passed since it was sent: from then on the core counts when it
    /// can no longer land. And of a redirect the guard must have been read lowered a moment ago.
    fn arming(&self, operation: &Operation, client: &Client, policy: &Policy) -> Arming {
        let Some(command) = operation.command() else { return Arming::always() };
        let request = client.request_timeout();
        let lease_ends = self.renewed + self.tools.journal.lease();
        let write_by = Instant::now() + client.connect_timeout();
        let guard_read = match command {
            Command::Redirect { read_at, .. } => {
                let age = u64::try_from(self.clock.now() - read_at).unwrap_or(0);
                let left = u64::try_from(policy.reading_max_age_ms).unwrap_or(0).saturating_sub(age);
                Some(Instant::now() + Duration::from_millis(left))
            }
            Command::UpdateCustomer { .. }
            | Command::CreateStream { .. }
            | Command::StopStream { .. }
            | Command::PauseRecording { .. }
            | Command::ResumeRecording { .. }
            | Command::EndConference { .. } => None,
        };
        Arming::new(move || {
            let now = Instant::now();
            now <= write_by && now + request <= lease_ends && guard_read.is_none_or(|until| now <= until)
        })
    }

    fn count(&self, operation: &'static str, status: Option<u16>, began: Instant) {
        let (steps, status) = (&self.tools.metrics.steps, labels::status(status));
        let labels = AccountLabels::new([("operation", operation), ("status", status)], self.fold.call.account());
        steps.requests.get_or_create(&labels).inc();
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
            let renewal = self.tools.journal.lease() / 3;
            let patience =
                if self.tools.accounts.are_several() { self.tools.settings.poll.min(renewal) } else { renewal };
            tokio::select! {
                permit = &mut permit => return Ok(Some(permit)),
                () = tokio::time::sleep(patience) => {}
            }
            if self.tools.accounts.are_several() {
                return Ok(None);
            }
        }
    }

    /// Makes sure that the lease lasts longer than a request may take. The fence keeps a stalled worker out of the journal,
    /// but not out of Twilio, so this check is made just before sending.
    async fn ensure_lease_outlasts(&mut self, request: Duration) -> Result<(), JournalError> {
        // Checked again after a renewal, because the worker may have stalled in it.
        while self.tools.journal.lease().saturating_sub(self.renewed.elapsed()) <= request {
            self.renew().await?;
        }
        Ok(())
    }

    async fn keep_lease(&mut self) -> Result<(), JournalError> {
        if self.renewed.elapsed() < self.tools.journal.lease() / 3 {
            return Ok(());
        }
        self.renew().await
    }

    async fn renew(&mut self) -> Result<(), JournalError> {
        loop {
            let asked = Instant::now();
            match self.tools.journal.renew(&self.claim).await {
                Ok(()) => {
                    self.renewed = asked;
                    return Ok(());
                }
                Err(error) => self.wait_or_fail(error).await?,
            }
        }
    }

    /// Appends a fact. Retried while the lease lasts: a step that is not journaled would be repeated.
    async fn append(&self, kind: FactKind) -> Result<(), JournalError> {
        let fact = Fact { at: self.clock.now(), kind };
        loop {
            match self.tools.journal.append(&self.claim, fact.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) => self.wait_or_fail(error).await?,
            }
        }
    }

    async fn release(self, due: Due) -> Result<(), JournalError> {
        let Tools { journal, leads, .. } = &self.tools;
        match due {
            Due::Over => leads.forget(&self.claim.call),
            Due::After(_) | Due::OnFact => leads.keep(&self.claim.call, &self.clock, journal.clock()),
        }
        let mut is_retry = false;
        loop {
            let summary = self.fold.summary();
            match self.tools.journal.release_summed_up(&self.claim, self.fold.seen, due, summary).await {
                Ok(()) => break,
                // An earlier attempt succeeded, and its answer was lost.
                Err(JournalError::LeaseLost { .. }) if is_retry => return Ok(()),
                Err(error) => self.wait_or_fail(error).await?,
            }
            is_retry = true;
        }
        if due != Due::Over {
            self.tools.kept_folds.keep(self.claim, self.fold);
        }
        Ok(())
    }

    /// Pauses before a retry if the journal is unavailable and the lease lasts; else returns the error.
    async fn wait_or_fail(&self, error: JournalError) -> Result<(), JournalError> {
        match error {
            JournalError::Unavailable { .. } | JournalError::Overloaded { .. }
                if self.renewed.elapsed() < self.tools.journal.lease() =>
            {
                tokio::time::sleep(self.tools.settings.poll).await;
                Ok(())
            }
            JournalError::Unavailable { .. }
            | JournalError::Overloaded { .. }
            | JournalError::LeaseLost { .. }
            | JournalError::Unreadable { .. }
            | JournalError::Fatal { .. } => Err(error),
        }
    }
}
