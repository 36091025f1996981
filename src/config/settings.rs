//! The settings, section by section.

use crate::call::pause::OnExpiry;
use crate::call::policy::Strategy;
use crate::call::rules::{OnHold, Piece, Rule, Template};
use crate::call::sid::{AccountSid, WorkspaceSid};
use crate::journal::DatabaseUrl;
use crate::telemetry::LogFormat;
use crate::telemetry::traces::TraceSettings;
use crate::twilio::assignment::ConferenceInstruction;
use crate::twilio::client::{self, ClientSettings, Credentials, OutboundProxy};
use crate::twilio::interest::Interest;
use crate::twilio::twiml::Track;
use ipnet::IpNet;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// The name of `[twilio]`'s account, which no `[accounts.NAME]` may use.
pub const FIRST_ACCOUNT: &str = "twilio";

#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether decisions are carried out, or only shown.
    pub mode: Mode,
    pub server: ServerConfig,
    pub admin: AdminConfig,
    pub twilio: TwilioConfig,
    pub journal: JournalConfig,
    pub worker: WorkerConfig,
    pub backfill: BackfillConfig,
    pub retry: RetryConfig,
    pub redirect: RedirectConfig,
    /// `[assignment]`; absent while disabled.
    pub assignment: Option<ConferenceInstruction>,
    pub eligibility: EligibilityConfig,
    pub streams: StreamsConfig,
    pub pause: PauseConfig,
    /// `[accounts.NAME]`: the accounts besides `[twilio]`'s, by name.
    pub accounts: BTreeMap<String, AccountConfig>,
    pub shutdown: ShutdownConfig,
    /// `[traces]`; absent without an address.
    pub traces: Option<TraceSettings>,
    pub log: LogConfig,
    /// Neither file nor environment names `streams.strategy`, so that the default applies.
    pub strategy_by_default: bool,
    /// Where what Twilio sends is recorded: `serve --record`, which is no key.
    pub record: Option<PathBuf>,
    /// Keys that are set and not used: fine in a file that several processes share, otherwise probably a mistake.
    pub without_effect: Vec<WithoutEffect>,
}

impl Settings {
    /// The configuration of each account, under the account's name; `[twilio]`'s comes first.
    pub fn by_account(&self) -> Vec<(String, Settings)> {
        let first = Settings { accounts: BTreeMap::new(), ..self.clone() };
        let own = |(name, AccountConfig { twilio, streams }): (&String, &AccountConfig)| {
            (name.clone(), Settings { twilio: twilio.clone(), streams: streams.clone(), ..first.clone() })
        };
        let further: Vec<_> = self.accounts.iter().map(own).collect();
        std::iter::once((FIRST_ACCOUNT.to_owned(), first)).chain(further).collect()
    }

    /// The part that the Twilio client needs; `status_path` is where the public listener takes status callbacks.
    pub fn client(&self, status_path: &str) -> ClientSettings {
        let destinations = self.streams.destinations.iter().map(|destination| client::StreamDestination {
            url: destination.url.clone(),
            track: destination.track,
            confirms: destination.status_callback,
        });
        ClientSettings {
            account_sid: self.twilio.account_sid.clone(),
            workspace_sid: self.twilio.workspace_sid.clone(),
            credentials: self.twilio.credentials.clone(),
            api_base_url: self.twilio.api_base_url.clone(),
            taskrouter_base_url: self.twilio.taskrouter_base_url.clone(),
            destinations: destinations.collect(),
            status_url: format!("{}{status_path}", self.server.public_url),
            proxy: self.twilio.proxy.clone(),
            connect_timeout: self.twilio.connect_timeout,
            request_timeout: self.twilio.request_timeout,
            max_in_flight: self.twilio.max_in_flight,
            pool_idle: self.twilio.pool_idle,
            answer_limit_bytes: self.twilio.answer_limit_bytes,
            max_pages: self.twilio.max_pages,
        }
    }

