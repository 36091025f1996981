//! The configuration of further accounts.

use super::config::{Environment, accepted, environment, only_problem, refused, with};
use secrecy::ExposeSecret;
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::config::{FIRST_ACCOUNT, Settings};
use taskrouter_streams::twilio::client::Credentials;

const BLUE: &str = "[accounts.blue]\naccount_sid = \"AC000000000000000000000000000000b1\"\n\
                    workspace_sid = \"WS000000000000000000000000000000b2\"\n";
const BLUES_TOKEN: &str = "blues-token-that-must-not-show";

/// With the secret where it belongs.
fn blue() -> Environment {
    with(&[("TRS__ACCOUNTS__BLUE__AUTH_TOKENS", BLUES_TOKEN)])
}

/// As the account has it for itself.
fn own(settings: &Settings, name: &str) -> Settings {
    let all = settings.by_account();
    all.into_iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("there is no {name}")).1
}

fn urls(settings: &Settings) -> Vec<&str> {
    settings.streams.destinations.iter().map(|destination| destination.url.as_str()).collect()
}

fn tokens(settings: &Settings) -> Vec<&str> {
    settings.twilio.auth_tokens.iter().map(ExposeSecret::expose_secret).collect()
}

#[test]
fn without_further_accounts_there_is_the_first_and_it_is_the_whole() {
    let settings = accepted("", &environment());
    let all = settings.by_account();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].0.as_str(), format!("{:?}", all[0].1)), (FIRST_ACCOUNT, format!("{settings:?}")));
}

#[test]
fn an_account_says_who_it_is_and_takes_over_the_rest() {
    let file = format!(
        "{BLUE}[twilio]\nmax_in_flight = 7\nregion = \"ie1\"\n[streams]\nstrategy = \"redirect\"\ntrack_budget = 3\n"
    );
    let settings = accepted(&file, &blue());
    let blue = own(&settings, "blue");
    assert_eq!(blue.twilio.account_sid.as_str(), "AC000000000000000000000000000000b1");
    assert_eq!(blue.twilio.workspace_sid.as_str(), "WS000000000000000000000000000000b2");
    assert_eq!(tokens(&blue), [BLUES_TOKEN]);
    assert!(matches!(&blue.twilio.credentials, Credentials::AuthToken(token) if token.expose_secret() == BLUES_TOKEN));
    assert_eq!(blue.twilio.api_base_url.as_str(), "https://api.twilio.com/", "a region is not taken over");
    assert_eq!((blue.twilio.max_in_flight, blue.streams.track_budget), (7, 3));
    assert_eq!((blue.streams.strategy, urls(&blue)), (Strategy::Redirect, urls(&settings)));
    let first = own(&settings, FIRST_ACCOUNT);
    assert_eq!(first.twilio.account_sid, settings.twilio.account_sid);
    assert_eq!(first.twilio.api_base_url.as_str(), "https://api.dublin.ie1.twilio.com/");
}

#[test]
fn an_account_has_a_region_key_strategy_destinations_and_rules_of_its_own() {
    let file = format!(
        "{BLUE}region = \"ie1\"\napi_key = \"SK000000000000000000000000000000b3\"\nstrategy = \"redirect\"\n\
         [[accounts.blue.destinations]]\nname = \"only\"\nurl = \"wss://blue.example.com/a\"\n\
         parameters = {{ who = \"{{worker.name}}\" }}\n\
         [[accounts.blue.rules]]\nchannel = \"voice\"\ndestinations = [\"only\"]\n"
    );
    let mut environment = blue();
    environment.insert("TRS__ACCOUNTS__BLUE__API_SECRET".to_owned(), "must-not-show".to_owned());
    // Names are kept for the lists of every account, unless that is turned off.
    let named = accepted(&file, &environment);
    assert_eq!(named.interest().fields, ["task.queue.name", "worker.name"].map(str::to_owned).into());
    environment.insert("TRS__ADMIN__NAMES".to_owned(), "false".to_owned());
    let settings = accepted(&file, &environment);
    let blue = own(&settings, "blue");
    assert_eq!(blue.twilio.api_base_url.as_str(), "https://api.dublin.ie1.twilio.com/");
    assert!(matches!(&blue.twilio.credentials, Credentials::ApiKey { key, .. } if key.ends_with("b3")));
    assert_eq!((blue.streams.strategy, urls(&blue)), (Strategy::Redirect, vec!["wss://blue.example.com/a"]));
    assert_eq!(blue.streams.rules.len(), 1);
    assert_eq!((settings.streams.strategy, settings.streams.rules.len()), (Strategy::StreamsApi, 0));
    // What is kept of an event is each account's own affair.
    assert!(blue.interest().fields.contains("worker.name") && settings.interest().fields.is_empty());
}

