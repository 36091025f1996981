//! `serve`: the simulated Twilio alone, for people who write a consumer of the streams, or run a worker by hand.

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

/// Between attempts to find the worker before the first call.
const KNOCK: Duration = Duration::from_millis(250);

/// How long the world may take to come to rest at a story's end.
const QUIET_LIMIT: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
#[command(after_help = "To try a consumer of streams alone; every agent's stream goes to it:\n\
                  \x20 twilio-simulator serve --stream-to ws://127.0.0.1:9000/audio\n\
                  To try a worker and a consumer:\n\
                  \x20 twilio-simulator serve --events-url https://streams.example.com/taskrouter/events \\\n\
                  \x20     --route https://streams.example.com=http://127.0.0.1:8080 \\\n\
                  \x20     --route wss://audio.example.com=ws://127.0.0.1:9000\n\
                  It prints what the worker has to be configured with. Audio is a tone: 400 Hz from the customer, 500 Hz to him.\n\
                  SIGINT and SIGTERM stop it in order.\n\
                  Exit codes: 0 told to the end, or stopped by a signal; 1 it cannot start, a story cannot go on, a stream \
                  failed, or Twilio was misused; 2 wrong arguments.")]
pub(super) struct Serve {
    /// Where Twilio's APIs answer.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4010")]
    listen: SocketAddr,
    /// Where TaskRouter's events are posted: the worker's public URL, which is what is signed. Connection overrides may stand
    /// in the fragment, as in #rc=3&rp=5xx,ct,rt. The first call waits until somebody listens there.
    #[arg(long, value_name = "URL")]
    events_url: Option<String>,
    /// Where a public address is, seen from this machine: https:// for the worker (one), wss:// for destinations of streams
    /// (any number). Streams to other destinations open in name only.
    #[arg(long, value_name = "PUBLIC=LOCAL")]
    route: Vec<String>,
    /// Play the worker's part too: stream both tracks of the customer's leg here for every agent on the call. ws:// to connect
    /// as it stands (signed for the same address with wss://), or wss:// with a --route.
    #[arg(long, value_name = "URL", conflicts_with = "events_url")]
    stream_to: Option<String>,
    /// A story to tell: a name (`demo --list` has them) or a .toml file. Several are told one after the other.
    #[arg(long, value_name = "NAME|FILE", default_value = "warm-transfer")]
    scenario: Vec<String>,
    /// How often all of it is told; 0 goes on until stopped.
    #[arg(long, value_name = "TIMES", default_value_t = 1)]
    repeat: u64,
    /// How long people talk, in milliseconds, wherever a story comes to rest.
    #[arg(long, value_name = "MS", default_value_t = 3_000)]
    talk_ms: u64,
    /// Milliseconds that each request to the simulated Twilio takes.
    #[arg(long, value_name = "MS", default_value_t = 80)]
    latency_ms: u64,
    /// The account's SID.
    #[arg(long, value_name = "SID", default_value = ACCOUNT)]
    account_sid: String,
    /// The account's auth token: signs, and lets requests in. Made up unless given; never Twilio's own.
    #[arg(long, value_name = "TOKEN", default_value = TOKEN, hide_default_value = true)]
    auth_token: String,
    /// The workspace's SID.
    #[arg(long, value_name = "SID", default_value = WORKSPACE)]
    workspace_sid: String,
}

/// The arguments, checked.
struct Plan {
    stories: Vec<Scenario>,
    settings: Settings,
    destination: Option<Destination>,
}

