//! `probe`: tries what is assumed of Twilio on one's own account, with calls of its own.
//!
//! | module | what it is |
//! |---|---|
//! | `lab` | the calls, the requests about them, and the end of all of it |
//! | `callbacks` | receives the streams' status callbacks |
//! | `rows` | what is assumed, tried in turn |
//! | `report` | what was seen, as a table and as a file |

mod callbacks;
mod lab;
mod report;
mod rows;

use super::accounts::Chosen;
use super::{CommandResult, Configured, misused, say};
use crate::config::Settings;
use crate::http::STREAM_STATUS_PATH;
use crate::twilio::client::{Client, ClientSettings, Credentials};
use anyhow::{Context as _, ensure};
use callbacks::Callbacks;
use lab::Lab;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// As `setup` has it.
const UNCONFIRMED: u8 = 3;

#[derive(clap::Args)]
#[command(
    after_help = "Calls --to four times from --from, into a conference of its own: no other call is touched. --to must answer by \
                  itself and stay on the line: another number of yours, or app:AP… of a TwiML app, with a TwiML bin of \
                  <Response><Pause length=\"300\"/></Response>. The calls end when everything was tried, at Ctrl-C, and \
                  after five minutes in any case. That costs less than a dollar.\n\
                  Status callbacks need --public-url, which a tunnel leads to --listen; stop `serve` where both have one address.\n\
                  Prints what is assumed, what was seen, and whether that makes it certain. The report holds no SID, number or \
                  address, so that it can be sent to us.\n\
                  Exit codes: 0 nothing was contradicted; 1 something was, or calls could not be placed or ended; 2 wrong \
                  arguments or configuration; 3 nothing was tried: confirmation required (--yes)."
)]
pub(super) struct Probe {
    #[command(flatten)]
    configured: Configured,
    #[command(flatten)]
    chosen: Chosen,
    /// Call from this number of the account (E.164)
    #[arg(long, value_name = "NUMBER")]
    from: String,
    /// Call this number, app:AP…, sip: or client: address, which answers by itself
    #[arg(long, value_name = "ADDRESS")]
    to: String,
    /// Stream to this destination; the default is the first configured one
    #[arg(long, value_name = "WSS_URL")]
    stream_to: Option<String>,
    /// Receive status callbacks at this public URL
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Listen on this address for them
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Try whether this API key without the right to streams is refused; its secret is PROBE_RESTRICTED_SECRET
    #[arg(long, value_name = "SK…", requires = "restricted_secret")]
    restricted_key: Option<String>,
    #[arg(long, env = "PROBE_RESTRICTED_SECRET", hide = true, hide_env_values = true)]
    restricted_secret: Option<String>,
    /// Write the report into this file
    #[arg(long, value_name = "FILE", default_value = "probe-report.json")]
    report: PathBuf,
    /// Place the calls
    #[arg(long)]
    yes: bool,
}

impl Probe {
    pub(super) async fn run(self) -> CommandResult {
        let settings = match self.configured.load() {
            Ok(settings) => settings,
            Err(error) => return Ok(misused(&error.into())),
        };
        let settings = match self.chosen.one(&settings) {
            Ok((_, own)) => own,
            Err(error) => return Ok(misused(&error)),
        };
        let lab = match self.lab(&settings) {
            Ok(lab) => Arc::new(lab),
            Err(error) => return Ok(misused(&error)),
        };
        if !self.yes {
            say(&format!(
                "This calls {} four times from {}, for at most five minutes each, and streams to {}.\n\
                 Nothing was tried: confirmation required (--yes).",
                self.to, self.from, lab.destination
            ));
            return Ok(ExitCode::from(UNCONFIRMED));
        }
        let (callbacks, restricted) = (self.callbacks(&settings)?, self.restricted(&settings)?);
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut rows = rows::Findings::default();
        let is_cut_short = tokio::select! {
            () = rows::try_all(&lab, callbacks.as_ref(), restricted.as_ref(), &mut rows) => false,
            _ = terminated.recv() => true,
            _ = interrupted.recv() => true,
        };
        let left = lab.end_all().await;
        if let Some(callbacks) = callbacks {
            callbacks.stop().await;
        }
        rows.complete(if is_cut_short { "interrupted" } else { "an earlier step did not succeed" });
        say(&report::table(&rows));
        left.iter().for_each(|left| say(&format!("NOT ENDED: {left}; end it in the Twilio Console")));
        std::fs::write(&self.report, report::file(&rows)?)
            .with_context(|| format!("the report cannot be written to {}", self.report.display()))?;
        say(&format!("the report is in {}: it holds no SID, number or address", self.report.display()));
        let is_good = rows.contradicted() == 0 && left.is_empty() && !is_cut_short && lab.has_met();
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn lab(&self, settings: &Settings) -> anyhow::Result<Lab> {
        let configured = settings.streams.destinations.first().map(|destination| destination.url.clone());
        let destination = self.stream_to.clone().or(configured).context("set streams.destinations, or --stream-to")?;
        ensure!(destination.starts_with("wss://"), "--stream-to must begin with wss://");
        ensure!(self.from != self.to, "--from and --to must differ: Twilio does not call a number from itself");
        let client = Client::new(settings.client(STREAM_STATUS_PATH))?;
        let callback = self.public_url.as_ref().map(|url| format!("{}{}", url.trim_end_matches('/'), callbacks::PATH));
        Ok(Lab::new(client, self.from.clone(), self.to.clone(), destination, callback))
    }

    fn callbacks(&self, settings: &Settings) -> anyhow::Result<Option<Callbacks>> {
        let Some(url) = &self.public_url else { return Ok(None) };
        let callbacks = Callbacks::start(self.listen, url, settings.twilio.auth_tokens.clone());
        let advice = || format!("cannot listen on {}: stop `serve`, or choose another --listen", self.listen);
        Ok(Some(callbacks.with_context(advice)?))
    }

    /// A client with the restricted key.
    fn restricted(&self, settings: &Settings) -> anyhow::Result<Option<Client>> {
        let Some((key, secret)) = self.restricted_key.clone().zip(self.restricted_secret.clone()) else {
            return Ok(None);
        };
        let credentials = Credentials::ApiKey { key, secret: SecretString::from(secret) };
        Ok(Some(Client::new(ClientSettings { credentials, ..settings.client(STREAM_STATUS_PATH) })?))
    }
}
