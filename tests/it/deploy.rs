//! The files that ship it, held against the program: names of metrics, keys, paths, ports and commands.

use super::console::{answer, busy_stage};
use super::metrics::rendered;
use reqwest::Method;
use serde::Deserialize as _;
use serde_yaml_ng::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use taskrouter_streams::call::step::{Answer, Assumed, Outcome, Trouble};
use taskrouter_streams::config::{self, JournalUrl, Settings};
use taskrouter_streams::telemetry::labels;
use taskrouter_streams::telemetry::metrics::Metrics;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The documents of a YAML file.
fn yaml(path: &str) -> Vec<Value> {
    let text = read(path);
    serde_yaml_ng::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value:?} is not a text"))
}

/// What every installation has to add: secrets, the public URL and a destination.
fn least() -> BTreeMap<String, String> {
    environment(&[
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001"),
        ("TWILIO_AUTH_TOKEN", "a-token"),
        ("TWILIO_WORKSPACE_SID", "WS00000000000000000000000000000001"),
        ("TRS__SERVER__PUBLIC_URL", "https://streams.example.com"),
        ("TRS__STREAMS__DESTINATIONS", "wss://audio.example.com/a"),
    ])
}

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The settings of an environment over what every installation adds.
fn settings(extra: BTreeMap<String, String>) -> Settings {
    let mut all = least();
    all.extend(extra);
    config::from_text(None, &all).unwrap_or_else(|error| panic!("{error}"))
}

/// `NAME=value` pairs.
fn pairs(lines: impl IntoIterator<Item = String>) -> BTreeMap<String, String> {
    lines
        .into_iter()
        .map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap())
        .collect()
}

/// Metrics that an expression names, each with the labels that it asks for.
fn named(expression: &str) -> Vec<(String, Vec<String>)> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut found = Vec::new();
    for (at, _) in expression.match_indices("taskrouter_streams_") {
        let rest = &expression[at..];
        let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
        let selector = rest[name.len()..].strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
        let labels = selector.split(',').filter_map(|part| part.split(['=', '!']).next()).map(str::trim);
        found.push((name, labels.filter(|label| !label.is_empty()).map(str::to_owned).collect()));
    }
    found
}

/// Every expression of a file, wherever it stands.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping {
                match value.as_str() {
                    Some(expression) if key.as_str() == Some("expr") => found.push(expression.to_owned()),
                    Some(_) | None => expressions(value, found),
                }
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| expressions(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Tagged(_) => {}
    }
}

#[tokio::test]
async fn dashboard_and_alerts_name_metrics_that_exist_and_leave_none_out() {
    let stage = busy_stage("").await;
    let text = rendered(&stage).await;
    stage.stop().await;
    let mut series: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.split_once(['{', ' ']).unwrap();
        let known = series.entry(name).or_default();
        known.extend(labels.split('"').step_by(2).filter_map(|part| part.trim_matches(',').strip_suffix('=')));
    }
    let mut used = BTreeSet::new();
    for path in ["deploy/grafana/taskrouter-streams.json", "deploy/prometheus/alerts.yaml"] {
        let mut found = Vec::new();
        yaml(path).iter().for_each(|document| expressions(document, &mut found));
        assert!(found.len() > 10, "{path} has expressions");
        for expression in found {
            for (name, labels) in named(&expression) {
                let known = series.get(name.as_str()).unwrap_or_else(|| panic!("{path}: there is no {name}"));
                for label in labels.iter().filter(|label| *label != "instance") {
                    assert!(known.contains(label.as_str()), "{path}: {name} has no label {label}");
                }
                used.insert(name);
            }
        }
    }
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let unused: Vec<&str> = families
        .filter(|family| !used.iter().any(|name| name.starts_with(family)))
        .filter(|family| !family.ends_with("build_info"))
        .collect();
    assert_eq!(unused, Vec::<&str>::new(), "nobody looks at these");
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    let alerts = yaml("deploy/prometheus/alerts.yaml");
    let rules = alerts[0]["groups"][0]["rules"].as_sequence().unwrap();
    let names: BTreeSet<&str> = rules.iter().map(|rule| text(&rule["alert"])).collect();
    assert_eq!(names.len(), rules.len(), "no name stands twice");
    for rule in rules {
        assert!(["critical", "warning", "info"].contains(&text(&rule["labels"]["severity"])), "{rule:?}");
        let anchor = format!("<a id=\"{}\"></a>", text(&rule["alert"]).to_lowercase());
        assert!(read("docs/operations.md").contains(&anchor), "{rule:?}");
        let runbook = format!("/docs/operations.md#{}", text(&rule["alert"]).to_lowercase());
        assert!(text(&rule["annotations"]["runbook_url"]).ends_with(&runbook), "{rule:?}");
        assert!(
            text(&rule["annotations"]["summary"]).len() > 10 && text(&rule["annotations"]["description"]).len() > 10
        );
    }
}

