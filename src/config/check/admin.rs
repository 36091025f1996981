//! `[admin]`, and secrets that others must not guess.

use crate::config::layers::Layers;
use crate::config::reader::{HOUR_MS, Reader};
use crate::config::{AdminConfig, ConfigError};
use secrecy::{ExposeSecret as _, SecretString};
use std::net::SocketAddr;

/// The hexadecimal digits of 64 bits.
const SHORTEST_TOKEN: usize = 16;

/// Reads and checks `[admin]` only.
pub(in crate::config) fn admin_alone(mut layers: Layers) -> Result<AdminConfig, ConfigError> {
    layers.retain(|key| key.starts_with("admin."));
    let mut reader = Reader::new(layers);
    let listen = reader.address("admin.listen");
    let admin = admin(&mut reader, listen);
    reader.finish(admin)
}

/// Reads `admin.token` only. The service judges whether it is long enough.
pub(in crate::config) fn admin_token_alone(mut layers: Layers) -> Result<Option<SecretString>, ConfigError> {
    const KEY: &str = "admin.token";
    layers.retain(|key| key == KEY);
    let mut reader = Reader::new(layers);
    let token = reader.optional_secret(KEY);
    reader.finish(Some(token))
}

pub(super) fn admin(reader: &mut Reader, listen: Option<SocketAddr>) -> Option<AdminConfig> {
    let token = header_secret(reader, "admin.token");
    let read_token = header_secret(reader, "admin.read_token");
    if matches!((&token, &read_token), (Some(None), Some(Some(_)))) {
        let remedy = "set admin.token as well, for those who may act";
        reader.problem("admin.read_token", "is set without admin.token, so that nobody could act on a call", remedy);
    }
    let identity_header = identity_header(reader);
    let names = reader.truth("admin.names");
    let login_delay = reader.millis("admin.login_delay_ms", 1..=60_000);
    let live_every = reader.millis("admin.live_every_ms", 50..=HOUR_MS);
    let live_views = reader.count("admin.live_views", 1..=10_000);
    let stream_gauges = reader.millis("admin.stream_gauges_ms", 50..=HOUR_MS);
    Some(AdminConfig {
        listen: listen?,
        token: token?,
        read_token: read_token?,
        identity_header: identity_header?,
        names: names?,
        login_delay: login_delay?,
        live_every: live_every?,
        live_views: live_views?,
        stream_gauges: stream_gauges?,
    })
}

/// The outer `None` is a problem, the inner one no secret.
#[expect(clippy::option_option, reason = "an invalid secret is not the same as none")]
pub(super) fn guarded_secret(reader: &mut Reader, key: &'static str) -> Option<Option<SecretString>> {
    let Some(secret) = reader.optional_secret(key) else { return Some(None) };
    if secret.expose_secret().len() < SHORTEST_TOKEN {
        let remedy = format!("make it {SHORTEST_TOKEN} characters or more, as from `openssl rand -hex 24`");
        reader.problem(key, "is too short and could be guessed", remedy);
        return None;
    }
    Some(Some(secret))
}

/// As [`guarded_secret`], of one that is sent in a header.
#[expect(clippy::option_option, reason = "an invalid secret is not the same as none")]
fn header_secret(reader: &mut Reader, key: &'static str) -> Option<Option<SecretString>> {
    let secret = guarded_secret(reader, key)?;
    if secret.as_ref().is_some_and(|secret| !secret.expose_secret().bytes().all(|byte| byte.is_ascii_graphic())) {
        let remedy = "use ASCII letters, digits and punctuation, as from `openssl rand -hex 24`";
        reader.problem(key, "has characters that no Authorization header can hold", remedy);
        return None;
    }
    Some(secret)
}

/// The outer `None` is a problem, the inner one no header.
#[expect(clippy::option_option, reason = "an invalid name is not the same as none")]
fn identity_header(reader: &mut Reader) -> Option<Option<String>> {
    const KEY: &str = "admin.identity_header";
    let Some(name) = reader.optional_text(KEY) else { return Some(None) };
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        reader.problem(KEY, "is not the name of a header", "write it as in \"X-Forwarded-User\"");
        return None;
    }
    Some(Some(name))
}
