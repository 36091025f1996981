//! The invariants of DESIGN §4, by their numbers.

use super::hold::Against;
use super::run::Run;
use std::collections::BTreeSet;
use taskrouter_streams::call::Call;
use taskrouter_streams::call::fact::{EpochMs, Fact};
use taskrouter_streams::call::pauses::Pause;
use taskrouter_streams::call::recording::{Recorded, RecordedKind};
use taskrouter_streams::call::rules::OnHold;
use taskrouter_streams::call::sid::ReservationSid;
use taskrouter_streams::call::step::Goal;
use twilio_simulator::world::{CallReport, Drop, Misuse, RecordedSid, RecordingStatus, StreamReport};

/// What holds at every moment: I1, I2, I4, I5 by the world's own record, of I8 that nobody is held for no reason, and I9 whenever there
/// is a new fact. How facts are written is tried at rest.
pub(super) fn always(run: &mut Run<'_>) -> Result<(), String> {
    let facts = run.facts_seen();
    if facts.len() != run.facts_folded {
        run.facts_folded = facts.len();
        if Call::fold(run.facts_seen()) != *run.call() {
            return Err("I9: the facts fold to another call".to_owned());
        }
    }
    entitlement(run)?;
    pauses(run)?;
    let violations = run.world.violations();
    if let Some(violation) = violations.get(run.violations_seen) {
        let text = format!("VIOLATION: {violation}");
        let drop = matches!(violation.what, Misuse::CustomerDropped { how: Drop::Alone, .. });
        let rejoined = matches!(violation.what, Misuse::RejoinedNewConference { .. });
        run.violations_seen += 1;
        // Somebody left between the reading that the redirect relied on and the redirect, and no event told of it in time.
        let untold = run.leave_told_at.is_none_or(|told| told > run.redirect_sent_at);
        let raced = drop && run.last_leave_at >= run.last_reading_at && untold;
        // Somebody left after the redirect was sent, and before it was carried out late.
        let raced = raced || drop && run.landed_at == violation.at && run.last_leave_at >= run.redirect_sent_at;
        // Who has lost the word that the task is over may take an offer that is accepted all the same for its going on.
        let unheard = run.lossy && !run.told.is_over() && matches!(violation.what, Misuse::CommandAfterOver { .. });
        // By the world's clock; what the worker is told, and when, is `entitlement`'s to judge.
        let untold_end = matches!(violation.what, Misuse::StreamedUnattended { .. }) && !run.plan.is_smooth();
        // Sent before the end was known, and carried out after it.
        let landed = run.landed_at == violation.at && matches!(violation.what, Misuse::CommandAfterOver { .. });
        if !(raced || landed || untold_end || rejoined && run.doomed_by_race || unheard) {
            return Err(text);
        }
        run.doomed_by_race |= raced;
        run.counted.lost_races += u32::from(raced);
        run.raced(&text);
    }
    match run.hold.take_against() {
        Some(Against::Raced) => {
            run.counted.held_races += 1;
            run.raced("the customer was taken off hold meanwhile");
        }
        Some(Against::Knowingly(how)) => {
            return Err(format!("I8: the customer is held by us, and nobody wants it: {how}"));
        }
        None => {}
    }
    Ok(())
}

/// I3, I12: when nobody is entitled to the audio any more, no stream runs on. Within the grace and a request or two where nothing goes
/// wrong; else within a minute, unless it is shown.
fn entitlement(run: &Run<'_>) -> Result<(), String> {
    let Some(since) = run.unentitled_since else { return Ok(()) };
    let (plan, policy) = (run.plan, &run.plan.policy);
    let allowed = if plan.is_smooth() && !plan.has_ignored_stops() {
        policy.end_grace_ms + 500 + 8 * plan.latency_ms
    } else {
        60_000
    };
    if run.now - since <= allowed {
        return Ok(());
    }
    let Some(report) = run.task.as_ref().and_then(|task| run.world.report(task)) else { return Ok(()) };
    let running = report.streams.iter().find(|stream| stream.stopped_at.is_none());
    let shown = |name: &str| run.call().parked().any(|(goal, _)| *goal == Goal::Stop(name.to_owned()));
    match running.filter(|stream| !shown(&stream.name)) {
        Some(stream) => Err(format!("I3: {} runs {} ms after the last agent", stream.name, run.now - since)),
        None => Ok(()),
    }
}

