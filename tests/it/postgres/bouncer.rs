//! A PgBouncer in transaction mode, in front of a cluster, that lives as long as the process that started it.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs it until its standard input ends. Round robin gives every transaction another connection of the few.
const SCRIPT: &str = r#"
    set -e
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    cat >"$dir/pgbouncer.ini" <<END
[databases]
* = host=127.0.0.1 port=$2 user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $3
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
server_round_robin = 1
max_client_conn = 500
logfile = $dir/log
END
    "$1" -q "$dir/pgbouncer.ini" >"$dir/out" 2>&1 &
    pid=$!
    trap 'kill $pid; rm -rf "$dir"' EXIT
    echo started
    cat >/dev/null
"#;

/// A running PgBouncer.
pub(crate) struct Bouncer {
    pub(crate) port: u16,
    /// It lives as long as this is open.
    _alive: (Child, ChildStdin),
}

impl Bouncer {
    pub(crate) fn start(program: &Path, server: u16) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Like PostgreSQL, it refuses to run as root.
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout.starts_with(b"0\n");
        let mut command = if is_root { Command::new("runuser") } else { Command::new("sh") };
        if is_root {
            command.args(["-u", "postgres", "--", "sh"]);
        }
        let mut child = command
            .args(["-c", SCRIPT, "bouncer"])
            .arg(program)
            .args([server.to_string(), port.to_string()])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "PgBouncer did not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        let stdin = child.stdin.take().unwrap();
        Self { port, _alive: (child, stdin) }
    }
}

/// The PgBouncer of this machine.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.map(|folder| folder.join("pgbouncer")).find(|program| program.exists())
}