#[test]
fn the_environment_alone_makes_an_account_and_wins_over_the_file() {
    let by_environment = with(&[
        ("TRS__ACCOUNTS__RED__ACCOUNT_SID", "AC000000000000000000000000000000c1"),
        ("TRS__ACCOUNTS__RED__WORKSPACE_SID", "WS000000000000000000000000000000c2"),
        ("TRS__ACCOUNTS__RED__AUTH_TOKENS", "one, two"),
        ("TRS__ACCOUNTS__RED__DESTINATIONS", "wss://red.example.com/a,wss://red.example.com/b"),
        ("TRS__ACCOUNTS__RED__DESTINATIONS__1__TRACK", "inbound_track"),
    ]);
    let red = own(&accepted("", &by_environment), "red");
    assert_eq!((tokens(&red), urls(&red).len()), (vec!["one", "two"], 2));
    assert_eq!(red.streams.destinations[1].track.as_str(), "inbound_track");
    let file = format!("{BLUE}auth_tokens = [\"of the file\"]");
    assert_eq!(tokens(&own(&accepted(&file, &blue()), "blue")), [BLUES_TOKEN]);
}

#[test]
fn everything_that_is_wrong_with_an_account_is_told_at_once_in_its_own_terms() {
    let file = "[accounts.blue]\naccount_sid = \"AC1\"\napi_key = \"x\"\nregion = \"mars1\"\nstrategy = \"magic\"\n\
                [[accounts.blue.destinations]]\nurl = \"ws://h\"\n[[accounts.blue.rules]]\nqueue = 1\n[server]\nthreads = 0";
    let problems = refused(file, &environment());
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    for key in [
        "server.threads",
        "accounts.blue.account_sid",
        "accounts.blue.auth_tokens",
        "accounts.blue.workspace_sid",
        "accounts.blue.api_secret",
        "accounts.blue.region",
        "accounts.blue.strategy",
        "accounts.blue.destinations.0.url",
        "accounts.blue.rules.0.destinations",
        "accounts.blue.rules.0.queue",
    ] {
        assert_eq!(keys.iter().filter(|found| **found == key).count(), 1, "{key} in {keys:?}");
    }
    assert_eq!(keys.len(), 10, "{keys:?}");
    let all = problems
        .iter()
        .map(ToString::to_string)
        .filter(|line| line.starts_with("accounts"))
        .collect::<Vec<_>>()
        .join("\n");
    assert!(all.contains("set TRS__ACCOUNTS__BLUE__AUTH_TOKENS to the account's auth token"), "{all}");
    for not_its_own in ["TWILIO_", "twilio.", "[[streams", "streams.destinations"] {
        assert!(!all.contains(not_its_own), "{all}");
    }
}

#[test]
fn what_is_wrong_above_is_not_told_again_for_those_who_take_it_over() {
    let file = format!("{BLUE}[streams]\ntrack_budget = 9\nstrategy = \"magic\"\n[twilio]\nmax_in_flight = 0");
    let keys: Vec<String> = refused(&file, &blue()).into_iter().map(|problem| problem.key).collect();
    assert_eq!(keys, ["twilio.max_in_flight", "streams.strategy", "streams.track_budget"]);
}