/// The expression of an alert.
fn alert(name: &str) -> String {
    let alerts = yaml("deploy/prometheus/alerts.yaml");
    let rules = alerts[0]["groups"][0]["rules"].as_sequence().unwrap();
    let rule = rules.iter().find(|rule| rule["alert"] == name).unwrap_or_else(|| panic!("no alert {name}"));
    text(&rule["expr"]).to_owned()
}

/// What stands in quotation marks after this in an expression.
fn quoted<'a>(expression: &'a str, before: &str) -> &'a str {
    let rest = expression.split_once(before).unwrap_or_else(|| panic!("no {before} in {expression}")).1;
    rest.strip_prefix('"').unwrap().split('"').next().unwrap()
}

/// Whether a regular expression of alternatives and dots matches the whole of a text, as it must for Prometheus.
fn matches(pattern: &str, text: &str) -> bool {
    assert!(!pattern.contains(['*', '+', '?', '[', '(', '\\']), "{pattern} is more than this test reads");
    let same = |alternative: &str| {
        alternative.len() == text.len() && alternative.bytes().zip(text.bytes()).all(|(a, b)| a == b'.' || a == b)
    };
    pattern.split('|').any(same)
}

#[test]
fn every_answer_by_which_twilio_says_that_it_cannot_or_will_not_is_one_that_the_alert_counts() {
    let expression = alert("TwilioRefuses");
    let counted = quoted(&expression, "status=~");
    for status in (500..600).chain([401, 403, 429]).map(Some).chain([None]) {
        assert!(matches(counted, labels::status(status)), "{status:?} is not counted by {counted}");
    }
    for status in (200..400).chain([400, 404]) {
        assert!(!matches(counted, labels::status(Some(status))), "{status} is counted by {counted}");
    }
}

#[test]
fn the_dashboard_takes_no_step_that_went_well_for_one_that_did_not() {
    let mut found = Vec::new();
    yaml("deploy/grafana/taskrouter-streams.json").iter().for_each(|document| expressions(document, &mut found));
    let expression = found.iter().find(|expression| expression.contains("outcome!~")).unwrap();
    let left_out = quoted(expression, "outcome!~");
    let trouble = Trouble { status: None, code: None, reason: String::new(), retry_after_ms: None, lost: false };
    let done = Outcome::Done(Answer::Accepted);
    for (outcome, assumed, went_well) in [
        (done.clone(), None, true),
        (done, Some(Assumed::NotSent), true),
        (Outcome::NotFound(trouble.clone()), None, false),
        (Outcome::NotInProgress(trouble.clone()), None, true),
        (Outcome::TryLater(trouble.clone()), None, false),
        (Outcome::Denied(trouble.clone()), None, false),
        (Outcome::Unknown(trouble.clone()), None, false),
        (Outcome::Refused(trouble), None, false),
    ] {
        let word = labels::outcome(&outcome, assumed);
        assert_eq!(matches(left_out, word), went_well, "{word} and {left_out}");
    }
}

