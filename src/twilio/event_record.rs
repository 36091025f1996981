//! TaskRouter's events as its REST API keeps them for 30 days: the Event resource.
//! Source: <https://www.twilio.com/docs/taskrouter/api/event>. `event_data` has the fields of Event Streams' payload: public
//! code reads `task_sid`, `task_attributes` and `worker_sid` from it.

use super::event::{self, Envelope, Malformed};
use super::interest::Interest;
use super::payload;
use super::signature::Pair;
use crate::call::fact::EpochMs;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// One record, as received.
pub type Record = Map<String, Value>;

/// When it happened, in milliseconds since the Unix epoch.
pub fn at(record: &Record) -> Option<EpochMs> {
    let ms = record.get("event_date_ms").and_then(Value::as_i64);
    ms.or_else(|| record.get("event_date").and_then(payload::epoch_ms))
}

/// The event's own SID (EV…).
pub fn sid(record: &Record) -> Option<&str> {
    record.get("sid").and_then(Value::as_str)
}

/// Removes records that were `seen` before, by their SIDs: an event at the border of two lists is in both.
pub fn keep_new(records: &mut Vec<Record>, seen: &mut BTreeSet<String>) {
    records.retain(|record| sid(record).is_none_or(|sid| seen.insert(sid.to_owned())));
}

/// Reads a record as the callback of the same event.
pub fn parse(record: &Record, interest: &Interest) -> Result<Envelope, Malformed> {
    event::parse(&pairs(record), interest)
}

/// The parameters of the callback of the same event. Of a repeated parameter the first counts, so the record's own fields,
/// which are documented, come first.
pub fn pairs(record: &Record) -> Vec<Pair<'_>> {
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let named = [
        ("EventType", "event_type"),
        ("Sid", "sid"),
        ("AccountSid", "account_sid"),
        ("WorkspaceSid", "workspace_sid"),
        ("ResourceType", "resource_type"),
        ("ResourceSid", "resource_sid"),
    ];
    let mut pairs: Vec<Pair<'_>> =
        named.iter().filter_map(|(form, field)| Some((Cow::from(*form), Cow::from(text(field)?)))).collect();
    pairs.extend(at(record).map(payload::moment).into_iter().flatten());
    pairs.extend(record.get("event_data").and_then(Value::as_object).map(payload::pairs).into_iter().flatten());
    // Only the record's own field documents what the event is about.
    let about = match text("resource_type").map(str::to_ascii_lowercase).as_deref() {
        Some("reservation") => Some("ReservationSid"),
        Some("task") => Some("TaskSid"),
        Some(_) | None => None,
    };
    pairs.extend(about.zip(text("resource_sid")).map(|(name, sid)| (Cow::from(name), Cow::from(sid))));
    pairs
}