/// I13: no stream runs within a pause that is proven.
fn pauses(run: &mut Run<'_>) -> Result<(), String> {
    let proven: Vec<_> =
        run.call().pauses().iter().filter(|pause| pause.is_open() && pause.proven.is_some()).cloned().collect();
    run.counted.proven_pauses += u32::from(!proven.is_empty());
    let Some(report) = run.task.as_ref().and_then(|task| run.world.report(task)) else { return Ok(()) };
    for stream in report.streams.iter().filter(|stream| stream.stopped_at.is_none()) {
        let within = proven.iter().find(|pause| reservation(stream).is_some_and(|sid| pause.scope.covers(&sid)));
        if let Some(pause) = within {
            return Err(format!("I13: {} runs within {}, which is proven", stream.name, pause.id));
        }
    }
    let Some(pause) = proven.iter().find(|pause| pause.recordings.is_some()) else { return Ok(()) };
    recordings(run, pause, &report)
}

/// I13: no recording is in progress within such a pause, unless somebody has begun or resumed it since it was last looked for.
fn recordings(run: &Run<'_>, pause: &Pause, report: &CallReport) -> Result<(), String> {
    if run.call().is_over() {
        return Ok(());
    }
    for recording in report.recordings.iter().filter(|found| found.status == RecordingStatus::InProgress) {
        let of = match &recording.of {
            RecordedSid::Call(call) => Recorded::Call(call.clone()),
            RecordedSid::Conference(conference) => Recorded::Conference(conference.clone()),
        };
        let read_at = run.recordings_read.get(&of).copied().unwrap_or(EpochMs::MIN);
        let was_read = recording.changed_at < read_at && pause.at < read_at;
        let is_late = run.plan.is_smooth() && run.now - recording.changed_at.max(pause.at) > 32_000;
        if recording.by_request || was_read || is_late {
            let (sid, id) = (&recording.sid, &pause.id);
            return Err(format!("I13: {sid} of {of:?} is in progress within {id}, which is proven"));
        }
    }
    Ok(())
}

/// I8: what we paused runs again when no pause is open, or that is shown.
fn resumed_recordings(run: &Run<'_>, parked: &BTreeSet<Goal>) -> Result<(), String> {
    if run.call().pauses().iter().any(Pause::is_open) {
        return Ok(());
    }
    let Some(report) = run.task.as_ref().and_then(|task| run.world.report(task)) else { return Ok(()) };
    let left = report.recordings.iter().find(|found| {
        let kind = match &found.of {
            RecordedSid::Call(_) => RecordedKind::Call,
            RecordedSid::Conference(_) => RecordedKind::Conference,
        };
        let is_ours = found.status == RecordingStatus::Paused && found.by_request;
        is_ours && !parked.contains(&Goal::ResumeRecording(kind))
    });
    left.map_or(Ok(()), |found| Err(format!("I8: {} stays paused by us", found.sid)))
}

/// Whose stream it is.
fn reservation(stream: &StreamReport) -> Option<ReservationSid> {
    let parameter = stream.parameters.iter().find(|(name, _)| name == "reservationSid");
    parameter.map(|(_, sid)| sid.parse().unwrap())
}

/// At rest a pause is proven, or somebody has been told.
fn told_of(call: &Call) -> Result<(), String> {
    let untold = |pause: &&Pause| pause.is_open() && pause.proven.is_none() && pause.unproven_at.is_none();
    call.pauses()
        .iter()
        .find(untold)
        .map_or(Ok(()), |pause| Err(format!("I12: {} is not proven, and not told", pause.id)))
}

/// I9: what the journal holds, written and read back, folds to the same call.
pub(super) fn refolded(facts: &[Fact]) -> Result<Call, String> {
    let text = serde_json::to_vec(facts).map_err(|error| error.to_string())?;
    let read: Vec<Fact> = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if read != facts {
        return Err("I9: the facts do not survive being written".to_owned());
    }
    Ok(Call::fold(&read))
}

