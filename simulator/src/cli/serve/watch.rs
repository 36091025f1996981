//! Prints what happens in a simulated Twilio, line by line, as it happens.

use super::say;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use taskrouter_streams::call::sid::WorkerSid;
use twilio_simulator::callbacks::{Delivered, Delivery};
use twilio_simulator::world::{Event, RequestRecord, StreamReport};
use twilio_simulator::{Ms, Simulator};

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
    notes: usize,
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
        for request in sim
            .world(|world| world.requests().to_vec())
            .iter()
            .skip(seen.requests)
            .take_while(|request| request.is_over())
        {
            seen.requests += 1;
            self.request(request);
        }
        for task in sim.world(|world| world.tasks()) {
            for stream in sim.world(|world| world.report(&task)).map_or_else(Vec::new, |report| report.streams) {
                let state = state(&stream);
                if seen.streams.insert(stream.sid.to_string(), state) != Some(state) {
                    seen.failures += usize::from(stream.failure.is_some() && !stream.failed_by_script);
                    self.stream(sim, &stream, state);
                }
            }
        }
        for violation in sim.world(|world| world.violations().to_vec()).iter().skip(seen.violations) {
            seen.violations += 1;
            self.say(&format!("  VIOLATION: {violation}"));
        }
        for note in sim.world(|world| world.notes().to_vec()).iter().skip(seen.notes) {
            seen.notes += 1;
            self.say(&format!("  note: {note}"));
        }
    }

    /// Prints how long each stream took, from an agent's accepting to its open socket, and how long redirects kept customers
    /// out of their conferences.
    pub(super) fn figures(&self, sim: &Simulator) {
        let accepted: Vec<Accepted> = sim.world(|world| world.events().filter_map(Accepted::read).collect());
        let reports: Vec<_> = sim.world(|world| world.tasks().iter().filter_map(|task| world.report(task)).collect());
        let mut legs = BTreeSet::new();
        // Several tasks may be about one leg.
        for report in reports.iter().filter(|report| legs.insert(report.customer.clone())) {
            for stream in &report.streams {
                let Some(opened) = stream.opened_at else { continue };
                // By the events' own times, which are a millisecond apart and so may lie behind the start.
                let before = || accepted.iter().rev().filter(|accepted| accepted.at <= opened);
                let own = before().find(|accepted| stream.worker.as_ref() == Some(&accepted.worker));
                let Some(accepted) = own.or_else(|| before().next()) else { continue };
                self.say(&format!("time to stream {}: {} ms", stream.sid, opened - accepted.at));
            }
            if let Some(customer) = &report.customer {
                self.say(&format!("time outside the conference of {customer}: {} ms", report.outside_ms));
            }
        }
    }

    /// Whether a stream's socket has failed that nobody asked to fail.
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
        let who = stream.worker.as_ref().and_then(|worker| sim.world(|world| world.agent_name(worker)));
        let who = who.map_or_else(String::new, |who| format!(" of {who}"));
        let why = stream.failure.map_or_else(String::new, |failure| format!(": {failure}"));
        self.say(&format!("  stream {}{who} to {}: {state}{why}", stream.sid, stream.url));
    }
}

/// That an agent has accepted, as TaskRouter tells it.
struct Accepted {
    worker: WorkerSid,
    at: Ms,
}

impl Accepted {
    fn read(event: &Event) -> Option<Self> {
        let get = |name: &str| event.form.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let accepted = event.event_type == "reservation.accepted";
        accepted
            .then(|| Some(Self { worker: get("WorkerSid")?.parse().ok()?, at: get("TimestampMs")?.parse().ok()? }))?
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
