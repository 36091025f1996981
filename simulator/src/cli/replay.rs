//! `replay`: runs a recorded folder as a test of the service.

use super::{CommandResult, misused, say};
use anyhow::Context as _;
use std::path::PathBuf;
use std::process::ExitCode;
use twilio_simulator::recorded::{Expectation, Recording, Replay as Run};

#[derive(clap::Args)]
#[command(
    after_help = "DIR is what `taskrouter-streams serve --record DIR` has written. The service is started on loopback ports, with \
                  Twilio's API answering as it did then; every event waits until the service has asked for what it had asked \
                  for by then.\n\
                  Expectations, besides that every event is accepted:\n\
                  \x20 same-commands   the service asks for each change as often as it did then, and for no other (the default)\n\
                  \x20 no-streams      no stream runs at the end\n\
                  \x20 streams=NUMBER  so many streams are started\n\
                  \x20 stopped=NUMBER  so many of them are over at the end\n\
                  Exit codes: 0 everything was as expected; 1 something was not; 2 wrong arguments or no recording."
)]
pub(super) struct Replay {
    /// Replay this folder.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Expect this; repeat it for several.
    #[arg(long, value_name = "EXPECTATION")]
    expect: Vec<Expectation>,
    /// Replay this many times faster than recorded; 0 omits the pauses.
    #[arg(long, value_name = "TIMES", default_value_t = 0.0)]
    speed: f64,
    /// Configure the service by this TOML file as well, as for rules that the recording needs.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Replay {
    pub(super) async fn run(self) -> CommandResult {
        let replay = match self.read() {
            Ok(replay) => replay,
            Err(error) => return Ok(misused(&error)),
        };
        let verdict = replay.run(say).await?;
        say(&format!("{} posted, {} streams started", verdict.posted, verdict.streams));
        verdict.failures.iter().for_each(|failure| say(&format!("FAILED: {failure}")));
        Ok(if verdict.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn read(&self) -> anyhow::Result<Run> {
        anyhow::ensure!(self.speed.is_finite() && self.speed >= 0.0, "--speed must be 0 or more");
        let config = match &self.config {
            Some(path) => {
                std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?
            }
            None => String::new(),
        };
        let expected = if self.expect.is_empty() { vec![Expectation::SameCommands] } else { self.expect.clone() };
        Ok(Run { recording: Recording::read(&self.folder)?, speed: self.speed, config, expected })
    }
}
