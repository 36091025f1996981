//! Configuration: the defaults, the layers, and what is refused.

use proptest::prelude::*;
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use taskrouter_streams::call::policy::Strategy as Streaming;
use taskrouter_streams::call::rules::OnHold;
use taskrouter_streams::config::{self, ConfigError, DestinationConfig, JournalUrl, Problem, Settings};
use taskrouter_streams::http::{EVENT_STREAMS_PATH, EVENTS_PATH, STREAM_STATUS_PATH};
use taskrouter_streams::telemetry::LogFormat;
use taskrouter_streams::twilio::client::Credentials;
use taskrouter_streams::twilio::twiml::Track;

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const WORKSPACE: &str = "WS00000000000000000000000000000001";
const KEY: &str = "SK00000000000000000000000000000001";
const TOKEN: &str = "a-token-that-must-not-show";
const SECRET: &str = "a-secret-that-must-not-show";

pub(crate) type Environment = BTreeMap<String, String>;

/// The least that the defaults lack.
pub(crate) fn environment() -> Environment {
    variables(&[
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_AUTH_TOKEN", TOKEN),
        ("TWILIO_WORKSPACE_SID", WORKSPACE),
        ("TRS__SERVER__PUBLIC_URL", "https://streams.example.com"),
        ("TRS__STREAMS__DESTINATIONS", "wss://audio.example.com/a"),
    ])
}

