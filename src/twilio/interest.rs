//! Which fields of an event are kept. The configuration decides, so that no other attributes are journaled.

use super::attributes::Attributes;
use crate::call::rules::Fields;
use std::collections::BTreeSet;

/// Fields with a parameter of their own, and that parameter.
const PARAMETERS: [(&str, &str); 6] = [
    ("task.channel", "TaskChannelUniqueName"),
    ("task.queue.name", "TaskQueueName"),
    ("task.queue.sid", "TaskQueueSid"),
    ("workflow.name", "WorkflowName"),
    ("workflow.sid", "WorkflowSid"),
    ("worker.name", "WorkerName"),
];

/// Fields that every stream has, whatever the events say.
const SIDS: [&str; 5] = ["task.sid", "reservation.sid", "worker.sid", "call.sid", "conference.sid"];

/// The prefixes of attributes.
const TASK_ATTRIBUTES: &str = "task.attributes.";
const WORKER_ATTRIBUTES: &str = "worker.attributes.";

/// Which events and fields are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// Task channels (`TaskChannelUniqueName`) whose tasks are voice calls.
    pub channels: Vec<String>,
    /// The names of the fields that rules and parameters use; see [`is_field`].
    pub fields: BTreeSet<String>,
    /// Participants' events of holds are kept.
    pub holds: bool,
}

impl Default for Interest {
    /// Flex's own voice channel and no fields.
    fn default() -> Self {
        Self { channels: vec!["voice".to_owned()], fields: BTreeSet::new(), holds: false }
    }
}

/// Whether this name can be a field's.
pub fn is_field(name: &str) -> bool {
    let is_path = |path: &str| !path.is_empty() && path.split('.').all(|part| !part.is_empty());
    SIDS.contains(&name)
        || PARAMETERS.iter().any(|(field, _)| *field == name)
        || [TASK_ATTRIBUTES, WORKER_ATTRIBUTES].iter().any(|prefix| name.strip_prefix(prefix).is_some_and(is_path))
}

/// The names that fields can have, for messages.
pub fn field_names() -> String {
    let single = SIDS.into_iter().chain(PARAMETERS.map(|(field, _)| field));
    let attributes = [TASK_ATTRIBUTES, WORKER_ATTRIBUTES].map(|prefix| format!("{prefix}NAME"));
    single.map(str::to_owned).chain(attributes).collect::<Vec<_>>().join(", ")
}

impl Interest {
    /// The channel of this name as it is configured; `None` when its tasks are no voice calls.
    pub(super) fn channel(&self, name: &str) -> Option<&str> {
        let is_meant = |channel: &&String| channel.trim().eq_ignore_ascii_case(name.trim());
        self.channels.iter().find(is_meant).map(String::as_str)
    }

    /// The fields of the task and of the worker in an event with these parameters. A field whose parameter is present without a
    /// value for it is kept without values. The caller has already read the task's attributes.
    pub(super) fn fields<'a>(
        &self,
        parameter: impl Fn(&str) -> Option<&'a str>,
        of_task: Option<&Attributes>,
    ) -> (Fields, Fields) {
        let (mut task, mut worker) = (Fields::new(), Fields::new());
        let of_worker = self.fields.iter().any(|field| field.starts_with(WORKER_ATTRIBUTES));
        let of_worker = parameter("WorkerAttributes").filter(|_| of_worker).map(Attributes::read);
        let attributes = [(TASK_ATTRIBUTES, of_task), (WORKER_ATTRIBUTES, of_worker.as_ref())];
        for field in &self.fields {
            let own = PARAMETERS.iter().find(|(name, _)| name == field);
            let values = match own {
                Some((_, name)) => parameter(name).map(|value| vec![value.to_owned()]),
                None => attributes.iter().find_map(|(prefix, found)| {
                    let path = field.strip_prefix(prefix)?;
                    found.map(|attributes| attributes.values(path))
                }),
            };
            if let Some(values) = values {
                let fields = if field.starts_with("worker.") { &mut worker } else { &mut task };
                fields.insert(field.clone(), values);
            }
        }
        (task, worker)
    }
}