#[test]
fn the_alerts_of_rare_rounds_look_back_far_enough_to_see_them() {
    let rare = ["janitor", "backfill"];
    assert_eq!(quoted(&alert("BackgroundTaskFails"), "task!~").split('|').collect::<Vec<_>>(), rare);
    let (pruned, fetched) = (alert("JournalNotPruned"), alert("MissedEventsNotFetched"));
    assert_eq!([&pruned, &fetched].map(|expression| quoted(expression, "task=")), rare);
    let hours: u32 = pruned.split_once('[').unwrap().1.split_once("h]").unwrap().0.parse().unwrap();
    let needed: u32 = pruned.rsplit_once("> ").unwrap().1.parse().unwrap();
    let every = settings(BTreeMap::new()).journal.prune_every;
    assert!(Duration::from_secs(3600) * hours >= every * (needed + 1), "{hours} h hold more than {needed} rounds");
}

/// What must not be so for long without somebody's knowing: a leg that moved, and streams of which nobody knows enough.
#[test]
fn there_is_an_alert_for_everything_that_the_service_cannot_prove_or_has_given_up() {
    for (name, metric) in [
        ("StreamsParked", "calls{state=\"parked\"}"),
        ("StreamsOrphaned", "streams_orphaned"),
        ("StreamsInDoubt", "streams_in_doubt"),
        ("StreamsUnconfirmed", "streams_unconfirmed_total"),
        ("StopsUnproven", "stops_unproven_total"),
        ("LegMoved", "leg_checks_total{outcome=\"moved\"}"),
    ] {
        let expression = alert(name);
        assert!(expression.contains(&format!("taskrouter_streams_{metric}")), "{name}: {expression}");
    }
}

/// What Twilio is refused so, it does not send again.
#[test]
fn there_is_an_alert_for_every_answer_by_which_an_event_is_lost() {
    let expression = alert("RequestsUnusable");
    assert_eq!(quoted(&expression, "status=~").split('|').collect::<Vec<_>>(), labels::LOST);
    let text = Metrics::new("1.0.0", "unknown").render();
    for path in labels::TWILIO_PATHS {
        assert!(path.starts_with("/taskrouter/") || path == "/streams/status", "{path} is not in {expression}");
        for status in labels::LOST {
            let series = format!("answers_total{{path=\"{path}\",status=\"{status}\"}} 0");
            assert!(text.contains(&series), "it is there from the beginning: {series}");
        }
    }
}

/// Where a series appears with its first count, `increase` sees none.
#[test]
fn what_an_alert_takes_the_increase_of_is_there_from_the_beginning() {
    let metrics = Metrics::new("1.0.0", "unknown");
    metrics.begin_account(&"AC00000000000000000000000000000001".parse().unwrap());
    let text = metrics.render();
    let alerts = yaml("deploy/prometheus/alerts.yaml");
    let mut found = Vec::new();
    alerts.iter().for_each(|document| expressions(document, &mut found));
    let increases = found.iter().flat_map(|expression| expression.split("increase(").skip(1));
    let mut seen = 0;
    // Many are counted before the alert of refused signatures minds them, and that no event came is seen by any series.
    for increase in increases.filter(|increase| !increase.contains("answers_total") && !increase.contains("[30m]")) {
        let (name, rest) = increase.split_at(increase.find(['{', '[']).unwrap());
        let selector = rest.strip_prefix('{').map_or("", |rest| rest.split('}').next().unwrap());
        let wanted: Vec<&str> =
            selector.split(',').filter(|label| !label.is_empty() && !label.contains("!~")).collect();
        let is_there = |line: &&str| {
            line.split(['{', ' ']).next() == Some(name) && wanted.iter().all(|label| line.contains(label))
        };
        assert!(text.lines().any(|line| is_there(&line)), "nothing of {increase} in {text}");
        seen += 1;
    }
    assert!(seen > 5);
    for event in labels::events() {
        let series = format!("type=\"{event}\",verdict=\"refused\"");
        assert!(text.contains(&series), "every event that can be refused: {series} in {text}");
    }
}

