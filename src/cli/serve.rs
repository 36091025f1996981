//! `serve`: the service, until a signal.

use super::{CommandResult, Configured, misused, say};
use crate::config::{JournalUrl, Settings};
use crate::service::Service;
use crate::telemetry::{self, COMMIT, VERSION};
use sd_notify::NotifyState;
use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args)]
#[command(after_help = "Prints one line with both bound addresses when it is ready; logs go to standard error. \
                  A database that is not up yet is waited for; meanwhile /health/ready says 503. \
                  SIGTERM and SIGINT stop it in order, within shutdown.grace_ms.\n\
                  Exit codes: 0 stopped by a signal; 1 it cannot start, its journal failed, or a part of it ended; 2 wrong configuration.")]
pub(super) struct Serve {
    #[command(flatten)]
    configured: Configured,
    /// Record what Twilio sends in this folder, as fixtures without personal data
    ///
    /// Events, Event Streams deliveries, status callbacks and the API's answers, one file each. SIDs, names, numbers and free text are
    /// replaced and times are moved. `replay` and `twilio-simulator replay` tell the same call again.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
}

impl Serve {
    pub(super) async fn run(self) -> CommandResult {
        let settings = match self.configured.load() {
            Ok(settings) => Settings { record: self.record, ..settings },
            Err(error) => return Ok(misused(&error.into())),
        };
        telemetry::init(settings.log.format, &settings.log.filter)?;
        log_start(&settings);
        for key in &settings.without_effect {
            tracing::warn!("{key}");
        }
        if settings.strategy_by_default {
            tracing::info!(
                "streams.strategy is not set, so it is \"{}\": set it to \"redirect\" for the other way, or to this one \
                 to silence this line",
                settings.streams.strategy.as_str()
            );
        }
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut signalled = pin!(async {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
        });
        // It may have to wait for its journal.
        let service = tokio::select! {
            service = Service::start(&settings) => service?,
            () = &mut signalled => return Ok(ExitCode::SUCCESS),
        };
        say(&format!("ready: events on http://{}, health on http://{}", service.public(), service.admin()));
        tell_systemd(NotifyState::Ready);
        let ended = async {
            signalled.await;
            tell_systemd(NotifyState::Stopping);
        };
        tokio::select! {
            ended = service.run_until(ended) => ended?,
            never = feed_watchdog() => match never {},
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What runs, and for whom: the first thing that is looked for in a log.
fn log_start(settings: &Settings) {
    let journal = match &settings.journal.url {
        JournalUrl::Sqlite(path) => format!("sqlite {}", path.display()),
        // The address can hold a password.
        JournalUrl::Postgres(_) => "postgres".to_owned(),
    };
    tracing::info!(
        version = VERSION,
        commit = COMMIT,
        mode = settings.mode.as_str(),
        strategy = settings.streams.strategy.as_str(),
        journal,
        public_url = %settings.server.public_url,
        listen = %settings.server.listen,
        admin = %settings.admin.listen,
        "starting"
    );
    for (name, own) in settings.by_account() {
        tracing::info!(
            account = name,
            account_sid = %own.twilio.account_sid,
            workspace_sid = %own.twilio.workspace_sid,
            api = %own.twilio.api_base_url,
            destinations = own.streams.destinations.len(),
            "serving an account"
        );
    }
}

/// Does nothing where systemd does not listen.
fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd could not be told how the service is: see NotifyAccess= in its unit");
    }
}

/// Tells systemd that the process still gets to its work, if the unit has WatchdogSec=. Whether the work succeeds is for
/// `/health/ready`: a restart would not bring a database back.
async fn feed_watchdog() -> Infallible {
    let Some(within) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        tell_systemd(NotifyState::Watchdog);
        tokio::time::sleep(within / 2).await;
    }
}