fn variables(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn with(pairs: &[(&str, &str)]) -> Environment {
    let mut all = environment();
    all.extend(variables(pairs));
    all
}

pub(crate) fn without(name: &str) -> Environment {
    let mut all = environment();
    all.remove(name).expect("was there");
    all
}

fn load(file: &str, environment: &Environment) -> Result<Settings, ConfigError> {
    config::from_text(Some(("trs.toml", file)), environment)
}

pub(crate) fn accepted(file: &str, environment: &Environment) -> Settings {
    load(file, environment).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn refused(file: &str, environment: &Environment) -> Vec<Problem> {
    match load(file, environment) {
        Err(error @ ConfigError::Invalid(_)) => {
            let text = format!("{error} {error:?}");
            assert!(!text.contains("must-not-show"), "a secret shows: {text}");
            let ConfigError::Invalid(problems) = error else { unreachable!() };
            problems
        }
        Err(other) => panic!("refused otherwise: {other}"),
        Ok(_) => panic!("accepted"),
    }
}

/// The one problem, which must be of this key.
#[track_caller]
pub(crate) fn only_problem(key: &str, file: &str, environment: &Environment) -> Problem {
    let problems = refused(file, environment);
    assert_eq!(problems.iter().map(|problem| problem.key.as_str()).collect::<Vec<_>>(), [key], "{problems:?}");
    problems.into_iter().next().unwrap()
}

#[test]
fn a_destination_that_goes_by_holds_needs_somebody_who_tells() {
    let file =
        |more: &str| format!("[streams]\n{more}\n[[streams.destinations]]\nurl = \"wss://h/a\"\non_hold = \"stop\"\n");
    let nothing = without("TRS__STREAMS__DESTINATIONS");
    let problem = only_problem("streams.destinations.on_hold", &file(""), &nothing);
    let said = problem.to_string();
    assert!(said.contains("hold_events") && said.contains("hold_poll_ms") && said.contains("for A"), "{said}");
    for (more, kept) in [("hold_events = true", true), ("hold_poll_ms = 5000", false)] {
        let settings = accepted(&file(more), &nothing);
        assert_eq!(settings.streams.destinations[0].on_hold, OnHold::Stop);
        assert_eq!(settings.interest().holds, kept, "what nobody needs is not kept");
    }
    let odd = file("hold_events = true").replace("\"stop\"", "\"mute\"");
    only_problem("streams.destinations.0.on_hold", &odd, &nothing);
}

#[test]
fn the_defaults_are_the_contract() {
    let settings = accepted("", &environment());
    assert_eq!(settings.server.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(settings.server.body_limit_bytes, 65_536);
    assert_eq!(settings.server.event_streams_body_limit_bytes, 16 * 1024 * 1024);
    assert_eq!(settings.server.retry_after, Duration::from_secs(1));
    assert_eq!(settings.admin.listen.to_string(), "127.0.0.1:9090");
    assert_eq!(settings.admin.stream_gauges, Duration::from_secs(15));
    assert!(settings.admin.token.is_none());
    assert_eq!((settings.admin.live_every, settings.admin.live_views), (Duration::from_secs(1), 32));
    assert_eq!(settings.twilio.api_base_url.as_str(), "https://api.twilio.com/");
    assert_eq!(settings.twilio.taskrouter_base_url.as_str(), "https://taskrouter.twilio.com/");
    assert_eq!(settings.twilio.connect_timeout, Duration::from_millis(2000));
    assert_eq!(settings.twilio.request_timeout, Duration::from_millis(4000));
    assert_eq!(settings.twilio.max_in_flight, 20);
    assert_eq!(sqlite(&settings), Some(Path::new("taskrouter-streams.db")));
    assert_eq!((settings.journal.queue_limit, settings.journal.batch_limit), (4096, 512));
    assert_eq!(settings.journal.wal_limit_bytes, 4 * 1024 * 1024);
    assert_eq!(settings.journal.lease, Duration::from_secs(15));
    assert_eq!((settings.journal.pool_size, settings.journal.listen), (8, true));
    assert_eq!(settings.journal.acquire_timeout, Duration::from_secs(2));
    assert_eq!(settings.journal.statement_timeout, Duration::from_secs(3));
    assert_eq!(settings.journal.retention, Duration::from_secs(168 * 3600));
    assert_eq!((settings.worker.max_calls, settings.worker.poll), (64, Duration::from_millis(250)));
    assert_eq!(settings.retry.first, Duration::from_millis(100));
    assert_eq!(settings.retry.cap, Duration::from_millis(5000));
    assert_eq!(settings.retry.give_up, Duration::from_millis(30_000));
    assert_eq!(settings.redirect.verify_guard, Duration::from_millis(3000));
    assert_eq!(settings.redirect.rejoin, Duration::from_millis(10_000));
    assert_eq!(settings.redirect.poll, [0, 50, 100, 200].map(Duration::from_millis));
    assert_eq!(settings.redirect.reading_max_age, Duration::from_millis(1000));
    assert_eq!(settings.redirect.watch, Duration::from_millis(10_000));
    assert_eq!(settings.retry.slow, Duration::from_millis(30_000));
    assert_eq!(settings.retry.doubt, Duration::from_millis(1000));
    assert_eq!(settings.retry.landing_margin, Duration::from_millis(1000));
    assert_eq!((settings.streams.strategy, settings.strategy_by_default), (Streaming::StreamsApi, true));
    assert_eq!((settings.streams.verify_per_mille, settings.streams.restart_limit), (20, 5));
    assert_eq!(settings.streams.end_grace, Duration::from_millis(1000));
    assert_eq!(settings.streams.restart_cap, Duration::from_millis(15_000));
    assert_eq!((settings.streams.name_prefix.as_str(), settings.streams.track_budget), ("Stream_", 4));
    assert_eq!(settings.shutdown.grace, Duration::from_secs(10));
    assert_eq!((settings.log.format, settings.log.filter.as_str()), (LogFormat::Text, "info"));
}

#[test]
fn the_default_text_given_as_a_file_changes_nothing() {
    let plain = accepted("", &environment());
    let doubled = accepted(config::default_text(), &environment());
    assert!(!doubled.strategy_by_default, "it names the strategy");
    let doubled = Settings { strategy_by_default: true, ..doubled };
    assert_eq!(format!("{plain:?}"), format!("{doubled:?}"));
}

#[test]
fn the_default_text_shows_every_key() {
    for section in ["server", "admin", "twilio", "journal", "worker", "retry", "redirect", "streams", "shutdown", "log"]
    {
        let problem =
            only_problem(&format!("{section}.nonsense"), &format!("[{section}]\nnonsense = 1"), &environment());
        let keys: Vec<&str> = problem.remedy.trim_start_matches("the keys there are ").split(", ").collect();
        let text = config::default_text();
        let of_section = text.split(&format!("\n[{section}]\n")).nth(1).expect(section);
        let of_section = of_section.split("\n[").next().unwrap();
        for key in keys {
            let name = key.strip_prefix(&format!("{section}.")).unwrap();
            let shown = of_section.lines().any(|line| {
                let line = line.trim_start_matches("# ");
                line.starts_with(&format!("{name} = ")) || line == format!("[[{key}]]")
            });
            assert!(shown, "{key} is not in the default text");
        }
    }
}

#[test]
fn each_layer_wins_over_the_one_below() {
    let file = format!(
        "[server]\nlisten = \"127.0.0.1:1\"\nthreads = 7\n[twilio]\naccount_sid = \"{WORKSPACE}\"\nedge = \"file\""
    );
    let settings = accepted(&file, &with(&[("TRS__SERVER__LISTEN", "127.0.0.1:2"), ("TWILIO_EDGE", "dublin")]));
    assert_eq!(settings.server.listen.port(), 2);
    assert_eq!(settings.server.threads, 7);
    assert_eq!(settings.twilio.account_sid.as_str(), ACCOUNT);
    assert_eq!(settings.twilio.api_base_url.as_str(), "https://api.dublin.us1.twilio.com/");
    let settings = accepted(&file, &with(&[("TWILIO_EDGE", "dublin"), ("TRS__TWILIO__EDGE", "sydney")]));
    assert_eq!(settings.twilio.api_base_url.as_str(), "https://api.sydney.us1.twilio.com/");
}

#[test]
fn a_file_is_read_from_its_path_and_a_missing_one_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trs.toml");
    let error = config::load(Some(&path), &environment()).unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    std::fs::write(&path, "[server]\nthreads = 3").unwrap();
    assert_eq!(config::load(Some(&path), &environment()).unwrap().server.threads, 3);
    assert_eq!(config::load(None, &environment()).unwrap().server.threads, 2);
}

#[test]
fn a_file_that_is_not_toml_is_refused_without_quoting_it() {
    let file = format!("[twilio]\nauth_tokens = [\"{TOKEN}");
    let error = load(&file, &environment()).unwrap_err();
    assert!(matches!(error, ConfigError::Syntax { .. }));
    assert!(error.to_string().contains("trs.toml") && error.to_string().contains("line 2"), "{error}");
    assert!(!format!("{error:?} {error}").contains("must-not-show"), "{error}");
}

#[test]
fn a_file_that_is_not_toml_is_told_with_the_reason_and_the_line_without_its_value() {
    let told = |file: &str| match load(file, &environment()) {
        Err(error @ ConfigError::Syntax { .. }) => {
            let told = error.to_string();
            assert!(!format!("{told} {error:?}").contains("must-not-show"), "{told}");
            told
        }
        other => panic!("{other:?}"),
    };
    let unquoted = told(&format!("[twilio]\nauth_tokens = [{TOKEN}]"));
    assert!(unquoted.contains("see line 2, column ") && unquoted.ends_with("\n  2 | auth_tokens = […]"), "{unquoted}");
    let unclosed = told(&format!("[twilio]\napi_secret = \"{SECRET}\nregion = \"ie1\""));
    assert!(unclosed.contains("string") && unclosed.ends_with("\n  2 | api_secret = \"…"), "{unclosed}");
    let pasted = told(&format!("[twilio]\n{SECRET} {TOKEN}=="));
    assert!(pasted.ends_with("\n  2 | …"), "{pasted}");
    let twice = told("[server]\nthreads = 1\nthreads = 2");
    let large = told("[server]\nlisten = \"127.0.0.1:0\"\nthreads = 99999999999999999999\n");
    assert!(
        large.contains("see line 3: its number is out of range") && large.ends_with("\n  3 | threads = …"),
        "{large}"
    );
    assert!(twice.contains("duplicate key") && twice.ends_with("\n  3 | threads = …"), "{twice}");
}

#[test]
fn everything_that_is_wrong_is_reported_at_once() {
    let file = "[server]\nthreads = 0\nlisten = \"here\"\n[retry]\nfirst_ms = 9000\n[journal]\nlease_ms = 10\nurl = \"x\"\n[nonsense]\na = 1";
    let keys: Vec<String> = refused(file, &BTreeMap::new()).into_iter().map(|problem| problem.key).collect();
    for key in [
        "server.threads",
        "server.listen",
        "server.public_url",
        "twilio.account_sid",
        "twilio.auth_tokens",
        "twilio.workspace_sid",
        "retry.first_ms",
        "journal.statement_timeout_ms",
        "journal.lease_ms",
        "journal.url",
        "streams.destinations",
        "nonsense.a",
    ] {
        assert_eq!(keys.iter().filter(|found| *found == key).count(), 1, "{key} in {keys:?}");
    }
    assert_eq!(keys.len(), 12, "{keys:?}");
}

#[test]
fn a_problem_says_where_the_value_came_from() {
    let problem = only_problem("server.threads", "[server]\nthreads = 0", &environment());
    assert_eq!(problem.origin.as_deref(), Some("trs.toml"));
    assert_eq!(problem.to_string(), "server.threads (from trs.toml) is 0: write a whole number from 1 to 1024");
    let problem = only_problem("server.threads", "", &with(&[("TRS__SERVER__THREADS", "many")]));
    assert_eq!(problem.origin.as_deref(), Some("TRS__SERVER__THREADS"));
}

#[test]
fn an_unknown_key_is_refused_wherever_it_stands() {
    only_problem("server.listens", "[server]\nlistens = \"127.0.0.1:1\"", &environment());
    only_problem("sever.listen", "[sever]\nlisten = \"127.0.0.1:1\"", &environment());
    only_problem("sever", "[sever]", &environment());
    only_problem("listen", "listen = 1", &environment());
    only_problem("server.listen.port", "", &with(&[("TRS__SERVER__LISTEN__PORT", "1")]));
    only_problem("twilio.auth_token", "", &with(&[("TRS__TWILIO__AUTH_TOKEN", SECRET)]));
    only_problem("server", "", &with(&[("TRS__SERVER", "1")]));
    accepted("[server]", &environment());
}

#[test]
fn no_limit_may_be_zero_negative_or_without_measure() {
    let keys = [
        "server.body_limit_bytes",
        "server.threads",
        "server.max_connections",
        "server.client_timeout_ms",
        "server.keep_alive_ms",
        "server.retry_after_s",
        "twilio.connect_timeout_ms",
        "twilio.request_timeout_ms",
        "twilio.max_in_flight",
        "twilio.pool_idle_ms",
        "twilio.answer_limit_bytes",
        "twilio.max_pages",
        "journal.queue_limit",
        "journal.batch_limit",
        "journal.wal_limit_bytes",
        "journal.pool_size",
        "journal.acquire_timeout_ms",
        "journal.statement_timeout_ms",
        "journal.lease_ms",
        "journal.retention_hours",
        "journal.prune_every_ms",
        "worker.max_calls",
        "worker.kept_calls",
        "worker.poll_ms",
        "retry.first_ms",
        "retry.cap_ms",
        "retry.give_up_ms",
        "retry.slow_ms",
        "retry.doubt_ms",
        "redirect.verify_guard_ms",
        "redirect.rejoin_ms",
        "redirect.watch_ms",
        "redirect.reading_max_age_ms",
        "streams.track_budget",
        "streams.restart_cap_ms",
        "shutdown.grace_ms",
    ];
    for key in keys {
        let (section, name) = key.split_once('.').unwrap();
        for value in ["0", "-1", "9223372036854775807", "1.5", "true", "[1]", "\"\"", "\"five\""] {
            only_problem(key, &format!("[{section}]\n{name} = {value}"), &environment());
        }
        let variable = format!("TRS__{}", key.to_uppercase().replace('.', "__"));
        only_problem(key, "", &with(&[(variable.as_str(), "0")]));
    }
}

#[test]
fn numbers_that_contradict_each_other_are_refused() {
    only_problem("journal.lease_ms", "[journal]\nlease_ms = 6000", &environment());
    accepted("[journal]\nlease_ms = 6001", &environment());
    only_problem("twilio.connect_timeout_ms", "[twilio]\nconnect_timeout_ms = 4001", &environment());
    only_problem("journal.batch_limit", "[journal]\nbatch_limit = 4097", &environment());
    only_problem("journal.statement_timeout_ms", "[journal]\nstatement_timeout_ms = 15001", &environment());
    only_problem("retry.first_ms", "[retry]\nfirst_ms = 5001", &environment());
    only_problem("retry.cap_ms", "[retry]\ncap_ms = 30001", &environment());
    only_problem("streams.track_budget", "[streams]\ntrack_budget = 1", &environment());
    only_problem("streams.track_budget", "[streams]\ntrack_budget = 5", &environment());
    only_problem("admin.listen", "[admin]\nlisten = \"0.0.0.0:8080\"", &environment());
    accepted("[admin]\nlisten = \"127.0.0.1:0\"\n[server]\nlisten = \"127.0.0.1:0\"", &environment());
}

#[test]
fn a_pause_leaves_recordings_alone_unless_it_is_told_otherwise() {
    assert!(!accepted("", &environment()).pause.recording);
    assert!(accepted("[pause]\nrecording = true", &environment()).pause.recording);
    assert!(accepted("", &with(&[("TRS__PAUSE__RECORDING", "true")])).pause.recording);
    only_problem("pause.recording", "[pause]\nrecording = \"sometimes\"", &environment());
}

#[test]
fn readings_need_a_pause_in_the_end() {
    only_problem("redirect.poll_ms", "[redirect]\npoll_ms = []", &environment());
    only_problem("redirect.poll_ms", "[redirect]\npoll_ms = [50, 0]", &environment());
    only_problem("redirect.poll_ms", "[redirect]\npoll_ms = 50", &environment());
    only_problem("redirect.poll_ms", "[redirect]\npoll_ms = [0, \"soon\"]", &environment());
    let settings = accepted("", &with(&[("TRS__REDIRECT__POLL_MS", "0, 20,40")]));
    assert_eq!(settings.redirect.poll, [0, 20, 40].map(Duration::from_millis));
}

#[test]
fn what_has_no_default_is_asked_for() {
    let problem = only_problem("twilio.account_sid", "", &without("TWILIO_ACCOUNT_SID"));
    assert!(problem.remedy.contains("TWILIO_ACCOUNT_SID"), "{problem}");
    let problem = only_problem("twilio.auth_tokens", "", &without("TWILIO_AUTH_TOKEN"));
    assert!(problem.remedy.contains("TWILIO_AUTH_TOKEN"), "{problem}");
    only_problem("twilio.workspace_sid", "", &without("TWILIO_WORKSPACE_SID"));
    only_problem("server.public_url", "", &without("TRS__SERVER__PUBLIC_URL"));
    only_problem("streams.destinations", "", &without("TRS__STREAMS__DESTINATIONS"));
    // As container tools pass on what they have not got.
    only_problem("twilio.account_sid", "", &with(&[("TWILIO_ACCOUNT_SID", "")]));
}

#[test]
fn a_malformed_sid_is_refused_and_not_shown() {
    for wrong in [SECRET, WORKSPACE, "AC123", "ac00000000000000000000000000000001"] {
        let problem = only_problem("twilio.account_sid", "", &with(&[("TWILIO_ACCOUNT_SID", wrong)]));
        assert_eq!(problem.wrong, "is not an account SID (AC + 32 hex digits)");
        assert!(!problem.to_string().contains(wrong), "{problem}");
    }
    let problem = only_problem("twilio.workspace_sid", "", &with(&[("TWILIO_WORKSPACE_SID", ACCOUNT)]));
    assert_eq!(problem.wrong, "is not a workspace SID (WS + 32 hex digits)");
}

#[test]
fn a_sid_in_upper_case_is_refused_because_no_event_would_match_it() {
    for (name, sid) in [("account", ACCOUNT), ("workspace", WORKSPACE)] {
        let (key, variable) = (format!("twilio.{name}_sid"), format!("TWILIO_{}_SID", name.to_ascii_uppercase()));
        let upper = sid.replace("0001", "00AB");
        let problem = only_problem(&key, "", &with(&[(&variable, &upper)]));
        assert!(problem.wrong.contains("upper case") && !problem.to_string().contains(&upper), "{problem}");
    }
}

#[test]
fn a_variable_with_one_underscore_where_two_belong_is_named() {
    let told = |variable: &str, key: &str| only_problem(key, "", &with(&[(variable, "must-not-show")])).to_string();
    for variable in ["TRS_SERVER_LISTEN", "TRS_SERVER__LISTEN", "TRS__SERVER_LISTEN"] {
        assert_eq!(
            told(variable, "server.listen"),
            format!(
                "server.listen (from {variable}) is not read, because it has one underscore where two belong: rename it to TRS__SERVER__LISTEN"
            )
        );
    }
    assert!(told("TRS_STREAMS_DESTINATIONS_0_URL", "streams.destinations").contains("TRS__STREAMS__DESTINATIONS__…"));
    assert!(told("TRS_ACCOUNTS_BLUE_AUTH_TOKENS", "accounts").contains("TRS__ACCOUNTS__…"));
    assert!(told("TRS_ADMIN_TOKEN_FILE", "admin.token").ends_with("TRS__ADMIN__TOKEN_FILE"));
    accepted("", &with(&[("TRS_HOME", "/opt/another-program"), ("TRS_BUILD_COMMIT", "0123456")]));
}

#[test]
fn destinations_of_the_file_that_a_variable_replaces_are_told_to_have_no_effect() {
    let file = "[[streams.destinations]]\nurl = \"wss://h/a\"\nname = \"assist\"\n[[streams.destinations]]\nurl = \"wss://h/b\"";
    let told = |environment: &Environment| -> Vec<String> {
        accepted(file, environment).without_effect.iter().map(ToString::to_string).collect()
    };
    assert_eq!(told(&without("TRS__STREAMS__DESTINATIONS")), [""; 0]);
    assert_eq!(
        told(&environment()),
        [
            "streams.destinations (from trs.toml) has no effect: TRS__STREAMS__DESTINATIONS replaces the whole list, so its 2 \
          tables with their names, tracks and parameters are dropped"
        ]
    );
}

#[test]
fn auth_tokens_are_a_list_of_which_none_is_empty() {
    let tokens = |settings: Settings| -> Vec<String> {
        settings.twilio.auth_tokens.iter().map(|token| token.expose_secret().to_owned()).collect()
    };
    assert_eq!(tokens(accepted("", &with(&[("TWILIO_AUTH_TOKEN", "one, two")]))), ["one", "two"]);
    let file = "[twilio]\nauth_tokens = [\"three\", \"four\"]";
    assert_eq!(tokens(accepted(file, &without("TWILIO_AUTH_TOKEN"))), ["three", "four"]);
    assert_eq!(tokens(accepted(file, &with(&[("TRS__TWILIO__AUTH_TOKENS", "five")]))), ["five"]);
    for wrong in ["[]", "[\"\"]", "[\"one\", \"\"]", "[\"a-token-that-must-not-show \"]", "[1]", "\"one\""] {
        let file = format!("[twilio]\nauth_tokens = {wrong}");
        only_problem("twilio.auth_tokens", &file, &without("TWILIO_AUTH_TOKEN"));
    }
    only_problem("twilio.auth_tokens", "", &with(&[("TWILIO_AUTH_TOKEN", "a-token-that-must-not-show,,")]));
    only_problem("twilio.auth_tokens", "", &with(&[("TRS__TWILIO__AUTH_TOKENS", "")]));
}

#[test]
fn an_api_key_needs_its_secret_and_the_other_way_round() {
    let both = with(&[("TWILIO_API_KEY", KEY), ("TWILIO_API_SECRET", SECRET)]);
    match accepted("", &both).client("/streams/status").credentials {
        Credentials::ApiKey { key, secret } => assert_eq!((key.as_str(), secret.expose_secret()), (KEY, SECRET)),
        Credentials::AuthToken(_) => panic!("the key was not used"),
    }
    match accepted("", &with(&[("TWILIO_AUTH_TOKEN", "one,two")])).client("/streams/status").credentials {
        Credentials::AuthToken(token) => assert_eq!(token.expose_secret(), "one"),
        Credentials::ApiKey { .. } => panic!("there is no key"),
    }
    only_problem("twilio.api_secret", "", &with(&[("TWILIO_API_KEY", KEY)]));
    only_problem("twilio.api_key", "", &with(&[("TWILIO_API_SECRET", SECRET)]));
    only_problem("twilio.api_key", "", &with(&[("TWILIO_API_KEY", SECRET), ("TWILIO_API_SECRET", SECRET)]));
    let upper = [("TWILIO_API_KEY", "SK0000000000000000000000000000000A"), ("TWILIO_API_SECRET", SECRET)];
    assert!(only_problem("twilio.api_key", "", &with(&upper)).wrong.contains("upper case"));
}

#[test]
fn the_settings_never_show_a_secret() {
    let both = with(&[("TWILIO_API_KEY", KEY), ("TWILIO_API_SECRET", SECRET)]);
    let settings = accepted("", &both);
    let shown = format!("{settings:?} {settings:#?} {:?}", settings.client("/streams/status"));
    assert!(!shown.contains("must-not-show"), "{shown}");
    assert!(shown.contains(ACCOUNT), "it shows something at least");
}

#[test]
fn regions_and_edges_lead_to_hosts() {
    let host = |region: &str, edge: &str| {
        let twilio = accepted("", &with(&[("TWILIO_REGION", region), ("TWILIO_EDGE", edge)])).twilio;
        (twilio.api_base_url.host_str().unwrap().to_owned(), twilio.taskrouter_base_url.host_str().unwrap().to_owned())
    };
    let hosts = |rest: &str| (format!("api.{rest}twilio.com"), format!("taskrouter.{rest}twilio.com"));
    assert_eq!(host("", ""), hosts(""));
    assert_eq!(host("ie1", ""), hosts("dublin.ie1."));
    assert_eq!(host("au1", ""), hosts("sydney.au1."));
    assert_eq!(host("us1", ""), hosts("ashburn.us1."));
    assert_eq!(host("", "frankfurt"), hosts("frankfurt.us1."));
    assert_eq!(host("ie1", "sydney"), hosts("sydney.ie1."));
    assert_eq!(host("zz9", "nowhere"), hosts("nowhere.zz9."));
    only_problem("twilio.region", "", &with(&[("TWILIO_REGION", "zz9")]));
    for hostile in ["evil.example/", "IE1", "ie1.", "-", "a b", "ie1@evil"] {
        only_problem("twilio.region", "", &with(&[("TWILIO_REGION", hostile)]));
        only_problem("twilio.region", "", &with(&[("TWILIO_EDGE", hostile)]));
    }
}

#[test]
fn base_urls_can_be_overridden_one_by_one() {
    let settings =
        accepted("", &with(&[("TRS__TWILIO__API_BASE_URL", "http://127.0.0.1:4010"), ("TWILIO_REGION", "ie1")]));
    assert_eq!(settings.twilio.api_base_url.as_str(), "http://127.0.0.1:4010/");
    assert_eq!(settings.twilio.taskrouter_base_url.as_str(), "https://taskrouter.dublin.ie1.twilio.com/");
    for key in ["twilio.api_base_url", "twilio.taskrouter_base_url"] {
        let variable = format!("TRS__{}", key.to_uppercase().replace('.', "__"));
        for wrong in [
            "nowhere",
            "ftp://h",
            "https://u:a-secret-that-must-not-show@h",
            "https://h?x=1",
            "https://h#x",
            "file:///x",
        ] {
            only_problem(key, "", &with(&[(variable.as_str(), wrong)]));
        }
    }
}

#[test]
fn the_public_url_is_kept_as_written_without_fragment_and_slash() {
    let url = |text: &str| accepted("", &with(&[("TRS__SERVER__PUBLIC_URL", text)])).server.public_url;
    assert_eq!(url("https://streams.example.com"), "https://streams.example.com");
    assert_eq!(url("HTTPS://Streams.Example.com:443/Prefix/"), "https://Streams.Example.com:443/Prefix");
    assert_eq!(url("https://streams.example.com/#rc=3&rp=5xx,ct,rt"), "https://streams.example.com");
    assert_eq!(url("http://127.0.0.1:8080"), "http://127.0.0.1:8080");
    assert_eq!(url("http://[::1]:8080"), "http://[::1]:8080");
    assert_eq!(url("http://localhost:8080"), "http://localhost:8080");
    for wrong in [
        "streams.example.com",
        "http://streams.example.com",
        "https://user:a-secret-that-must-not-show@h",
        "https://h/?x=1",
        "https://h?",
        "wss://h",
        "https://",
        "https://h/ä",
        " https://h",
    ] {
        only_problem("server.public_url", "", &with(&[("TRS__SERVER__PUBLIC_URL", wrong)]));
    }
}

fn sqlite(settings: &Settings) -> Option<&Path> {
    match &settings.journal.url {
        JournalUrl::Sqlite(path) => Some(path),
        JournalUrl::Postgres(_) => None,
    }
}

#[test]
fn the_journal_is_a_sqlite_file_or_a_postgres_database() {
    let settings = |text: &str| accepted("", &with(&[("TRS__JOURNAL__URL", text)]));
    assert_eq!(sqlite(&settings("sqlite:/var/lib/x.db")), Some(Path::new("/var/lib/x.db")));
    assert_eq!(sqlite(&settings("sqlite:x.db")), Some(Path::new("x.db")));
    for url in [
        "postgres://u:a-secret-that-must-not-show@h/d",
        "postgresql://u:a-secret-that-must-not-show@h:6432/d?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgres://u:a-secret-that-must-not-show@%2Frun%2Fpostgresql/d",
        "postgres://u@/?host=/run/postgresql&port=6432&dbname=d&password=a-secret-that-must-not-show",
        "postgres://u@:6432/d?hostaddr=192.0.2.1&host=h&password=a+b%2Ba-secret-that-must-not-show",
        "postgres://?host=h&dbname=d&user=u&password=a-secret-that-must-not-show",
        "postgres://u:a-secret-that-must-not-show@[::1]/d?sslcert=/etc/client.pem&sslkey=/etc/client.key",
    ] {
        let settings = settings(url);
        assert!(matches!(&settings.journal.url, JournalUrl::Postgres(_)));
        assert!(!format!("{settings:?}").contains("a-secret-that-must-not-show"));
    }
    for wrong in [
        "x.db",
        "sqlite:",
        "sqlite::memory:",
        "sqlite://x.db",
        "sqlite:x.db?mode=rwc",
        "sqlite:file:x.db",
        "mysql://u:a-secret-that-must-not-show@h/d",
        "postgres:",
        "postgres://u:a-secret-that-must-not-show@h",
        "postgres://u:a-secret-that-must-not-show@h/",
        "postgres://u:a-secret-that-must-not-show@/d",
        "postgres://u:a-secret-that-must-not-show@h/d#e",
        "postgres://u:a-secret#that-must-not-show@h/d",
        "postgres://u:a-secret-that-must-not-show@h:port/d",
        "postgres://u:a-secret-that-must-not-show@h/d?sslmode=verify",
        "postgres://u:/a-secret-that-must-not-show@h/d",
        "postgres://u:12/a-secret-that-must-not-show@h/d",
        "postgres://u:12?a-secret-that-must-not-show@h/d",
        "postgres://u:a-secret-that-must-not-show@/d?host=",
    ] {
        let problem = only_problem("journal.url", "", &with(&[("TRS__JOURNAL__URL", wrong)]));
        assert!(!problem.to_string().contains("must-not-show"), "{problem}");
    }
}

#[test]
fn what_is_wrong_with_the_address_of_a_database_is_told_before_anything_connects() {
    for (wrong, named) in [
        ("postgres://u@h/d?port=many", "port"),
        ("postgres://u@h/d?port=65536", "port"),
        ("postgres://u@h/d?hostaddr=h", "hostaddr"),
        ("postgres://u@h1,h2/d", "several hosts"),
        ("postgres://u@h1:5432,h2:5432/d", "several hosts"),
        ("postgres://u@/d?host=h1,h2", "several hosts"),
        ("postgres://u@[::1/d", "not a URL"),
        ("postgres://u:%ff@h/d", "not a URL"),
        ("postgres://u@h/d?password=%ff", "not a URL"),
        ("postgres://u@h/d?sslmode=perhaps", "sslmode"),
        // What would count for nothing is not taken for something.
        ("postgres://u@h/d?sslrootcert=/etc/ca.pem", "sslrootcert"),
        ("postgres://u@h/d?sslmode=prefer&sslrootcert=/etc/ca.pem", "sslrootcert"),
        ("postgres://u@h/d?sslmode=require&sslcert=/etc/client.pem", "sslkey"),
        ("postgres://u@h/d?sslkey=/etc/client.key", "sslcert"),
    ] {
        let problem = only_problem("journal.url", "", &with(&[("TRS__JOURNAL__URL", wrong)]));
        assert!(problem.wrong.contains(named), "{wrong}: {problem}");
    }
    let unknown = "postgres://u@h/d?sslmode=require&channel_binding=require&password=a&rest-of-a-password";
    let settings = accepted("", &with(&[("TRS__JOURNAL__URL", unknown)]));
    let told: Vec<String> = settings.without_effect.iter().map(ToString::to_string).collect();
    let of = |place: usize| {
        format!(
            "parameter {place} of journal.url (from TRS__JOURNAL__URL) has no effect: it is none that this program knows"
        )
    };
    assert_eq!(told, [of(2), of(4)], "an unescaped password may be split into parameters, so none is named");
}

#[test]
fn a_public_url_with_the_path_of_a_request_is_refused() {
    for path in [EVENTS_PATH, EVENT_STREAMS_PATH, STREAM_STATUS_PATH, "/taskrouter/assignment"] {
        for ending in ["", "/", "#rc=3"] {
            let url = format!("https://streams.example.com{path}{ending}");
            let problem = only_problem("server.public_url", "", &with(&[("TRS__SERVER__PUBLIC_URL", &url)]));
            assert!(problem.wrong.contains(path) && problem.remedy.contains("leave"), "{problem}");
        }
    }
    accepted("", &with(&[("TRS__SERVER__PUBLIC_URL", "https://example.com/taskrouter")]));
}

#[test]
fn another_strategy_or_format_is_refused_with_the_choices() {
    let problem = only_problem("streams.strategy", "[streams]\nstrategy = \"streams\"", &environment());
    assert!(problem.wrong.contains("streams") && problem.remedy.contains("\"redirect\""), "{problem}");
    let by_redirect = accepted("[streams]\nstrategy = \"redirect\"", &environment());
    assert_eq!((by_redirect.streams.strategy, by_redirect.strategy_by_default), (Streaming::Redirect, false));
    let problem = only_problem("log.format", "[log]\nformat = \"xml\"", &environment());
    assert!(problem.remedy.contains("\"text\" or \"json\""), "{problem}");
    only_problem("log.filter", "[log]\nfilter = \"==\"", &environment());
    assert_eq!(accepted("[log]\nformat = \"json\"", &environment()).log.format, LogFormat::Json);
}

#[test]
fn a_filter_that_would_switch_off_the_programs_own_lines_is_refused() {
    for wrong in
        ["warning", "inof", "text", "info,warning", "h2=debug", "h2", "taskrouter_stream_s=info", "7", "[span]", ","]
    {
        let problem = only_problem("log.filter", &format!("[log]\nfilter = \"{wrong}\""), &environment());
        assert!(problem.remedy.contains("warn, info"), "{wrong}: {problem}");
    }
    for fit in [
        "info",
        "WARN",
        "off",
        "3",
        " info , h2=debug ",
        "info,taskrouter_streams=debug",
        "taskrouter_streams=info",
        "taskrouter_streams",
        "error,taskrouter_streams::http=debug",
        "warn,hyper",
        "info,",
    ] {
        accepted(&format!("[log]\nfilter = \"{fit}\""), &environment());
    }
}

#[test]
fn a_caller_id_is_one_that_a_phone_can_show() {
    let file = |from: &str| format!("[assignment]\nfrom = \"{from}\"");
    for wrong in ["hello", "15005550006", "+1 500", "+", "+15005550006x", "client:", "client:a b"] {
        only_problem("assignment.from", &file(wrong), &environment());
    }
    for right in ["+15005550006", "client:desk", "sip:desk@example.com", ""] {
        accepted(&file(right), &environment());
    }
}

#[test]
fn a_name_prefix_can_stand_in_a_path() {
    for wrong in ["", "a/b", "a b", "é", "%", &"p".repeat(41)] {
        only_problem("streams.name_prefix", &format!("[streams]\nname_prefix = \"{wrong}\""), &environment());
    }
}

#[test]
fn destinations_come_from_the_file_or_the_environment() {
    let file = "[[streams.destinations]]\nurl = \"wss://h/a\"\n[[streams.destinations]]\nurl = \"wss://h/b\"\ntrack = \"inbound_track\"";
    let nothing = without("TRS__STREAMS__DESTINATIONS");
    let expected = |first: &str| {
        let to = |name: &str, url: &str, track| DestinationConfig {
            name: name.into(),
            url: url.into(),
            track,
            status_callback: true,
            on_hold: OnHold::Stream,
            parameters: Vec::new(),
        };
        vec![to("A", first, Track::BothTracks), to("B", "wss://h/b", Track::InboundTrack)]
    };
    let settings = accepted(file, &nothing);
    assert_eq!(settings.streams.destinations, expected("wss://h/a"));
    let client = settings.client("/streams/status");
    assert_eq!(client.destinations.iter().map(|to| to.url.as_str()).collect::<Vec<_>>(), ["wss://h/a", "wss://h/b"]);
    assert_eq!(client.status_url, "https://streams.example.com/streams/status");

    let mut one_item = nothing.clone();
    one_item.insert("TRS__STREAMS__DESTINATIONS__0__URL".into(), "wss://other/a".into());
    assert_eq!(accepted(file, &one_item).streams.destinations, expected("wss://other/a"));
    assert_eq!(accepted("", &one_item).streams.destinations.len(), 1);

    let list = with(&[("TRS__STREAMS__DESTINATIONS", "wss://x/1, wss://x/2")]);
    let urls: Vec<String> = accepted(file, &list).streams.destinations.into_iter().map(|to| to.url).collect();
    assert_eq!(urls, ["wss://x/1", "wss://x/2"]);
}

#[test]
fn a_destination_that_twilio_would_not_connect_to_is_refused() {
    let nothing = without("TRS__STREAMS__DESTINATIONS");
    for wrong in [
        "ws://h/a",
        "https://h/a",
        "wss://h/a?agent=1",
        "wss://h/a#x",
        "wss://u:a-secret-that-must-not-show@h/a",
        "wss://",
        "WSS://h/a",
        " wss://h/a",
        "h/a",
    ] {
        let file = format!("[[streams.destinations]]\nurl = \"{wrong}\"");
        only_problem("streams.destinations.0.url", &file, &nothing);
    }
    let file = "[[streams.destinations]]\nurl = \"wss://h/a?agent=1\"";
    assert!(only_problem("streams.destinations.0.url", file, &nothing).to_string().contains("parameters"));
    let file = "[[streams.destinations]]\nurl = \"wss://h\"\ntrack = \"both\"";
    assert!(only_problem("streams.destinations.0.track", file, &nothing).remedy.contains("both_tracks"));
    let file = "[[streams.destinations]]\nurl = \"wss://h\"\nlabel = \"a\"";
    only_problem("streams.destinations.0.label", file, &nothing);
    only_problem("streams.destinations.0.url", "[[streams.destinations]]", &nothing);
    only_problem("streams.destinations", "[streams]\ndestinations = []", &nothing);
    only_problem("streams.destinations", "[streams]\ndestinations = [\"wss://h\"]", &nothing);
    only_problem("streams.destinations", "[streams]\ndestinations = \"wss://h\"", &nothing);
    only_problem("streams.destinations.7.url", "", &with(&[("TRS__STREAMS__DESTINATIONS__7__URL", "wss://h")]));
    only_problem("streams.destinations.url", "", &with(&[("TRS__STREAMS__DESTINATIONS__URL", "wss://h")]));
}

proptest! {
    /// Whatever stands in a secret's place, a refusal does not repeat it, and nothing panics.
    #[test]
    fn no_secret_is_ever_repeated(secret in "[a-z0-9 ,?:/@#\\[\\]]{24,60}", place in 0usize..8) {
        let names = [
            "TWILIO_AUTH_TOKEN",
            "TWILIO_API_SECRET",
            "TWILIO_API_KEY",
            "TWILIO_ACCOUNT_SID",
            "TRS__SERVER__PUBLIC_URL",
            "TRS__JOURNAL__URL",
            "TRS__TWILIO__API_BASE_URL",
            "TRS__TWILIO__AUTH_TOKEN",
        ];
        if let Err(error) = load("", &with(&[(names[place], &secret)])) {
            let shown = format!("{error} {error:?}");
            prop_assert!(!shown.contains(&secret), "{}", shown);
        }
    }

    #[test]
    fn a_number_reads_the_same_from_a_file_and_the_environment(threads in 1usize..=1024) {
        let file = accepted(&format!("[server]\nthreads = {threads}"), &environment());
        let variable = accepted("", &with(&[("TRS__SERVER__THREADS", &threads.to_string())]));
        prop_assert_eq!(file.server.threads, threads);
        prop_assert_eq!(variable.server.threads, threads);
    }
}

#[test]
fn a_token_that_could_be_guessed_or_has_been_pasted_badly_is_refused() {
    // No header can hold the last one.
    for token in ["must-not-show", "a-token that-must-not-show-at-all", "tökens-that-must-not-show"] {
        let problem = only_problem("admin.token", "", &with(&[("TRS__ADMIN__TOKEN", token)]));
        assert!(!problem.to_string().contains("must-not-show"), "{problem}");
    }
    let tokens = [("TRS__ADMIN__TOKEN", "sixteen-letters."), ("TRS__ADMIN__READ_TOKEN", "sechzehn-Zeichen-ß")];
    only_problem("admin.read_token", "", &with(&tokens));
    let settings = accepted("", &with(&[("TRS__ADMIN__TOKEN", "sixteen-letters.")]));
    assert_eq!(settings.admin.token.unwrap().expose_secret(), "sixteen-letters.");
    assert!(accepted("", &with(&[("TRS__ADMIN__TOKEN", "")])).admin.token.is_none());
}

#[test]
fn a_key_of_the_other_store_is_told_to_have_no_effect_and_by_whom_it_was_set() {
    let told = |file: &str, variables: &[(&str, &str)]| -> Vec<String> {
        accepted(file, &with(variables)).without_effect.iter().map(ToString::to_string).collect()
    };
    let postgres = ("TRS__JOURNAL__URL", "postgres://user:a-secret-that-must-not-show@db/calls");
    assert_eq!(told("", &[]), [""; 0], "the defaults set them all");
    assert_eq!(told("", &[postgres]), [""; 0]);
    assert_eq!(told(config::default_text(), &[]), [""; 0], "nor does a copy of them set any");
    let for_postgres = "[journal]\npool_size = 4\nacquire_timeout_ms = 1\nstatement_timeout_ms = 2\n";
    assert_eq!(
        told(for_postgres, &[("TRS__JOURNAL__LISTEN", "false")]),
        [
            "journal.pool_size (from trs.toml) has no effect: it is for PostgreSQL, and journal.url names a SQLite file",
            "journal.acquire_timeout_ms (from trs.toml) has no effect: it is for PostgreSQL, and journal.url names a SQLite file",
            "journal.statement_timeout_ms (from trs.toml) has no effect: it is for PostgreSQL, and journal.url names a SQLite file",
            "journal.listen (from TRS__JOURNAL__LISTEN) has no effect: it is for PostgreSQL, and journal.url names a SQLite file",
        ]
    );
    assert_eq!(told(for_postgres, &[postgres]), [""; 0]);
    assert_eq!(
        told("[journal]\nwal_limit_bytes = 1000000\n", &[postgres]),
        [
            "journal.wal_limit_bytes (from trs.toml) has no effect: it is for SQLite, and journal.url names a PostgreSQL database"
        ]
    );
    assert_eq!(told("[journal]\nwal_limit_bytes = 1000000\n", &[]), [""; 0]);
}

const TRACES: &str = "traces.otlp_url";

#[cfg(not(feature = "opentelemetry"))]
#[test]
fn an_address_for_traces_is_refused_by_a_program_that_cannot_send_them() {
    let problem = only_problem(TRACES, "[traces]\notlp_url = \"http://127.0.0.1:4318/v1/traces\"", &environment());
    assert!(problem.wrong.contains("built without the feature opentelemetry"), "{problem}");
    assert!(problem.remedy.contains("--features opentelemetry"), "{problem}");
    assert!(accepted("[traces]\notlp_url = \"\"", &environment()).traces.is_none());
}

#[cfg(feature = "opentelemetry")]
#[test]
fn an_address_for_traces_is_a_url_without_secrets() {
    for wrong in ["127.0.0.1:4318", "grpc://127.0.0.1:4317", "https://user:must-not-show@collector.example.com"] {
        only_problem(TRACES, &format!("[traces]\notlp_url = \"{wrong}\""), &environment());
    }
    let url = "http://127.0.0.1:4318/v1/traces";
    let settings = accepted(&format!("[traces]\notlp_url = \"{url}\""), &environment());
    assert_eq!(settings.traces.unwrap().otlp_url, url);
}
