//! `serve`: the simulated Twilio alone, for people who write a consumer of the streams, or run the service by hand.

mod watch;

use super::{CommandResult, misused, say};
use anyhow::{Context as _, anyhow, bail};
use secrecy::SecretString;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use twilio_simulator::callbacks::Destination;
use twilio_simulator::scenario::{self, Outcome, SCENARIOS, Scenario, Verb};
use twilio_simulator::{Route, Settings, SimConfig, Simulator};
use url::Url;
use watch::Watch;

const ACCOUNT: &str = "AC51000000000000000000000000000001";
const WORKSPACE: &str = "WS51000000000000000000000000000002";
const TOKEN: &str = "the-token-of-the-simulator";

/// Between attempts to connect to the service before the first call.
const CONNECT_RETRY: Duration = Duration::from_millis(250);

/// How long the world may take to come to rest at a scenario's end.
const QUIET_LIMIT: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
#[command(after_help = "Try a consumer of streams; every agent's stream goes to it:\n\
                  \x20 twilio-simulator serve --stream-to ws://127.0.0.1:9000/audio\n\
                  Try the service and a consumer:\n\
                  \x20 twilio-simulator serve --events-url https://streams.example.com/taskrouter/events \\\n\
                  \x20     --route https://streams.example.com=http://127.0.0.1:8080 \\\n\
                  \x20     --route wss://audio.example.com=ws://127.0.0.1:9000\n\
                  It prints the configuration that the service needs. Audio is a tone: 400 Hz inbound, 500 Hz outbound.\n\
                  Judge the service, in a build or by hand:\n\
                  \x20 twilio-simulator serve --judge --scenario cold-transfer --events-url …\n\
                  What it answers, for Twilio's SDKs; all else of Twilio's API is refused with 501:\n\
                  \x20 calls          create, list, fetch, update (Twiml, Url, Status); streams: create, stop\n\
                  \x20 conferences    list, fetch, complete; participants: create, list, fetch, update, remove\n\
                  \x20 tasks          create, list, fetch, update, delete; reservations: list, fetch, update\n\
                  \x20 workers        list, fetch, their reservations; task queues: list, fetch\n\
                  \x20 workspaces     list, fetch, update; events: list\n\
                  \x20 event streams  sinks, subscriptions, subscribed events: create, list, fetch, update, delete\n\
                  SIGINT and SIGTERM shut it down gracefully.\n\
                  Exit codes: 0 every scenario ended well, or a signal stopped it; 1 it could not start, a scenario could \
                  not continue, a stream failed that the scenario did not ask to fail, Twilio was misused, or with --judge an \
                  expectation was not met; 2 wrong arguments. With --judge a signal changes nothing of that.")]
pub(super) struct Serve {
    /// Serve Twilio's APIs on this address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4010")]
    listen: SocketAddr,
    /// Post TaskRouter's events to this public URL of the service, and sign them for it. The fragment may hold connection
    /// overrides, as in #rc=3&rp=5xx,ct,rt. The first call waits until the service listens.
    #[arg(long, value_name = "URL")]
    events_url: Option<String>,
    /// Map a public address to a local one: https:// for the service (one), wss:// for destinations of streams (any number).
    /// Streams to other destinations open no socket.
    #[arg(long, value_name = "PUBLIC=LOCAL")]
    route: Vec<String>,
    /// Play the service's part too: stream both tracks of the customer's leg to this address, for every agent on the call. Give
    /// ws:// to connect as written (signed for the same address with wss://), or wss:// with a --route.
    #[arg(long, value_name = "URL", conflicts_with = "events_url")]
    stream_to: Option<String>,
    /// Play this scenario: a name (see `demo --list`) or a .toml file. Repeat the option to play several in turn.
    #[arg(long, value_name = "NAME|FILE", default_value = "warm-transfer")]
    scenario: Vec<String>,
    /// Play all scenarios this many times; 0 repeats them until stopped.
    #[arg(long, value_name = "TIMES", default_value_t = 1)]
    repeat: u64,
    /// Check the scenarios' expectations as well, and print the time to each stream and the time outside conferences.
    #[arg(long)]
    judge: bool,
    /// Let people talk this long, in milliseconds, at each "settle" of a scenario.
    #[arg(long, value_name = "MS", default_value_t = 3_000)]
    talk_ms: u64,
    /// Answer each API request after this many milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 80)]
    latency_ms: u64,
    /// Use this account SID.
    #[arg(long, value_name = "SID", default_value = ACCOUNT)]
    account_sid: String,
    /// Sign with this auth token and require it in requests. The default is made up; do not pass a real one.
    #[arg(long, value_name = "TOKEN", default_value = TOKEN, hide_default_value = true)]
    auth_token: String,
    /// Use this workspace SID.
    #[arg(long, value_name = "SID", default_value = WORKSPACE)]
    workspace_sid: String,
}

/// The arguments, checked.
struct Setup {
    scenarios: Vec<Scenario>,
    settings: Settings,
    destination: Option<Destination>,
}

