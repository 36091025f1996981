//! `doctor` against the simulated Twilio, a running worker and destinations with TLS, as its users start it.

use crate::ports::free;
use crate::postgres::{self, Database};
use crate::program::{ACCOUNT, TOKEN, WORKSPACE, program, text};
use crate::stories::patient;
use secrecy::SecretString;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use taskrouter_streams::config;
use taskrouter_streams::service::Service;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use twilio_simulator::faults::{Fault, On};
use twilio_simulator::world::{OpName, ParticipantChange, Request, Violation};
use twilio_simulator::{Settings, Simulator};

/// A worker that is set up well, with all that it needs.
struct Fixture {
    sim: Simulator,
    service: Option<Service>,
    environment: BTreeMap<String, String>,
    directory: TempDir,
}

/// A TLS server for 127.0.0.1 whose certificate is written to `folder`; it answers a request for `/STATUS` with that status.
async fn destination(folder: &TempDir) -> (u16, PathBuf) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let path = folder.path().join("authority.pem");
    std::fs::write(&path, certificate.pem()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).await.is_ok() {
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                assert!(head.to_lowercase().contains("sec-websocket-key"));
                let status = head.split([' ', '/']).nth(2).unwrap();
                let upgrade = if status == "101" { "Connection: Upgrade\r\nUpgrade: websocket\r\n" } else { "" };
                let answer = format!("HTTP/1.1 {status} X\r\n{upgrade}Content-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                let _ = stream.shutdown().await;
            });
        }
    });
    (port, path)
}

