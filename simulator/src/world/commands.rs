//! What commands on calls, participants, conferences and streams do to the world, and what they are answered.
//!
//! Statuses of failures are documented only in part: 20404, 21220, 20429 and 20003 are. Those that nobody has published are
//! assumed, and settings ([`crate::AssumedErrors`]).

use super::calls::{Line, Role};
use super::conferences::{Conference, Entry};
use super::context::VoiceEffect;
use super::rest::{CallOrder, ParticipantChange, ParticipantOrder, TwimlSource};
use super::streams::Unstarted;
use super::twiml::{self, Unread};
use super::voice::Ended;
use super::{Misuse, Reply, StreamOrder, World};
use serde_json::{Value, json};
use taskrouter_streams::call::sid::{CallSid, StreamSid, TaskSid};

pub(super) fn update_participant(
    world: &mut World,
    conference: &str,
    call: &str,
    change: &ParticipantChange,
) -> Option<Reply> {
    let call = world.voice.conferences.find(conference)?.named(call).map(|row| row.call.clone()).or_else(|| {
        // A leg that has left: what is wrong with a command on it is judged all the same.
        world.voice.calls.find(call).map(|call| call.sid.clone())
    })?;
    let (guard, hold) = (change.guard, change.hold);
    // A guard that is raised again undoes what was done before the end. Of who is held that takes `Hold=false`.
    if guard == Some(true) && hold != Some(true) {
        check_leg(world, &call)
    } else {
        check_command(world, &call)
    }
    let World { cx, voice, .. } = world;
    let sid = voice.conferences.find(conference)?.sid.clone();
    let row = voice.conferences.get_mut(&sid)?.participant_mut(&call)?;
    if guard.is_some() && !row.is_connected() {
        return Some(cx.config.errors.not_connected.reply("Participant is not connected"));
    }
    row.set_hold(hold.unwrap_or(row.hold), cx.now());
    if let Some(muted) = change.muted {
        row.set_muted(muted, cx.now());
    }
    match (change.coaching, change.call_sid_to_coach.as_ref().and_then(|call| call.parse().ok())) {
        (Some(false), _) => row.set_coached(None, cx.now()),
        (Some(true), Some(coached)) => row.set_coached(Some(coached), cx.now()),
        // Documented: `Coaching=true` needs whom.
        (Some(true), None) => return Some(Reply::error(400, 20001, "Coaching needs a valid CallSidToCoach")),
        (None, _) => {}
    }
    let (number, held) = (row.row, row.hold);
    let mut echo = row.clone();
    echo.guard = guard.unwrap_or(row.guard);
    let reply = Reply { status: 200, body: echo.body(&cx.account, &sid) };
    // Observed: written while held, the guard is echoed and not stored; with Hold=false in the same request it is.
    if let Some(raised) = guard.filter(|_| !held) {
        let effect = VoiceEffect::Guard { conference: sid.clone(), row: number, raised };
        if cx.after_voice(cx.config.guard_lag_ms, effect).is_some() {
            voice.conferences.set_guard(&sid, number, raised);
        }
    }
    Some(reply)
}

/// `POST …/Conferences/{CF or name}/Participants.json` (documented: only here a conference may be named by its friendly name,
/// and is made when there is none). 16025 for a label that is taken is documented for TwiML.
pub(super) fn create_participant(world: &mut World, conference: &str, order: &ParticipantOrder, path: &str) -> Reply {
    let (Some(to), Some(from)) = (&order.to, &order.from) else {
        return Reply::error(400, 20001, "To and From are required");
    };
    let World { cx, voice, .. } = world;
    let open = |found: &Conference| found.is_open().then(|| found.name.clone());
    let room = match conference.strip_prefix("CF").filter(|rest| rest.len() == 32) {
        Some(_) => voice.conferences.find(conference).and_then(open),
        None => Some(conference.to_owned()),
    };
    let Some(room) = room else { return Reply::not_found(path) };
    let there = voice.conferences.open(&room).and_then(|sid| voice.conferences.find(sid.as_str()));
    if order.label.as_deref().is_some_and(|label| there.is_some_and(|found| found.named(label).is_some())) {
        return Reply::error(400, 16025, "Participant label is already in use");
    }
    let task: TaskSid = cx.mint(TaskSid::PREFIX);
    let call = voice.calls.create(cx, &task, &room, Role::Program, Line::between(from, to));
    let entry = Entry {
        guard: order.guard,
        label: order.label.clone(),
        coaches: order.call_sid_to_coach.as_ref().and_then(|call| call.parse().ok()),
        rings: cx.config.ringing_ms > 0,
        starts: order.starts,
        muted: order.muted,
    };
    let sid = voice.join(cx, &call, &room, entry);
    let body = voice.conferences.find(sid.as_str()).and_then(|found| found.participant(&call));
    Reply { status: 201, body: body.map_or(Value::Null, |row| row.body(&cx.account, &sid)) }
}

