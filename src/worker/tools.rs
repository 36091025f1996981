//! What every call task works with.

use super::accounts::Accounts;
use super::call_clock::Leads;
use super::fold::KeptFolds;
use super::leg_checks::LegChecks;
use super::outage_log::OutageLog;
use super::settings::WorkerSettings;
use crate::journal::Claims;
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;

/// Shared by all of them.
#[derive(Clone)]
pub(super) struct Tools {
    pub(super) journal: Arc<dyn Claims>,
    pub(super) accounts: Arc<Accounts>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) settings: Arc<WorkerSettings>,
    pub(super) leg_checks: Arc<LegChecks>,
    pub(super) leads: Arc<Leads>,
    pub(super) outage: Arc<OutageLog>,
    pub(super) kept_folds: Arc<KeptFolds>,
}
