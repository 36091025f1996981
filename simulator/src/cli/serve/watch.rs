//! Prints what happens in a simulated Twilio, line by line, as it happens.

use super::say;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use twilio_simulator::Simulator;
use twilio_simulator::callbacks::{Delivered, Delivery};
use twilio_simulator::world::{RequestRecord, StreamReport};

/// How often changes are looked for.
const POLL: Duration = Duration::from_millis(50);

/// Prints every change once.
pub(super) struct Watch {
    began: Instant,
    seen: RefCell<Seen>,
}

/// How much was printed already.
#[derive(Default)]
struct Seen {
    requests: usize,
    deliveries: usize,
    violations: usize,
    /// What was last said of each stream.
    streams: BTreeMap<String, &'static str>,
    failures: usize,
}

impl Watch {
    pub(super) fn begin() -> Self {
        Self { began: Instant::now(), seen: RefCell::default() }
    }

    /// A step of the scenario begins.
    pub(super) fn step(&self, words: &str) {
        if words != "settle" {
            self.say(words);
        }
    }

    /// Prints what happens until `scenario` is over.
    pub(super) async fn over<T>(&self, sim: &Simulator, scenario: impl Future<Output = T>) -> T {
        tokio::pin!(scenario);
        let result = loop {
            tokio::select! {
                result = &mut scenario => break result,
                () = tokio::time::sleep(POLL) => self.look(sim),
            }
        };
        self.look(sim);
        result
    }

    /// Prints what has happened since the last look.
    fn look(&self, sim: &Simulator) {
        let mut seen = self.seen.borrow_mut();
        for delivery in sim.deliveries().iter().skip(seen.deliveries) {
            seen.deliveries += 1;
            self.delivery(delivery);
        }
        // A request is recorded when it arrives, and complete when it is answered.
        for request in sim.requests().iter().skip(seen.requests).take_while(|request| request.is_over()) {
            seen.requests += 1;
            self.request(request);
        }
        for task in sim.tasks() {
            for stream in sim.report(&task).map_or_else(Vec::new, |report| report.streams) {
                let state = state(&stream);
                if seen.streams.insert(stream.sid.to_string(), state) != Some(state) {
                    seen.failures += usize::from(stream.failure.is_some());
                    self.stream(sim, &stream, state);
                }
            }
        }
        for violation in sim.violations().iter().skip(seen.violations) {
            seen.violations += 1;
            self.say(&format!("  VIOLATION: {violation}"));
        }
    }

    /// Whether a stream's socket has failed.
    pub(super) fn has_seen_failures(&self) -> bool {
        self.seen.borrow().failures > 0
    }

    /// Prints a line with the time since the scenario began.
    pub(super) fn say(&self, line: &str) {
        let ms = self.began.elapsed().as_millis();
        say(&format!("{:>6}.{:03} s  {line}", ms / 1_000, ms % 1_000));
    }

    fn delivery(&self, delivery: &Delivery) {
        let how = match delivery.outcome {
            Delivered::Answered(status) => format!("answered {status} in {} ms", delivery.latency_ms),
            Delivered::NoConnection => "connection refused".to_owned(),
            Delivered::NoAnswer => "no answer".to_owned(),
            Delivered::Dropped => "dropped, as the scenario says".to_owned(),
            Delivered::Nowhere => return,
        };
        self.say(&format!("  event {}: {how}", delivery.event_type));
    }

    fn request(&self, request: &RequestRecord) {
        let status = request.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let fault = request.fault.map_or_else(String::new, |fault| format!(" ({fault})"));
        self.say(&format!("  request {}: {status}{fault}", request.target));
    }

    fn stream(&self, sim: &Simulator, stream: &StreamReport, state: &str) {
        let who = stream.worker.as_ref().and_then(|worker| sim.agent_named(worker));
        let who = who.map_or_else(String::new, |who| format!(" of {who}"));
        let why = stream.failure.map_or_else(String::new, |failure| format!(": {failure}"));
        self.say(&format!("  stream {}{who} to {}: {state}{why}", stream.sid, stream.url));
    }
}

fn state(stream: &StreamReport) -> &'static str {
    match (stream.failure, stream.stopped_at, stream.opened_at) {
        (Some(_), _, _) => "FAILED",
        (None, Some(_), _) if stream.ended_with_call => "ended with the call",
        (None, Some(_), _) => "stopped",
        (None, None, Some(_)) => "open",
        (None, None, None) => "opening",
    }
}
