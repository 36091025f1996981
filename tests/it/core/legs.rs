//! Whose leg is whose: only the customer's is ever commanded (I2).
#![expect(clippy::wildcard_enum_match_arm, reason = "a test cares about one outcome and leaves the others alike")]

use super::story::*;
use taskrouter_streams::call::Next;
use taskrouter_streams::call::fact::{CallAttributes, FactKind, Notice, ReservationChange, TaskStatus};
use taskrouter_streams::call::sid::CallSid;
use taskrouter_streams::call::step::{
    Answer, CallRow, CallStatus, ConferenceRow, Operation, Outcome, ParticipantRow, Read, Role,
};

fn leg(number: u32) -> CallSid {
    sid("CA", number)
}

/// Somebody in the conference that bears the task's name.
#[derive(Debug, Clone, Copy)]
struct Somebody {
    leg: u32,
    role: Role,
    connected: bool,
    inbound: bool,
    client: bool,
}

const PHONE: Somebody = Somebody { leg: 1, role: Role::Unsaid, connected: true, inbound: true, client: false };
const CALLED: Somebody = Somebody { inbound: false, ..PHONE };
const AGENT: Somebody = Somebody { leg: 2, role: Role::Unsaid, connected: true, inbound: false, client: true };

fn inbound() -> CallAttributes {
    CallAttributes::default()
}

fn outbound() -> CallAttributes {
    CallAttributes { outbound: true, ..CallAttributes::default() }
}

fn answer(read: &Read, attributes: &CallAttributes, present: &[Somebody]) -> Outcome {
    let row = |one: &Somebody| ParticipantRow { role: one.role, connected: one.connected, ..row(leg(one.leg)) };
    Outcome::Done(match read {
        Read::Task { .. } => Answer::Task(attributes.clone()),
        Read::FindConference { .. } | Read::Conference { .. } => Answer::Conference(Some(ConferenceRow {
            sid: sid("CF", 1),
            friendly_name: task().to_string(),
            in_progress: true,
            to_come: false,
        })),
        Read::Participants { .. } => Answer::Participants(present.iter().map(row).collect()),
        Read::Call { call } => {
            let one = present.iter().find(|one| leg(one.leg) == *call).unwrap();
            let status = if one.connected { CallStatus::Live } else { CallStatus::Coming };
            Answer::Call(CallRow { status, inbound: one.inbound, client: one.client })
        }
        Read::Recordings { .. } => Answer::Recordings(Vec::new()),
    })
}

/// The leg that the first command is for; none when the task turns out to have no call.
fn commanded(attributes: &CallAttributes, present: &[Somebody]) -> Option<CallSid> {
    let mut story = Story::by_api();
    story.policy.outbound = true;
    let view =
        taskrouter_streams::call::fact::TaskView { attributes: attributes.clone(), ..view(TaskStatus::Assigned, 1) };
    story.learn(reservation_event(START, ReservationChange::Accepted, 1, 1, view));
    for _ in 0..500 {
        match story.next() {
            Next::Do(step) => match &step.operation {
                Operation::Command(_) => {
                    created(&step);
                    let Operation::Command(taskrouter_streams::call::step::Command::CreateStream { customer, .. }) =
                        step.operation
                    else {
                        unreachable!()
                    };
                    return Some(customer);
                }
                Operation::Read(read) => {
                    let outcome = answer(read, attributes, present);
                    story.settle(step, outcome);
                }
            },
            Next::WaitUntil(at) => story.now = at,
            Next::Report(kind) => {
                assert_eq!(kind, FactKind::Noticed(Notice::NoCall));
                assert!(story.now - START <= 61_000, "{} ms", story.now - START);
                return None;
            }
            next => panic!("{next:?}"),
        }
    }
    panic!("it looks for ever");
}

