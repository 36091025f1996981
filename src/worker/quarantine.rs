//! A call with a fact that cannot be read: nothing may be decided about it, because what that fact says is not known.

use crate::call::fact::{Fact, FactKind, Parked};
use crate::call::step::Goal;
use crate::journal::{CallQuery, Claim, Claims, Due, JournalError, Seq};
use crate::telemetry::labels;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::series::AccountLabels;
use std::sync::Arc;

/// Parks one call and leaves it alone until something new is heard of it, as when an operator redrives it.
pub(super) struct Quarantine {
    pub(super) journal: Arc<dyn Claims>,
    pub(super) claim: Claim,
}

impl Quarantine {
    /// `seq` is the fact that cannot be read.
    pub(super) async fn begin(&self, seq: Seq, metrics: &Metrics) {
        let task_sid = &self.claim.call;
        match self.park(seq, metrics).await {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(%task_sid, %error, "a call with a fact that cannot be read could not be parked; trying again when its lease expires");
            }
        }
    }

    async fn park(&self, seq: Seq, metrics: &Metrics) -> Result<(), JournalError> {
        let Claim { call, .. } = &self.claim;
        let query = CallQuery { find: Some(call.to_string()), limit: 1, ..CallQuery::default() };
        let is_parked = self.journal.calls(query).await?.first().is_some_and(|row| row.parked);
        if !is_parked {
            let goal = Goal::Serve;
            // Whose call it is stands in facts that cannot be read.
            let labels = AccountLabels::new([("change", labels::goal(&goal))], None);
            metrics.steps.parked.get_or_create(&labels).inc();
            let reason = format!(
                "fact {seq} cannot be read: it is damaged, or a newer version wrote it; run that version, then redrive the call"
            );
            tracing::error!(task_sid = %call, reason, "parked: nothing is done about this call");
            let kind = FactKind::Parked(Parked { goal, reason });
            self.journal.append(&self.claim, Fact { at: self.journal.clock().now(), kind }).await?;
        }
        self.journal.release(&self.claim, Seq::MAX, Due::OnFact).await
    }
}