/// What holds when nothing moves any more: I3, I8 and, when `strict`, I9. Then nothing excuses anything: the weather is calm, and
/// what had been given up has been redriven.
pub(super) fn at_rest(run: &mut Run<'_>, strict: bool) -> Result<(), String> {
    if strict && refolded(&run.facts)? != *run.call() {
        return Err("I9: the journal folds to another call".to_owned());
    }
    let Some(picture) = run.picture() else { return Ok(()) };
    let call = run.call();
    let lossy = run.lossy;
    let ledger = if lossy { &run.told } else { &run.truth };
    if picture.over || ledger.is_over() {
        return Ok(());
    }
    told_of(call)?;
    let parked: BTreeSet<Goal> = call.parked().map(|(goal, _)| goal.clone()).collect();
    resumed_recordings(run, &parked)?;
    // A customer whose conference ended while they were on their way back is nobody's to help.
    let Some(held) = picture.held else { return Ok(()) };
    // Whoever is alone in a conference, or was led into another one, waits for others.
    let well = picture.participants > 1 && !ledger.on_the_call().is_empty() && run.world.notes().is_empty();
    if strict && !lossy && well && !parked.is_empty() {
        return Err(format!("parked although all is well: {parked:?}"));
    }
    let rests = held && run.plan.policy.destinations[0].on_hold == OnHold::Stop;
    streams(run, if rests { Vec::new() } else { ledger.on_the_call() }, &parked)?;
    let open = if lossy { call.has_open_transfer() } else { ledger.has_open_transfer() };
    if open != call.has_open_transfer() {
        return Err(format!("the core takes the transfer for {}", if open { "over" } else { "open" }));
    }
    if picture.guard_raised == Some(false) && !open && !parked.contains(&Goal::RaiseGuard) {
        return Err("I8: the guard is lowered and no transfer is open".to_owned());
    }
    let agents = ledger.on_the_call().len();
    if agents == 0 && !parked.is_empty() {
        // Who waits for somebody in a conference that is not in progress cannot be held, and that is shown.
        return Ok(());
    }
    let talks_alone = agents == 1 && !open;
    // Who has lost a wrapup, or hears of it late, takes a lone customer for one who talks.
    if !lossy && !run.reordered && !held && run.hold.is_wanted() && !talks_alone && !parked.contains(&Goal::HoldAgain) {
        return Err(format!("I8: the customer is not held again ({agents} agents, transfer open: {open})"));
    }
    Ok(())
}

/// I3, and of I4 the budget.
fn streams(run: &Run<'_>, on: Vec<&ReservationSid>, parked: &BTreeSet<Goal>) -> Result<(), String> {
    let Some(report) = run.task.as_ref().and_then(|task| run.world.report(task)) else { return Ok(()) };
    let running = report.streams.iter().filter(|stream| stream.stopped_at.is_none());
    let running: Vec<ReservationSid> = running.filter_map(reservation).collect();
    let policy = &run.plan.policy;
    let room = policy.track_budget / policy.destinations[0].tracks;
    let unpaused = on.iter().rev().filter(|sid| !run.is_paused(sid));
    let wanted: BTreeSet<ReservationSid> = unpaused.take(room).map(|sid| (*sid).clone()).collect();
    let is_parked = |sid: &ReservationSid, stops: bool| {
        let about = |goal: &&Goal| goal.reservation().as_ref() == Some(sid);
        parked.iter().filter(about).any(|goal| matches!(goal, Goal::Stop(_)) == stops)
    };
    let extra: Vec<_> = running.iter().filter(|sid| !wanted.contains(sid) && !is_parked(sid, true)).collect();
    if !extra.is_empty() {
        return Err(format!("I3: streams of {extra:?} still run"));
    }
    // Nothing starts while a stop is not done, or while where the customer is cannot be learnt.
    let stuck = parked.iter().any(|goal| matches!(goal, Goal::Stop(_) | Goal::Rejoin | Goal::CheckHold));
    let missing: Vec<_> = wanted.iter().filter(|sid| !running.contains(sid) && !is_parked(sid, false)).collect();
    if !stuck && !missing.is_empty() {
        return Err(format!("I3: no stream of {missing:?}"));
    }
    if running.len() > running.iter().collect::<BTreeSet<_>>().len() {
        return Err(format!("I3: two streams of one reservation: {running:?}"));
    }
    Ok(())
}
