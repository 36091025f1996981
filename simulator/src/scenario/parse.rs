//! Reads scenario files.

use super::{Expectation, Scenario, ScenarioError, Step, Verb};
use crate::callbacks::DeliveryFault;
use crate::faults::{Fault, FaultBody, Lost, On, Side};
use crate::sim_config::SimConfig;
use crate::world::{CallAction, CallLess, Mode, NewTask, OpName, RecordingAct, SocketFailure, Target};
use serde::Deserialize;

/// The endpoints as scenario files call them.
const OPERATIONS: [(&str, OpName); 14] = [
    ("find conference", OpName::FindConferences),
    ("fetch conference", OpName::FetchConference),
    ("read participants", OpName::ListParticipants),
    ("fetch participant", OpName::FetchParticipant),
    ("update customer", OpName::UpdateParticipant),
    ("fetch call", OpName::FetchCall),
    ("end conference", OpName::EndConference),
    ("redirect", OpName::RedirectCall),
    ("create stream", OpName::CreateStream),
    ("stop stream", OpName::StopStream),
    ("list recordings", OpName::ListRecordings),
    ("update recording", OpName::UpdateRecording),
    ("fetch task", OpName::FetchTask),
    ("list reservations", OpName::ListReservations),
];

/// What may happen to a call, in the words of scenario files.
const CALL_ACTIONS: [(&str, CallAction); 18] = [
    ("an outside number joins", CallAction::ExternalJoins { guard: false }),
    ("an outside number joins, guard raised", CallAction::ExternalJoins { guard: true }),
    ("the outside number leaves", CallAction::ExternalLeaves),
    ("a supervisor listens in", CallAction::SupervisorJoins),
    ("the supervisor leaves", CallAction::SupervisorLeaves),
    ("the customer goes to a survey", CallAction::CustomerMovesOn),
    ("the task is cancelled", CallAction::TaskCanceled),
    ("the task is deleted", CallAction::TaskDeleted),
    ("a plugin records the call", CallAction::CallRecording(RecordingAct::Starts)),
    ("a plugin pauses the recording of the call", CallAction::CallRecording(RecordingAct::Pauses)),
    ("a plugin resumes the recording of the call", CallAction::CallRecording(RecordingAct::Resumes)),
    ("the recording of the call stops", CallAction::CallRecording(RecordingAct::Stops)),
    ("Flex records the conference", CallAction::ConferenceRecording(RecordingAct::Starts)),
    ("a plugin pauses the recording of the conference", CallAction::ConferenceRecording(RecordingAct::Pauses)),
    ("a plugin resumes the recording of the conference", CallAction::ConferenceRecording(RecordingAct::Resumes)),
    ("the recording of the conference stops", CallAction::ConferenceRecording(RecordingAct::Stops)),
    ("Flex raises the guard", CallAction::GuardWritten { raised: true }),
    ("Flex lowers the guard", CallAction::GuardWritten { raised: false }),
];

/// What tasks may come beside those of customers who call, in the words of scenario files.
const NEW_TASKS: [(&str, NewTask); 5] = [
    ("a callback task comes", NewTask::CallLess(CallLess::Callback)),
    ("a voicemail task comes", NewTask::CallLess(CallLess::Voicemail)),
    ("an internal task comes", NewTask::CallLess(CallLess::Internal)),
    ("the customer is queued again", NewTask::Requeued),
    ("another task names the same call", NewTask::Parallel),
];

/// What a faulty answer may hold instead of Twilio's JSON, in the words of scenario files.
const FAULT_BODIES: [(&str, FaultBody); 5] = [
    ("HTML", FaultBody::Html),
    ("nothing", FaultBody::Empty),
    ("plain text", FaultBody::PlainText),
    ("XML", FaultBody::Xml),
    ("truncated JSON", FaultBody::TruncatedJson),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    title: String,
    steps: Vec<String>,
    #[serde(default)]
    settings: serde_json::Map<String, serde_json::Value>,
}