#[test]
fn the_customer_of_an_inbound_task_is_named_labelled_or_the_only_one_who_called() {
    let named = |customer: Option<u32>, call_sid: Option<u32>| CallAttributes {
        customer: customer.map(leg),
        call_sid: call_sid.map(leg),
        ..inbound()
    };
    let labelled = Somebody { leg: 5, role: Role::Customer, ..CALLED };
    let other = Somebody { leg: 6, ..PHONE };
    let supervisor = Somebody { leg: 7, role: Role::Other, ..PHONE };
    let ringing = Somebody { connected: false, ..PHONE };
    let client = Somebody { client: true, ..PHONE };
    for (why, attributes, present, expected) in [
        ("conference.participants.customer", named(Some(3), Some(4)), vec![AGENT, PHONE], Some(3)),
        ("call_sid", named(None, Some(4)), vec![AGENT, PHONE], Some(4)),
        ("the label", inbound(), vec![AGENT, PHONE, labelled], Some(5)),
        ("two labels say nothing", inbound(), vec![labelled, Somebody { leg: 8, ..labelled }], None),
        ("the only inbound leg", inbound(), vec![AGENT, PHONE], Some(1)),
        ("alone in the conference, and inbound", inbound(), vec![PHONE], Some(1)),
        ("two inbound legs", inbound(), vec![AGENT, PHONE, other], None),
        ("one of two is a supervisor, by the label or coaching", inbound(), vec![AGENT, PHONE, supervisor], Some(1)),
        ("nobody called", inbound(), vec![AGENT, CALLED], None),
        ("not while it rings", inbound(), vec![AGENT, ringing], None),
        ("an address of the account's own, not named", inbound(), vec![client], None),
        ("an in-app caller, who is named", named(None, Some(1)), vec![client], Some(1)),
        (
            "a leg that is named as somebody else's",
            CallAttributes { other_legs: [leg(1)].into(), ..inbound() },
            vec![PHONE],
            None,
        ),
        ("nobody is there", inbound(), vec![], None),
    ] {
        assert_eq!(commanded(&attributes, &present), expected.map(leg), "{why}");
    }
}

#[test]
fn the_customer_of_an_outbound_task_is_named_labelled_or_the_only_other_leg_beside_a_worker() {
    let customer = CallAttributes { customer: Some(leg(3)), ..outbound() };
    let recorder = CallAttributes { call_sid: Some(leg(4)), ..outbound() };
    let named_agent = CallAttributes { other_legs: [leg(6)].into(), ..outbound() };
    let desk_phone = Somebody { leg: 6, ..CALLED };
    let labelled = Somebody { leg: 5, role: Role::Customer, ..CALLED };
    let coach = Somebody { leg: 7, role: Role::Other, ..CALLED };
    let ringing = Somebody { connected: false, ..CALLED };
    let listener = Somebody { leg: 8, ..AGENT };
    for (why, attributes, present, expected) in [
        ("conference.participants.customer", customer, vec![AGENT, CALLED], Some(3)),
        ("call_sid is anybody's", recorder.clone(), vec![], None),
        ("call_sid is a recorder's, and the customer is there", recorder, vec![AGENT, CALLED], Some(1)),
        ("beside a client", outbound(), vec![AGENT, CALLED], Some(1)),
        ("beside a worker's telephone that an attribute names", named_agent, vec![desk_phone, CALLED], Some(1)),
        ("the label", outbound(), vec![AGENT, CALLED, labelled], Some(5)),
        ("alone: may be the worker", outbound(), vec![CALLED], None),
        ("two telephones", outbound(), vec![AGENT, CALLED, desk_phone], None),
        ("while it rings a supervisor listens in", outbound(), vec![AGENT, ringing, listener], None),
        ("a coach is not the customer", outbound(), vec![AGENT, coach], None),
        ("a coach beside the customer", outbound(), vec![AGENT, coach, CALLED], Some(1)),
        ("agent to agent", outbound(), vec![AGENT, listener], None),
        ("whoever called is not whom we called", outbound(), vec![AGENT, PHONE], None),
    ] {
        assert_eq!(commanded(&attributes, &present), expected.map(leg), "{why}");
    }
}

#[test]
fn a_task_of_agents_among_themselves_has_no_call() {
    let internal = CallAttributes { internal: true, ..outbound() };
    assert_eq!(commanded(&internal, &[AGENT, CALLED]), None);
    let labelled = Somebody { role: Role::Customer, ..CALLED };
    assert_eq!(commanded(&internal, &[AGENT, labelled]), None);
    // Also where a plugin writes the called agent's leg where a customer's stands.
    let (customer, call_sid) = (Some(leg(1)), Some(leg(1)));
    for attributes in [outbound(), inbound()] {
        let named = CallAttributes { internal: true, customer: customer.clone(), ..attributes.clone() };
        assert_eq!(commanded(&named, &[AGENT, CALLED]), None);
        let by_call_sid = CallAttributes { internal: true, call_sid: call_sid.clone(), ..attributes };
        assert_eq!(commanded(&by_call_sid, &[AGENT, CALLED]), None);
    }
}

