//! The program as its users start it: a process, its arguments, its exit codes.

use crate::postgres::another_server;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use taskrouter_streams::journal::{Facts as _, Journal as _, SqliteJournal, SqliteSettings};
use taskrouter_streams::telemetry::metrics::{Commits, PREFIX};
use tempfile::TempDir;

pub(crate) const ACCOUNT: &str = "AC7a5c0000000000000000000000000001";
pub(crate) const WORKSPACE: &str = "WS7a5c0000000000000000000000000002";
pub(crate) const TOKEN: &str = "a-token-for-tests";
pub(crate) const PUBLIC_URL: &str = "https://streams.example.com";

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskrouter-streams"));
    command.env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What `serve` needs to know to start, but for its journal.
pub(crate) const ENVIRONMENT: [(&str, &str); 7] = [
    ("TWILIO_ACCOUNT_SID", ACCOUNT),
    ("TWILIO_AUTH_TOKEN", TOKEN),
    ("TWILIO_WORKSPACE_SID", WORKSPACE),
    ("TRS__SERVER__PUBLIC_URL", PUBLIC_URL),
    ("TRS__SERVER__LISTEN", "127.0.0.1:0"),
    ("TRS__ADMIN__LISTEN", "127.0.0.1:0"),
    ("TRS__STREAMS__DESTINATIONS", "wss://audio.example.com/a"),
];

/// A running `serve`, killed with SIGKILL when dropped.
pub(crate) struct Serving {
    child: Child,
    pub(crate) public: String,
    pub(crate) admin: String,
}

impl Serving {
    /// Against an address where nobody listens: what the worker asks for fails, what it is told it keeps.
    fn start(journal: &Path) -> Self {
        Self::start_against(journal, "http://127.0.0.1:9")
    }

    pub(crate) fn start_against(journal: &Path, twilio: &str) -> Self {
        Self::start_with(&format!("sqlite:{}", journal.display()), twilio, &[])
    }

    pub(crate) fn start_with(journal_url: &str, twilio: &str, more: &[(&str, &str)]) -> Self {
        Self::start_as(program(), journal_url, twilio, more)
    }

    /// `command` becomes the program by the arguments that follow.
    pub(crate) fn start_as(mut command: Command, journal_url: &str, twilio: &str, more: &[(&str, &str)]) -> Self {
        command.stderr(Stdio::null());
        Self::start_logging(command, journal_url, twilio, more)
    }

    /// As [`start_as`](Self::start_as); logs go to where `command` sends them.
    pub(crate) fn start_logging(mut command: Command, journal_url: &str, twilio: &str, more: &[(&str, &str)]) -> Self {
        let mut child = command
            .arg("serve")
            .envs(ENVIRONMENT)
            .envs([("TRS__TWILIO__API_BASE_URL", twilio), ("TRS__TWILIO__TASKROUTER_BASE_URL", twilio)])
            .env("TRS__JOURNAL__URL", journal_url)
            .envs(more.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut addresses =
            line.split_whitespace().filter_map(|word| word.trim_end_matches(',').strip_prefix("http://"));
        let (public, admin) = (addresses.next().unwrap().to_owned(), addresses.next().unwrap().to_owned());
        Self { child, public, admin }
    }

    pub(crate) fn replay(&self, path: &str) -> Output {
        self.replaying(path).output().unwrap()
    }

    pub(crate) fn replaying(&self, path: &str) -> Command {
        let mut command = program();
        command
            .args(["replay", path, "--speed", "0", "--to", &format!("http://{}/taskrouter/events", self.public)])
            .args(["--sign-as", &format!("{PUBLIC_URL}/taskrouter/events")])
            .env("TWILIO_AUTH_TOKEN", TOKEN);
        command
    }
}

impl Serving {
    /// The status of its readiness probe.
    pub(crate) fn readiness(&self) -> u16 {
        self.ask_admin("/health/ready").split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// A metric without labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let answer = self.ask_admin("/metrics");
        let name = format!("{PREFIX}_{name} ");
        let value = answer.lines().find_map(|line| line.strip_prefix(&name));
        value.unwrap_or_else(|| panic!("no {name}in {answer}")).parse().unwrap()
    }

