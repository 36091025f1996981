//! `[twilio]`.

use super::addresses;
use crate::config::layers::Raw;
use crate::config::reader::{HOUR_MS, Reader};
use crate::config::settings::TwilioConfig;
use crate::twilio::client::{Credentials, OutboundProxy};
use secrecy::SecretString;

/// The longest answer that may be read.
const GIB: u64 = 1 << 30;

pub(super) const AUTH_TOKENS: &str = "twilio.auth_tokens";

pub(super) fn twilio(reader: &mut Reader) -> Option<TwilioConfig> {
    let account_sid = reader.sid("twilio.account_sid", "set it, or TWILIO_ACCOUNT_SID, to the account's SID");
    let auth_tokens = auth_tokens(reader);
    let workspace_sid = reader.sid("twilio.workspace_sid", "set it, or TWILIO_WORKSPACE_SID, to the workspace's SID");
    let credentials = credentials(reader, auth_tokens.as_deref());
    let base_urls = addresses::base_urls(reader);
    let proxy = proxy(reader);
    let connect_timeout = reader.millis("twilio.connect_timeout_ms", 1..=60_000);
    let request_timeout = reader.millis("twilio.request_timeout_ms", 1..=60_000);
    let max_in_flight = reader.count("twilio.max_in_flight", 1..=1000);
    let pool_idle = reader.millis("twilio.pool_idle_ms", 1..=HOUR_MS);
    let answer_limit_bytes = reader.count("twilio.answer_limit_bytes", 1024..=GIB);
    let max_pages = reader.count("twilio.max_pages", 1..=1000);
    let (api_base_url, taskrouter_base_url) = base_urls?;
    Some(TwilioConfig {
        account_sid: account_sid?,
        auth_tokens: auth_tokens?,
        workspace_sid: workspace_sid?,
        credentials: credentials?,
        api_base_url,
        taskrouter_base_url,
        proxy: proxy?,
        connect_timeout: connect_timeout?,
        request_timeout: request_timeout?,
        max_in_flight: max_in_flight?,
        pool_idle: pool_idle?,
        answer_limit_bytes: answer_limit_bytes?,
        max_pages: max_pages?,
    })
}

pub(super) fn auth_tokens(reader: &mut Reader) -> Option<Vec<SecretString>> {
    reader.secrets(AUTH_TOKENS, "set TWILIO_AUTH_TOKEN to the account's auth token")
}

/// The outer `None` is a problem, the inner one no proxy.
#[expect(clippy::option_option, reason = "an invalid proxy is not the same as none")]
fn proxy(reader: &mut Reader) -> Option<Option<OutboundProxy>> {
    const KEY: &str = "twilio.proxy";
    let address = reader.optional_text(KEY);
    let remedy = "list hosts, addresses or networks, as in [\"internal.example.com\", \"10.0.0.0/8\"]";
    let direct = reader.list("twilio.no_proxy", remedy)?;
    let direct: Option<Vec<String>> = direct.into_iter().map(text_of).collect();
    let Some(direct) = direct else {
        reader.problem("twilio.no_proxy", "has an item that is not a string", remedy);
        return None;
    };
    let Some(address) = address else { return Some(None) };
    match OutboundProxy::new(&address, direct.iter().map(String::as_str)) {
        Ok(proxy) => Some(Some(proxy)),
        Err(error) => {
            let remedy = "write http:// or https://, a host and a port, as in \"http://proxy.example.com:3128\", or \"\" for none";
            reader.problem(KEY, error.to_string(), remedy);
            None
        }
    }
}

fn text_of(raw: Raw) -> Option<String> {
    match raw {
        Raw::Text(text) => Some(text),
        Raw::Integer(_) | Raw::Truth(_) | Raw::List(_) | Raw::Table(_) | Raw::Other => None,
    }
}

fn credentials(reader: &mut Reader, tokens: Option<&[SecretString]>) -> Option<Credentials> {
    let key = reader.optional_text("twilio.api_key");
    let secret = reader.optional_secret("twilio.api_secret");
    let remedy = "set both TWILIO_API_KEY and TWILIO_API_SECRET, or neither";
    match (key, secret) {
        (Some(key), Some(secret)) if is_key_sid(&key) => Some(Credentials::ApiKey { key, secret }),
        (Some(key), Some(_)) if is_key_sid(&key.to_ascii_lowercase().replacen("sk", "SK", 1)) => {
            let remedy = "copy it from the Twilio Console, which shows it in lower case";
            reader.problem("twilio.api_key", "has digits in upper case, and SIDs are compared as written", remedy);
            None
        }
        (Some(_), Some(_)) => {
            let remedy = "copy the key's SID; its secret belongs in twilio.api_secret";
            reader.problem("twilio.api_key", "is not an API key SID (SK + 32 hex digits)", remedy);
            None
        }
        (Some(_), None) => {
            reader.problem("twilio.api_secret", "is missing although twilio.api_key is set", remedy);
            None
        }
        (None, Some(_)) => {
            reader.problem("twilio.api_key", "is missing although twilio.api_secret is set", remedy);
            None
        }
        (None, None) => tokens?.first().cloned().map(Credentials::AuthToken),
    }
}

fn is_key_sid(text: &str) -> bool {
    text.strip_prefix("SK")
        .is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}
