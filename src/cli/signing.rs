//! What the commands that sign need: an auth token.

use super::{Configured, environment};
use anyhow::{Context as _, anyhow};
use secrecy::SecretString;

#[derive(clap::Args)]
pub(super) struct Signing {
    #[command(flatten)]
    configured: Configured,
    /// Sign with this auth token [default: the first of twilio.auth_tokens, as from TWILIO_AUTH_TOKEN]
    #[arg(long)]
    auth_token: Option<String>,
}

impl Signing {
    /// The token to sign with: of several, as during a rotation, the first.
    ///
    /// # Errors
    /// When none is given or configured.
    pub(super) fn token(&self) -> anyhow::Result<SecretString> {
        if let Some(token) = &self.auth_token {
            let first = token.split(',').next().map(str::trim).filter(|token| !token.is_empty());
            return first.map(SecretString::from).ok_or_else(|| anyhow!("--auth-token is empty"));
        }
        let tokens = crate::config::load_auth_tokens(self.configured.config.as_deref(), &environment());
        let tokens = tokens.context("no auth token (pass --auth-token, or configure one)")?;
        tokens.into_iter().next().context("no auth token is configured")
    }
}