#[test]
fn what_is_taken_over_and_does_not_fit_is_told_with_its_place() {
    let file = format!(
        "{BLUE}[[accounts.blue.destinations]]\nname = \"only\"\nurl = \"wss://blue.example.com/a\"\n\
         [[streams.rules]]\nchannel = \"voice\"\ndestinations = [\"A\"]\n"
    );
    let problem = only_problem("accounts.blue", &file, &blue()).to_string();
    assert!(
        problem.contains("inherits streams.rules.0.destinations, which for this account names the unknown destination"),
        "{problem}"
    );
    let file = "[streams]\ntrack_budget = 1\n[[accounts.blue.destinations]]\nurl = \"wss://blue.example.com/a\"\n";
    let mut environment = blue();
    environment.insert("TRS__STREAMS__DESTINATIONS__0__TRACK".to_owned(), "inbound_track".to_owned());
    let problem = only_problem("accounts.blue", &format!("{file}{BLUE}"), &environment).to_string();
    assert!(problem.contains("inherits streams.track_budget, which for this account is 1"), "{problem}");
}

#[test]
fn no_two_accounts_have_a_sid_a_workspace_or_a_token_in_common() {
    let first = accepted("", &environment()).twilio;
    for (key, file) in [
        ("account_sid", BLUE.replace("AC000000000000000000000000000000b1", first.account_sid.as_str())),
        ("workspace_sid", BLUE.replace("WS000000000000000000000000000000b2", first.workspace_sid.as_str())),
    ] {
        let problem = only_problem(&format!("accounts.blue.{key}"), &file, &blue());
        assert!(problem.wrong.contains("[twilio]") && problem.origin.as_deref() == Some("trs.toml"), "{problem}");
    }
    let shared = with(&[("TRS__ACCOUNTS__BLUE__AUTH_TOKENS", "another, a-token-that-must-not-show")]);
    only_problem("accounts.blue.auth_tokens", BLUE, &shared);
    let two = format!("{BLUE}{}", BLUE.replace("blue", "red"));
    let mut environment = blue();
    environment.insert("TRS__ACCOUNTS__RED__AUTH_TOKENS".to_owned(), BLUES_TOKEN.to_owned());
    let keys: Vec<String> = refused(&two, &environment).into_iter().map(|problem| problem.key).collect();
    assert_eq!(keys, ["accounts.red.account_sid", "accounts.red.auth_tokens", "accounts.red.workspace_sid"]);
}

#[test]
fn what_is_no_account_is_refused() {
    for (key, file) in [
        ("accounts", "accounts = 3"),
        ("accounts", "[[accounts]]\naccount_sid = \"x\""),
        ("accounts.blue", "[accounts]\nblue = 3"),
        ("accounts.account_sid", "[accounts]\naccount_sid = \"AC000000000000000000000000000000b1\""),
        ("accounts.twilio", "[accounts.twilio]\nregion = \"ie1\""),
        ("accounts.Blue", "[accounts.Blue]\nregion = \"ie1\""),
        ("accounts.blue__sky", "[accounts.blue__sky]\nregion = \"ie1\""),
    ] {
        only_problem(key, file, &environment());
    }
    for key in ["max_in_flight", "nonsense", "api_key.x"] {
        let problem = only_problem(&format!("accounts.blue.{key}"), &format!("{BLUE}{key} = 3\n"), &blue());
        assert!(problem.remedy.contains("account_sid, auth_tokens"), "{problem}");
    }
    let keys: Vec<String> = refused("[accounts.blue]", &environment()).into_iter().map(|problem| problem.key).collect();
    assert_eq!(keys, ["accounts.blue.account_sid", "accounts.blue.auth_tokens", "accounts.blue.workspace_sid"]);
}

#[test]
fn the_default_text_shows_every_key_of_an_account() {
    let problem = only_problem("accounts.blue.nonsense", &format!("{BLUE}nonsense = 3"), &blue());
    let text = taskrouter_streams::config::default_text().split("[accounts.blue]").nth(1).unwrap();
    let text = text.split("\n[journal]").next().unwrap();
    let keys = problem.remedy.split_once(" are ").unwrap().1.split_once(';').unwrap().0;
    for key in keys.split(", ") {
        assert!(text.contains(key), "{key}");
    }
}
