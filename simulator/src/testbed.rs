//! taskrouter-streams and a simulated Twilio on loopback ports, with a throw-away journal; where audio matters, also a
//! destination that hears the streams.

use crate::callbacks::Destination;
use crate::consumer::{Consumer, Heard};
use crate::scenario::{self, Outcome, Scenario};
use crate::{Route, Settings, SimConfig, Simulator, StartError as SimulatorError};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use taskrouter_streams::call::fact::Fact;
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::config::{self, ConfigError};
use taskrouter_streams::journal::JournalError;
use taskrouter_streams::service::{Service, StartError};
use tempfile::TempDir;

/// The account whose calls it has.
pub const ACCOUNT: &str = "ACde300000000000000000000000000001";
const WORKSPACE: &str = "WSde300000000000000000000000000002";
const TOKEN: &str = "the-token-of-the-demo";

/// What events are signed for. The service never sees this name on the wire, as behind any proxy.
const PUBLIC_URL: &str = "https://streams.example.com";

/// What the streams' addresses begin with.
pub const AUDIO_URL: &str = "wss://audio.example.com";

/// How long the service may take to come to rest: longer than its longest timeout.
const REST_LIMIT: Duration = Duration::from_secs(45);

/// What is planned later than this is a look at a call that has gone quiet, and no work.
const REST_HORIZON: Duration = Duration::from_secs(300);

/// How often the service is asked whether it is at rest.
const REST_POLL: Duration = Duration::from_millis(2);

