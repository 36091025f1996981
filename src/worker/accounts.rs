//! What the worker works on the calls of each account with.

use crate::call::Policy;
use crate::call::sid::AccountSid;
use crate::twilio::client::Client;
use std::sync::Arc;

/// What is needed to work on the calls of one account.
#[derive(Debug)]
pub struct Account {
    /// Whose calls.
    pub account: AccountSid,
    /// Asks Twilio, with this account's credentials.
    pub client: Arc<Client>,
    /// The limits of the core, for this account.
    pub policy: Policy,
}

/// All accounts whose calls are worked on.
#[derive(Debug, Clone)]
pub struct Accounts {
    first: Arc<Account>,
    further: Vec<Arc<Account>>,
}

impl Accounts {
    /// The first account has the calls that name none: those that were journaled before there could be several.
    pub fn new(first: Account, further: impl IntoIterator<Item = Account>) -> Self {
        Self { first: Arc::new(first), further: further.into_iter().map(Arc::new).collect() }
    }

    /// Every account.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Account>> {
        std::iter::once(&self.first).chain(&self.further)
    }

    pub(super) fn are_several(&self) -> bool {
        !self.further.is_empty()
    }

    pub(super) fn first(&self) -> &Account {
        &self.first
    }

    /// The account whose call it is; none when that one is not configured, and another's credentials must not be used.
    pub(super) fn of(&self, account: Option<&AccountSid>) -> Option<&Arc<Account>> {
        match account {
            None => Some(&self.first),
            Some(sid) => self.all().find(|account| account.account == *sid),
        }
    }
}