    /// The fields of an event that are kept: those that rules and parameters name, and the names that lists show.
    pub fn interest(&self) -> Interest {
        let StreamsConfig { destinations, rules, .. } = &self.streams;
        let pieces = destinations.iter().flat_map(|to| &to.parameters).flat_map(|(_, Template(pieces))| pieces);
        let of_parameters = pieces.filter_map(|piece| match piece {
            Piece::Field(name) => Some(name.clone()),
            Piece::Text(_) => None,
        });
        let of_rules = rules.iter().flat_map(|rule| &rule.when).flat_map(|condition| condition.fields.clone());
        let shown = ["worker.name", "task.queue.name"].into_iter().filter(|_| self.admin.names).map(str::to_owned);
        let fields = of_parameters.chain(of_rules).chain(shown).collect();
        Interest { channels: self.eligibility.channels.clone(), fields, holds: self.streams.wants_hold_events() }
    }
}

/// `mode`: whether decisions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Live,
    /// Decisions are only shown; Twilio is read, never commanded.
    Shadow,
}

impl Mode {
    /// As the configuration writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Live => "live",
            Mode::Shadow => "shadow",
        }
    }
}

/// `[server]`: the public listener.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub listen: SocketAddr,
    /// Scheme (lower case), host, port and prefix as configured, without a fragment and a final slash.
    pub public_url: String,
    pub head_limit_bytes: usize,
    pub body_limit_bytes: usize,
    pub form_pairs_limit: usize,
    pub unverified_bytes_limit: usize,
    pub event_streams_body_limit_bytes: usize,
    pub event_streams_bytes_limit: usize,
    pub threads: usize,
    pub max_connections: usize,
    pub max_connections_per_peer: usize,
    pub uncapped_peers: Vec<IpNet>,
    pub descriptor_reserve: usize,
    pub client_timeout: Duration,
    pub keep_alive: Duration,
    pub retry_after: Duration,
}

/// `[admin]`: the listener for operators.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    pub listen: SocketAddr,
    /// Operates: reads, redrives and dismisses.
    pub token: Option<SecretString>,
    /// Only reads.
    pub read_token: Option<SecretString>,
    /// The header in which a proxy names the operator.
    pub identity_header: Option<String>,
    /// Whether the names of agents and queues are kept and shown.
    pub names: bool,
    pub login_delay: Duration,
    pub live_every: Duration,
    pub live_views: usize,
    pub stream_gauges: Duration,
}

/// `[twilio]`: the account, and how its API is called.
#[derive(Debug, Clone)]
pub struct TwilioConfig {
    pub account_sid: AccountSid,
    /// At least one, none empty.
    pub auth_tokens: Vec<SecretString>,
    pub workspace_sid: WorkspaceSid,
    /// For our requests: the API key, else the first auth token.
    pub credentials: Credentials,
    /// Of the configured region and edge, unless overridden.
    pub api_base_url: Url,
    /// Of the configured region and edge, unless overridden.
    pub taskrouter_base_url: Url,
    /// The way to Twilio, unless directly.
    pub proxy: Option<OutboundProxy>,
    pub connect_timeout: Duration,
    pub request_timeout: Duration,
    pub max_in_flight: usize,
    pub pool_idle: Duration,
    pub answer_limit_bytes: usize,
    pub max_pages: usize,
}

/// One of `[accounts.NAME]`, with what it inherits from `[twilio]` and `[streams]`.
#[derive(Debug, Clone)]
pub struct AccountConfig {
    pub twilio: TwilioConfig,
    pub streams: StreamsConfig,
}

/// `[journal]`: where facts are kept.
#[derive(Debug, Clone)]
pub struct JournalConfig {
    pub url: JournalUrl,
    pub queue_limit: usize,
    pub batch_limit: usize,
    pub wal_limit_bytes: u64,
    pub pool_size: u32,
    pub acquire_timeout: Duration,
    pub statement_timeout: Duration,
    pub listen: bool,
    pub lease: Duration,
    pub retention: Duration,
    pub prune_every: Duration,
}