/// Reads a scenario from the text of its file, and checks its settings.
pub fn read(text: &str) -> Result<Scenario, ScenarioError> {
    let form = |error: config::ConfigError| ScenarioError::Form(error.to_string());
    let source = config::File::from_str(text, config::FileFormat::Toml);
    let file: File =
        config::Config::builder().add_source(source).build().map_err(form)?.try_deserialize().map_err(form)?;
    let parse = |(place, words): (usize, String)| match parse_step(&words) {
        Ok(verb) => Ok(Step { words, verb }),
        Err(reason) => Err(ScenarioError::Step { number: place + 1, words, reason }),
    };
    let steps = file.steps.into_iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    let scenario = Scenario { name: file.name, title: file.title, settings: file.settings, steps };
    scenario.config(&SimConfig::default())?;
    Ok(scenario)
}

/// Reads one step; the error says what would be right.
pub fn parse_step(words: &str) -> Result<Verb, String> {
    match words {
        "customer calls" => return Ok(Verb::CustomerCalls),
        "customer writes" => return Ok(Verb::CustomerWrites),
        "customer answers" => return Ok(Verb::CustomerAnswers),
        "customer hangs up" => return Ok(Verb::CustomerHangsUp),
        "conference ends" => return Ok(Verb::ConferenceEnds),
        "settle" => return Ok(Verb::Settle),
        _ => {}
    }
    if let Some(verb) = happening(words) {
        return Ok(verb);
    }
    if let Some(span) = words.strip_prefix("wait ") {
        return Ok(Verb::Wait(milliseconds(span).ok_or("expected \"wait 3000 ms\"")?));
    }
    if let Some((from, to)) = words.split_once(" calls ").filter(|(_, to)| *to != "out") {
        return Ok(Verb::Comes(NewTask::Internal { from: agent(from)?, to: agent(to)? }));
    }
    if let Some(list) = words.strip_prefix("expect ") {
        return expect(list);
    }
    for (start, side) in [(" before the next ", Side::Before), (" after the next ", Side::After)] {
        if let Some((what, op)) = words.split_once(start) {
            let fault = match what {
                "the conference ends" => Fault::ConferenceEnds(side),
                "the customer hangs up" => Fault::CustomerHangsUp(side),
                _ => return Err("expected \"the conference ends\" or \"the customer hangs up\"".to_owned()),
            };
            return Ok(Verb::Fault(On::Next(operation(op)?), fault));
        }
    }
    if let Some(rest) = words.strip_prefix("the destination ") {
        return destination(rest);
    }
    if let Some(name) = words.strip_prefix("the socket of ").and_then(|rest| rest.strip_suffix(" dies")) {
        return Ok(Verb::SocketDies(agent(name)?));
    }
    if let Some(times) = ignored_stops(words) {
        return Ok(Verb::StopsIgnored(times));
    }
    if let Some(rest) = words.strip_prefix("the next ") {
        return what_goes_wrong(rest);
    }
    if let Some((from, rest)) = words.split_once(" transfers to ") {
        return transfer(from, rest);
    }
    for (ending, many, hold) in [(" holds", " hold", true), (" unholds", " unhold", false)] {
        if let Some(names) = words.strip_suffix(ending).or_else(|| words.strip_suffix(many)) {
            let names = agents(names)?;
            return Ok(if hold { Verb::Hold(names) } else { Verb::Unhold(names) });
        }
    }
    type Make = fn(String) -> Verb;
    let verbs: [(&str, Make); 8] = [
        (" calls out", Verb::CallsOut),
        (" accepts", Verb::Accepts),
        (" rejects", Verb::Rejects),
        (" times out", Verb::TimesOut),
        (" cannot be reached", Verb::CannotBeReached),
        (" cancels the transfer", Verb::CancelsTransfer),
        (" leaves", Verb::Leaves),
        (" completes", Verb::Completes),
    ];
    for (ending, verb) in verbs {
        if let Some(name) = words.strip_suffix(ending) {
            return Ok(verb(agent(name)?));
        }
    }
    Err("unknown step: `twilio_simulator::scenario::Verb` documents every wording".to_owned())
}

