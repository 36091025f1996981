//! Calls as text in a terminal.

use crate::cli::say;
use crate::console::view::{AgentView, CallList, CallStory, CallView, LineView, PauseView};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::IsTerminal as _;

/// Colours on a terminal, none elsewhere.
#[derive(Clone, Copy)]
pub(super) struct Paint {
    colours: bool,
}

const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "1;31";
const BOLD: &str = "1";
const DIM: &str = "2";

impl Paint {
    pub(super) fn for_stdout() -> Self {
        Self { colours: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    fn with(self, colour: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(super) fn list(self, list: &CallList) {
        if list.calls.is_empty() {
            say("no calls");
        } else {
            self.rows(&list.calls);
        }
        if let Some(next) = &list.next {
            let more = if list.unfinished { "the search goes on" } else { "more calls follow" };
            say(&self.with(DIM, &format!("{more}: --after {next}")));
        }
    }

    fn rows(self, calls: &[CallView]) {
        let several = calls.iter().any(|call| call.account.is_some());
        let account = if several { "account  " } else { "" };
        let heading = format!(
            "{:<34}  {:<14}  {:<20}  {:<8}  {:<7}  {:<11}  {account}agents; reason",
            "call", "state", "start (UTC)", "duration", "audio", "outcome"
        );
        say(&self.with(BOLD, &heading));
        for call in calls {
            let (state, colour) = state(call);
            let state = self.with(colour, &format!("{state:<14}"));
            let duration = call.ended_ms.map_or("live".to_owned(), |ended| span(ended - call.began_ms));
            let audio = call.audio_after_ms.map_or("-".to_owned(), seconds);
            let account = call.account.as_ref().map(|name| format!("{name}  ")).unwrap_or_default();
            let agents: Vec<&str> = call.agents.iter().map(AgentView::shown).collect();
            let agents = if agents.is_empty() { "-".to_owned() } else { agents.join(", ") };
            let reason = call.trouble().map(|reason| format!("; {}", self.with(YELLOW, &reason))).unwrap_or_default();
            say(&format!(
                "{}  {state}  {:<20}  {duration:<8}  {audio:<7}  {:<11}  {account}{agents}{reason}",
                call.task,
                time(call.began_ms, "%Y-%m-%d %H:%M:%S"),
                call.outcome,
            ));
        }
    }

    pub(super) fn story(self, story: &CallStory) {
        let CallStory { call, timeline } = story;
        let (state, colour) = state(call);
        say(&format!("{}  {}", self.with(BOLD, call.task.as_str()), self.with(colour, &state)));
        if let Some(account) = &call.account {
            say(&format!("account {account}"));
        }
        if let Some(queue) = &call.queue {
            say(&format!("queue {queue}"));
        }
        say(&format!("began {} ({})", time(call.began_ms, "%Y-%m-%d %H:%M:%S UTC"), local_time(call.began_ms)));
        if let Some(ended) = call.ended_ms {
            say(&format!("lasted {}", span(ended - call.began_ms)));
        }
        let reason = call.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        say(&format!("outcome {}{reason}", call.outcome));
        if let Some(customer) = &call.customer {
            let guard = call.guard.as_deref().unwrap_or("changing");
            let hold = if call.held == Some(true) { ", held" } else { "" };
            say(&format!("customer {customer}: guard {guard}{hold}"));
        }
        for agent in &call.agents {
            let worker = agent.worker.as_ref().map_or("worker unknown", |worker| worker.as_str());
            let name = agent.worker_name.as_ref().map(|name| format!("{name}, ")).unwrap_or_default();
            let audio = agent.audio_after_ms.map(|ms| format!(", audio after {}", seconds(ms))).unwrap_or_default();
            say(&format!("{}: {} ({name}{worker}, {}){audio}", agent.name, agent.status, agent.reservation));
        }
        for stream in &call.streams {
            let error = stream.error.map(|code| format!(", Twilio error {code}")).unwrap_or_default();
            let colour = match (stream.live, stream.orphan || !stream.proven, stream.error) {
                (true, true, _) => YELLOW,
                (true, false, _) => GREEN,
                (false, _, Some(_)) => RED,
                (false, _, None) => DIM,
            };
            let state = self.with(colour, &format!("{}{error}", stream.state));
            say(&format!("stream {} on destination {} for {}: {state}", stream.name, stream.destination, stream.agent));
        }
        for pause in &call.pauses {
            self.pause(pause);
        }
        for parked in &call.parked {
            say(&self.with(RED, &format!("parked: {}: {}", parked.change, parked.reason)));
        }
        say("");
        for line in timeline {
            say(&self.line(line));
        }
    }

    fn pause(self, pause: &PauseView) {
        let colour = match pause.state.as_str() {
            "paused" => GREEN,
            "resumed" => DIM,
            _ => RED,
        };
        let whose = pause.agent.as_deref().unwrap_or("the whole call");
        let reason = pause.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let state = self.with(colour, &pause.state);
        let clock = |ms: i64| time(ms, "%H:%M:%S%.3fZ");
        say(&format!(
            "pause {} of {whose}{reason}: {state}, asked {} by {}",
            pause.id,
            clock(pause.asked_ms),
            pause.asked_by
        ));
        if let Some(proven) = pause.proven_ms {
            say(&format!("    proven {}: no stream within it runs", clock(proven)));
        }
        for stop in &pause.stops {
            say(&format!("    {} over {}: {}", stop.stream, clock(stop.over_ms), stop.proof));
        }
        match pause.recording.as_deref() {
            Some("none") => say("    no recording to pause"),
            Some(state @ ("not proven" | "not resumed")) => {
                say(&self.with(RED, &format!("    recording: {state}")));
            }
            Some(_) | None => {}
        }
        for recording in &pause.recordings {
            let resumed = recording.resumed_ms.map(|at| format!("; resumed {}", clock(at))).unwrap_or_default();
            let (sid, of, proof) = (&recording.recording, &recording.of, &recording.proof);
            say(&format!("    {sid} of {of} paused {}: {proof}{resumed}", clock(recording.paused_ms)));
        }
        if let Some(at) = pause.unproven_ms {
            say(&self.with(RED, &format!("    alarmed {}: not proven in time", clock(at))));
        }
        if let (Some(at), Some(by)) = (pause.resumed_ms, &pause.resumed_by) {
            say(&format!("    resumed {} by {by}", clock(at)));
        }
    }

    fn line(self, line: &LineView) -> String {
        let (mark, colour) = match line.kind.as_str() {
            "event" | "operator" => ("", BOLD),
            "stream" => ("    ", ""),
            "warning" => ("  ! ", YELLOW),
            "failure" => ("  → ", YELLOW),
            "not-sent" => ("  ⇢ ", ""),
            "parked" => ("  ✗ PARKED: ", RED),
            _ => ("  → ", ""),
        };
        let text = format!("{mark}{}", line.text);
        let text = if colour.is_empty() { text } else { self.with(colour, &text) };
        let took = line.took_ms.map(|took| format!(" ({took} ms)")).unwrap_or_default();
        let why = line.why.as_ref().map(|why| self.with(DIM, &format!("  [to {why}]"))).unwrap_or_default();
        format!(
            "{}  {:>6}.{:03} s  {text}{took}{why}",
            time(line.at_ms, "%H:%M:%S%.3fZ"),
            line.after_ms / 1000,
            line.after_ms % 1000
        )
    }
}

fn state(call: &CallView) -> (String, &'static str) {
    let shadow = if call.shadow { " (shadow)" } else { "" };
    let (state, colour) = plain_state(call);
    (format!("{state}{shadow}"), colour)
}

fn plain_state(call: &CallView) -> (String, &'static str) {
    match (call.parked.len(), call.over) {
        (0, true) => ("over".to_owned(), DIM),
        (0, false) => ("live".to_owned(), GREEN),
        (parked, true) => (format!("over, {parked} parked"), RED),
        (parked, false) => (format!("live, {parked} parked"), RED),
    }
}

fn time(ms: i64, format: &str) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| "-".to_owned(), |at| at.strftime(format).to_string())
}

/// With the machine's time zone.
fn local_time(ms: i64) -> String {
    let local = Timestamp::from_millisecond(ms).map(|at| at.to_zoned(TimeZone::system()));
    local.map_or_else(|_| "-".to_owned(), |at| at.strftime("%H:%M:%S %Z").to_string())
}

fn seconds(ms: i64) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}

/// As in "3:05" and "1:02:03".
fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds / 3_600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}