impl Fixture {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let sim = Simulator::start(Settings {
            config: patient(),
            account: ACCOUNT.parse().unwrap(),
            auth_token: SecretString::from(TOKEN),
            api_key: Some(("SK00000000000000000000000000000001".to_owned(), SecretString::from("a-secret"))),
            workspace: WORKSPACE.parse().unwrap(),
        })
        .await
        .unwrap();
        let [public, admin] = free().map(|address| address.to_string());
        let (port, authority) = destination(&directory).await;
        let environment = [
            ("TWILIO_ACCOUNT_SID", ACCOUNT.to_owned()),
            ("TWILIO_AUTH_TOKEN", TOKEN.to_owned()),
            ("TWILIO_API_KEY", "SK00000000000000000000000000000001".to_owned()),
            ("TWILIO_API_SECRET", "a-secret".to_owned()),
            ("TWILIO_WORKSPACE_SID", WORKSPACE.to_owned()),
            ("TRS__SERVER__PUBLIC_URL", format!("http://{public}")),
            ("TRS__SERVER__LISTEN", public),
            ("TRS__SERVER__THREADS", "1".to_owned()),
            ("TRS__ADMIN__LISTEN", admin),
            ("TRS__TWILIO__API_BASE_URL", sim.api_base_url()),
            ("TRS__TWILIO__TASKROUTER_BASE_URL", sim.api_base_url()),
            ("TRS__JOURNAL__URL", format!("sqlite:{}", directory.path().join("journal.db").display())),
            ("TRS__STREAMS__DESTINATIONS", format!("wss://127.0.0.1:{port}/101")),
            ("SSL_CERT_FILE", authority.display().to_string()),
        ];
        let environment: BTreeMap<String, String> =
            environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let service = Service::start(&config::from_text(None, &environment).unwrap()).await.unwrap();
        let fixture = Self { sim, service: Some(service), environment, directory };
        let (code, said) = fixture.run(&["setup", "--yes"], &[]).await;
        assert_eq!(code, Some(0), "{said}");
        fixture
    }

    /// The exit code and what was said.
    async fn run(&self, arguments: &[&str], changed: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut command = program();
        command.args(arguments).envs(&self.environment).envs(changed.iter().copied());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }

    /// The exit code, and everything that is not ok: its name, verdict and what was found.
    async fn complaints(&self, more: &[&str], changed: &[(&str, &str)]) -> (Option<i32>, Vec<[String; 3]>) {
        let (code, said) = self.run(&[&["doctor", "--json"], more].concat(), changed).await;
        assert!(!said.contains(TOKEN) && !said.contains("a-secret"), "{said}");
        let checks: Vec<Value> = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        let complaints = checks.iter().filter(|check| check["verdict"] != "ok").map(|check| {
            assert!(check["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "what to do: {check}");
            ["check", "verdict", "found"].map(|field| check[field].as_str().unwrap().to_owned())
        });
        (code, complaints.collect())
    }

    /// With this changed, exactly these are complained of.
    async fn finds(&self, changed: &[(&str, &str)], code: i32, expected: &[[&str; 3]]) {
        let (found_code, complaints) = self.complaints(&[], changed).await;
        let same = complaints.len() == expected.len()
            && complaints.iter().zip(expected).all(|(found, [check, verdict, words])| {
                found[0] == *check && found[1] == *verdict && found[2].contains(words)
            });
        assert!(same, "{changed:?}: {complaints:#?} instead of {expected:#?}");
        assert_eq!(found_code, Some(code), "{complaints:#?}");
    }

    async fn stop(mut self) {
        if let Some(service) = self.service.take() {
            service.stop().await;
        }
        self.sim.stop().await;
    }
}

#[tokio::test]
async fn a_worker_that_is_set_up_well_has_nothing_wrong_with_it_and_is_not_disturbed() {
    let fixture = Fixture::start().await;
    let (code, said) = fixture.run(&["doctor"], &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("0 warnings, 0 failures"), "{said}");
    for name in [
        "configuration",
        "voice api",
        "taskrouter",
        "workspace",
        "clock",
        "auth token",
        "public url",
        "signatures",
        "destination",
        "worker",
        "parked changes",
        "stale streams",
        "journal",
    ] {
        assert!(said.lines().any(|line| line.starts_with("ok") && line.contains(name)), "{name}: {said}");
    }
    let journal = fixture.service.as_ref().unwrap().journal();
    assert_eq!(journal.newest_event().await.unwrap(), None, "the self-test event is not journaled");
    assert_eq!(fixture.sim.world(|world| world.violations().to_vec()), Vec::<Violation>::new());
    fixture.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_found_and_nothing_else() {
    let fixture = Fixture::start().await;
    let url = fixture.environment["TRS__STREAMS__DESTINATIONS"].clone();
    let at = |status: &str| url.replace("/101", &format!("/{status}"));
    let stranger = fixture.directory.path().join("stranger.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["stranger".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(&stranger, certificate.pem()).unwrap();
    for (changed, code, expected) in [
        (
            &[("TWILIO_API_SECRET", "wrong")][..],
            1,
            &[
                ["voice api", "failure", "refused the credentials"],
                ["taskrouter", "failure", "refused the credentials"],
            ][..],
        ),
        (
            &[("TWILIO_AUTH_TOKEN", "wrong")],
            1,
            &[["auth token", "failure", "every event will be refused"], ["public url", "failure", "403"]],
        ),
        (
            &[("TRS__TWILIO__AUTH_TOKENS", "a-token-for-tests,an-old-one")],
            0,
            &[["auth token", "warning", "token 2 of 2"]],
        ),
        (
            &[("TWILIO_WORKSPACE_SID", "WS000000000000000000000000000000ff")],
            1,
            &[["workspace", "failure", "no Event Callback URL"], ["public url", "failure", "403"]],
        ),
        (
            &[("TWILIO_WORKSPACE_SID", "WS00000000000000000000000000000bad")],
            1,
            &[["taskrouter", "failure", "404"], ["public url", "failure", "403"]],
        ),
        (&[("TRS__TWILIO__API_BASE_URL", "http://127.0.0.1:9")], 1, &[["voice api", "failure", "could not connect"]]),
        (
            &[("TRS__SERVER__PUBLIC_URL", "http://127.0.0.1:9")],
            1,
            &[
                ["workspace", "failure", "another one"],
                ["public url", "failure", "could not connect"],
                ["signatures", "failure", "could not connect"],
            ],
        ),
        (
            &[("TRS__STREAMS__DESTINATIONS", "wss://127.0.0.1:9/a")],
            1,
            &[["destination", "failure", "could not connect"]],
        ),
        (&[("TRS__STREAMS__DESTINATIONS", &at("404"))], 0, &[["destination", "warning", "404"]]),
        (&[("TRS__STREAMS__DESTINATIONS", &at("403"))], 0, &[]),
        (&[("SSL_CERT_FILE", stranger.to_str().unwrap())], 1, &[["destination", "failure", "certificate"]]),
        (
            &[("TRS__JOURNAL__URL", "sqlite:/proc/nowhere/journal.db")],
            1,
            &[["journal", "failure", "cannot be written"]],
        ),
        (
            &[("TRS__JOURNAL__POOL_SIZE", "4")],
            0,
            &[["configuration", "warning", "journal.pool_size (from TRS__JOURNAL__POOL_SIZE)"]],
        ),
        (&[("TRS__ADMIN__LISTEN", "127.0.0.1:9")], 0, &[["worker", "warning", "no service answers"]]),
        (&[("TWILIO_API_KEY", ""), ("TWILIO_API_SECRET", "")], 0, &[["configuration", "warning", "auth token"]]),
    ] {
        fixture.finds(changed, code, expected).await;
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_postgresql_that_can_and_that_cannot_keep_the_journal_is_told_from_one_another() {
    let Some(database) = Database::new().await else { return };
    let fixture = Fixture::start().await;
    let (url, name) = (database.url(), database.name());
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'taskrouter_streams'";
    // The cluster of the tests does not wait for its disk, which is worth a word, and that is all.
    fixture.finds(&[("TRS__JOURNAL__URL", &url)], 0, &[["journal", "warning", "durable write in"]]).await;
    let (_, complaints) = fixture.complaints(&[], &[("TRS__JOURNAL__URL", &url)]).await;
    assert!(complaints[0][2].ends_with("ms (median), but its fsync is off"), "{complaints:?}");
    assert_eq!(database.number(schemas).await, 0, "nothing was made");
    // The same with a worker's tables in it, however many look.
    postgres::open(postgres::settings(url.clone(), Duration::from_secs(60))).await.close().await.unwrap();
    fixture.finds(&[("TRS__JOURNAL__URL", &url)], 0, &[["journal", "warning", "durable write in"]]).await;

    database
        .say(&format!(
            "CREATE ROLE reads_{name} LOGIN; GRANT USAGE ON SCHEMA taskrouter_streams TO reads_{name};
             GRANT SELECT ON ALL TABLES IN SCHEMA taskrouter_streams TO reads_{name};
             CREATE ROLE locked LOGIN PASSWORD 'the-right-one';"
        ))
        .await;
    let reads = url.replace("postgres@", &format!("reads_{name}@"));
    fixture
        .finds(&[("TRS__JOURNAL__URL", &reads)], 1, &[["journal", "failure", "grants this role no write access"]])
        .await;
    let nobody = database.url_at(9);
    fixture.finds(&[("TRS__JOURNAL__URL", &nobody)], 1, &[["journal", "failure", "cannot be opened"]]).await;
    let missing = url.replace(name, "missing");
    fixture.finds(&[("TRS__JOURNAL__URL", &missing)], 1, &[["journal", "failure", "does not exist"]]).await;
    let wrong = url.replace("postgres@", "locked:hunter2@");
    for arguments in [&["doctor"][..], &["doctor", "--json"]] {
        let (code, said) = fixture.run(arguments, &[("TRS__JOURNAL__URL", &wrong)]).await;
        assert!(code == Some(1) && said.contains("password authentication failed"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert!(said.contains("correct the user and the password in journal.url"), "{said}");
    }
    let uses = database.url_of_a_user_of_the_tables().await;
    fixture.finds(&[("TRS__JOURNAL__URL", &uses)], 0, &[["journal", "warning", "durable write in"]]).await;
    database.say("DELETE FROM taskrouter_streams.version WHERE number = 4").await;
    let older = "has tables of an older version, which this role does not own";
    fixture.finds(&[("TRS__JOURNAL__URL", &uses)], 1, &[["journal", "failure", older]]).await;
    fixture.finds(&[("TRS__JOURNAL__URL", &url)], 0, &[["journal", "warning", "durable write in"]]).await;
    database.say("INSERT INTO taskrouter_streams.version VALUES (99)").await;
    let newer = "has schema version 99, this program knows up to 4";
    fixture.finds(&[("TRS__JOURNAL__URL", &url)], 1, &[["journal", "failure", newer]]).await;
    let (_, said) = fixture.run(&["doctor"], &[("TRS__JOURNAL__URL", &url)]).await;
    assert!(said.contains("run the newer version"), "{said}");
    fixture.stop().await;
}

#[tokio::test]
async fn a_file_that_the_worker_could_not_use_as_its_journal_is_found_and_left_as_it_is() {
    let fixture = Fixture::start().await;
    let folder = fixture.directory.path().join("files");
    std::fs::create_dir(&folder).unwrap();
    let file = |name: &str| folder.join(name);
    std::fs::write(file("letter"), "Dear Sir or Madam, ".repeat(1_000)).unwrap();
    std::fs::write(file("empty"), "").unwrap();
    std::fs::create_dir(file("folder")).unwrap();
    let database = |name: &str, statements: &str| {
        let connection = rusqlite::Connection::open(file(name)).unwrap();
        connection.execute_batch(statements).unwrap();
        connection
    };
    drop(database("newer", "PRAGMA user_version = 99"));
    drop(database("ours", "PRAGMA user_version = 1"));
    drop(database("at rest", "PRAGMA journal_mode = WAL; CREATE TABLE t (i)"));
    // As a newer version that runs, or was killed: the file itself does not say so yet.
    let running =
        database("running", "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA user_version = 99");
    let list = || -> BTreeMap<PathBuf, u64> {
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| (entry.path(), entry.metadata().unwrap().len())).collect()
    };
    let before = list();
    for (name, words) in [
        ("letter", "file is not a database"),
        ("folder", "Is a directory"),
        ("newer", "schema version 99"),
        ("running", "schema version 99"),
    ] {
        let url = format!("sqlite:{}", file(name).display());
        fixture.finds(&[("TRS__JOURNAL__URL", &url)], 1, &[["journal", "failure", words]]).await;
    }
    let letter = format!("sqlite:{}", file("letter").display());
    let (_, said) = fixture.run(&["doctor"], &[("TRS__JOURNAL__URL", &letter)]).await;
    assert!(said.contains("set journal.url to another file") && !said.contains("own it"), "{said}");
    for name in ["ours", "at rest", "empty", "not there yet"] {
        let url = format!("sqlite:{}", file(name).display());
        fixture.finds(&[("TRS__JOURNAL__URL", &url)], 0, &[]).await;
    }
    assert_eq!(before, list(), "nothing was written, and nothing is left behind");
    running.close().unwrap();
    fixture.stop().await;
}

/// The program as somebody who may not write to what only its owner may write to, which root always may.
fn as_somebody_else() -> Command {
    let mut command = program();
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(65_534).gid(65_534);
    }
    command
}

#[tokio::test]
async fn a_journal_that_somebody_else_has_made_is_found() {
    if as_somebody_else().arg("--version").output().is_err() {
        // Past the harness, which keeps what a test prints to itself.
        let _ = writeln!(std::io::stderr(), "\nSKIPPED: nobody but root can start the program where it was built.\n");
        return;
    }
    let fixture = Fixture::start().await;
    let folder = TempDir::new().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let url = format!("sqlite:{}", folder.path().join("journal.db").display());
    let journal = async || {
        let mut command = as_somebody_else();
        command.args(["doctor", "--json"]).envs(&fixture.environment).env("TRS__JOURNAL__URL", &url);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let checks: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let check = checks.into_iter().find(|check| check["check"] == "journal").unwrap();
        (check["verdict"].as_str().unwrap().to_owned(), check["found"].as_str().unwrap().to_owned())
    };
    assert_eq!(journal().await.0, "ok");
    // A worker that was once tried by hand leaves both.
    for ending in ["", "-wal"] {
        let file = folder.path().join(format!("journal.db{ending}"));
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o444)).unwrap();
        let (verdict, found) = journal().await;
        assert!(verdict == "failure" && found.contains(&format!("journal.db{ending} cannot be opened")), "{found}");
        std::fs::remove_file(&file).unwrap();
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_workspace_that_tells_too_little_or_somebody_else_is_found() {
    let fixture = Fixture::start().await;
    let ours = fixture.sim.world(|world| world.workspace().clone());
    fixture.sim.world(|world| world.workspace().events_filter = "task.created,reservation.accepted".to_owned());
    fixture.finds(&[], 1, &[["workspace", "failure", "reservation.wrapup"]]).await;
    fixture.sim.world(|world| world.workspace().events_filter = String::new());
    fixture.finds(&[], 0, &[]).await;
    fixture.sim.world(|world| {
        let workspace = world.workspace();
        workspace.event_callback_url = ours.event_callback_url.replace("#rc=3&rp=5xx,ct,rt", "")
    });
    fixture.finds(&[], 0, &[["workspace", "warning", "retry"]]).await;
    fixture.sim.world(|world| world.workspace().event_callback_url = "https://a:b@crm.example.com/hook".to_owned());
    fixture.finds(&[], 1, &[["workspace", "failure", "https://hidden@crm.example.com/hook"]]).await;
    fixture.stop().await;
}

#[tokio::test]
async fn with_event_streams_the_sink_and_its_subscription_are_looked_at_instead() {
    let fixture = Fixture::start().await;
    fixture.sim.world(|world| world.workspace().event_callback_url = "https://crm.example.com/hook".to_owned());
    let finds = async |code: i32, words: &str| {
        let (found_code, complaints) = fixture.complaints(&["--event-streams"], &[]).await;
        assert_eq!(found_code, Some(code), "{complaints:?}");
        match complaints.as_slice() {
            [] => assert_eq!(words, ""),
            [[check, _, found]] => assert!(check == "event streams" && found.contains(words), "{complaints:?}"),
            more => panic!("{more:?}"),
        }
    };
    finds(1, "no sink").await;
    let (code, said) = fixture.run(&["setup", "--event-streams", "--yes"], &[]).await;
    assert_eq!(code, Some(0), "{said}");
    finds(0, "").await;
    let lost = fixture.sim.world(|world| world.event_streams().subscriptions.clone())[0].types[5].clone();
    fixture.sim.world(|world| world.event_streams().subscriptions[0].types.retain(|name| *name != lost));
    finds(1, &lost).await;
    fixture.sim.world(|world| {
        let streams = world.event_streams();
        streams.subscriptions[0].types.push(lost);
        streams.subscriptions[0].of_subaccounts = true;
    });
    finds(0, "subaccounts").await;
    fixture.sim.world(|world| world.event_streams().sinks[0].status = "failed".to_owned());
    finds(1, "failed").await;
    fixture.sim.faults(|faults| faults.script(On::Next(OpName::ListSinks), 1, Fault::status(403)));
    finds(0, "403").await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_a_table_too() {
    let fixture = Fixture::start().await;
    let changed = [("TRS__SERVER__THREADS", "0"), ("TRS__STREAMS__DESTINATIONS", "ws://h/a")];
    fixture
        .finds(
            &changed,
            2,
            &[["configuration", "failure", "server.threads"], ["configuration", "failure", "destinations"]],
        )
        .await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_stopped_worker_leaves_its_journal_and_its_checks_say_so() {
    let mut fixture = Fixture::start().await;
    fixture.service.take().unwrap().stop().await;
    fixture
        .finds(
            &[],
            1,
            &[
                ["public url", "failure", "could not connect"],
                ["signatures", "failure", "could not connect"],
                ["worker", "warning", "no service"],
            ],
        )
        .await;
    let before: Vec<_> =
        std::fs::read_dir(fixture.directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    fixture.run(&["doctor"], &[]).await;
    let after: Vec<_> =
        std::fs::read_dir(fixture.directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(before, after, "nothing is left behind");
    fixture.stop().await;
}

#[tokio::test]
async fn a_probe_tells_whether_a_leg_stays_in_its_conference() {
    let fixture = Fixture::start().await;
    let task = fixture.sim.act(|world| world.customer_calls()).await;
    fixture.sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    let customer = fixture.sim.world(|world| world.report(&task)).unwrap().customer.unwrap().to_string();
    let (code, said) = fixture.run(&["doctor", "--probe-call", &customer], &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("stayed in its conference, as streams.strategy = \"streams-api\" needs"), "{said}");
    let streams = fixture.sim.world(|world| world.report(&task)).unwrap().streams;
    assert_eq!(streams.len(), 1);
    assert!(streams[0].stopped_at.is_some() && streams[0].name.starts_with("Stream_probe_"));
    assert_eq!(streams[0].status_callback, None, "the worker does not hear of it");

    // On hold it is tried so: the probe never holds anybody, and takes nobody off hold.
    let conference = fixture.sim.world(|world| world.conference(&task)).unwrap().to_string();
    let hold = ParticipantChange { hold: Some(true), ..ParticipantChange::default() };
    let held = Request::UpdateParticipant { conference, call: customer.clone(), change: hold };
    fixture.sim.act(|world| world.perform(&held, "/held")).await;
    let asked = fixture.sim.world(|world| world.requests().len());
    let (code, said) = fixture.run(&["doctor", "--probe-call", &customer], &[]).await;
    assert!(code == Some(0) && said.contains("which is on hold, and the leg stayed"), "{said}");
    let written = fixture.sim.world(|world| {
        let requests = world.requests().iter().skip(asked);
        requests.filter(|request| request.op == Some(OpName::UpdateParticipant)).count()
    });
    assert_eq!(written, 0);

    fixture.sim.faults(|faults| faults.script(On::Next(OpName::CreateStream), 1, Fault::status(400)));
    let (code, complaints) = fixture.complaints(&["--probe-call", &customer], &[]).await;
    assert_eq!((code, complaints.len()), (Some(1), 1), "{complaints:?}");
    assert!(complaints[0][2].contains("no stream could be started"), "{complaints:?}");

    // The answer is lost, and yet the stream that it was about does not go on.
    fixture.sim.faults(|faults| faults.script(On::Next(OpName::CreateStream), 1, Fault::Cut { took_effect: true }));
    let (code, _) = fixture.complaints(&["--probe-call", &customer], &[]).await;
    assert_eq!(code, Some(1));
    assert!(
        fixture
            .sim
            .world(|world| world.report(&task))
            .unwrap()
            .streams
            .iter()
            .all(|stream| stream.stopped_at.is_some())
    );

    fixture.sim.act(|world| world.customer_hangs_up(&task)).await.unwrap();
    let (code, complaints) = fixture.complaints(&["--probe-call", &customer], &[]).await;
    assert_eq!(code, Some(1));
    assert!(complaints[0][2].contains("none of the"), "{complaints:?}");
    assert_eq!(fixture.run(&["doctor", "--probe-call", "nonsense"], &[]).await.0, Some(2));
    assert_eq!(fixture.sim.world(|world| world.violations().to_vec()), Vec::<Violation>::new());
    fixture.stop().await;
}