#[test]
fn a_call_sid_that_is_also_a_workers_names_nobody() {
    let of_worker = |customer: Option<CallSid>| CallAttributes {
        call_sid: Some(leg(2)),
        other_legs: [leg(2)].into(),
        customer,
        ..inbound()
    };
    assert_eq!(commanded(&of_worker(None), &[AGENT]), None);
    assert_eq!(commanded(&of_worker(Some(leg(2))), &[AGENT]), Some(leg(2)), "it is said whose it is");
}

/// An agent accepts, and no attribute names the customer.
fn accepts_unnamed(story: &mut Story, agent: u32) {
    let unnamed = taskrouter_streams::call::fact::TaskView { attributes: inbound(), ..view(TaskStatus::Assigned, 1) };
    let accepted = reservation_event(START + i64::from(agent), ReservationChange::Accepted, agent, agent, unnamed);
    story.learn(accepted);
}

/// As the world answers, but that no attribute names the customer, and that only these are in the conference.
fn among<'a>(present: &'a [&CallSid]) -> impl Fn(&Operation) -> Option<Outcome> + 'a {
    move |operation| match operation {
        Operation::Read(Read::Participants { .. }) => {
            Some(Outcome::Done(Answer::Participants(present.iter().map(|leg| row((*leg).clone())).collect())))
        }
        Operation::Read(Read::Task { .. }) => Some(Outcome::Done(Answer::Task(inbound()))),
        _ => None,
    }
}

/// An agent's stream runs on the leg of this caller, who is named by no attribute.
fn deduced(caller: &CallSid) -> Story {
    let mut story = Story::by_api();
    accepts_unnamed(&mut story, 1);
    story.run_answered(among(&[caller]));
    story
}

/// I2: who stays behind is not the customer, whatever else they are.
#[test]
fn a_deduced_customer_who_leaves_is_followed_by_nobody() {
    let (caller, expert) = (customer(), leg(77));
    let mut story = deduced(&caller);
    assert_eq!((story.call.customer(), story.live().len()), (Some(&caller), 1));
    accepts_unnamed(&mut story, 2);
    story.run_answered(among(&[&expert]));
    assert_eq!(story.call.customer(), Some(&caller));
    assert!(story.call.streams().iter().all(|stream| stream.call == caller));
}

#[test]
fn a_deduced_customer_stays_it_when_somebody_joins() {
    let (caller, expert) = (customer(), leg(77));
    let mut story = deduced(&caller);
    story.now += 10_000;
    accepts_unnamed(&mut story, 2);
    story.verify = true;
    let (done, _) = story.run_answered(among(&[&caller, &expert]));
    assert!(done.contains(&"read participants".to_owned()), "{done:?}");
    assert_eq!(story.live(), [name(1, 1), name(2, 2)]);
}

/// I1: a redirect takes the customer out of the list that they were deduced from.
#[test]
fn a_deduced_customer_is_redirected_once() {
    let mut story = Story::new();
    story.world.attributes = inbound();
    accepts_unnamed(&mut story, 1);
    let is_away = std::cell::Cell::new(false);
    let (done, parked) = story.run_answered(|operation| match operation {
        Operation::Command(taskrouter_streams::call::step::Command::Redirect { .. }) => {
            is_away.set(true);
            None
        }
        Operation::Read(Read::Participants { .. }) if is_away.take() => {
            Some(Outcome::Done(Answer::Participants(vec![ParticipantRow { role: Role::Other, ..row(leg(100)) }])))
        }
        _ => None,
    });
    assert_eq!(done.iter().filter(|step| step.starts_with("redirect")).count(), 1, "{done:?}");
    assert_eq!(story.live(), [name(1, 1)]);
    assert_eq!(parked.len(), 0);
}

/// I2: a recorder or a supervisor's phone that joins later never becomes the customer.
#[test]
fn a_leg_that_is_the_customers_stays_so_when_others_join() {
    let mut story = Story::by_api();
    story.accepted(1, 1);
    story.run();
    let mut later = view(TaskStatus::Assigned, 2);
    later.attributes.call_sid = Some(leg(9));
    later.attributes.other_legs = [leg(8)].into();
    story.learn(reservation_event(START + 1, ReservationChange::Accepted, 2, 2, later));
    story.run();
    assert_eq!(story.call.customer(), Some(&customer()));
    assert!(story.call.streams().iter().all(|stream| stream.call == customer()));
}
