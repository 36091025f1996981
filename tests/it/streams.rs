//! Streams that go wrong, start late or come in numbers, told to the whole product with both strategies.

use crate::stories::{STRATEGIES, patient, play, told};
use taskrouter_streams::call::Call;
use taskrouter_streams::call::fact::{FactKind, Notice};
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::step::Goal;
use taskrouter_streams::call::streams::StreamState;
use twilio_simulator::SimConfig;
use twilio_simulator::scenario::read;
use twilio_simulator::testbed::Testbed;

/// Times that a test can wait for.
const QUICK: &str = "restart_after_ms = 20\nconfirm_within_ms = 300\n";

/// A story told to a worker of each strategy; `judge` looks at the call afterwards.
struct Case<'a> {
    steps: &'a [&'a str],
    agents: &'a [&'a str],
    streams: &'a str,
    more: &'a str,
    settings: &'a str,
}

const CASE: Case<'static> =
    Case { steps: &[], agents: &["alice", "bob", "carol"], streams: "", more: "", settings: "" };

impl Case<'_> {
    fn tell(&self, judge: impl Fn(Strategy, &Call, &[FactKind]) -> Vec<String> + Sync) {
        let text = format!("name = \"x\"\ntitle = \"x\"\nsteps = {:?}\n[settings]\n{}", self.steps, self.settings);
        let story = read(&text).unwrap();
        play(&STRATEGIES, async |strategy| {
            let base = SimConfig { agents: self.agents.iter().map(|name| (*name).to_owned()).collect(), ..patient() };
            let Case { streams, more, .. } = self;
            let way = strategy.as_str();
            let configuration = format!(
                "[server]\nthreads = 1\n[streams]\nstrategy = \"{way}\"\n{QUICK}{streams}\n[retry]\ndoubt_ms = 100\nlanding_margin_ms = 100\n{more}"
            );
            let stage = Testbed::start_with_audio(story.config(&base).unwrap(), &configuration).await.unwrap();
            let outcome = stage.run(&story).await;
            let facts = stage.facts(&outcome.tasks[0]).await.unwrap();
            let whats: Vec<FactKind> = facts.iter().map(|fact| fact.kind.clone()).collect();
            let mut wrong = outcome.failures.clone();
            wrong.extend(judge(*strategy, &Call::fold(&facts), &whats));
            let wrong = told(&stage, way, &outcome.tasks, wrong).await;
            stage.stop().await;
            wrong
        });
    }
}

fn fine(_: Strategy, _: &Call, _: &[FactKind]) -> Vec<String> {
    Vec::new()
}

fn must(holds: bool, what: &str) -> Vec<String> {
    if holds { Vec::new() } else { vec![what.to_owned()] }
}

#[test]
fn five_agents_hand_the_call_on_and_each_has_a_stream_while_on_it() {
    Case {
        agents: &["alice", "bob", "carol", "dora", "emil"],
        steps: &[
            "customer calls",
            "alice accepts",
            "settle",
            "alice transfers to bob, warm",
            "bob accepts",
            "alice and bob unhold",
            "alice leaves",
            "settle",
            "expect stream bob",
            "bob transfers to carol, cold",
            "bob leaves",
            "carol accepts",
            "settle",
            "expect stream carol",
            "carol transfers to dora, warm",
            "dora accepts",
            "carol and dora unhold",
            "carol leaves",
            "settle",
            "expect stream dora",
            "dora transfers to emil, warm",
            "emil accepts",
            "dora and emil unhold",
            "dora leaves",
            "settle",
            "expect stream emil, guard raised, not held",
            "customer hangs up",
            "settle",
            "expect no streams, call over",
        ],
        ..CASE
    }
    .tell(|_, call, _| must(call.streams().len() >= 5, "every agent has had a stream"));
}

#[test]
fn agents_who_accept_at_once_both_have_a_stream() {
    Case {
        steps: &[
            "customer calls",
            "alice accepts",
            "alice transfers to bob, warm",
            "bob accepts",
            "settle",
            "expect streams alice and bob, guard raised",
            "customer hangs up",
            "settle",
            "expect no streams",
        ],
        ..CASE
    }
    .tell(fine);
}

