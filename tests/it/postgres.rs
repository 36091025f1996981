//! A PostgreSQL of the tests' own: one cluster per test process, a database per test.
//!
//! Where PostgreSQL is not installed these tests say so and do nothing; in CI (the variable `CI` is set) they fail instead.

mod bouncer;
mod cluster;

use bouncer::Bouncer;
pub(crate) use cluster::Cluster;
use cluster::programs;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use taskrouter_streams::journal::{Journal, PostgresJournal, PostgresSettings};
use taskrouter_streams::telemetry::metrics::Commits;

/// The process's own cluster. What a killed process has committed survives without the disk, and so do the tests.
fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let start = || {
        let programs = programs();
        assert!(programs.is_some() || std::env::var_os("CI").is_none(), "PostgreSQL is missing: run `make setup-test`");
        if programs.is_none() {
            // Past the harness, which keeps what a test prints to itself.
            let _ = writeln!(
                std::io::stderr(),
                "\nSKIPPED: PostgreSQL is not installed, so nothing about its journal is tested. Run `make setup-test`.\n"
            );
        }
        programs.as_deref().map(|programs| Cluster::start(programs, "off"))
    };
    CLUSTER.get_or_init(start).as_ref()
}

/// A server besides, for a test that changes it.
pub(crate) fn another_server() -> Option<Cluster> {
    programs().map(|programs| Cluster::start(&programs, "off"))
}

/// The process's own PgBouncer, in front of the cluster. Where it is missing, its tests say so and do nothing, except in CI.
fn bouncer() -> Option<&'static Bouncer> {
    static BOUNCER: OnceLock<Option<Bouncer>> = OnceLock::new();
    let cluster = cluster()?;
    let start = || {
        let program = bouncer::program();
        assert!(program.is_some() || std::env::var_os("CI").is_none(), "PgBouncer is missing: run `make setup-test`");
        if program.is_none() {
            let _ = writeln!(
                std::io::stderr(),
                "\nSKIPPED: PgBouncer is not installed, so the journal is not tested behind it. Run `make setup-test`.\n"
            );
        }
        program.as_deref().map(|program| Bouncer::start(program, cluster.port))
    };
    BOUNCER.get_or_init(start).as_ref()
}

/// A database that only one test uses.
pub(crate) struct Database {
    cluster: &'static Cluster,
    name: String,
}

impl Database {
    /// `None` where there is no PostgreSQL.
    pub(crate) async fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let cluster = cluster()?;
        let database = Self { cluster, name: format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed)) };
        let mut maintenance = PgConnection::connect(&database.address("postgres")).await.unwrap();
        let create = format!("CREATE DATABASE {}", database.name);
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut maintenance).await.unwrap();
        maintenance.close().await.unwrap();
        Some(database)
    }

    fn address(&self, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{name}?sslmode=disable", self.cluster.port)
    }

    pub(crate) fn url(&self) -> String {
        self.address(&self.name)
    }

    /// As a new role that may use the tables that are there, and may make none.
    pub(crate) async fn url_of_a_user_of_the_tables(&self) -> String {
        let role = format!("uses_{}", self.name);
        self.say(&format!(
            "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA taskrouter_streams TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA taskrouter_streams TO {role}"
        ))
        .await;
        self.url().replace("postgres@", &format!("{role}@"))
    }

    /// As seen through something that listens elsewhere.
    pub(crate) fn url_at(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{}?sslmode=disable", self.name)
    }

    /// By way of PgBouncer; `None` where there is none.
    pub(crate) fn bounced_url(&self) -> Option<String> {
        Some(self.url_at(bouncer()?.port))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn port(&self) -> u16 {
        self.cluster.port
    }

    /// A certificate's file: "ca.pem" is the authority of the server's, "other-ca.pem" another one.
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.cluster.certificates.path().join(name)
    }

    /// Where its Unix socket is.
    pub(crate) fn directory(&self) -> &Path {
        &self.cluster.directory
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }

    /// Says something to the database, past the journal.
    pub(crate) async fn say(&self, sql: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    }

    /// From now on new sessions read a clock that [`set_clock`](Self::set_clock) sets, as that of a server whose clock is
    /// stepped, or of another server that has taken over.
    pub(crate) async fn fake_clock(&self) {
        // Only what is named before `pg_catalog` hides what is in it.
        self.say(&format!(
            "CREATE SCHEMA fake;
             CREATE TABLE fake.clock (ahead interval NOT NULL);
             INSERT INTO fake.clock VALUES ('0');
             CREATE FUNCTION fake.now() RETURNS timestamptz LANGUAGE sql STABLE
                 AS 'SELECT pg_catalog.now() + ahead FROM fake.clock';
             CREATE FUNCTION fake.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
                 AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM fake.clock';
             ALTER DATABASE {} SET search_path = fake, pg_catalog;",
            self.name
        ))
        .await;
    }

    /// Sets it so many seconds ahead of the machine's.
    pub(crate) async fn set_clock(&self, seconds: i64) {
        self.say(&format!("UPDATE fake.clock SET ahead = make_interval(secs => {seconds})")).await;
    }

    /// Asks the database for a number, past the journal.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let mut connection = self.connect().await;
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap()
    }
}

/// Settings that hurry.
pub(crate) fn settings(url: String, lease: Duration) -> PostgresSettings {
    PostgresSettings {
        url: url.parse().unwrap(),
        pool_size: 4,
        acquire_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(10),
        listen: true,
        queue_limit: 1_000,
        batch_limit: 64,
        lease,
        commits: Commits::default(),
    }
}

pub(crate) async fn open(settings: PostgresSettings) -> std::sync::Arc<dyn Journal> {
    std::sync::Arc::new(PostgresJournal::open(settings).await.unwrap())
}