/// What happens to a call beside its customer and its agents, and other tasks.
fn happening(words: &str) -> Option<Verb> {
    let action = CALL_ACTIONS.iter().find(|(known, _)| *known == words).map(|(_, action)| Verb::Happens(*action));
    let new = || NEW_TASKS.iter().find(|(known, _)| *known == words).map(|(_, new)| Verb::Comes(new.clone()));
    action.or_else(new)
}

fn expect(list: &str) -> Result<Verb, String> {
    let (of, list) = match list.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((way, list)) => (Some(way.to_owned()), list),
        None => (None, list),
    };
    let all = list.split(", ").map(expectation).collect::<Result<_, _>>()?;
    Ok(Verb::Expect { of, all })
}

fn transfer(from: &str, rest: &str) -> Result<Verb, String> {
    let (to, mode) = rest.rsplit_once(", ").ok_or("end the transfer with \", warm\" or \", cold\"")?;
    let mode = match mode {
        "warm" => Mode::Warm,
        "cold" => Mode::Cold,
        _ => return Err("end the transfer with \", warm\" or \", cold\"".to_owned()),
    };
    let target = match to.strip_prefix("the queue of ") {
        Some(names) => Target::Queue(agents(names)?),
        None => Target::Agent(agent(to)?),
    };
    Ok(Verb::Transfers(agent(from)?, target, mode))
}

fn destination(rest: &str) -> Result<Verb, String> {
    let hint =
        "expected \"the destination refuses the next stream\" or \"the destination hangs on the next 3 streams\"";
    let (failure, which) = match (rest.strip_prefix("refuses the next "), rest.strip_prefix("hangs on the next ")) {
        (Some(which), _) => (SocketFailure::Handshake, which),
        (None, Some(which)) => (SocketFailure::TimedOut, which),
        (None, None) => return Err(hint.to_owned()),
    };
    let times = match which {
        "stream" => 1,
        _ => which.strip_suffix(" streams").and_then(|number| number.parse().ok()).ok_or(hint)?,
    };
    Ok(Verb::SocketsFail(failure, times))
}

/// How many, in "the next stop is ignored" and "the next 3 stops are ignored".
fn ignored_stops(words: &str) -> Option<u32> {
    if words == "the next stop is ignored" {
        return Some(1);
    }
    words.strip_prefix("the next ")?.strip_suffix(" stops are ignored")?.parse().ok()
}

fn milliseconds(span: &str) -> Option<u64> {
    span.strip_suffix(" ms")?.parse().ok()
}

/// What goes wrong with a request: "is answered 503", "hangs before its effect".
fn fault(how: &str) -> Result<Fault, String> {
    let hint = || {
        "expected \"is answered 503\", \"is answered 200 with HTML\", \"is cut after its effect\", \"hangs before its \
         effect\" or \"is cut and lands 800 ms later\""
            .to_owned()
    };
    match how {
        "is cut before its effect" => return Ok(Fault::Cut { took_effect: false }),
        "is cut after its effect" => return Ok(Fault::Cut { took_effect: true }),
        "hangs before its effect" => return Ok(Fault::Hang { took_effect: false }),
        "hangs after its effect" => return Ok(Fault::Hang { took_effect: true }),
        _ => {}
    }
    for (start, lost) in [("is cut and lands ", Lost::Cut), ("hangs and lands ", Lost::Hang)] {
        if let Some(span) = how.strip_prefix(start).and_then(|rest| rest.strip_suffix(" later")) {
            return Ok(Fault::LandsLate { lost, after_ms: milliseconds(span).ok_or_else(hint)? });
        }
    }
    let answer = how.strip_prefix("is answered ").ok_or_else(hint)?;
    let (answer, took_effect) = match answer.strip_suffix(" after its effect") {
        Some(answer) => (answer, true),
        None => (answer, false),
    };
    let (status, body) = match answer.split_once(" with ") {
        Some((status, name)) => (status, FAULT_BODIES.iter().find(|(known, _)| *known == name).map(|(_, body)| *body)),
        None => (answer, Some(FaultBody::Json)),
    };
    let status = status
        .parse()
        .ok()
        .filter(|status| (400..600).contains(status) || *status == 200 && body != Some(FaultBody::Json));
    let (status, body) = status.zip(body).ok_or_else(hint)?;
    Ok(Fault::Answer { status, retry_after: None, body, took_effect })
}

