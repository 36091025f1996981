//! Whose events are taken, and with whose tokens a request is checked.
//!
//! A form names its account and is checked with that account's tokens; a sink's delivery is signed by its URL alone, which
//! names nobody, so the tokens that fit tell whose it is. Either way, what then is read must be of that very account.

use super::refusal::Refusal;
use crate::call::sid::{AccountSid, WorkspaceSid};
use crate::twilio::event;
use crate::twilio::interest::Interest;
use crate::twilio::signature::{Pair, Verifier};

/// An account whose events are taken.
#[derive(Debug)]
pub struct Account {
    /// Checks signatures by its tokens.
    pub verifier: Verifier,
    /// Its SID.
    pub account: AccountSid,
    /// Its workspace, whose events are taken.
    pub workspace: WorkspaceSid,
    /// What of its events is kept.
    pub interest: Interest,
}

impl Account {
    /// Refuses what is of another account, though it be signed with a token of this account.
    pub(super) fn is_named(&self, account: &AccountSid) -> Result<(), Refusal> {
        if *account == self.account {
            return Ok(());
        }
        tracing::warn!(signed_by = %self.account, %account, "refused what is of another account");
        Err(Refusal::Forbidden)
    }

    /// Refuses what is of another account or workspace, though it be signed with a token of this account.
    pub(super) fn owns(&self, account: &AccountSid, workspace: &WorkspaceSid) -> Result<(), Refusal> {
        if *account == self.account && *workspace == self.workspace {
            return Ok(());
        }
        tracing::warn!(signed_by = %self.account, %account, %workspace, "refused what is of another workspace");
        Err(Refusal::Forbidden)
    }
}

/// The account with whose tokens a form is checked: the one that it names. That is to be believed once they fit; a form that
/// names none of ours is checked as well, so that the time to a refusal does not tell which accounts there are.
pub(super) fn named<'a>(accounts: &'a [Account], pairs: &[Pair<'_>]) -> Option<&'a Account> {
    let name = event::account(pairs);
    accounts.iter().find(|account| Some(account.account.as_str()) == name).or_else(|| accounts.first())
}

/// The account whose token signed this URL alone; else the first, whose tokens will not fit either.
pub(super) fn signer<'a>(accounts: &'a [Account], target: &str, header: &[u8]) -> Option<&'a Account> {
    // No early exit: the time taken must not tell whose tokens fit.
    let fits = accounts.iter().fold(None, |fits, account| {
        let signs = account.verifier.signs_url(target, header);
        fits.or_else(|| signs.then_some(account))
    });
    fits.or_else(|| accounts.first())
}