/// Instructions of a Dockerfile, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let joined = read("Dockerfile").replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()))
        .collect()
}

fn last<'a>(instructions: &'a [(String, String)], word: &str) -> &'a str {
    &instructions.iter().rfind(|(found, _)| found == word).unwrap_or_else(|| panic!("no {word}")).1
}

#[test]
fn the_image_runs_as_nobody_where_its_journal_is_and_knows_when_it_is_well() {
    let instructions = instructions();
    assert_eq!(last(&instructions, "USER"), "65532:65532");
    let words: Vec<String> = last(&instructions, "ENV").split_whitespace().map(str::to_owned).collect();
    let settings = settings(pairs(words));
    let JournalUrl::Sqlite(journal) = &settings.journal.url else { panic!("the image has a file") };
    assert_eq!(journal.parent().unwrap(), Path::new(last(&instructions, "VOLUME")));
    let ports = [settings.server.listen.port(), settings.admin.listen.port()].map(|port| port.to_string()).join(" ");
    assert_eq!(last(&instructions, "EXPOSE"), ports);
    let health = last(&instructions, "HEALTHCHECK");
    assert!(health.contains(&format!("http://127.0.0.1:{}", settings.admin.listen.port())), "{health}");
    let list = &health[health.find('[').unwrap()..];
    let words: Vec<String> = serde_json::from_str(list).unwrap();
    assert_eq!(words[0], "taskrouter-streams");
    let help = Command::new(env!("CARGO_BIN_EXE_taskrouter-streams")).args([&words[1], "--help"]).output().unwrap();
    assert!(
        help.status.success() && String::from_utf8_lossy(&help.stdout).contains(&words[2]),
        "{words:?} is a command"
    );
    for copied in instructions.iter().filter(|(word, rest)| word == "COPY" && !rest.starts_with("--")) {
        let (_, rest) = copied;
        for source in rest.split_whitespace().rev().skip(1) {
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(source).exists(), "{source} is copied");
            assert!(
                read(".dockerignore").lines().any(|line| line == format!("!{source}")),
                "{source} is sent to the builder"
            );
        }
    }
    let rust = instructions.iter().find(|(word, rest)| word == "FROM" && rest.starts_with("rust:")).unwrap();
    let version = |text: &str| text.split('.').map(|part| part.parse().unwrap()).collect::<Vec<u32>>();
    let builds_with = version(rust.1.trim_start_matches("rust:").split('-').next().unwrap());
    let needs =
        read("Cargo.toml").lines().find_map(|line| line.strip_prefix("rust-version = ").map(str::to_owned)).unwrap();
    assert!(builds_with >= version(needs.trim_matches('"')), "{rust:?} is recent enough");
}

#[test]
fn the_image_says_where_it_comes_from_and_under_which_licence() {
    let instructions = instructions();
    let labels = last(&instructions, "LABEL");
    for (label, value) in [
        ("source", env!("CARGO_PKG_REPOSITORY")),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("title", env!("CARGO_PKG_NAME")),
    ] {
        assert!(labels.contains(&format!("org.opencontainers.image.{label}=\"{value}\"")), "{label}: {labels}");
    }
    for argument in ["COMMIT", "VERSION"] {
        assert!(labels.contains(&format!("=${argument}")), "{argument}: {labels}");
    }
}