    fn ask_admin(&self, path: &str) -> String {
        let mut connection = TcpStream::connect(&self.admin).unwrap();
        write!(connection, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Whether SIGSTOP has stopped it.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As in "TERM".
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end after a signal.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The journal of a process that has ended.
pub(crate) fn opened(journal: &Path) -> SqliteJournal {
    let settings = SqliteSettings {
        path: journal.to_owned(),
        queue_limit: 10,
        batch_limit: 10,
        lease: Duration::from_secs(10),
        wal_limit_bytes: 1 << 20,
        commits: Commits::default(),
    };
    SqliteJournal::open(settings).unwrap()
}

/// How many events are kept, of calls that are over as well, whose facts are packed.
async fn events(journal: &Path) -> usize {
    let rows = rusqlite::Connection::open(journal).unwrap();
    let mut calls = rows.prepare("SELECT task FROM call UNION SELECT task FROM fact WHERE task IS NOT NULL").unwrap();
    let calls: Vec<String> = calls.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let journal = opened(journal);
    let mut events = 0;
    for call in calls {
        let facts = journal.facts(&call.parse().unwrap(), 0).await.unwrap();
        events += facts.iter().filter(|(_, fact)| fact.kind.happened_at().is_some()).count();
    }
    journal.close().await.unwrap();
    events
}

#[tokio::test]
async fn recorded_events_are_replayed_through_the_signed_door_and_survive_kill_9() {
    let directory = TempDir::new().unwrap();
    let journal = directory.path().join("journal.db");
    let mut serving = Serving::start(&journal);

    let replayed = serving.replay("fixtures/taskrouter");
    assert!(replayed.status.success(), "{}", text(&replayed.stdout));
    assert!(text(&replayed.stdout).contains("14 of 14 events were accepted"));
    serving.child.kill().unwrap();
    serving.child.wait().unwrap();
    assert_eq!(events(&journal).await, 14);

    // The same again after a restart: acknowledged, and nothing is added.
    let serving = Serving::start(&journal);
    assert!(serving.replay("fixtures/taskrouter").status.success());
    drop(serving);
    assert_eq!(events(&journal).await, 14);
}

#[test]
fn every_odd_fixture_is_taken() {
    let directory = TempDir::new().unwrap();
    let serving = Serving::start(&directory.path().join("journal.db"));
    let replayed = serving.replay("fixtures/taskrouter/odd");
    assert!(replayed.status.success(), "{}", text(&replayed.stdout));
}

#[test]
fn an_event_signed_with_another_token_is_refused_and_replay_says_so() {
    let directory = TempDir::new().unwrap();
    let serving = Serving::start(&directory.path().join("journal.db"));
    let replayed = program()
        .args(["replay", "fixtures/taskrouter/01.task.created.form"])
        .args(["--to", &format!("http://{}/taskrouter/events", serving.public)])
        .env("TWILIO_AUTH_TOKEN", "another-token")
        .output()
        .unwrap();
    assert_eq!(replayed.status.code(), Some(1));
    assert!(text(&replayed.stdout).contains("403"));
}

#[tokio::test]
async fn the_probes_answer_on_the_admin_listener() {
    let directory = TempDir::new().unwrap();
    let serving = Serving::start(&directory.path().join("journal.db"));
    for probe in ["live", "ready"] {
        let answer = reqwest::get(format!("http://{}/health/{probe}", serving.admin)).await.unwrap();
        assert_eq!(answer.status(), 200, "{probe}");
    }
}

/// `serve` with a whole environment and this SQLite file.
fn serve(journal: &Path) -> Command {
    let mut command = program();
    command.arg("serve").envs(ENVIRONMENT).env("TRS__JOURNAL__URL", format!("sqlite:{}", journal.display()));
    command
}

/// What a service said on standard error that was asked to end as soon as it was ready.
fn said_until_ready(command: &mut Command) -> String {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    text(&child.wait_with_output().unwrap().stderr)
}

#[test]
fn a_second_process_on_the_same_journal_is_refused_with_what_to_do() {
    let directory = TempDir::new().unwrap();
    let journal = directory.path().join("journal.db");
    let _first = Serving::start(&journal);
    let second = serve(&journal).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("in use by another process"), "{}", text(&second.stderr));
}

#[test]
fn serve_stops_in_order_on_sigterm_and_exits_with_0() {
    let directory = TempDir::new().unwrap();
    let mut serving = Serving::start(&directory.path().join("journal.db"));
    let killed = Command::new("kill").args(["-TERM", &serving.child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn logs_that_no_terminal_shows_have_no_colours() {
    let directory = TempDir::new().unwrap();
    let said = said_until_ready(serve(&directory.path().join("journal.db")).env("TRS__MODE", "shadow"));
    let start = said.lines().find(|line| line.contains("msg=starting")).unwrap();
    for pair in ["version=", "commit=", "mode=shadow", "strategy=", "journal=\"sqlite ", "public_url=https://"] {
        assert!(start.contains(pair), "{pair} is missing in {start}");
    }
    assert!(said.contains("msg=\"serving an account\" account=twilio account_sid=AC"), "{said}");
    assert!(said.contains(r#"mode = \"shadow\""#) && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn serve_warns_of_a_key_that_has_no_effect() {
    let directory = TempDir::new().unwrap();
    let mut child = serve(&directory.path().join("journal.db"))
        .env("TRS__JOURNAL__POOL_SIZE", "4")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let warning = lines.find(|line| line.as_ref().unwrap().contains("journal.pool_size")).unwrap().unwrap();
    assert!(warning.contains("WARN") && warning.contains("has no effect"), "{warning}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn serve_says_where_it_begins_a_new_journal_and_nothing_where_it_finds_one() {
    let directory = TempDir::new().unwrap();
    let journal = directory.path().join("journal.db");
    let file = format!("sqlite:{}", journal.display());
    let begun = |url: &str| {
        let said = said_until_ready(serve(&journal).env("TRS__JOURNAL__URL", url));
        said.matches("began a new journal").count()
    };
    assert_eq!([begun(&file), begun(&file)], [1, 0]);
    std::fs::remove_file(&journal).unwrap();
    assert_eq!(begun(&file), 1, "a file that is gone is not missed in silence");
    let Some(server) = another_server() else { return };
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", server.port);
    assert_eq!([begun(&url), begun(&url)], [1, 0]);
}

#[test]
fn serve_says_once_which_strategy_a_configuration_gets_that_leaves_it_out() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("config.toml");
    let lines = |configured: &str, variables: &[(&str, &str)]| {
        std::fs::write(&file, configured).unwrap();
        let mut command = serve(&directory.path().join("journal.db"));
        let said = said_until_ready(command.arg("--config").arg(&file).envs(variables.iter().copied()));
        said.lines().filter(|line| line.contains("streams.strategy")).map(str::to_owned).collect::<Vec<_>>()
    };
    let left_out = lines("", &[]);
    assert_eq!(left_out.len(), 1, "{left_out:?}");
    assert!(left_out[0].contains("INFO") && left_out[0].contains(r#"\"streams-api\""#), "{left_out:?}");
    for strategy in ["redirect", "streams-api"] {
        assert_eq!(lines(&format!("[streams]\nstrategy = \"{strategy}\""), &[]), [""; 0]);
        assert_eq!(lines("", &[("TRS__STREAMS__STRATEGY", strategy)]), [""; 0]);
    }
}

#[test]
fn serve_without_a_configuration_names_every_missing_key_and_exits_with_2() {
    let output = program().arg("serve").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    for key in [
        "server.public_url",
        "twilio.account_sid",
        "twilio.auth_tokens",
        "twilio.workspace_sid",
        "streams.destinations",
    ] {
        assert!(said.contains(key), "{key} is missing in: {said}");
    }
}

#[test]
fn config_check_validates_without_starting_and_tells_what_has_no_effect() {
    let directory = TempDir::new().unwrap();
    let check = |file: &str, variables: &[(&str, &str)]| {
        let path = directory.path().join("config.toml");
        std::fs::write(&path, file).unwrap();
        let output = program()
            .args(["config", "check", "--config"])
            .arg(&path)
            .envs(ENVIRONMENT)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    };
    let (code, said) = check("[journal]\npool_size = 2", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("warning: journal.pool_size") && said.contains("The configuration is valid."), "{said}");
    assert!(said.contains(PUBLIC_URL) && said.contains(ACCOUNT) && !said.contains(TOKEN), "{said}");
    for (file, variables, told) in [
        ("[server]\nthreads = 0", &[][..], "server.threads"),
        ("[server", &[], "is not valid TOML, see line 1"),
        ("", &[("TRS_SERVER_THREADS", "2")], "TRS__SERVER__THREADS"),
    ] {
        let (code, said) = check(file, variables);
        assert!(code == Some(2) && said.contains(told), "{said}");
    }
    assert!(std::fs::read_dir(directory.path()).unwrap().count() == 1, "no journal was created");
    let defaults = program().arg("config").output().unwrap();
    assert!(text(&defaults.stdout).starts_with(taskrouter_streams::config::default_text().trim_end()));
}

#[test]
fn man_pages_and_completions_are_generated_for_every_command() {
    let directory = TempDir::new().unwrap();
    let made = program().arg("generate").arg(directory.path()).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let read = |path: &str| std::fs::read_to_string(directory.path().join("share").join(path)).unwrap();
    for command in ["", "-serve", "-doctor", "-calls", "-calls-list", "-config", "-config-check"] {
        assert!(read(&format!("man/man1/taskrouter-streams{command}.1")).contains(".SH NAME"), "{command}");
    }
    for left_out in ["help", "help-serve", "calls-help", "generate"] {
        let page = directory.path().join(format!("share/man/man1/taskrouter-streams-{left_out}.1"));
        assert!(!page.exists(), "{left_out} needs no manual");
    }
    for completions in [
        "bash-completion/completions/taskrouter-streams.bash",
        "zsh/site-functions/_taskrouter-streams",
        "fish/vendor_completions.d/taskrouter-streams.fish",
    ] {
        assert!(read(completions).contains("backfill"), "{completions}");
    }
    assert!(!text(&program().arg("--help").output().unwrap().stdout).contains("generate"));
}

#[test]
fn every_line_of_help_is_an_imperative_without_a_full_stop() {
    for arguments in [&["--help"][..], &["calls", "--help"], &["config", "--help"]] {
        let help = text(&program().args(arguments).output().unwrap().stdout);
        let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
        for line in commands.lines() {
            let sentence = line.trim_start().split_once("  ").unwrap().1.trim();
            let verb = sentence.split(' ').next().unwrap();
            assert!(!sentence.ends_with('.') && verb.starts_with(char::is_uppercase), "{line}");
            assert!(!["The", "A", "An", "What", "Whether", "Where"].contains(&verb), "{line}");
        }
    }
}

#[test]
fn sign_prints_what_twilio_documents() {
    // The example of https://www.twilio.com/docs/usage/security: token 12345 and a URL with a query.
    let directory = TempDir::new().unwrap();
    let body = directory.path().join("body.form");
    std::fs::write(
        &body,
        "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212\n",
    )
    .unwrap();
    let output = program()
        .args(["sign", "--url", "https://mycompany.com/myapp.php?foo=1&bar=2", "--body"])
        .arg(&body)
        .env("TWILIO_AUTH_TOKEN", "12345")
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout).trim(), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
}

#[test]
fn sign_takes_the_token_from_wherever_the_service_does() {
    let directory = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (one, two) = (write("one", "12345\n"), write("two", "12345\nanother\n"));
    let file = write("config.toml", "[twilio]\nauth_tokens = [\"12345\", \"another\"]\n[server]\nnot_known_yet = 1\n");
    let body = write("body", "a=b");
    let sign = |arguments: &[&str], variables: &[(&str, &str)]| {
        let url = ["sign", "--url", "https://a.example/x", "--body", &body];
        let output = program().args(url).args(arguments).envs(variables.iter().copied()).output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let expected = taskrouter_streams::twilio::signature::sign("https://a.example/x", &[("a", "b")], "12345");
    for (arguments, variables) in [
        (&["--auth-token", "12345"][..], &[][..]),
        (&["--auth-token", "12345,another"], &[]),
        (&["--config", &file], &[]),
        (&[], &[("TWILIO_AUTH_TOKEN", "12345,another")]),
        (&[], &[("TWILIO_AUTH_TOKEN_FILE", one.as_str())]),
        (&[], &[("TWILIO_AUTH_TOKEN_FILE", two.as_str())]),
        (&[], &[("TRS__TWILIO__AUTH_TOKENS", "12345")]),
        (&[], &[("TRS__TWILIO__AUTH_TOKENS_FILE", two.as_str())]),
    ] {
        let (code, said, complaint) = sign(arguments, variables);
        assert_eq!((code, said.trim()), (Some(0), expected.as_str()), "{arguments:?} {variables:?}: {complaint}");
    }
    for variables in [&[][..], &[("TWILIO_AUTH_TOKEN", "")], &[("TWILIO_AUTH_TOKEN_FILE", "/nowhere")]] {
        let (code, _, complaint) = sign(&[], variables);
        assert!(code == Some(2) && complaint.contains("--auth-token"), "{variables:?}: {code:?} {complaint}");
    }
}

#[test]
fn sign_leaves_out_a_fragment_and_signs_json_with_its_hash() {
    use std::io::Write as _;
    let run = |arguments: &[&str], body: &str| {
        let mut command = program();
        command.arg("sign").args(arguments).env("TWILIO_AUTH_TOKEN", "12345");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    let (plain, told) = run(&["--url", "https://a.example/x?y=1"], "a=b");
    assert_eq!(told, "");
    let (without, told) = run(&["--url", "https://a.example/x?y=1#rc=3"], "a=b");
    assert_eq!(without, plain);
    assert!(told.contains("#rc=3"), "{told}");
    // Of "[]\n", byte for byte.
    let hash = "37517e5f3dc66819f61f5a7bb8ace1921282415f10551d2defa5c3eb0985b570";
    let url = format!("https://a.example/taskrouter/event-streams?env=a&bodySHA256={hash}");
    let given = "https://a.example/taskrouter/event-streams?bodySHA256=old&env=a";
    let (printed, _) = run(&["--json", "--url", given], "[]\n");
    let nothing: [(&str, &str); 0] = [];
    let signature = taskrouter_streams::twilio::signature::sign(&url, &nothing, "12345");
    assert_eq!(printed, format!("{url}\n{signature}\n"));
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let help = text(&program().arg("--help").output().unwrap().stdout);
    for word in ["serve", "health", "calls", "setup", "doctor", "backfill", "replay", "sign", "config", "Exit codes"] {
        assert!(help.contains(word), "{word} is missing in: {help}");
    }
}
