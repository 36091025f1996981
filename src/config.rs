//! The configuration: layers of keys, read and checked once into [`Settings`].
//!
//! `config/default.toml` (compiled in, and the reference of every key) ← the file of `--config` ← systemd's credentials ←
//! `TWILIO_*` ← `TRS__SECTION__KEY`. A variable that ends in `_FILE` names the file of its value. Every problem is reported at once, by the key's full name, never with a secret's value.

#![expect(missing_docs, reason = "config/default.toml documents every section and key")]

mod check;
mod files;
mod layers;
mod names;
mod problem;
mod reader;
mod settings;

pub use problem::{ConfigError, Problem};
pub use settings::{
    AccountConfig, AdminConfig, BackfillConfig, DestinationConfig, EligibilityConfig, FIRST_ACCOUNT, JournalConfig,
    JournalUrl, LogConfig, Mode, RedirectConfig, RetryConfig, ServerConfig, Settings, ShutdownConfig, StreamsConfig,
    TwilioConfig, WithoutEffect, WorkerConfig,
};

use layers::{DEFAULT, DEFAULT_ORIGIN, Layers};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::path::Path;

/// The default file: every key with its unit and reason.
pub fn default_text() -> &'static str {
    DEFAULT
}

/// Advice that names keys of `[twilio]` and `[streams]` or their variables, rewritten for an account's own section.
pub fn in_terms_of(account: &str, text: &str) -> String {
    if account == FIRST_ACCOUNT { text.to_owned() } else { check::renamed(text, &format!("accounts.{account}")) }
}

/// The settings of `file` (if any) and of the environment, over the defaults.
pub fn load(file: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Settings, ConfigError> {
    check::settings(read_layers(file, environment)?)
}

/// As [`load`], with the file as its name (for messages) and text.
pub fn from_text(file: Option<(&str, &str)>, environment: &BTreeMap<String, String>) -> Result<Settings, ConfigError> {
    check::settings(layers(file, environment)?)
}

/// `[admin]` alone, from the same layers as [`load`]: clients of a running service need no other key, and may lack the
/// secrets.
pub fn load_admin(file: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<AdminConfig, ConfigError> {
    check::admin_alone(read_layers(file, environment)?)
}

/// `twilio.auth_tokens` alone, from the same layers as [`load`]. There is at least one.
pub fn load_auth_tokens(
    file: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<SecretString>, ConfigError> {
    check::auth_tokens_alone(read_layers(file, environment)?)
}

/// `admin.token` alone, of the environment.
pub fn load_admin_token(environment: &BTreeMap<String, String>) -> Result<Option<SecretString>, ConfigError> {
    check::admin_token_alone(layers(None, environment)?)
}

fn read_layers(file: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Layers, ConfigError> {
    let file = file.map(read).transpose()?;
    layers(file.as_ref().map(|(name, text)| (name.as_str(), text.as_str())), environment)
}

fn read(path: &Path) -> Result<(String, String), ConfigError> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((name, text)),
        Err(reason) => Err(ConfigError::Unreadable { path: name, reason }),
    }
}

fn layers(file: Option<(&str, &str)>, environment: &BTreeMap<String, String>) -> Result<Layers, ConfigError> {
    let mut layers = Layers::default();
    layers.add_toml(DEFAULT_ORIGIN, DEFAULT)?;
    if let Some((name, text)) = file {
        layers.add_toml(name, text)?;
    }
    layers.add_environment(environment);
    Ok(layers)
}
