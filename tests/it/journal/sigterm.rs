//! SIGTERM ends the process in time, whatever its database does.

use super::pooler::{Line, Network};
use super::*;
use crate::postgres::{Cluster, another_server};
use crate::program::{ENVIRONMENT, Serving, program};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// As `shutdown.grace_ms` has it below.
const GRACE: Duration = Duration::from_secs(1);
const SETTINGS: &[(&str, &str)] = &[("TRS__SHUTDOWN__GRACE_MS", "1000")];

/// What a stop may take beyond the grace.
const BEYOND: Duration = Duration::from_secs(1);

/// Nobody listens there.
const TWILIO: &str = "http://127.0.0.1:9";

/// What the database does meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Works,
    /// Its connections break.
    Broken,
    /// Nothing passes.
    Silent,
    /// Another session has locked the tables, so that a statement hangs.
    Locked,
    /// A standby that it waits for is away, so that a commit hangs.
    Unreplicated,
    /// Its processes are stopped.
    Frozen,
    /// It takes no writes any more.
    Demoted,
}

struct Server {
    cluster: Cluster,
    line: Line,
}

impl Server {
    fn url(port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable")
    }

    async fn session(&self) -> PgConnection {
        PgConnection::connect(&Self::url(self.cluster.port)).await.unwrap()
    }

    async fn say(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.session().await).await.unwrap();
    }

    async fn configure(&self, setting: &str) {
        self.say(&format!("ALTER SYSTEM SET {setting}")).await;
        self.say("SELECT pg_reload_conf()").await;
    }

    /// Waits until a session of the process is in this state.
    async fn has_one_that(&self, what: &str) {
        let count = format!("SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND {what}");
        eventually(what, || async {
            let count = sqlx::query_scalar::<_, i64>(AssertSqlSafe(count.clone()));
            (count.fetch_one(&mut self.session().await).await.unwrap() > 0).then_some(())
        })
        .await;
    }

    /// Runs a process with events under way, and returns how long it takes to stop while the database is in a state.
    async fn stop_takes(&self, state: State) -> Duration {
        let url = Self::url(self.line.port);
        let serving = tokio::task::spawn_blocking(move || Serving::start_with(&url, TWILIO, SETTINGS)).await.unwrap();
        self.has_one_that("query LIKE 'LISTEN%'").await;
        let (mut locking, mut frozen) = (None, None);
        match state {
            State::Works => {}
            State::Broken => self.line.set(Network::Broken),
            State::Silent => self.line.set(Network::Silent),
            State::Locked => {
                let mut session = self.session().await;
                let lock = "BEGIN; LOCK taskrouter_streams.call, taskrouter_streams.fact";
                sqlx::raw_sql(lock).execute(&mut session).await.unwrap();
                locking = Some(session);
            }
            State::Unreplicated => self.configure("synchronous_standby_names = 'nobody'").await,
            State::Frozen => frozen = Some(self.cluster.freeze()),
            State::Demoted => self.configure("default_transaction_read_only = on").await,
        }
        let mut posting = post(&serving);
        match state {
            State::Locked => self.has_one_that("wait_event_type = 'Lock'").await,
            State::Unreplicated => self.has_one_that("wait_event = 'SyncRep'").await,
            State::Works | State::Broken | State::Silent | State::Frozen | State::Demoted => {}
        }
        let begun = Instant::now();
        serving.signal("TERM");
        let ended = tokio::time::timeout(scaled(PATIENCE), tokio::task::spawn_blocking(|| serving.ended())).await;
        let took = begun.elapsed();
        assert_eq!(ended.unwrap_or_else(|_| panic!("{state:?}: no end after {took:?}")).unwrap(), Some(0), "{state:?}");
        posting.kill().unwrap();
        posting.wait().unwrap();
        drop((locking, frozen));
        self.line.set(Network::Works);
        if state == State::Unreplicated {
            self.configure("synchronous_standby_names = ''").await;
        }
        took
    }

    /// How long a process takes to stop that still waits for its database.
    async fn stop_of_one_that_waits_takes(&self) -> Duration {
        let _frozen = self.cluster.freeze();
        let mut waiting = program()
            .arg("serve")
            .envs(ENVIRONMENT)
            .env("TRS__JOURNAL__URL", Self::url(self.cluster.port))
            .envs(SETTINGS.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(waiting.stderr.take().unwrap());
        let waits = |line: &String| line.contains("waiting for the database");
        let line = tokio::task::spawn_blocking(move || log.lines().map_while(Result::ok).find(waits));
        assert!(line.await.unwrap().is_some(), "it does not say that it waits");
        let begun = Instant::now();
        assert!(Command::new("kill").args(["-TERM", &waiting.id().to_string()]).status().unwrap().success());
        assert_eq!(tokio::task::spawn_blocking(move || waiting.wait()).await.unwrap().unwrap().code(), Some(0));
        begun.elapsed()
    }
}

/// Events, which are posted as long as there is anybody who takes them.
fn post(serving: &Serving) -> Child {
    serving.replaying("fixtures/taskrouter").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_the_process_in_time_whatever_its_database_does() {
    let Some(cluster) = another_server() else { return };
    let server = Server { line: Line::to(cluster.port).await, cluster };
    let is_in_time = |took: Duration, what: &str| {
        let limit = GRACE + scaled(BEYOND);
        assert!(took < limit, "{what}: {took:?} of {limit:?}");
    };
    is_in_time(server.stop_of_one_that_waits_takes().await, "waiting");
    let states = [State::Works, State::Broken, State::Silent, State::Locked, State::Unreplicated, State::Frozen];
    for state in states {
        is_in_time(server.stop_takes(state).await, &format!("{state:?}"));
    }
    // Nothing can be done with it afterwards.
    is_in_time(server.stop_takes(State::Demoted).await, "Demoted");
}