/// `DELETE …/Participants/{CA or label}.json`.
pub(super) fn remove_participant(world: &mut World, conference: &str, call: &str) -> Option<Reply> {
    let call = world.voice.conferences.find(conference)?.named(call)?.call.clone();
    check_command(world, &call);
    let ended = world.voice.kick(&mut world.cx, &call);
    world.notice(ended);
    Some(Reply::no_content())
}

/// `POST …/Calls.json`. The call rings, is answered, and follows its TwiML.
pub(super) fn create_call(world: &mut World, order: &CallOrder) -> Reply {
    let (Some(to), Some(from)) = (&order.to, &order.from) else {
        return Reply::error(400, 20001, "To and From are required");
    };
    let script = match &order.source {
        None => return Reply::error(400, 20001, "Url or Twiml is required"),
        Some(TwimlSource::Inline(text)) => match twiml::read_inline(text) {
            Ok(script) => script,
            Err(Unread::NotSimulated { what }) => return world.not_simulated(what),
            Err(unread @ (Unread::Malformed { .. } | Unread::TooLong { .. })) => {
                return Reply::error(400, 20001, &unread.to_string());
            }
        },
        // Documented.
        Some(TwimlSource::At(document)) if !document.is_absolute() => {
            return Reply::error(400, 21205, "Url is not a valid URL");
        }
        Some(TwimlSource::At(document)) => vec![twiml::Verb::Redirect(document.clone())],
    };
    let World { cx, voice, .. } = world;
    let task: TaskSid = cx.mint(TaskSid::PREFIX);
    let call = voice.calls.create(cx, &task, task.as_str(), Role::Program, Line::between(from, to));
    let mut body = voice.calls.get(&call).map_or(Value::Null, |call| call.body(&cx.account));
    body["status"] = json!("queued");
    body["start_time"] = Value::Null;
    let ended = voice.call_out(cx, &call, script);
    world.notice(ended);
    Reply { status: 201, body }
}

/// `POST …/Calls/{CA}.json` with `Twiml` or `Url`. What is not simulated leaves the call alone; so does TwiML that is too long
/// (assumed). That a leg follows what is no TwiML at all, into its end, is observed.
pub(super) fn redirect_call(world: &mut World, call: &str, source: &TwimlSource, path: &str) -> Reply {
    let text = match source {
        TwimlSource::Inline(text) => text,
        TwimlSource::At(document) => {
            return command_call(world, call, path, |world, call| {
                world.voice.ask_for_document(&mut world.cx, call, document.clone());
                Ended::default()
            });
        }
    };
    match twiml::read_inline(text) {
        Ok(script) => command_call(world, call, path, |world, call| world.voice.redirect(&mut world.cx, call, script)),
        Err(Unread::NotSimulated { what }) => world.not_simulated(what),
        Err(unread @ Unread::TooLong { .. }) => {
            let Some(call) = world.voice.calls.find(call).map(|call| call.sid.clone()) else {
                return Reply::not_found(path);
            };
            world.cx.violated(Misuse::BadTwiml { call, reason: unread.to_string() });
            Reply::error(400, 20001, &unread.to_string())
        }
        Err(unread @ Unread::Malformed { .. }) => command_call(world, call, path, |world, call| {
            world.cx.violated(Misuse::BadTwiml { call: call.clone(), reason: unread.to_string() });
            world.voice.end_by_command(&mut world.cx, call)
        }),
    }
}

pub(super) fn command_call(
    world: &mut World,
    call: &str,
    path: &str,
    command: impl FnOnce(&mut World, &CallSid) -> Ended,
) -> Reply {
    let Some(found) = world.voice.calls.find(call) else {
        return Reply::not_found(path);
    };
    let (sid, live) = (found.sid.clone(), found.is_live());
    check_command(world, &sid);
    if !live {
        // Documented.
        return Reply::error(400, 21220, "Call is not in-progress. Cannot redirect.");
    }
    let ended = command(world, &sid);
    world.notice(ended);
    let body = world.voice.calls.get(&sid).map_or(Value::Null, |call| call.body(&world.cx.account));
    Reply { status: 200, body }
}

