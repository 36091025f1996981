use super::proxy::OutboundProxy;
use crate::call::sid::{AccountSid, WorkspaceSid};
use crate::twilio::twiml::Track;
use secrecy::SecretString;
use std::time::Duration;
use url::Url;

/// What the client needs to know.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The account that owns the calls.
    pub account_sid: AccountSid,
    /// The workspace that owns the tasks.
    pub workspace_sid: WorkspaceSid,
    /// Sent with every request.
    pub credentials: Credentials,
    /// `https://api.twilio.com`, or another server of the same API.
    pub api_base_url: Url,
    /// `https://taskrouter.twilio.com`, or another server of the same API.
    pub taskrouter_base_url: Url,
    /// [`StreamStart::slot`](crate::call::step::StreamStart::slot) is an index into it.
    pub destinations: Vec<StreamDestination>,
    /// The address for status callbacks of streams.
    pub status_url: String,
    /// The way to Twilio, unless directly.
    pub proxy: Option<OutboundProxy>,
    /// For TCP, the proxy's tunnel and TLS together.
    pub connect_timeout: Duration,
    /// For one operation with its connection, its answer and all its pages; not for the wait for a permit.
    pub request_timeout: Duration,
    /// Operations at once; further ones wait for a permit.
    pub max_in_flight: usize,
    /// How long an idle connection is kept.
    pub pool_idle: Duration,
    /// A longer body counts as unreadable.
    pub answer_limit_bytes: usize,
    /// A list of more pages counts as unreadable.
    pub max_pages: usize,
}

/// User and password for HTTP Basic authentication.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// An API key (SK…) and its secret.
    ApiKey {
        key: String,
        /// Never logged.
        secret: SecretString,
    },
    /// The account's own auth token.
    AuthToken(SecretString),
}

/// A WebSocket server that receives streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamDestination {
    /// `wss://…`, without a query string.
    pub url: String,
    /// Which audio it receives.
    pub track: Track,
    /// Whether status callbacks are requested.
    pub confirms: bool,
}