#[test]
fn the_unit_starts_what_there_is_keeps_what_it_must_and_gives_it_time_to_stop() {
    let unit = read("deploy/systemd/taskrouter-streams.service");
    let values = |key: &str| {
        let lines = unit.lines().filter_map(|line| line.strip_prefix(&format!("{key}=")));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let only = |key: &str| {
        let found = values(key);
        assert_eq!(found.len(), 1, "{key}: {found:?}");
        found.into_iter().next().unwrap()
    };
    let settings = settings(pairs(values("Environment")));
    let directory = format!("/var/lib/{}", only("StateDirectory"));
    let JournalUrl::Sqlite(journal) = &settings.journal.url else { panic!("the unit has a file") };
    assert_eq!(journal.parent().unwrap(), Path::new(&directory), "the only place that it may write to");
    assert!(Duration::from_secs(only("TimeoutStopSec").parse().unwrap()) > settings.shutdown.grace);
    let start = only("ExecStart");
    let words: Vec<&str> = start.split_whitespace().collect();
    assert_eq!(words[..2], ["/usr/local/bin/taskrouter-streams", "serve"]);
    let refused =
        Command::new(env!("CARGO_BIN_EXE_taskrouter-streams")).args(&words[1..]).env_clear().output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("/etc/taskrouter-streams/config.toml cannot be read"),
        "the arguments are understood: {said}"
    );
    assert_eq!(refused.status.code().unwrap().to_string(), only("RestartPreventExitStatus"));
    for (key, value) in [
        ("Type", "notify"),
        ("StartLimitIntervalSec", "0"),
        ("TimeoutStartSec", "infinity"),
        ("LoadCredential", "twilio.auth_tokens:/etc/taskrouter-streams/auth_tokens"),
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateDevices", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("CapabilityBoundingSet", ""),
    ] {
        assert_eq!(only(key), value, "{key}");
    }
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    documents.iter().find(|document| document["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

/// Applies a JSON patch, as kustomize does.
fn patch(document: &mut Value, operations: &str) {
    let operations: Vec<serde_json::Value> = serde_json::from_str(operations).unwrap();
    for operation in operations {
        let path = operation["path"].as_str().unwrap();
        let value: Value = serde_yaml_ng::from_str(&operation["value"].to_string()).unwrap();
        let (above, last) = path.rsplit_once('/').unwrap();
        let mut parent = &mut *document;
        for step in above.split('/').skip(1) {
            parent = match step.parse::<usize>() {
                Ok(place) => &mut parent[place],
                Err(_) => &mut parent[step],
            };
        }
        match (operation["op"].as_str().unwrap(), last.parse::<usize>()) {
            ("add", _) if last == "-" => parent.as_sequence_mut().unwrap().push(value),
            ("add" | "replace", Err(_)) => parent[last] = value,
            ("test", Err(_)) => assert_eq!(parent[last], value, "{path}"),
            ("remove", Ok(place)) => drop(parent.as_sequence_mut().unwrap().remove(place)),
            ("remove", Err(_)) => drop(parent.as_mapping_mut().unwrap().remove(last).unwrap()),
            (operation, _) => panic!("{operation} {path}"),
        }
    }
}

/// The settings of a workload with the example's secret and this.
fn deployed(container: &Value, more: &[(&str, &str)]) -> Settings {
    let mut variables = environment(more);
    let secret = yaml("deploy/kubernetes/base/secret.example.yaml");
    for (name, value) in of_kind(&secret, "Secret")["stringData"].as_mapping().unwrap() {
        variables.insert(text(name).to_owned(), text(value).to_owned());
    }
    for variable in container["env"].as_sequence().unwrap() {
        variables.insert(text(&variable["name"]).to_owned(), text(&variable["value"]).to_owned());
    }
    let file = read("deploy/kubernetes/base/config.toml");
    config::from_text(Some(("the manifest", &file)), &variables).unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn the_manifest_configures_probes_and_confines_the_program_that_there_is() {
    let documents = yaml("deploy/kubernetes/base/workload.yaml");
    let spec = &of_kind(&documents, "StatefulSet")["spec"]["template"]["spec"];
    let container = &spec["containers"][0];
    let settings = deployed(container, &[]);
    assert!(settings.admin.token.is_some(), "off loopback the calls need a token");

    let JournalUrl::Sqlite(journal) = &settings.journal.url else { panic!("the manifest has a file") };
    let mounts = container["volumeMounts"].as_sequence().unwrap();
    let mounted = |name: &str| text(&mounts.iter().find(|mount| mount["name"] == name).unwrap()["mountPath"]);
    assert_eq!(journal.parent().unwrap(), Path::new(mounted("journal")));
    let arguments: Vec<&str> = container["args"].as_sequence().unwrap().iter().map(text).collect();
    assert_eq!(arguments, ["serve", "--config", &format!("{}/config.toml", mounted("config"))]);

    let ports = container["ports"].as_sequence().unwrap();
    let port = |name: &str| ports.iter().find(|port| port["name"] == name).unwrap()["containerPort"].as_u64().unwrap();
    assert_eq!(port("events"), u64::from(settings.server.listen.port()));
    assert_eq!(port("admin"), u64::from(settings.admin.listen.port()));
    assert!(Duration::from_secs(spec["terminationGracePeriodSeconds"].as_u64().unwrap()) > settings.shutdown.grace);
    assert_eq!(
        format!("{0}:{0}", spec["securityContext"]["runAsUser"].as_u64().unwrap()),
        last(&instructions(), "USER")
    );
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(text(&container["image"]), format!("taskrouter-streams:{}", env!("CARGO_PKG_VERSION")));

    let stage = busy_stage("").await;
    let annotations = &of_kind(&documents, "StatefulSet")["spec"]["template"]["metadata"]["annotations"];
    let scraped = text(&annotations["prometheus.io/path"]);
    let probes = ["startupProbe", "livenessProbe", "readinessProbe"];
    for path in probes.iter().map(|probe| text(&container[*probe]["httpGet"]["path"])).chain([scraped]) {
        let found = answer(stage.service.admin(), Method::GET, path, &[]).await;
        assert_eq!(found.status(), 200, "{path}");
    }
    stage.stop().await;
}

#[test]
fn the_variant_for_postgresql_shares_a_database_and_keeps_no_file() {
    let mut documents = yaml("deploy/kubernetes/base/workload.yaml");
    patch(&mut documents[0], &read("deploy/kubernetes/postgres/workload.json"));
    let spec = &documents[0]["spec"];
    assert!(spec["replicas"].as_u64().unwrap() > 1 && spec["volumeClaimTemplates"].is_null());
    let container = &spec["template"]["spec"]["containers"][0];
    let settings = deployed(container, &[("TRS__JOURNAL__URL", "postgres://u:p@database/journal")]);
    assert!(matches!(settings.journal.url, JournalUrl::Postgres(_)), "the address in the secret counts");
    let volumes = spec["template"]["spec"]["volumes"].as_sequence().unwrap();
    for mount in container["volumeMounts"].as_sequence().unwrap() {
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount:?} is there");
    }
    let mut policy = yaml("deploy/kubernetes/base/network-policy.yaml");
    patch(&mut policy[0], &read("deploy/kubernetes/postgres/network-policy.json"));
    let egress = policy[0]["spec"]["egress"].as_sequence().unwrap();
    let ports: Vec<u64> = egress
        .iter()
        .flat_map(|rule| rule["ports"].as_sequence().unwrap())
        .filter_map(|port| port["port"].as_u64())
        .collect();
    assert_eq!(ports, [53, 53, 443, 5432]);
}

#[test]
fn every_part_of_the_manifest_is_listed_and_is_about_the_same_pods() {
    let list = yaml("deploy/kubernetes/base/kustomization.yaml");
    let listed: Vec<&str> = list[0]["resources"].as_sequence().unwrap().iter().map(text).collect();
    let mut selectors = Vec::new();
    let mut services = BTreeMap::new();
    for name in listed {
        for document in yaml(&format!("deploy/kubernetes/base/{name}")) {
            let spec = &document["spec"];
            let selector = match text(&document["kind"]) {
                "NetworkPolicy" => &spec["podSelector"]["matchLabels"],
                "Service" => &spec["selector"],
                "StatefulSet" | "PodDisruptionBudget" => &spec["selector"]["matchLabels"],
                kind => panic!("{kind}"),
            };
            selectors.push(selector.clone());
            if document["kind"] == "Service" {
                let ports =
                    spec["ports"].as_sequence().unwrap().iter().map(|port| text(&port["targetPort"]).to_owned());
                services.insert(text(&document["metadata"]["name"]).to_owned(), ports.collect::<Vec<_>>());
            }
        }
    }
    assert_eq!(selectors.len(), 5);
    assert!(selectors.iter().all(|selector| *selector == selectors[0] && !selector.is_null()), "{selectors:?}");
    let expected = [("taskrouter-streams", "events"), ("taskrouter-streams-admin", "admin")];
    let expected = expected.map(|(name, port)| (name.to_owned(), vec![port.to_owned()]));
    assert_eq!(services, BTreeMap::from(expected), "no ingress offers the console by mistake");
}

#[test]
fn compose_starts_all_of_it_against_the_simulated_twilio() {
    let compose = yaml("deploy/compose/compose.yaml");
    let services = &compose[0]["services"];
    let variables = services["taskrouter-streams"]["environment"].as_mapping().unwrap();
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| (text(name).to_owned(), text(value).to_owned())).collect();
    let settings = config::from_text(None, &variables).unwrap_or_else(|error| panic!("{error}"));
    let JournalUrl::Postgres(_) = &settings.journal.url else { panic!("compose has a database") };
    let address = &variables["TRS__JOURNAL__URL"];
    let database = &services["postgres"]["environment"];
    let (password, name) = (text(&database["POSTGRES_PASSWORD"]), text(&database["POSTGRES_DB"]));
    assert!(address.starts_with(&format!("postgres://postgres:{password}@postgres/{name}")), "{address}");
    let command: Vec<&str> = services["twilio"]["command"].as_sequence().unwrap().iter().map(text).collect();
    let public = &settings.server.public_url;
    assert!(command.iter().any(|word| word.starts_with(&format!("--events-url={public}/taskrouter/events#"))));
    assert!(
        command.contains(
            &format!("--route={public}=http://taskrouter-streams:{}", settings.server.listen.port()).as_str()
        )
    );
    let port = settings.twilio.api_base_url.port().unwrap();
    assert!(command.contains(&format!("--listen=0.0.0.0:{port}").as_str()));
    for (_, service) in services.as_mapping().unwrap() {
        for volume in service["volumes"].as_sequence().into_iter().flatten().map(text) {
            let source = volume.split(':').next().unwrap();
            let is_there = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose").join(source).exists();
            assert!(!source.starts_with('.') || is_there, "{source} is mounted");
        }
        for port in service["ports"].as_sequence().into_iter().flatten().map(text) {
            assert!(port.starts_with("127.0.0.1:"), "{port} is open on this machine only");
        }
    }
    let scraped = yaml("deploy/compose/prometheus.yaml");
    let target = text(&scraped[0]["scrape_configs"][0]["static_configs"][0]["targets"][0]).to_owned();
    // As the image has it.
    assert_eq!(target, "taskrouter-streams:9090");
    let simulator = read("deploy/compose/simulator.Dockerfile");
    let copied = simulator.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|rest| !rest.starts_with("--"));
    for source in copied.flat_map(|rest| rest.split_whitespace().rev().skip(1)) {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(source).exists(), "{source} is copied");
        let is_sent = |line: &str| line.strip_prefix('!').is_some_and(|sent| sent.starts_with(source));
        assert!(read(".dockerignore").lines().any(is_sent), "{source} is sent to the builder");
    }
}

#[test]
fn the_version_says_which_build_it_is_and_the_changelog_knows_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_taskrouter-streams")).arg("--version").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        said.starts_with(&format!("taskrouter-streams {version} (commit ")) && said.contains(std::env::consts::ARCH),
        "{said}"
    );
    assert!(read("CHANGELOG.md").contains(&format!("\n## {version}")), "the changelog has this version");
}
