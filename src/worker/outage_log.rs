//! Says once that Twilio is away, and once that it is back, whatever the number of calls.
//!
//! ```text
//! answering ──FAILURES in a row, on whatever calls──▶ away ──an answer──▶ answering
//! ```

use crate::call::sid::AccountSid;
use crate::call::step::Outcome;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// So many requests of an account in a row are no accident of one call.
const FAILURES: u64 = 5;

/// How each account's requests have gone lately.
#[derive(Debug, Default)]
pub(super) struct OutageLog(Mutex<BTreeMap<Option<AccountSid>, Failures>>);

#[derive(Debug)]
struct Failures {
    since: Instant,
    count: u64,
}

impl OutageLog {
    /// A request of the account has settled.
    pub(super) fn settled(&self, account: Option<&AccountSid>, outcome: &Outcome) {
        let sid = account.map_or("-", |account| account.as_str());
        match outcome {
            Outcome::TryLater(trouble) | Outcome::Unknown(trouble) | Outcome::Denied(trouble) => {
                let mut accounts = self.accounts();
                let failures = accounts.entry(account.cloned());
                let failures = failures.or_insert_with(|| Failures { since: Instant::now(), count: 0 });
                failures.count += 1;
                if failures.count == FAILURES {
                    tracing::warn!(
                        account = sid, status = trouble.status, reason = %trouble.reason,
                        "Twilio fails request after request: further failures are counted and not logged until it answers"
                    );
                }
            }
            // Twilio's own answer, whatever it says.
            Outcome::Done(_) | Outcome::NotFound(_) | Outcome::NotInProgress(_) | Outcome::Refused(_) => {
                let ended = self.accounts().remove(&account.cloned());
                if let Some(Failures { since, count }) = ended.filter(|ended| ended.count >= FAILURES) {
                    let seconds = since.elapsed().as_secs();
                    tracing::info!(account = sid, failures = count, seconds, "Twilio answers again");
                }
            }
        }
    }

    /// Whether it has been said that Twilio is away for this account.
    pub(super) fn is_known(&self, account: Option<&AccountSid>) -> bool {
        self.accounts().get(&account.cloned()).is_some_and(|failures| failures.count >= FAILURES)
    }

    fn accounts(&self) -> MutexGuard<'_, BTreeMap<Option<AccountSid>, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
