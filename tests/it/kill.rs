//! kill -9 of the real process in the middle of every step, and what the next process makes of it.

use crate::program::{ACCOUNT, PUBLIC_URL, Serving, TOKEN, WORKSPACE};
use secrecy::SecretString;
use std::path::Path;
use std::time::{Duration, Instant};
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::sim::callbacks::Destination;
use taskrouter_streams::sim::world::{Mode, Target};
use taskrouter_streams::sim::{Behaviour, Route, Settings, Simulator};
use tempfile::TempDir;

/// Far beyond what any recovery takes; a wait that fails says what it waited for.
const LIMIT: Duration = Duration::from_secs(30);

/// The requests of the story below at this latency: killing later than the last one kills a worker at rest.
const REQUESTS: usize = 18;

struct Night {
    sim: Simulator,
    serving: Option<Serving>,
    directory: TempDir,
    kill_at: usize,
    killed: bool,
}

impl Night {
    async fn begins(kill_at: usize) -> Self {
        let sim = Simulator::start(Settings {
            behaviour: Behaviour { seed: kill_at as u64 + 1, latency_ms: 30, ..Behaviour::default() },
            account: ACCOUNT.parse().unwrap(),
            auth_token: SecretString::from(TOKEN),
            api_key: None,
            workspace: WORKSPACE.parse().unwrap(),
        })
        .await
        .unwrap();
        let mut night = Self { sim, serving: None, directory: TempDir::new().unwrap(), kill_at, killed: false };
        night.serve();
        night
    }

    fn serve(&mut self) {
        let journal: &Path = self.directory.path();
        let serving = Serving::start_against(&journal.join("journal.db"), &self.sim.api_base_url());
        self.sim.post_events_to(Destination {
            events_url: format!("{PUBLIC_URL}/taskrouter/events#rc=3&rp=5xx,ct,rt"),
            route: Route { public: PUBLIC_URL.to_owned(), local: format!("http://{}", serving.public) },
        });
        self.serving = Some(serving);
    }

    /// Waits until the call is as told; on the way, kills the process as soon as the simulator has seen enough requests.
    async fn until(&mut self, task: &TaskSid, streams: &[&str], held: bool, guard_raised: bool) {
        let deadline = Instant::now() + LIMIT;
        loop {
            if !self.killed && self.sim.requests().len() >= self.kill_at {
                self.killed = true;
                drop(self.serving.take());
                self.serve();
            }
            let picture = self.sim.picture(task).unwrap();
            if picture.streams == streams && picture.held == Some(held) && picture.guard_raised == Some(guard_raised) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "killed at request {}: expected {streams:?}, held {held}, guard raised {guard_raised}; it is {picture:?}; requests {:#?}",
                self.kill_at,
                self.sim.requests()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn a_warm_transfer_with_a_kill_at(request: usize) {
    let mut night = Night::begins(request).await;
    let task = night.sim.customer_calls().await;
    night.sim.accepts(&task, "alice").await.unwrap();
    night.until(&task, &["alice"], false, true).await;
    night.sim.transfers(&task, "alice", &Target::Agent("bob".to_owned()), Mode::Warm).await.unwrap();
    night.until(&task, &["alice"], true, false).await;
    night.sim.accepts(&task, "bob").await.unwrap();
    night.until(&task, &["alice", "bob"], true, true).await;
    night.sim.leaves(&task, "alice").await.unwrap();
    night.until(&task, &["bob"], false, true).await;
    assert_eq!(night.sim.violations(), [], "killed at request {request}");
    night.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_a_process_killed_in_the_middle_of_any_step_is_followed_by_one_that_comes_to_the_same_rest() {
    let mut nights = tokio::task::JoinSet::new();
    for request in 1..=REQUESTS {
        if nights.len() == 6 {
            nights.join_next().await.unwrap().unwrap();
        }
        nights.spawn(a_warm_transfer_with_a_kill_at(request));
    }
    while let Some(night) = nights.join_next().await {
        night.unwrap();
    }
}
