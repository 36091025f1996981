//! What should have ended by now: streams of a leg with no agent on it, and conferences that the customer has left.

use super::Misuse;
use super::context::Context;
use super::taskrouter::TaskRouter;
use super::voice::Voice;
use crate::sim_config::Ms;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use taskrouter_streams::call::sid::{CallSid, StreamSid};

/// How long what is overdue may take after a request about the call went wrong on purpose: a service that has given up tries
/// again this slowly.
const OBSTRUCTED_MS: Ms = 35_000;

/// How long agents may be left behind in a conference by a lowered guard.
const LEFT_BEHIND_MS: Ms = 30_000;

/// What was judged already, and what excuses a delay.
#[derive(Debug, Default)]
pub(super) struct Overdue {
    streams: BTreeSet<StreamSid>,
    /// Until when nothing becomes overdue, if no other stream starts, and how many had started when that was seen.
    nothing_until: Option<(Ms, usize)>,
    /// When something last went wrong on purpose with a request about this leg.
    obstructed: BTreeMap<CallSid, Ms>,
}

impl Overdue {
    /// A request about this leg went wrong on purpose.
    pub(super) fn obstructed(&mut self, call: &CallSid, now: Ms) {
        self.obstructed.insert(call.clone(), now);
    }

    /// Notes as violations what should have ended by now, each once.
    pub(super) fn judge(&mut self, cx: &mut Context, taskrouter: &TaskRouter, voice: &mut Voice) {
        let (now, started) = (cx.now(), voice.streams.started());
        if self.nothing_until.is_some_and(|(until, seen)| now <= until && started == seen) {
            return;
        }
        // Whatever is left unattended from now on has so long.
        let until = Cell::new(now + cx.config.unattended_ms.min(LEFT_BEHIND_MS));
        let is_overdue = |deadline: Ms| {
            if now <= deadline {
                until.set(until.get().min(deadline));
            }
            now > deadline
        };
        let was_left_too_long = |call: &CallSid, left_at: Ms| {
            let obstructed = self.obstructed.get(call).map_or(left_at, |at| at + OBSTRUCTED_MS);
            is_overdue(obstructed.max(left_at + LEFT_BEHIND_MS))
        };
        for call in voice.take_left_behind(was_left_too_long) {
            cx.violated(Misuse::AgentsLeftBehind { call });
        }
        if cx.config.streams_by_itself.is_some() {
            return;
        }
        for call in voice.streams.calls_with_running() {
            let Some(told) = unattended_since(taskrouter, call) else { continue };
            let obstructed = [self.obstructed.get(call), voice.streams.stop_ignored_at(call)].into_iter().flatten();
            let deadline = obstructed.map(|at| at + OBSTRUCTED_MS).fold(told + cx.config.unattended_ms, Ms::max);
            if !is_overdue(deadline) {
                continue;
            }
            for stream in voice.streams.running(call) {
                if self.streams.insert(stream.sid.clone()) {
                    cx.violated(Misuse::StreamedUnattended { call: call.clone(), name: stream.name.clone() });
                }
            }
        }
        self.nothing_until = Some((until.get(), started));
    }
}

/// Since when the service knows that no agent of any task is on this leg; `None` while one is, or while it was not told.
fn unattended_since(taskrouter: &TaskRouter, call: &CallSid) -> Option<Ms> {
    let tasks = taskrouter.tasks.of(call);
    let had_agents = tasks.iter().filter_map(|task| taskrouter.task(task)).filter(|task| task.conference.is_some());
    let told: Vec<Option<Ms>> = had_agents.map(|task| task.told_unattended_at).collect();
    told.into_iter().collect::<Option<Vec<_>>>()?.into_iter().max()
}
