//! A PostgreSQL of the tests' own: one cluster per test process, a database per test.
//!
//! Where PostgreSQL is not installed these tests say so and do nothing; in CI (the variable `CI` is set) they fail instead.

use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use taskrouter_streams::journal::{PostgresJournal, PostgresSettings};
use taskrouter_streams::telemetry::metrics::Commits;
use tempfile::TempDir;

/// Runs a cluster until its standard input ends, which it does however the test process ends.
const SCRIPT: &str = r#"
    set -e
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    chmod 700 "$dir"
    "$1/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-sync >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; exit 1; }
    cp "$3/server.pem" "$3/server.key" "$dir"
    chmod 600 "$dir/server.key"
    cat >>"$dir/data/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
port = $2
unix_socket_directories = '$dir'
max_connections = 300
deadlock_timeout = 50ms
fsync = $4
ssl = on
ssl_cert_file = '$dir/server.pem'
ssl_key_file = '$dir/server.key'
END
    "$1/pg_ctl" -D "$dir/data" -w -t 120 -l "$dir/log" start >/dev/null || { cat "$dir/log" >&2; exit 1; }
    trap '"$1/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null; rm -rf "$dir"' EXIT
    echo "$dir"
    cat >/dev/null
"#;

/// A running cluster.
struct Cluster {
    port: u16,
    directory: PathBuf,
    certificates: Certificates,
    /// The cluster lives as long as this is open.
    _alive: (Child, ChildStdin),
}

/// A certificate for 127.0.0.1, the authority that it is from, and another authority.
struct Certificates(TempDir);

impl Certificates {
    fn issue() -> Self {
        let authority = || {
            let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
            parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            let issuer = rcgen::CertifiedIssuer::self_signed(parameters, rcgen::KeyPair::generate().unwrap());
            issuer.unwrap()
        };
        let (trusted, other) = (authority(), authority());
        let key = rcgen::KeyPair::generate().unwrap();
        let server =
            rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &trusted).unwrap();
        let directory = TempDir::new().unwrap();
        // PostgreSQL runs as another user, who copies them.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for (name, pem) in [
            ("server.pem", server.pem()),
            ("server.key", key.serialize_pem()),
            ("ca.pem", trusted.pem()),
            ("other-ca.pem", other.pem()),
        ] {
            std::fs::write(directory.path().join(name), pem).unwrap();
        }
        Self(directory)
    }
}

impl Cluster {
    fn start(programs: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let certificates = Certificates::issue();
        // PostgreSQL refuses to run as root.
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout.starts_with(b"0\n");
        let mut command = if is_root { Command::new("runuser") } else { Command::new("sh") };
        if is_root {
            command.args(["-u", "postgres", "--", "sh"]);
        }
        let mut child = command
            .args(["-c", SCRIPT, "cluster"])
            .arg(programs)
            .arg(port.to_string())
            .arg(certificates.0.path())
            .arg("off")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "PostgreSQL did not start: see above");
        let stdin = child.stdin.take().unwrap();
        Self { port, directory: line.trim_end().into(), certificates, _alive: (child, stdin) }
    }
}

/// The newest PostgreSQL of this machine.
fn programs() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let debian = debian.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> =
        std::env::split_paths(&path).chain(debian).filter(|folder| folder.join("initdb").exists()).collect();
    found.sort();
    found.pop()
}

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
        programs.as_deref().map(Cluster::start)
    };
    CLUSTER.get_or_init(start).as_ref()
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

    /// As seen through something that listens elsewhere.
    pub(crate) fn url_at(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{}?sslmode=disable", self.name)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn port(&self) -> u16 {
        self.cluster.port
    }

    /// A certificate's file: "ca.pem" is the authority of the server's, "other-ca.pem" another one.
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.cluster.certificates.0.path().join(name)
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

    /// Asks the database for a number, past the journal.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let mut connection = self.connect().await;
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap()
    }
}

/// Settings that hurry.
pub(crate) fn settings(url: String, lease: Duration) -> PostgresSettings {
    PostgresSettings {
        url: SecretString::from(url),
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

pub(crate) async fn open(settings: PostgresSettings) -> std::sync::Arc<PostgresJournal> {
    std::sync::Arc::new(PostgresJournal::open(settings).await.unwrap())
}
