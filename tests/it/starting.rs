//! How the program starts: while its journal is not open, and under systemd.

use crate::ingress::{FORM, event, raw, send, status};
use crate::pace::scaled;
use crate::ports::free;
use crate::postgres::another_server;
use crate::program::{self, program, text};
use crate::strangers::{PATIENCE, get};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The default of `shutdown.grace_ms`.
const GRACE: Duration = Duration::from_secs(10);

fn serve(journal: &str, listen: [SocketAddr; 2]) -> Command {
    let mut command = program();
    command.arg("serve").envs(program::ENVIRONMENT).env("TRS__JOURNAL__URL", journal);
    command.env("TRS__SERVER__LISTEN", listen[0].to_string()).env("TRS__ADMIN__LISTEN", listen[1].to_string());
    command.envs([
        ("TRS__TWILIO__API_BASE_URL", "http://127.0.0.1:9"),
        ("TRS__TWILIO__TASKROUTER_BASE_URL", "http://127.0.0.1:9"),
        ("TRS__JOURNAL__ACQUIRE_TIMEOUT_MS", "1000"),
    ]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn terminate(child: &Child) {
    kill_process(Pid::from_child(child), Signal::TERM).unwrap();
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + scaled(PATIENCE);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn answers(address: SocketAddr, path: &str) -> String {
    let is_open = || TcpStream::connect(address).is_ok();
    until("somebody listens", is_open);
    status(&get(&address.to_string(), path)).to_owned()
}

fn by_head(address: SocketAddr, path: &str) -> String {
    let request = format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = send(address, request.as_bytes());
    assert!(answer.ends_with("\r\n\r\n"), "a head and no body: {answer}");
    status(&answer).to_owned()
}

fn posted(address: SocketAddr) -> String {
    let (body, signature) = event(1, 1);
    send(address, &raw("/taskrouter/events", FORM, &[&signature], body.as_bytes()))
}

#[test]
fn a_database_that_is_not_up_yet_is_waited_for_with_both_listeners_up() {
    let [public, admin, nobody] = free();
    let journal = format!("postgres://postgres@{nobody}/postgres?sslmode=disable");
    let mut child = serve(&journal, [public, admin]).spawn().unwrap();
    for path in ["/health/live", "/health/live"] {
        assert_eq!(answers(admin, path), "200");
    }
    assert_eq!(by_head(admin, "/health/live"), "200");
    for path in ["/health/ready", "/health", "/metrics", "/console"] {
        assert_eq!(answers(admin, path), "503", "{path}");
    }
    let answer = posted(public);
    assert_eq!(status(&answer), "503");
    assert!(answer.to_lowercase().contains("retry-after: 1"), "{answer}");
    assert_eq!(answers(public, "/"), "503", "a load balancer sends events elsewhere");
    assert_eq!(answers(public, "/health/live"), "503", "there is none");
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0), "a signal stops it meanwhile");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("waiting for the database") && said.contains("Connection refused"), "{said}");
    assert!(said.lines().filter(|line| line.contains("waiting for")).count() < 9, "not a line per try: {said}");
}

#[test]
fn the_service_works_as_soon_as_its_database_has_come() {
    let Some(server) = another_server() else { return };
    let [public, admin, door] = free();
    let journal = format!("postgres://postgres@{door}/postgres?sslmode=disable");
    let mut child = serve(&journal, [public, admin]).spawn().unwrap();
    assert_eq!(answers(admin, "/health/ready"), "503");
    let listener = TcpListener::bind(door).unwrap();
    let port = server.port;
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut client, mut database) = (socket.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
            let (mut from, mut to) = (database.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || std::io::copy(&mut client, &mut database));
        }
    });
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, format!("ready: events on http://{public}, health on http://{admin}\n"));
    for path in ["/health", "/health/live", "/health/ready"] {
        assert_eq!(answers(admin, path), "200");
        assert_eq!(by_head(admin, path), "200");
    }
    assert_eq!(answers(public, "/"), "200");
    assert_eq!(status(&posted(public)), "403", "another account's");
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_a_database_refuses_for_good_is_not_waited_for() {
    let Some(server) = another_server() else { return };
    for (user, database) in [("postgres", "nowhere"), ("nobody", "postgres")] {
        let journal = format!("postgres://{user}@127.0.0.1:{}/{database}?sslmode=disable", server.port);
        let output = serve(&journal, free()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("cannot be opened"), "{}", text(&output.stderr));
    }
}

/// A journal's file that somebody else holds: whoever opens it waits until they let it go.
fn held(folder: &TempDir) -> (String, rusqlite::Connection) {
    let path = folder.path().join("journal.db");
    let holder = rusqlite::Connection::open(&path).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    (format!("sqlite:{}", path.display()), holder)
}

#[test]
fn probes_are_answered_and_signals_heeded_while_a_file_is_being_opened() {
    let folder = TempDir::new().unwrap();
    let (journal, holder) = held(&folder);
    let [public, admin] = free();
    let mut child = serve(&journal, [public, admin]).spawn().unwrap();
    assert_eq!(answers(admin, "/health/live"), "200");
    assert_eq!(answers(admin, "/health/ready"), "503");
    assert_eq!(status(&posted(public)), "503");
    terminate(&child);
    let began = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(began.elapsed() < scaled(GRACE), "{:?}", began.elapsed());
    drop(holder);
}

#[test]
fn the_service_works_as_soon_as_its_file_is_open() {
    let folder = TempDir::new().unwrap();
    let (journal, holder) = held(&folder);
    let [public, admin] = free();
    let mut child = serve(&journal, [public, admin]).spawn().unwrap();
    assert_eq!(answers(admin, "/health/live"), "200");
    holder.execute_batch("ROLLBACK").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, format!("ready: events on http://{public}, health on http://{admin}\n"));
    assert_eq!(answers(admin, "/health/ready"), "200");
    assert_eq!(status(&posted(public)), "403", "another account's");
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn systemd_is_told_when_it_is_ready_that_it_lives_and_that_it_stops() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(scaled(PATIENCE))).unwrap();
    let journal = format!("sqlite:{}", folder.path().join("journal.db").display());
    let mut command = serve(&journal, free());
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let mut child = command.spawn().unwrap();
    let told = || {
        let mut bytes = [0; 256];
        let read = socket.recv(&mut bytes).unwrap();
        text(&bytes[..read]).trim().to_owned()
    };
    assert_eq!(told(), "READY=1");
    assert_eq!([told(), told(), told()], ["WATCHDOG=1"; 3]);
    terminate(&child);
    let last = std::iter::repeat_with(told).find(|word| word != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