#[test]
fn a_destination_that_refuses_every_stream_leaves_the_call_alone_and_is_parked_visibly() {
    Case {
        steps: &[
            "customer calls",
            "the destination refuses the next 9 streams",
            "alice accepts",
            "settle",
            "expect no streams, call live, guard raised, not held",
        ],
        streams: "restart_limit = 2",
        ..CASE
    }
    .tell(|_, call, _| {
        let parked: Vec<_> = call.parked().collect();
        let is_it = matches!(parked.as_slice(), [(Goal::Start(_), reason)] if reason.contains("319"));
        let failed = call.streams().iter().filter(|stream| stream.state() == StreamState::Failed).count();
        [must(is_it, &format!("parked: {parked:?}")), must(failed == 3, &format!("{failed} tries"))].concat()
    });
}

#[test]
fn a_destination_that_hangs_once_is_tried_again() {
    Case {
        steps: &[
            "customer calls",
            "the destination hangs on the next stream",
            "alice accepts",
            "settle",
            "expect stream alice, guard raised",
            "customer hangs up",
            "settle",
            "expect no streams",
        ],
        settings: "socket_connect_ms = 50",
        ..CASE
    }
    .tell(|_, call, _| must(call.streams().len() == 2, "there was a second try"));
}

#[test]
fn a_stream_of_which_nothing_is_heard_is_reported_and_left_running() {
    Case {
        steps: &[
            "customer calls",
            "the next stream-started is dropped",
            "alice accepts",
            "settle",
            "expect stream alice",
            "customer hangs up",
            "settle",
            "expect no streams",
        ],
        ..CASE
    }
    .tell(|_, call, kinds| {
        let reported =
            kinds.iter().filter(|kind| matches!(kind, FactKind::Noticed(Notice::StartUnproven { .. }))).count();
        [must(reported == 1, "it was reported once"), must(call.streams().len() == 1, "it was left running")].concat()
    });
}

#[test]
fn status_callbacks_that_come_twice_late_or_in_disorder_change_nothing() {
    Case {
        steps: &[
            "customer calls",
            "the next stream-started is duplicated",
            "alice accepts",
            "settle",
            "expect stream alice",
            "alice transfers to bob, warm",
            "the next stream-started is delayed by 150 ms",
            "bob accepts",
            "settle",
            "expect streams alice and bob",
            "alice and bob unhold",
            "the next stream-stopped is duplicated",
            "alice leaves",
            "settle",
            "expect stream bob",
            "customer hangs up",
            "settle",
            "expect no streams",
        ],
        ..CASE
    }
    .tell(|_, call, _| must(call.streams().len() == 2, "nothing was started twice"));
}

#[test]
fn a_create_or_redirect_whose_answer_is_lost_leaves_one_stream() {
    for side in ["before", "after"] {
        for op in ["create stream", "redirect"] {
            let cut = format!("the next {op} is cut {side} its effect");
            Case {
                steps: &[
                    "customer calls",
                    &cut,
                    "alice accepts",
                    "settle",
                    "expect stream alice, guard raised, not held",
                    "customer hangs up",
                    "settle",
                    "expect no streams",
                ],
                ..CASE
            }
            .tell(|_, call, _| {
                let names: std::collections::BTreeSet<_> = call.streams().iter().map(|stream| &stream.name).collect();
                must(names.len() == call.streams().len(), "no name twice")
            });
        }
    }
}

#[test]
fn a_call_that_an_agent_placed_is_streamed_once_the_customer_answers() {
    Case {
        steps: &[
            "alice calls out",
            "customer answers",
            "settle",
            "expect stream alice, guard raised, call live",
            "customer hangs up",
            "settle",
            "expect no streams, call over",
        ],
        more: "[eligibility]\noutbound = true\noutbound_wait_ms = 2000\n",
        ..CASE
    }
    .tell(fine);
}

#[test]
fn a_consent_that_the_rules_miss_means_no_stream_and_no_request() {
    Case {
        steps: &["customer calls", "alice accepts", "settle", "expect no streams, call live, no requests"],
        streams: "[[streams.rules]]\ntask_attributes = { direction = \"inbound\" }\ndestinations = []\n",
        ..CASE
    }
    .tell(fine);
}