/// A testbed that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TestbedError {
    /// No temporary directory for the journal, or no port for the destination of the streams.
    #[error("cannot create a temporary directory for the journal, or open a port: {0}")]
    System(#[from] std::io::Error),
    /// The simulator cannot start.
    #[error(transparent)]
    Simulator(#[from] SimulatorError),
    /// The service's configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The service cannot start.
    #[error(transparent)]
    Service(#[from] StartError),
}

/// What the service looks at every few seconds for as long as a call lives would keep it from ever coming to rest. Here it does
/// so every hour, unless `extra` says how often.
fn look_rarely(settings: &mut config::Settings, extra: &str) {
    const RARELY: Duration = Duration::from_secs(3600);
    for (key, every) in [("watch_ms", &mut settings.redirect.watch), ("slow_ms", &mut settings.retry.slow)] {
        if !extra.contains(key) {
            *every = RARELY;
        }
    }
}

/// The service and the simulator.
pub struct Testbed {
    /// Twilio.
    pub sim: Simulator,
    /// The service.
    pub service: Service,
    /// The destination of the streams, where audio matters.
    pub consumer: Option<Consumer>,
    settings: config::Settings,
    _journal: TempDir,
}

impl Testbed {
    /// Starts both; the streams' sockets open in name only. `extra` is configuration (TOML) over the testbed's own; it may have
    /// destinations, whose audio is heard below [`AUDIO_URL`].
    ///
    /// # Errors
    /// When a port, the journal or the configuration cannot be had.
    pub async fn start(sim_config: SimConfig, extra: &str) -> Result<Self, TestbedError> {
        Self::build(sim_config, extra, None, None).await
    }

    /// As [`start`](Self::start), on a journal that is there already.
    ///
    /// # Errors
    /// When a port, the journal or the configuration cannot be had.
    pub async fn start_on(journal_url: &str, sim_config: SimConfig, extra: &str) -> Result<Self, TestbedError> {
        Self::build(sim_config, extra, Some(journal_url), None).await
    }

    /// Starts both and a destination: the streams' sockets open for real.
    ///
    /// # Errors
    /// When a port, the journal or the configuration cannot be had.
    pub async fn start_with_audio(mut sim_config: SimConfig, extra: &str) -> Result<Self, TestbedError> {
        let consumer = Consumer::start(AUDIO_URL, SecretString::from(TOKEN)).await?;
        sim_config.sockets = vec![consumer.route()];
        Self::build(sim_config, extra, None, Some(consumer)).await
    }

    async fn build(
        sim_config: SimConfig,
        extra: &str,
        journal_url: Option<&str>,
        consumer: Option<Consumer>,
    ) -> Result<Self, TestbedError> {
        let journal = TempDir::new()?;
        let sim = Simulator::start(Settings {
            config: sim_config,
            account: sid(ACCOUNT)?,
            auth_token: SecretString::from(TOKEN),
            api_key: None,
            workspace: sid(WORKSPACE)?,
        })
        .await?;
        let own = format!("sqlite:{}", journal.path().join("journal.db").display());
        let environment = BTreeMap::from([
            ("TRS__SERVER__LISTEN", "127.0.0.1:0".to_owned()),
            ("TRS__SERVER__PUBLIC_URL", PUBLIC_URL.to_owned()),
            ("TRS__ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
            ("TRS__TWILIO__ACCOUNT_SID", ACCOUNT.to_owned()),
            ("TRS__TWILIO__AUTH_TOKENS", TOKEN.to_owned()),
            ("TRS__TWILIO__WORKSPACE_SID", WORKSPACE.to_owned()),
            ("TRS__TWILIO__API_BASE_URL", sim.api_base_url()),
            ("TRS__TWILIO__TASKROUTER_BASE_URL", sim.api_base_url()),
            ("TRS__JOURNAL__URL", journal_url.map_or(own, str::to_owned)),
        ]);
        let mut environment: BTreeMap<String, String> =
            environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        if !extra.contains("[[streams.destinations]]") {
            let own = format!("{AUDIO_URL}/a,{AUDIO_URL}/b");
            environment.insert("TRS__STREAMS__DESTINATIONS".to_owned(), own);
        }
        let mut settings = config::from_text(Some(("the testbed", extra)), &environment)?;
        look_rarely(&mut settings, extra);
        let service = Service::start(&settings).await?;
        let testbed = Self { sim, service, consumer, settings, _journal: journal };
        testbed.introduce();
        Ok(testbed)
    }

    fn introduce(&self) {
        self.sim.post_events_to(Destination {
            events_url: format!("{PUBLIC_URL}/taskrouter/events#rc=3&rp=5xx,ct,rt"),
            route: Route { public: PUBLIC_URL.to_owned(), local: format!("http://{}", self.service.public()) },
        });
    }

    /// The service's configuration.
    pub fn settings(&self) -> &config::Settings {
        &self.settings
    }

    /// Stops the service and starts another on the same journal, as a deployment does.
    ///
    /// # Errors
    /// When the new one cannot start.
    pub async fn restart(self) -> Result<Self, TestbedError> {
        self.restart_with(|_| {}).await
    }

    /// As [`restart`](Self::restart), with another configuration.
    ///
    /// # Errors
    /// When the new one cannot start.
    pub async fn restart_with(self, change: impl FnOnce(&mut config::Settings)) -> Result<Self, TestbedError> {
        let Self { sim, service, consumer, mut settings, _journal } = self;
        change(&mut settings);
        service.stop().await;
        let service = Service::start(&settings).await?;
        let testbed = Self { sim, service, consumer, settings, _journal };
        testbed.introduce();
        Ok(testbed)
    }

    /// Waits until nothing is due, leased or planned but looks at quiet calls.
    ///
    /// # Errors
    /// When that takes too long, with what was still going on.
    pub async fn at_rest(&self) -> Result<(), String> {
        let deadline = Instant::now() + REST_LIMIT;
        loop {
            let due = self.service.journal().next_due().await.map_err(|error| error.to_string())?;
            if due.is_none_or(|due| due >= REST_HORIZON) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("the service did not come to rest: something is due in {due:?}"));
            }
            tokio::time::sleep(REST_POLL).await;
        }
    }

    /// Plays a scenario to its end.
    pub async fn run(&self, scenario: &Scenario) -> Outcome {
        scenario::run(scenario, &self.sim, self.settings.streams.strategy.as_str(), async || self.at_rest().await).await
    }

    /// A call's facts, oldest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn facts(&self, task: &TaskSid) -> Result<Vec<Fact>, JournalError> {
        let facts = self.service.journal().facts(task, 0).await?;
        Ok(facts.into_iter().map(|(_, fact)| fact).collect())
    }

    /// What the destination heard, one entry per socket, in the order in which they were opened.
    pub fn heard(&self) -> Vec<Heard> {
        self.consumer.as_ref().map_or_else(Vec::new, Consumer::heard)
    }

    /// Stops everything.
    pub async fn stop(self) {
        self.service.stop().await;
        self.sim.stop().await;
        if let Some(consumer) = self.consumer {
            consumer.stop().await;
        }
    }
}

fn sid<T: std::str::FromStr>(text: &str) -> Result<T, std::io::Error>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(std::io::Error::other)
}
