//! Several accounts behind one door: each is heard by its own tokens and served with its own credentials.

mod door;
mod product;

use crate::pace::scaled;
use crate::program::{PUBLIC_URL, program, text};
use crate::stories::patient;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use taskrouter_streams::call::Call;
use taskrouter_streams::call::fact::Fact;
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::config;
use taskrouter_streams::service::Service;
use taskrouter_streams::twilio::signature::sign;
use tempfile::TempDir;
use twilio_simulator::callbacks::Destination;
use twilio_simulator::world::{Mode, Target};
use twilio_simulator::{Route, Settings, SimConfig, Simulator};

/// Far beyond what any of it takes.
const LIMIT: Duration = Duration::from_secs(30);

/// Account, workspace and token.
type Site = (&'static str, &'static str, &'static str);

const GREEN: Site = ("AC000000000000000000000000000000a1", "WS000000000000000000000000000000a2", "greens-token");
const BLUE: Site = ("AC000000000000000000000000000000b1", "WS000000000000000000000000000000b2", "blues-token");
const BLUES_KEY: &str = "SK000000000000000000000000000000b3";
const BLUES_SECRET: &str = "blues-secret";

/// A worker for two accounts, green in `[twilio]` and blue beside it, each at a Twilio of its own.
struct Town {
    green: Simulator,
    blue: Simulator,
    service: Service,
    settings: config::Settings,
    environment: BTreeMap<String, String>,
    directory: TempDir,
}

async fn twilio(site: Site, api_key: Option<(String, SecretString)>, seed: u64) -> Simulator {
    let settings = Settings {
        config: SimConfig { seed, ..patient() },
        account: site.0.parse().unwrap(),
        auth_token: SecretString::from(site.2),
        api_key,
        workspace: site.1.parse().unwrap(),
    };
    Simulator::start(settings).await.unwrap()
}

/// Where nobody listens.
fn nowhere() -> Destination {
    Destination {
        events_url: format!("{PUBLIC_URL}/taskrouter/events#rc=0"),
        route: Route { public: PUBLIC_URL.to_owned(), local: "http://127.0.0.1:9".to_owned() },
    }
}

/// Waits until the streams of exactly these agents run.
async fn streaming(sim: &Simulator, task: &TaskSid, agents: &[&str]) {
    let deadline = Instant::now() + scaled(LIMIT);
    loop {
        let streams = sim.world(|world| world.snapshot(task)).unwrap().streams;
        if streams == agents {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{streams:?} instead of {agents:?}: {:#?}",
            sim.world(|world| world.requests().to_vec())
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Town {
    async fn rises(changed: &[(&str, &str)]) -> Self {
        let green = twilio(GREEN, None, 1).await;
        let blue = twilio(BLUE, Some((BLUES_KEY.to_owned(), SecretString::from(BLUES_SECRET))), 2).await;
        let directory = TempDir::new().unwrap();
        let environment = [
            ("TWILIO_ACCOUNT_SID", GREEN.0.to_owned()),
            ("TWILIO_AUTH_TOKEN", GREEN.2.to_owned()),
            ("TWILIO_WORKSPACE_SID", GREEN.1.to_owned()),
            ("TRS__TWILIO__API_BASE_URL", green.api_base_url()),
            ("TRS__TWILIO__TASKROUTER_BASE_URL", green.api_base_url()),
            ("TRS__STREAMS__DESTINATIONS", "wss://green.example.com/a,wss://green.example.com/b".to_owned()),
            ("TRS__STREAMS__STRATEGY", "redirect".to_owned()),
            ("TRS__ACCOUNTS__BLUE__ACCOUNT_SID", BLUE.0.to_owned()),
            ("TRS__ACCOUNTS__BLUE__AUTH_TOKENS", BLUE.2.to_owned()),
            ("TRS__ACCOUNTS__BLUE__API_KEY", BLUES_KEY.to_owned()),
            ("TRS__ACCOUNTS__BLUE__API_SECRET", BLUES_SECRET.to_owned()),
            ("TRS__ACCOUNTS__BLUE__WORKSPACE_SID", BLUE.1.to_owned()),
            ("TRS__ACCOUNTS__BLUE__API_BASE_URL", blue.api_base_url()),
            ("TRS__ACCOUNTS__BLUE__TASKROUTER_BASE_URL", blue.api_base_url()),
            ("TRS__ACCOUNTS__BLUE__DESTINATIONS", "wss://blue.example.com/a".to_owned()),
            ("TRS__ACCOUNTS__BLUE__STRATEGY", "streams-api".to_owned()),
            ("TRS__SERVER__PUBLIC_URL", PUBLIC_URL.to_owned()),
            ("TRS__SERVER__LISTEN", "127.0.0.1:0".to_owned()),
            ("TRS__SERVER__THREADS", "1".to_owned()),
            ("TRS__ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
            ("TRS__JOURNAL__URL", format!("sqlite:{}", directory.path().join("journal.db").display())),
        ];
        let environment: BTreeMap<_, _> =
            environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let settings = configured(&environment, changed);
        let service = Service::start(&settings).await.unwrap();
        let town = Self { green, blue, service, settings, environment, directory };
        town.introduces();
        town
    }

    fn introduces(&self) {
        for sim in [&self.green, &self.blue] {
            sim.post_events_to(Destination {
                events_url: format!("{PUBLIC_URL}/taskrouter/events#rc=3&rp=5xx,ct,rt"),
                route: Route { public: PUBLIC_URL.to_owned(), local: format!("http://{}", self.service.public()) },
            });
        }
    }

    /// Another worker on the same journal, with this changed.
    async fn restarts(self, changed: &[(&str, &str)]) -> Self {
        let Self { green, blue, service, environment, directory, .. } = self;
        service.stop().await;
        let settings = configured(&environment, changed);
        let service = Service::start(&settings).await.unwrap();
        let town = Self { green, blue, service, settings, environment, directory };
        town.introduces();
        town
    }

    async fn facts(&self, task: &TaskSid) -> Vec<Fact> {
        self.service.journal().facts(task, 0).await.unwrap().into_iter().map(|(_, fact)| fact).collect()
    }

    async fn call(&self, task: &TaskSid) -> Call {
        Call::fold(&self.facts(task).await)
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + scaled(LIMIT);
        while !holds().await {
            assert!(Instant::now() < deadline, "{what} did not come true");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until both worlds are quiet and the worker has nothing under way.
    async fn settles(&self) {
        self.until("everything comes to rest", async || {
            let is_idle = self.service.journal().backlog().await.unwrap().active == 0;
            is_idle && self.green.is_quiet() && self.blue.is_quiet()
        })
        .await;
    }

    /// As Twilio would, with this token.
    async fn post(&self, target: &str, form: &[(&str, String)], token: &str) -> u16 {
        let signature = sign(&format!("{PUBLIC_URL}{target}"), form, token);
        let url = format!("http://{}{target}", self.service.public());
        let request = reqwest::Client::new().post(url).header("X-Twilio-Signature", signature).form(form);
        request.send().await.unwrap().status().as_u16()
    }

    async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.run_with(arguments, &[]).await
    }

    /// The exit code and what was said; an empty variable is taken away.
    async fn run_with(&self, arguments: &[&str], changed: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut command = program();
        command.args(arguments).envs(&self.environment);
        command.env("TRS__SERVER__LISTEN", self.service.public().to_string());
        command.env("TRS__ADMIN__LISTEN", self.service.admin().to_string());
        for (name, value) in changed {
            if value.is_empty() {
                command.env_remove(name)
            } else {
                command.env(name, value)
            };
        }
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }

    async fn falls(self) {
        self.service.stop().await;
        self.green.stop().await;
        self.blue.stop().await;
    }
}

/// With this changed; an empty name takes blue away.
fn configured(environment: &BTreeMap<String, String>, changed: &[(&str, &str)]) -> config::Settings {
    let mut environment = environment.clone();
    for (name, value) in changed {
        if name.is_empty() {
            environment.retain(|name, _| !name.starts_with("TRS__ACCOUNTS__BLUE"));
        } else {
            environment.insert((*name).to_owned(), (*value).to_owned());
        }
    }
    config::from_text(None, &environment).unwrap()
}
