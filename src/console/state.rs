use super::actions::Actions;
use super::day::Charts;
use super::queries::Queries;
use super::view::AccountNames;
use crate::ingest::pause_requests::PauseRequests;
use crate::journal::Operators;
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;

/// What the handlers share.
pub(super) struct Console {
    pub(super) queries: Queries,
    pub(super) actions: Actions,
    pub(super) pauses: PauseRequests,
    pub(super) charts: Charts,
}

impl Console {
    pub(super) fn new(
        journal: Arc<dyn Operators>,
        metrics: Arc<Metrics>,
        accounts: AccountNames,
        pauses: PauseRequests,
    ) -> Self {
        let queries = Queries::new(journal.clone(), accounts);
        Self { actions: Actions::new(journal, metrics, queries.clone()), queries, pauses, charts: Charts::default() }
    }
}
