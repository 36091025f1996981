//! Servers in processes of their own, each on one core, so that what they take of it can be told from what the load takes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) const ACCOUNT: &str = "ACde300000000000000000000000000001";
pub(crate) const WORKSPACE: &str = "WSde300000000000000000000000000002";
pub(crate) const TOKEN: &str = "the-token-of-the-bench";
pub(crate) const EVENTS_URL: &str = "https://streams.example.com/taskrouter/events";

/// What the kernel counts CPU time in (`USER_HZ`, fixed for user space on Linux).
const TICK: Duration = Duration::from_millis(10);

/// The core of the server; the load is on the next.
const CORE: &str = "0";
const CORE_OF_THE_LOAD: &str = "1";

/// The argument that makes this program a bare server.
pub(crate) const BARE: &str = "--bare-server";

/// A server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) public: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
}

impl Server {
    /// The program with one thread for events, whose worker finds Twilio at `twilio`.
    pub(crate) fn product(journal_url: &str, twilio: &str, more: &[(&str, &str)]) -> Self {
        let mut command = on_core(env!("CARGO_BIN_EXE_taskrouter-streams"));
        command.arg("serve").env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).envs([
            ("TWILIO_ACCOUNT_SID", ACCOUNT),
            ("TWILIO_AUTH_TOKEN", TOKEN),
            ("TWILIO_WORKSPACE_SID", WORKSPACE),
            ("TRS__SERVER__PUBLIC_URL", EVENTS_URL.strip_suffix("/taskrouter/events").unwrap()),
            ("TRS__SERVER__LISTEN", "127.0.0.1:0"),
            ("TRS__SERVER__THREADS", "1"),
            ("TRS__ADMIN__LISTEN", "127.0.0.1:0"),
            ("TRS__STREAMS__DESTINATIONS", "wss://audio.example.com/a"),
            ("TRS__TWILIO__API_BASE_URL", twilio),
            ("TRS__TWILIO__TASKROUTER_BASE_URL", twilio),
            ("TRS__JOURNAL__URL", journal_url),
        ]);
        Self::start(command.envs(more.iter().copied()))
    }

    /// The same server library answering 204, and nothing else.
    pub(crate) fn bare() -> Self {
        Self::start(on_core(&std::env::current_exe().unwrap().display().to_string()).arg(BARE))
    }

    /// Fastify with Twilio's library, which keeps nothing; `None` where it is not installed.
    pub(crate) fn fastify() -> Option<Self> {
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fastify/node_modules");
        let has_node =
            Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok_and(|node| node.success());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/figures/fastify.js");
        let start = || Self::start(on_core("node").args([script, EVENTS_URL, TOKEN]).env("NODE_PATH", &modules));
        (has_node && modules.join("fastify").is_dir()).then(start)
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let words = line.split_whitespace().filter_map(|word| word.trim_end_matches(',').strip_prefix("http://"));
        let mut addresses = words.map(|address| address.parse().unwrap());
        Self { child, public: addresses.next().unwrap(), admin: addresses.next() }
    }

    /// How much CPU time it has taken so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name before the bracket may hold spaces; utime and stime are the 14th and 15th field.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        TICK * (fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap())
    }

    /// Memory that is in RAM.
    pub(crate) fn resident_bytes(&self) -> usize {
        crate::memory::resident_bytes_of(&self.child.id().to_string())
    }

    /// A metric, with its labels if it has some.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let mut connection = TcpStream::connect(self.admin.unwrap()).unwrap();
        write!(connection, "GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let name = format!("taskrouter_streams_{name} ");
        answer.lines().find_map(|line| line.strip_prefix(&name)).map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until no call is due or claimed.
    pub(crate) fn works_off(&self) {
        while self.metric("calls{state=\"active\"}") > 0.0 {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already needs no killing.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

fn on_core(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", CORE, program]);
    command
}

/// Keeps this thread, and those that it starts, off the server's core.
pub(crate) fn leave_the_servers_core() {
    let thread = std::fs::read_link("/proc/thread-self").unwrap();
    let id = thread.file_name().unwrap().to_str().unwrap().to_owned();
    let moved =
        Command::new("taskset").args(["--cpu-list", "--pid", CORE_OF_THE_LOAD, &id]).stdout(Stdio::null()).status();
    assert!(moved.unwrap().success(), "taskset (util-linux) and two cores are needed");
}

/// Serves until killed.
pub(crate) fn serve_bare() {
    actix_web::rt::System::new().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        println!("http://{}", listener.local_addr().unwrap());
        let server = actix_web::HttpServer::new(|| {
            actix_web::App::new().route(
                "/taskrouter/events",
                actix_web::web::post()
                    .to(|_body: actix_web::web::Bytes| async { actix_web::HttpResponse::NoContent().finish() }),
            )
        });
        server.workers(1).disable_signals().listen(listener).unwrap().run().await.unwrap();
    });
}
