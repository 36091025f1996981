//! `serve`: the service, until a signal.

use super::{CommandResult, Configured, misused, say};
use crate::service::Service;
use crate::telemetry;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args)]
#[command(after_help = "Prints one line with both bound addresses when it is ready; logs go to standard error. \
                  SIGTERM and SIGINT stop it in order, within shutdown.grace_ms.\n\
                  Exit codes: 0 stopped by a signal; 1 it cannot start, its journal failed, or a part of it ended; 2 wrong configuration.")]
pub(super) struct Serve {
    #[command(flatten)]
    configured: Configured,
}

impl Serve {
    pub(super) async fn run(self) -> CommandResult {
        let settings = match self.configured.load() {
            Ok(settings) => settings,
            Err(error) => return Ok(misused(&error.into())),
        };
        telemetry::init(settings.log.format, &settings.log.filter)?;
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
        let service = Service::start(&settings).await?;
        say(&format!("ready: events on http://{}, health on http://{}", service.public(), service.admin()));
        let signalled = async {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
        };
        service.run_until(signalled).await?;
        Ok(ExitCode::SUCCESS)
    }
}
