//! The accounts whose calls the worker handles.

use crate::call::Policy;
use crate::call::sid::AccountSid;
use crate::twilio::client::Client;
use std::sync::Arc;

/// What the worker needs for the calls of one account.
#[derive(Debug)]
pub struct WorkerAccount {
    /// The account that owns the calls.
    pub account: AccountSid,
    /// Uses this account's credentials.
    pub client: Arc<Client>,
    /// The core's limits for this account.
    pub policy: Policy,
}

/// All accounts whose calls the worker handles.
#[derive(Debug, Clone)]
pub struct Accounts {
    first: Arc<WorkerAccount>,
    others: Vec<Arc<WorkerAccount>>,
}

impl Accounts {
    /// Calls that name no account belong to `first`.
    pub fn new(first: WorkerAccount, others: impl IntoIterator<Item = WorkerAccount>) -> Self {
        Self { first: Arc::new(first), others: others.into_iter().map(Arc::new).collect() }
    }

    /// The first account and the others, in order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<WorkerAccount>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    pub(super) fn are_several(&self) -> bool {
        !self.others.is_empty()
    }

    pub(super) fn first(&self) -> &WorkerAccount {
        &self.first
    }

    /// The account that owns the call. `None` when it is not configured: another account's credentials must not be used.
    pub(super) fn of(&self, account: Option<&AccountSid>) -> Option<&Arc<WorkerAccount>> {
        match account {
            None => Some(&self.first),
            Some(sid) => self.all().find(|account| account.account == *sid),
        }
    }
}
