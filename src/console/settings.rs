use super::view::AccountNames;
use secrecy::SecretString;
use std::time::Duration;

/// How the console works.
#[derive(Debug, Clone)]
pub struct ConsoleSettings {
    /// Required to see calls, if set.
    pub token: Option<SecretString>,
    /// Lets its holders see calls, and not act on them.
    pub read_token: Option<SecretString>,
    /// The header in which a proxy names the operator.
    pub identity_header: Option<String>,
    /// Only this machine can reach the listener, so no token is required.
    pub is_private: bool,
    /// How long the answer to a wrong token waits.
    pub login_delay: Duration,
    /// The pause between checks whether a live page has changed.
    pub live_every: Duration,
    /// Live pages at once; further ones do not update.
    pub live_views: usize,
    /// The names of the accounts.
    pub accounts: AccountNames,
}