fn what_goes_wrong(rest: &str) -> Result<Verb, String> {
    // Of two operations of which one begins with the other's name, neither is followed by " is" or " hangs" in the other.
    for (name, op) in OPERATIONS {
        if let Some(how) = rest.strip_prefix(name).and_then(|how| how.strip_prefix(' ')) {
            return Ok(Verb::Fault(On::Next(op), fault(how)?));
        }
    }
    let (what, how) = rest.split_once(" is ").ok_or("expected \"the next … is …\"")?;
    let event = match what {
        "event" => None,
        "stream-started" | "stream-stopped" | "stream-error" => Some(what.to_owned()),
        _ if what.contains('.') && !what.contains(' ') => Some(what.to_owned()),
        _ => {
            return Err(format!("\"{what}\" is not an event type, \"event\" or an operation"));
        }
    };
    let delivery_fault = match how {
        "dropped" => DeliveryFault::Dropped,
        "duplicated" => DeliveryFault::Duplicated,
        "swapped" => DeliveryFault::Swapped,
        _ => {
            let span = how.strip_prefix("delayed by ").and_then(milliseconds);
            DeliveryFault::Delayed(
                span.ok_or("expected \"dropped\", \"duplicated\", \"swapped\" or \"delayed by 50 ms\"")?,
            )
        }
    };
    Ok(Verb::DeliveryFault(event, delivery_fault))
}

fn expectation(words: &str) -> Result<Expectation, String> {
    match words {
        "no streams" => Ok(Expectation::Streams(Vec::new())),
        "held" => Ok(Expectation::Held(true)),
        "not held" => Ok(Expectation::Held(false)),
        "guard raised" => Ok(Expectation::GuardRaised(true)),
        "guard lowered" => Ok(Expectation::GuardRaised(false)),
        "call over" => Ok(Expectation::Over(true)),
        "call live" => Ok(Expectation::Over(false)),
        "no requests" => Ok(Expectation::NoRequests),
        "no commands" => Ok(Expectation::NoCommands),
        _ => {
            let names = words.strip_prefix("streams ").or_else(|| words.strip_prefix("stream "));
            let names = names.ok_or_else(|| format!("\"{words}\" cannot be expected"))?;
            let mut names = agents(names)?;
            names.sort();
            Ok(Expectation::Streams(names))
        }
    }
}

fn operation(name: &str) -> Result<OpName, String> {
    let found = OPERATIONS.iter().find(|(known, _)| *known == name).map(|(_, op)| *op);
    found.ok_or_else(|| {
        let known: Vec<_> = OPERATIONS.iter().map(|(known, _)| *known).collect();
        format!("\"{name}\" is not an operation; known are: {}", known.join(", "))
    })
}

fn agents(list: &str) -> Result<Vec<String>, String> {
    list.split(" and ").map(agent).collect()
}

fn agent(name: &str) -> Result<String, String> {
    let fits = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    if fits { Ok(name.to_owned()) } else { Err(format!("\"{name}\" is not an agent's name: lower-case letters only")) }
}
