//! The bodies of successful answers, read into what the core uses. Every property is nullable in Twilio's
//! specification and unknown ones are ignored; what the core cannot do without makes the body unreadable (`None`).

use crate::call::fact::CallAttributes;
use crate::call::sid::CallSid;
use crate::call::step::{ConferenceRow, Guard, ParticipantRow};
use crate::twilio::attributes::call_attributes;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde::Deserialize;

#[derive(Deserialize)]
struct WireTask {
    attributes: Option<String>,
}

#[derive(Deserialize)]
struct WireConference {
    sid: Option<String>,
    friendly_name: Option<String>,
    status: Option<String>,
    date_created: Option<String>,
}

#[derive(Deserialize)]
struct WireConferences {
    conferences: Vec<WireConference>,
}

#[derive(Deserialize)]
struct WireParticipant {
    call_sid: Option<String>,
    end_conference_on_exit: Option<bool>,
    hold: Option<bool>,
    status: Option<String>,
    date_created: Option<String>,
}

#[derive(Deserialize)]
struct WireParticipants {
    participants: Vec<WireParticipant>,
    next_page_uri: Option<String>,
}

/// One page of participants.
pub(super) struct Page {
    pub(super) rows: Vec<ParticipantRow>,
    /// The query string of the next page, when there is one.
    pub(super) next: Option<NextPage>,
}

/// Where the next page is.
pub(super) enum NextPage {
    /// The same list with this query string.
    Query(String),
    /// Some other place, where our credentials are not sent.
    Elsewhere,
}

/// `GET …/Tasks/{WT}`: `attributes` is a JSON text within the JSON.
pub(super) fn read_task(body: &[u8]) -> Option<CallAttributes> {
    let task: WireTask = serde_json::from_slice(body).ok()?;
    Some(task.attributes.as_deref().map(call_attributes).unwrap_or_default())
}

/// `GET …/Conferences.json`: the newest in progress of exactly this name, of which Twilio allows one.
pub(super) fn read_conferences(body: &[u8], friendly_name: &str) -> Option<Option<ConferenceRow>> {
    let list: WireConferences = serde_json::from_slice(body).ok()?;
    let rows = list.conferences.into_iter().filter_map(|wire| {
        let created = wire.date_created.as_deref().and_then(moment);
        Some((created, wire.into_row()?))
    });
    let candidates = rows.filter(|(_, row)| row.in_progress && row.friendly_name == friendly_name);
    // `max_by` would take the last of equals; the first is Twilio's own order.
    let newest = candidates.reduce(|best, next| if next.0 > best.0 { next } else { best });
    Some(newest.map(|(_, row)| row))
}

/// `GET …/Conferences/{CF}.json`.
pub(super) fn read_conference(body: &[u8]) -> Option<ConferenceRow> {
    serde_json::from_slice::<WireConference>(body).ok()?.into_row()
}

/// `POST …/Participants/{CA}.json`: without a `call_sid` it is the one that was asked for.
pub(super) fn read_participant(body: &[u8], asked: &CallSid) -> Option<ParticipantRow> {
    let wire: WireParticipant = serde_json::from_slice(body).ok()?;
    let call = match &wire.call_sid {
        None => asked.clone(),
        Some(sid) => sid.parse().ok().filter(|found| found == asked)?,
    };
    Some(wire.into_row(call))
}

/// One page of `GET …/Participants.json`, asked for at `path`. A row without a call is nobody who could be counted.
pub(super) fn read_participants(body: &[u8], path: &str) -> Option<Page> {
    let page: WireParticipants = serde_json::from_slice(body).ok()?;
    let rows = page.participants.into_iter().filter_map(|wire| {
        let call = wire.call_sid.as_deref()?.parse().ok()?;
        Some(wire.into_row(call))
    });
    let next = page.next_page_uri.filter(|uri| !uri.is_empty()).map(|uri| match uri.split_once('?') {
        Some((place, query)) if place == path => NextPage::Query(query.to_owned()),
        _ => NextPage::Elsewhere,
    });
    Some(Page { rows: rows.collect(), next })
}

impl WireConference {
    /// Without its name it is of no use: dialling a guessed name would make a new conference.
    fn into_row(self) -> Option<ConferenceRow> {
        Some(ConferenceRow {
            sid: self.sid?.parse().ok()?,
            friendly_name: self.friendly_name.filter(|name| !name.is_empty())?,
            in_progress: self.status.as_deref() == Some("in-progress"),
        })
    }
}

impl WireParticipant {
    fn into_row(self, call: CallSid) -> ParticipantRow {
        ParticipantRow {
            call,
            guard: self.end_conference_on_exit.map(|raised| if raised { Guard::Raised } else { Guard::Lowered }),
            hold: self.hold,
            connected: self.status.is_none_or(|status| status == "connected"),
            date_created: self.date_created,
        }
    }
}

fn moment(date: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(date).ok()
}
