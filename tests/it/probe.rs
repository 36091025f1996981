//! `probe` against the simulated Twilio: every promise of the simulator's is seen, and one that it breaks is told.

use crate::ports::free;
use crate::program::{ACCOUNT, TOKEN, WORKSPACE, program, text};
use secrecy::SecretString;
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use twilio_simulator::callbacks::Destination;
use twilio_simulator::world::{ListQuery, Request, RequestRecord};
use twilio_simulator::{Route, Settings, SimConfig, Simulator};

const FROM: &str = "+15550100001";
const TO: &str = "+15550100077";
const PUBLIC: &str = "https://probe.example.com";

struct Lab {
    sim: Simulator,
    folder: TempDir,
    listen: String,
}

impl Lab {
    async fn start(config: SimConfig) -> Self {
        let config = SimConfig { ringing_ms: 400, ..config };
        let sim = Simulator::start(Settings {
            config,
            account: ACCOUNT.parse().unwrap(),
            auth_token: SecretString::from(TOKEN),
            api_key: None,
            workspace: WORKSPACE.parse().unwrap(),
        });
        let sim = sim.await.unwrap();
        let [listen] = free().map(|address| address.to_string());
        sim.post_events_to(Destination {
            events_url: format!("{PUBLIC}/taskrouter/events"),
            route: Route { public: PUBLIC.to_owned(), local: format!("http://{listen}") },
        });
        Self { sim, folder: TempDir::new().unwrap(), listen }
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = program();
        command
            .args(["probe", "--from", FROM, "--to", TO, "--listen", &self.listen])
            .args(more)
            .current_dir(self.folder.path())
            .env("TRS__SERVER__PUBLIC_URL", "https://streams.example.com")
            .env("TRS__TWILIO__ACCOUNT_SID", ACCOUNT)
            .env("TRS__TWILIO__AUTH_TOKENS", TOKEN)
            .env("TRS__TWILIO__WORKSPACE_SID", WORKSPACE)
            .env("TRS__TWILIO__API_BASE_URL", self.sim.api_base_url())
            .env("TRS__TWILIO__TASKROUTER_BASE_URL", self.sim.api_base_url())
            .env("TRS__STREAMS__DESTINATIONS", "wss://audio.example.com/a")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    async fn run(&self, more: &[&str]) -> (Option<i32>, String) {
        ended(self.command(more).spawn().unwrap()).await
    }

    fn report(&self) -> (String, Vec<(String, String)>) {
        let text = std::fs::read_to_string(self.folder.path().join("probe-report.json")).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap();
        let rows = report["rows"].as_array().unwrap().iter();
        let rows =
            rows.map(|row| (row["id"].as_str().unwrap().to_owned(), row["verdict"].as_str().unwrap().to_owned()));
        (text, rows.collect())
    }

    /// The statuses of all calls.
    fn calls(&self) -> Vec<String> {
        let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Calls.json");
        let listed = self.sim.world(|world| world.perform(&Request::ListCalls { query: ListQuery::default() }, &path));
        listed.body["calls"]
            .as_array()
            .unwrap()
            .iter()
            .map(|call| call["status"].as_str().unwrap().to_owned())
            .collect()
    }

    fn requests(&self) -> Vec<RequestRecord> {
        self.sim.world(|world| world.requests().to_vec())
    }
}

/// Its exit code, and what it said.
async fn ended(child: Child) -> (Option<i32>, String) {
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[tokio::test]
async fn every_promise_of_the_simulator_is_seen_and_every_call_is_ended() {
    let lab = Lab::start(SimConfig::default()).await;
    let (code, said) = lab.run(&["--public-url", PUBLIC, "--yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (report, rows) = lab.report();
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/twilio.md")).unwrap();
    for (id, verdict) in &rows {
        assert!(documented.contains(&format!("`{id}`")), "docs/twilio.md does not name the row {id}");
        let expected = if id == "restricted-key" { "could-not-try" } else { "certain" };
        assert_eq!(verdict, expected, "{id}\n{said}");
    }
    assert!(rows.len() > 20 && said.contains("could not try") && said.contains("0 contradicted"), "{said}");
    for personal in [FROM, TO, ACCOUNT, "CA", "CF", "MZ", "example.com"] {
        assert!(!report.contains(personal), "{personal} in {report}");
    }
    assert!(lab.calls().len() == 4 && lab.calls().iter().all(|status| status == "completed"), "{:?}", lab.calls());
    lab.sim.stop().await;
}

#[tokio::test]
async fn a_promise_that_is_broken_is_contradicted() {
    for (config, id) in [
        (SimConfig { streams_survive_redirects: false, ..SimConfig::default() }, "stream-survives"),
        (SimConfig { callback_fragments: false, ..SimConfig::default() }, "callback-fragment"),
    ] {
        let lab = Lab::start(config).await;
        let (code, said) = lab.run(&["--public-url", PUBLIC, "--yes"]).await;
        assert_eq!(code, Some(1), "{said}");
        let contradicted: Vec<String> =
            lab.report().1.into_iter().filter(|(_, verdict)| verdict == "contradicted").map(|(id, _)| id).collect();
        assert!(contradicted.contains(&id.to_owned()), "{contradicted:?}\n{said}");
        assert!(lab.calls().iter().all(|status| status == "completed"), "{said}");
        lab.sim.stop().await;
    }
}

#[tokio::test]
async fn what_cannot_be_tried_is_told_and_a_signal_ends_every_call() {
    let lab = Lab::start(SimConfig::default()).await;
    let (code, said) = lab.run(&[]).await;
    assert_eq!((code, lab.requests().len()), (Some(3), 0), "{said}");
    let probe = lab.command(&["--yes"]).spawn().unwrap();
    // Until the second leg is called, so that there is something to end.
    let deadline = Instant::now() + Duration::from_secs(60);
    while lab.calls().len() < 2 {
        assert!(Instant::now() < deadline, "no call was placed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pid = probe.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let (code, said) = ended(probe).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(lab.calls().iter().all(|status| status == "completed"), "{:?}", lab.calls());
    assert!(lab.report().1.iter().any(|(_, verdict)| verdict == "could-not-try"));
    lab.sim.stop().await;
}
