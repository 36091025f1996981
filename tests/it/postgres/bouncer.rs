//! A PgBouncer in transaction mode, in front of a cluster, that lives as long as the process that started it.

use super::cluster::run;
use crate::ports::free;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command};
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
        let [port] = free().map(|address| address.port());
        let arguments = |shell: &mut Command| {
            shell.arg(program).args([server.to_string(), port.to_string()]);
        };
        let (alive, _) = run(SCRIPT, arguments);
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "PgBouncer did not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { port, _alive: alive }
    }
}

/// The PgBouncer of this machine.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.map(|folder| folder.join("pgbouncer")).find(|program| program.exists())
}