/// `POST …/Streams.json`. Twilio publishes no code for what it refuses here: each is a setting (`AssumedErrors`).
pub(super) fn start_stream(world: &mut World, call: &str, order: &StreamOrder, path: &str) -> Reply {
    if order.status_callback_method.as_ref().is_some_and(|method| method != "POST") {
        return world.not_simulated("a StatusCallbackMethod other than POST");
    }
    let errors = world.cx.config.errors.clone();
    let over = || errors.stream_on_ended_call.reply("Call is not in-progress");
    let Some((sid, live)) = world.voice.calls.find(call).map(|call| (call.sid.clone(), call.is_live())) else {
        return Reply::not_found(path);
    };
    check_command(world, &sid);
    let World { cx, voice, .. } = world;
    let Some(call) = voice.calls.get(&sid).filter(|_| live) else { return over() };
    if !cx.config.callback_fragments && order.status_callback.as_ref().is_some_and(|url| url.contains('#')) {
        return errors.bad_stream.reply("StatusCallback is not a valid URL");
    }
    let stream: StreamSid = cx.mint(StreamSid::PREFIX);
    let verb = match order.clone().verb(&stream) {
        Ok(verb) => verb,
        Err(reason) => {
            let reply = errors.bad_stream.reply(&reason);
            cx.violated(Misuse::BadStream { call: sid, reason });
            return reply;
        }
    };
    match voice.streams.start(cx, call, stream, verb, false) {
        Ok(stream) => Reply { status: cx.config.stream_created_status, body: stream.body(&cx.account, &sid) },
        Err(Unstarted::CallOver) => over(),
        Err(Unstarted::NameTaken) => errors.stream_name_taken.reply("A stream of this name exists on the call"),
        Err(Unstarted::NoTrackLeft) => errors.no_track_left.reply("No track is left on the call"),
    }
}

/// `POST …/Streams/{MZ or name}.json`, `Status=stopped`, for streams of either origin (documented). 404/20404 for one
/// that is over or never was is assumed, and a setting.
pub(super) fn stop_stream(world: &mut World, call: &str, stream: &str, path: &str) -> Reply {
    let Some(call) = world.voice.calls.find(call).map(|call| call.sid.clone()) else {
        return Reply::not_found(path);
    };
    check_leg(world, &call);
    let Some(stopped) = world.voice.streams.stop(&mut world.cx, &call, stream) else {
        let message = format!("The requested resource {path} was not found");
        return world.cx.config.errors.stop_of_no_stream.reply(&message);
    };
    let ended = world.voice.resume(&mut world.cx);
    world.notice(ended);
    Reply { status: 200, body: stopped.body(&world.cx.account, &call) }
}

/// `POST …/Conferences/{CF}.json`, `Status=completed` (documented). It ends every leg that is in it, so doing it to a customer
/// who is there drops a caller.
pub(super) fn end_conference(world: &mut World, conference: &str, path: &str) -> Reply {
    let World { cx, voice, .. } = world;
    let Some(found) = voice.conferences.find(conference).filter(|found| found.is_open()) else {
        return Reply::not_found(path);
    };
    let sid = found.sid.clone();
    let customers =
        found.participants().iter().map(|row| row.call.clone()).filter(|call| voice.calls.is_customer(call));
    for call in customers.collect::<Vec<_>>() {
        cx.violated(Misuse::CustomerDropped { call, how: super::Drop::HungUp });
    }
    let ended = voice.end_conference(cx, &sid, "conference-ended-via-api", None);
    let body = voice.conferences.find(conference).map_or(Value::Null, |found| found.body(&cx.account));
    world.notice(ended);
    Reply { status: 200, body }
}

/// A command on a call whose end the service has acknowledged long enough ago is a violation. Stops are none.
fn check_command(world: &mut World, sid: &CallSid) {
    let World { cx, taskrouter, voice, .. } = world;
    let Some(call) = voice.calls.get(sid) else { return };
    let told = taskrouter.task(&call.task).and_then(|task| task.told_over_at);
    let sent_at = cx.sent_at.unwrap_or(cx.now());
    if !call.is_live() && told.is_some_and(|told| sent_at - told > cx.config.over_grace_ms) {
        cx.violated(Misuse::CommandAfterOver { call: sid.clone() });
    }
    check_leg(world, sid);
}

/// A command on any other leg than the customer's is a violation.
fn check_leg(world: &mut World, sid: &CallSid) {
    let World { cx, voice, .. } = world;
    let Some(call) = voice.calls.get(sid) else { return };
    if !call.may_be_commanded() {
        cx.violated(Misuse::OtherLegTouched { call: sid.clone(), whose: call.role.whose() });
    }
}