/// A key that is set and not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithoutEffect {
    pub key: String,
    /// The file or the variable that set it.
    pub origin: String,
    /// Why it is not used.
    pub why: String,
}

impl fmt::Display for WithoutEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (from {}) has no effect: {}", self.key, self.origin, self.why)
    }
}

#[derive(Debug, Clone)]
pub enum JournalUrl {
    Sqlite(PathBuf),
    Postgres(DatabaseUrl),
}

#[derive(Debug, Clone)]
pub struct WorkerConfig {
    pub max_calls: usize,
    /// Calls whose state is kept in memory.
    pub kept_calls: usize,
    pub poll: Duration,
}

/// `[backfill]`: fetching events that did not arrive.
#[derive(Debug, Clone)]
pub struct BackfillConfig {
    pub max_age: Duration,
    pub overlap: Duration,
    pub max_events: usize,
    pub again: Duration,
    /// Zero for never.
    pub silence: Duration,
}

/// `[retry]`: repeating requests that failed.
#[derive(Debug, Clone)]
pub struct RetryConfig {
    pub first: Duration,
    pub cap: Duration,
    pub give_up: Duration,
    pub slow: Duration,
    pub doubt: Duration,
    pub landing_margin: Duration,
}

/// `[redirect]`: timing of the redirect strategy.
#[derive(Debug, Clone)]
pub struct RedirectConfig {
    pub verify_guard: Duration,
    pub rejoin: Duration,
    pub watch: Duration,
    /// Never empty; the last is not zero and repeats.
    pub poll: Vec<Duration>,
    pub reading_max_age: Duration,
}

/// `[eligibility]`: which calls are streamed.
#[derive(Debug, Clone)]
pub struct EligibilityConfig {
    pub channels: Vec<String>,
    pub outbound: bool,
    pub outbound_wait: Duration,
}

/// `[streams]`: how streams are started and stopped, and where they go.
#[derive(Debug, Clone)]
pub struct StreamsConfig {
    pub strategy: Strategy,
    pub name_prefix: String,
    pub track_budget: usize,
    pub confirm_within: Duration,
    pub restart_after: Duration,
    pub restart_cap: Duration,
    pub restart_limit: usize,
    pub end_grace: Duration,
    /// Of a thousand.
    pub verify_per_mille: u32,
    pub quiet_check: Duration,
    /// An Event Streams subscription tells of participants who are put on hold.
    pub hold_events: bool,
    /// Zero: never.
    pub hold_poll: Duration,
    /// At least one; names are unique.
    pub destinations: Vec<DestinationConfig>,
    pub rules: Vec<Rule>,
}

impl StreamsConfig {
    /// Whether Event Streams is to tell of holds, which make a difference to a destination's streams.
    pub fn wants_hold_events(&self) -> bool {
        self.hold_events && self.destinations.iter().any(|destination| destination.on_hold == OnHold::Stop)
    }
}

/// One of `[[streams.destinations]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationConfig {
    pub name: String,
    pub url: String,
    pub track: Track,
    pub status_callback: bool,
    pub on_hold: OnHold,
    pub parameters: Vec<(String, Template)>,
}

/// `[pause]`: no audio of some streams for a while.
#[derive(Debug, Clone)]
pub struct PauseConfig {
    /// Signs requests to pause and resume; without one there are none.
    pub secret: Option<SecretString>,
    pub confirm_within: Duration,
    pub max: Duration,
    pub on_expiry: OnExpiry,
    /// A pause pauses the call's recordings as well.
    pub recording: bool,
}

#[derive(Debug, Clone)]
pub struct ShutdownConfig {
    pub grace: Duration,
}

#[derive(Debug, Clone)]
pub struct LogConfig {
    pub format: LogFormat,
    pub filter: String,
}
