//! What a simulator is made of.

use super::sim_config::SimConfig;
use secrecy::SecretString;
use taskrouter_streams::call::sid::{AccountSid, WorkspaceSid};

/// What a simulator is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How it behaves.
    pub config: SimConfig,
    /// The account.
    pub account: AccountSid,
    /// The account's token: signs callbacks, and lets requests in.
    pub auth_token: SecretString,
    /// An API key's SID and secret, which let requests in as well.
    pub api_key: Option<(String, SecretString)>,
    /// The workspace.
    pub workspace: WorkspaceSid,
}