impl Serve {
    pub(super) async fn run(self) -> CommandResult {
        let plan = match self.plan() {
            Ok(plan) => plan,
            Err(error) => return Ok(misused(&error)),
        };
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let listener = TcpListener::bind(self.listen)
            .with_context(|| format!("{} cannot be listened on: choose another with --listen", self.listen))?;
        self.introduce(&plan, listener.local_addr()?);
        let stop = CancellationToken::new();
        let telling = self.tell(&plan, &listener, &stop);
        tokio::pin!(telling);
        let well = loop {
            tokio::select! {
                _ = terminated.recv() => stop.cancel(),
                _ = interrupted.recv() => stop.cancel(),
                well = &mut telling => break well?,
            }
        };
        Ok(if well || stop.is_cancelled() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        let stories = self.scenario.iter().map(|name| story(name)).collect::<anyhow::Result<Vec<_>>>()?;
        let routes = self.route.iter().map(|text| route(text)).collect::<anyhow::Result<Vec<_>>>()?;
        let (mut sockets, mut workers): (Vec<_>, Vec<_>) =
            routes.into_iter().partition(|route| route.public.starts_with("wss://"));
        let destination = match &self.events_url {
            Some(url) => Some(destination(url, &mut workers)?),
            None => None,
        };
        if !workers.is_empty() {
            bail!("--route: one https:// route is enough, and it needs --events-url");
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
        Ok(Plan { stories, settings, destination })
    }

    fn introduce(&self, plan: &Plan, address: SocketAddr) {
        say(&format!("ready: a simulated Twilio on http://{address}"));
        let token = if self.auth_token == TOKEN { TOKEN } else { "(as given)" };
        let known = [
            ("TWILIO_ACCOUNT_SID", self.account_sid.clone()),
            ("TWILIO_AUTH_TOKEN", token.to_owned()),
            ("TWILIO_WORKSPACE_SID", self.workspace_sid.clone()),
            ("TRS__TWILIO__API_BASE_URL", format!("http://{address}")),
            ("TRS__TWILIO__TASKROUTER_BASE_URL", format!("http://{address}")),
        ];
        if self.stream_to.is_some() {
            say(&format!("sockets are signed with the auth token {token}, over their addresses with wss://"));
        } else {
            say("a worker against it is configured with:");
            known.iter().for_each(|(name, value)| say(&format!("  {name}={value}")));
        }
        match &plan.destination {
            Some(destination) => say(&format!("events are signed for {}", destination.events_url)),
            None if self.stream_to.is_none() => say("events go nowhere: there is no --events-url"),
            None => {}
        }
    }

    /// Tells all of it as often as wanted, or until stopped; false when something was not as it should be.
    async fn tell(&self, plan: &Plan, listener: &TcpListener, stop: &CancellationToken) -> anyhow::Result<bool> {
        if let Some(destination) = &plan.destination {
            tokio::select! {
                () = stop.cancelled() => return Ok(true),
                found = wait_for_worker(destination) => found?,
            }
        }
        // A worker remembers the calls of earlier runs: theirs must have other SIDs.
        let mut seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (mut told, mut well) = (0, true);
        while self.repeat == 0 || told < self.repeat {
            for story in &plan.stories {
                if stop.is_cancelled() {
                    return Ok(well);
                }
                seed = seed.wrapping_add(1);
                well &= self.tell_one(plan, story, seed, listener.try_clone()?, stop).await?;
            }
            told += 1;
        }
        Ok(well)
    }

    async fn tell_one(
        &self,
        plan: &Plan,
        story: &Scenario,
        seed: u64,
        port: TcpListener,
        stop: &CancellationToken,
    ) -> anyhow::Result<bool> {
        let mut settings = plan.settings.clone();
        settings.config.seed = seed;
        settings.config = story.config(&settings.config)?;
        let sim = Simulator::start_on(settings, port).await?;
        if let Some(destination) = &plan.destination {
            sim.post_events_to(destination.clone());
        }
        say(&format!("\n── {}: {}", story.name, story.title));
        let watch = Watch::begin();
        let talk = Duration::from_millis(self.talk_ms);
        let talks = async || {
            tokio::time::sleep(talk).await;
            Ok(())
        };
        let telling = scenario::narrate(story, &sim, "", talks, |step| watch.step(&step.words));
        let outcome = watch.over(&sim, async {
            tokio::select! {
                outcome = telling => outcome,
                () = stop.cancelled() => Outcome::default(),
            }
        });
        let outcome = outcome.await;
        let ending = async {
            for task in sim.tasks() {
                // Nobody stays on the phone; whoever has hung up already cannot do so again.
                let _ = sim.customer_hangs_up(&task).await;
            }
            sim.quiet(QUIET_LIMIT).await
        };
        watch.over(&sim, ending).await;
        outcome.failures.iter().for_each(|failure| watch.say(&format!("CANNOT GO ON: {failure}")));
        let well = outcome.failures.is_empty() && sim.violations().is_empty() && !watch.has_seen_failures();
        sim.stop().await;
        Ok(well)
    }
}

/// A story of the program's own, or of a file, without what it expects: that is the demo's concern.
fn story(name: &str) -> anyhow::Result<Scenario> {
    let own = SCENARIOS.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
    let text = match own {
        Some(text) => text,
        None if name.ends_with(".toml") => {
            std::fs::read_to_string(name).with_context(|| format!("--scenario {name} cannot be read"))?
        }
        None => bail!("there is no story \"{name}\": `demo --list` names them, and a file's name ends in .toml"),
    };
    let mut story = scenario::read(&text).with_context(|| format!("--scenario {name}"))?;
    story.steps.retain(|step| !matches!(step.verb, Verb::Expect { .. }));
    Ok(story)
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
            bail!("--route {text}: sockets are opened without TLS, so the second address must begin with ws://")
        }
        (_, _) => return Err(hint()),
    }
    Ok(Route { public: public.to_owned(), local: local.to_owned() })
}

/// The events URL and the one route to the worker, which is taken out of `routes`.
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
        bail!("--stream-to {url}: Twilio takes no query string in a stream's address");
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
        bail!("--stream-to {url}: sockets are opened without TLS: say with --route wss://…=ws://… where it is");
    }
    Ok(url.to_owned())
}

async fn wait_for_worker(destination: &Destination) -> anyhow::Result<()> {
    let (signed, _) = destination.events_url.split_once('#').unwrap_or((&destination.events_url, ""));
    let address = destination.route.leads(signed).unwrap_or_else(|| signed.to_owned());
    let url = Url::parse(&address).with_context(|| format!("{address} is no address"))?;
    let (host, port) = (url.host_str().unwrap_or_default().to_owned(), url.port_or_known_default().unwrap_or(80));
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if tokio::net::TcpStream::connect((host.as_str(), port)).await.is_err() {
        say(&format!("waiting for a worker on {host}:{port}"));
        while tokio::net::TcpStream::connect((host.as_str(), port)).await.is_err() {
            tokio::time::sleep(KNOCK).await;
        }
    }
    Ok(())
}