impl Serve {
    pub(super) async fn run(self) -> CommandResult {
        let setup = match self.setup() {
            Ok(setup) => setup,
            Err(error) => return Ok(misused(&error)),
        };
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let listener = TcpListener::bind(self.listen)
            .with_context(|| format!("{} cannot be used: choose another address with --listen", self.listen))?;
        self.introduce(&setup, listener.local_addr()?);
        let stop = CancellationToken::new();
        let playing = self.play_all(&setup, &listener, &stop);
        tokio::pin!(playing);
        let well = loop {
            tokio::select! {
                _ = terminated.recv() => stop.cancel(),
                _ = interrupted.recv() => stop.cancel(),
                well = &mut playing => break well?,
            }
        };
        let is_excused = stop.is_cancelled() && !self.judge;
        Ok(if well || is_excused { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn setup(&self) -> anyhow::Result<Setup> {
        let scenarios =
            self.scenario.iter().map(|name| scenario_named(name, self.judge)).collect::<anyhow::Result<Vec<_>>>()?;
        let routes = self.route.iter().map(|text| route(text)).collect::<anyhow::Result<Vec<_>>>()?;
        let (mut sockets, mut workers): (Vec<_>, Vec<_>) =
            routes.into_iter().partition(|route| route.public.starts_with("wss://"));
        let destination = match &self.events_url {
            Some(url) => Some(destination(url, &mut workers)?),
            None => None,
        };
        if !workers.is_empty() {
            bail!("--route: give at most one https:// route, together with --events-url");
        }
        let streams_by_itself = match &self.stream_to {
            Some(url) => Some(own_destination(url, &mut sockets)?),
            None => None,
        };
        let sim_config = SimConfig { latency_ms: self.latency_ms, sockets, streams_by_itself, ..SimConfig::default() };
        let settings = Settings {
            config: sim_config,
            account: self.account_sid.parse().context("--account-sid")?,
            auth_token: SecretString::from(self.auth_token.as_str()),
            api_key: None,
            workspace: self.workspace_sid.parse().context("--workspace-sid")?,
        };
        Ok(Setup { scenarios, settings, destination })
    }

    fn introduce(&self, setup: &Setup, address: SocketAddr) {
        say(&format!("ready: simulated Twilio on http://{address}"));
        let token = if self.auth_token == TOKEN { TOKEN } else { "(as given)" };
        let known = [
            ("TWILIO_ACCOUNT_SID", self.account_sid.clone()),
            ("TWILIO_AUTH_TOKEN", token.to_owned()),
            ("TWILIO_WORKSPACE_SID", self.workspace_sid.clone()),
            ("TRS__TWILIO__API_BASE_URL", format!("http://{address}")),
            ("TRS__TWILIO__TASKROUTER_BASE_URL", format!("http://{address}")),
        ];
        if self.stream_to.is_some() {
            say(&format!("sockets are signed with the auth token {token} for their wss:// addresses"));
        } else {
            say("configure the service with:");
            known.iter().for_each(|(name, value)| say(&format!("  {name}={value}")));
        }
        match &setup.destination {
            Some(destination) => say(&format!("events are signed for {}", destination.events_url)),
            None if self.stream_to.is_none() => say("no events are posted: --events-url is not set"),
            None => {}
        }
    }

    /// Plays all scenarios as often as wanted, or until stopped; false when something went wrong.
    async fn play_all(&self, setup: &Setup, listener: &TcpListener, stop: &CancellationToken) -> anyhow::Result<bool> {
        if let Some(destination) = &setup.destination {
            tokio::select! {
                () = stop.cancelled() => return Ok(true),
                found = wait_for_service(destination) => found?,
            }
        }
        // The service remembers the calls of earlier runs: new calls need other SIDs.
        let mut seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (mut played, mut well) = (0, true);
        while self.repeat == 0 || played < self.repeat {
            for scenario in &setup.scenarios {
                if stop.is_cancelled() {
                    return Ok(well);
                }
                seed = seed.wrapping_add(1);
                well &= self.play(setup, scenario, seed, listener.try_clone()?, stop).await?;
            }
            played += 1;
        }
        Ok(well)
    }

    async fn play(
        &self,
        setup: &Setup,
        scenario: &Scenario,
        seed: u64,
        port: TcpListener,
        stop: &CancellationToken,
    ) -> anyhow::Result<bool> {
        let mut settings = setup.settings.clone();
        settings.config.seed = seed;
        settings.config = scenario.config(&settings.config)?;
        let sim = Simulator::start_on(settings, port).await?;
        if let Some(destination) = &setup.destination {
            sim.post_events_to(destination.clone());
        }
        say(&format!("\n── {}: {}", scenario.name, scenario.title));
        let watch = Watch::begin();
        let talk = Duration::from_millis(self.talk_ms);
        let talks = async || {
            tokio::time::sleep(talk).await;
            Ok(())
        };
        let playing = scenario::narrate(scenario, &sim, "", talks, |step| watch.step(&step.words));
        let outcome = watch.over(&sim, async {
            tokio::select! {
                outcome = playing => outcome,
                () = stop.cancelled() => Outcome::default(),
            }
        });
        let outcome = outcome.await;
        let ending = async {
            for task in sim.world(|world| world.tasks()) {
                // End every call; a customer who has hung up already cannot do so again.
                let _ = sim.act(|world| world.customer_hangs_up(&task)).await;
            }
            sim.quiet(QUIET_LIMIT).await
        };
        watch.over(&sim, ending).await;
        outcome.failures.iter().for_each(|failure| watch.say(&format!("FAILED: {failure}")));
        if self.judge {
            watch.figures(&sim);
        }
        let well = outcome.failures.is_empty()
            && sim.world(|world| world.violations().is_empty())
            && !watch.has_seen_failures();
        sim.stop().await;
        Ok(well)
    }
}

/// A scenario by name or from a file, with its expectations only where somebody judges.
fn scenario_named(name: &str, judge: bool) -> anyhow::Result<Scenario> {
    let bundled = SCENARIOS.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
    let text = match bundled {
        Some(text) => text,
        None if name.ends_with(".toml") => {
            std::fs::read_to_string(name).with_context(|| format!("--scenario {name} cannot be read"))?
        }
        None => bail!("--scenario {name}: unknown scenario (`demo --list` names them; a file needs the ending .toml)"),
    };
    let mut scenario = scenario::read(&text).with_context(|| format!("--scenario {name}"))?;
    scenario.steps.retain(|step| judge || !matches!(step.verb, Verb::Expect { .. }));
    Ok(scenario)
}

/// Reads `PUBLIC=LOCAL`.
fn route(text: &str) -> anyhow::Result<Route> {
    let hint = || anyhow!("--route {text}: expected as in https://streams.example.com=http://127.0.0.1:8080");
    let (public, local) = text.split_once('=').ok_or_else(hint)?;
    let (public, local) = (public.trim_end_matches('/'), local.trim_end_matches('/'));
    let scheme = |url: &str| Url::parse(url).map(|url| url.scheme().to_owned()).map_err(|_| hint());
    match (scheme(public)?.as_str(), scheme(local)?.as_str()) {
        ("https" | "http", "http" | "https") | ("wss", "ws") => {}
        ("wss", _) => {
            bail!("--route {text}: sockets are opened without TLS, so the local address must begin with ws://")
        }
        (_, _) => return Err(hint()),
    }
    Ok(Route { public: public.to_owned(), local: local.to_owned() })
}

/// The events URL and the one route to the service, which is taken out of `routes`.
fn destination(events_url: &str, routes: &mut Vec<Route>) -> anyhow::Result<Destination> {
    let url = Url::parse(events_url).map_err(|error| anyhow!("--events-url {events_url}: {error}"))?;
    if !["http", "https"].contains(&url.scheme()) {
        bail!("--events-url {events_url}: it must begin with https:// or http://");
    }
    let (address, _) = events_url.split_once('#').unwrap_or((events_url, ""));
    let place = routes.iter().position(|route| route.leads(address).is_some());
    let here = url.origin().ascii_serialization();
    let route = place.map(|place| routes.remove(place)).unwrap_or(Route { public: here.clone(), local: here });
    Ok(Destination { events_url: events_url.to_owned(), route })
}

/// The public address of `--stream-to`, and a route to it if there is none.
fn own_destination(url: &str, routes: &mut Vec<Route>) -> anyhow::Result<String> {
    let parsed = Url::parse(url).map_err(|error| anyhow!("--stream-to {url}: {error}"))?;
    if parsed.query().is_some() || parsed.fragment().is_some() {
        bail!("--stream-to {url}: a stream's address has no query string or fragment");
    }
    if let Some(rest) = url.strip_prefix("ws://") {
        let authority = rest.split('/').next().unwrap_or(rest);
        routes.push(Route { public: format!("wss://{authority}"), local: format!("ws://{authority}") });
        return Ok(format!("wss://{rest}"));
    }
    if !url.starts_with("wss://") {
        bail!("--stream-to {url}: it must begin with ws:// or wss://");
    }
    if !routes.iter().any(|route| route.leads(url).is_some()) {
        bail!("--stream-to {url}: sockets are opened without TLS: map it with --route wss://…=ws://…");
    }
    Ok(url.to_owned())
}

async fn wait_for_service(destination: &Destination) -> anyhow::Result<()> {
    let (signed, _) = destination.events_url.split_once('#').unwrap_or((&destination.events_url, ""));
    let address = destination.route.leads(signed).unwrap_or_else(|| signed.to_owned());
    let url = Url::parse(&address).with_context(|| format!("{address} is not an address"))?;
    let (host, port) = (url.host_str().unwrap_or_default().to_owned(), url.port_or_known_default().unwrap_or(80));
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if tokio::net::TcpStream::connect((host.as_str(), port)).await.is_err() {
        say(&format!("waiting for the service on {host}:{port}"));
        while tokio::net::TcpStream::connect((host.as_str(), port)).await.is_err() {
            tokio::time::sleep(CONNECT_RETRY).await;
        }
    }
    Ok(())
}
