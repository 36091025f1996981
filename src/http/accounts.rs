//! The accounts whose events are accepted, and whose tokens a request is checked with.
//!
//! A form names its account and is checked with that account's tokens. A sink's delivery is signed by its URL alone, which
//! names no account, so the tokens that fit identify it. Either way, what is read afterwards must be of the same account.

use super::responses::Rejection;
use crate::call::sid::{AccountSid, WorkspaceSid};
use crate::twilio::event;
use crate::twilio::interest::Interest;
use crate::twilio::signature::{Pair, Verifier};

/// An account whose events are accepted.
#[derive(Debug)]
pub struct IngressAccount {
    /// Has the account's tokens.
    pub verifier: Verifier,
    pub account: AccountSid,
    /// Events of other workspaces are rejected.
    pub workspace: WorkspaceSid,
    /// Which parts of an event are kept.
    pub interest: Interest,
}

impl IngressAccount {
    /// Rejects content of another account that is signed with a token of this one.
    pub(super) fn require_account(&self, account: &AccountSid) -> Result<(), Rejection> {
        if *account == self.account {
            return Ok(());
        }
        tracing::warn!(signed_by = %self.account, %account, "rejected content of another account");
        Err(Rejection::Forbidden)
    }

    /// Rejects content of another account or workspace that is signed with a token of this account.
    pub(super) fn require_workspace(&self, account: &AccountSid, workspace: &WorkspaceSid) -> Result<(), Rejection> {
        if *account == self.account && *workspace == self.workspace {
            return Ok(());
        }
        tracing::warn!(signed_by = %self.account, %account, %workspace, "rejected content of another workspace");
        Err(Rejection::Forbidden)
    }
}

/// The account that a form names. To be trusted only once its tokens fit.
pub(super) fn named<'a>(accounts: &'a [IngressAccount], pairs: &[Pair<'_>]) -> Option<&'a IngressAccount> {
    let name = event::account(pairs);
    accounts.iter().find(|account| Some(account.account.as_str()) == name)
}

/// The account whose token signed one of these URLs alone.
pub(super) fn signer<'a>(
    accounts: &'a [IngressAccount],
    targets: &[String],
    header: &[u8],
) -> Option<&'a IngressAccount> {
    // No early exit: the time taken must not reveal whose tokens fit.
    accounts.iter().fold(None, |fits, account| {
        let signs = targets.iter().fold(false, |signs, target| account.verifier.signs_url(target, header) | signs);
        fits.or_else(|| signs.then_some(account))
    })
}
