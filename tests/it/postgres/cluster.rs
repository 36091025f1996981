//! A PostgreSQL that lives as long as the process that started it.

use crate::ports::free;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use tempfile::TempDir;

/// Runs a cluster until its standard input ends, which it does however the test process ends.
const SCRIPT: &str = r#"
    set -e
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    chmod 700 "$dir"
    "$1/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-sync >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; exit 1; }
    # Everybody is trusted, but for the role "locked".
    sed -i '1i host all locked all scram-sha-256' "$dir/data/pg_hba.conf"
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
    # It may have been frozen.
    trap 'kill -CONT "$(head -n 1 "$dir/data/postmaster.pid")"; "$1/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null; rm -rf "$dir"' EXIT
    echo "$dir"
    cat >/dev/null
"#;

/// A running cluster.
pub(crate) struct Cluster {
    pub(crate) port: u16,
    /// Where its Unix socket is.
    pub(crate) directory: PathBuf,
    /// A certificate for 127.0.0.1 ("server.pem"), its authority ("ca.pem") and another authority ("other-ca.pem").
    pub(crate) certificates: TempDir,
    /// The cluster lives as long as this is open.
    _alive: (Child, ChildStdin),
}

fn certificates() -> TempDir {
    let authority = || {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::CertifiedIssuer::self_signed(parameters, rcgen::KeyPair::generate().unwrap());
        issuer.unwrap()
    };
    let (trusted, other) = (authority(), authority());
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &trusted).unwrap();
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
    directory
}

impl Cluster {
    /// Commits wait for the disk when `fsync` is "on".
    pub(crate) fn start(programs: &Path, fsync: &str) -> Self {
        let [port] = free().map(|address| address.port());
        let certificates = certificates();
        let arguments = |shell: &mut Command| {
            shell.arg(programs).arg(port.to_string()).arg(certificates.path()).arg(fsync);
        };
        let (alive, line) = run(SCRIPT, arguments);
        assert!(line.ends_with('\n'), "PostgreSQL did not start: see above");
        Self { port, directory: line.trim_end().into(), certificates, _alive: alive }
    }
}

/// All processes of a cluster, stopped until this is dropped, as on a machine that hangs.
pub(crate) struct Frozen(Vec<String>);

impl Cluster {
    pub(crate) fn freeze(&self) -> Frozen {
        let told = std::fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap();
        let first = told.lines().next().unwrap().to_owned();
        let mut frozen = Frozen(vec![first.clone()]);
        // The first one before the others, so that it makes no more of them.
        signal("STOP", &frozen.0);
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            // Most have no such file, or none any more.
            let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
            let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1));
            if parent == Some(&first) {
                frozen.0.push(process.file_name().into_string().unwrap());
            }
        }
        signal("STOP", &frozen.0[1..]);
        frozen
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("CONT", &self.0);
    }
}

/// To those that are still there.
fn signal(name: &str, processes: &[String]) {
    let _ = Command::new("kill").arg(format!("-{name}")).args(processes).stderr(Stdio::null()).status();
}

/// Runs a script, as the user postgres when we are root, as whom neither PostgreSQL nor PgBouncer runs; it goes on until its
/// standard input is dropped. Waits for the first line that it says.
pub(crate) fn run(script: &str, add_arguments: impl FnOnce(&mut Command)) -> ((Child, ChildStdin), String) {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout.starts_with(b"0\n");
    let mut command = if is_root { Command::new("runuser") } else { Command::new("sh") };
    if is_root {
        command.args(["-u", "postgres", "--", "sh"]);
    }
    command.args(["-c", script, "script"]);
    add_arguments(&mut command);
    let mut child = command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let stdin = child.stdin.take().unwrap();
    ((child, stdin), line)
}

/// The newest PostgreSQL of this machine.
pub(crate) fn programs() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let debian = debian.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> =
        std::env::split_paths(&path).chain(debian).filter(|folder| folder.join("initdb").exists()).collect();
    found.sort();
    found.pop()
}
