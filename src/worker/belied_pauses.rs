//! Other tasks' pauses that a stream of this one belies. No fact of theirs tells of it, so that one is journaled there.

use super::tools::Tools;
use crate::call::Neighbour;
use crate::call::fact::{FactKind, Notice};
use crate::call::sid::TaskSid;
use crate::call::step::Step;
use crate::ingest::new_fact;
use crate::journal::NewFact;

/// What to journal because `by` has begun this step, which starts a stream on the leg.
pub(super) fn belied_pauses(neighbours: &[Neighbour], by: &TaskSid, step: &Step, tools: &Tools) -> Vec<NewFact> {
    let proven = neighbours.iter().flat_map(|other| other.proven_pauses.iter().map(|id| (&other.task, id)));
    let unproven = proven.map(|(task, id)| {
        tracing::error!(
            task_sid = %task, pause = %id, other = %by,
            "this pause is no longer proven: another task streams the customer's leg; tell the agent to take no card data"
        );
        // Here, because the other call's task counts what it says itself.
        tools.metrics.streams.pauses.get_or_create(&[("outcome", "unproven")]).inc();
        let identity = format!("unproven:{task}:{id}:{by}:{}", step.id);
        let kind = FactKind::Noticed(Notice::PauseUnproven { id: id.clone() });
        new_fact(tools.journal.clock(), task.clone(), identity, kind)
    });
    unproven.collect()
}
