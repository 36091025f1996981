//! The JSON bodies of the REST resources, with the fields of Twilio's OpenAPI documents.

use super::rest::Page;
use super::{Call, Conference, Ms, Participant, Reservation, StreamReport, Task, World};
use serde_json::{Value, json};
use taskrouter_streams::call::sid::CallSid;

impl World {
    /// The 2010 API's list envelope, with relative addresses of the neighbouring pages.
    pub(super) fn listed(
        &self,
        key: &str,
        rows: Vec<Value>,
        page: Page,
        path: &str,
        filters: &[(&str, &str)],
    ) -> Value {
        let (rows, total, size) = self.cut(rows, page);
        let start = page.number * size;
        let address = |number: usize| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(filters);
            query.append_pair("PageSize", &size.to_string()).append_pair("Page", &number.to_string());
            format!("{path}?{}", query.finish())
        };
        json!({
            key: rows, "page": page.number, "page_size": size,
            "start": start, "end": (start + rows.len()).saturating_sub(1),
            "uri": address(page.number), "first_page_uri": address(0),
            "next_page_uri": (start + size < total).then(|| address(page.number + 1)),
            "previous_page_uri": page.number.checked_sub(1).map(address),
        })
    }

    pub(super) fn cut(&self, rows: Vec<Value>, page: Page) -> (Vec<Value>, usize, usize) {
        let size = page.size.clamp(1, self.config.page_size_limit.max(1));
        let total = rows.len();
        (rows.into_iter().skip(page.number.saturating_mul(size)).take(size).collect(), total, size)
    }

    pub(super) fn conference_body(&self, conference: &Conference) -> Value {
        let account = self.account.as_str();
        json!({
            "account_sid": account, "sid": conference.sid.as_str(), "friendly_name": conference.name,
            "status": conference.status.as_str(), "region": "us1", "api_version": "2010-04-01",
            "date_created": rfc2822(conference.created), "date_updated": rfc2822(conference.updated),
            "reason_conference_ended": conference.reason_ended,
            "call_sid_ending_conference": conference.ended_by.as_ref().map(|call| call.as_str()),
            "uri": format!("/2010-04-01/Accounts/{account}/Conferences/{}.json", conference.sid),
        })
    }

    /// Documented: the resource lists nobody whose conference is over, or whose call follows new TwiML; such have no row.
    pub(super) fn participant_body(&self, conference: &Conference, row: &Participant) -> Value {
        let account = self.account.as_str();
        json!({
            "account_sid": account, "call_sid": row.call.as_str(), "label": null,
            "conference_sid": conference.sid.as_str(),
            "date_created": rfc2822(row.created), "date_updated": rfc2822(row.updated),
            "end_conference_on_exit": row.guard, "muted": false, "hold": row.hold,
            "status": if row.connected { "connected" } else { "connecting" },
            "start_conference_on_enter": true, "coaching": false, "call_sid_to_coach": null, "queue_time": null,
            "uri": format!("/2010-04-01/Accounts/{account}/Conferences/{}/Participants/{}.json", conference.sid, row.call),
        })
    }

    pub(super) fn call_body(&self, call: &Call) -> Value {
        let account = self.account.as_str();
        json!({
            "account_sid": account, "sid": call.sid.as_str(), "api_version": "2010-04-01",
            "status": if call.live { "in-progress" } else { "completed" },
            "date_created": rfc2822(call.created), "direction": "inbound",
            "uri": format!("/2010-04-01/Accounts/{account}/Calls/{}.json", call.sid),
        })
    }

    pub(super) fn stream_body(&self, call: &CallSid, stream: &StreamReport) -> Value {
        let account = self.account.as_str();
        json!({
            "account_sid": account, "call_sid": call.as_str(), "sid": stream.sid.as_str(),
            "name": stream.is_named().then_some(&stream.name),
            "status": if stream.stopped_at.is_none() { "in-progress" } else { "stopped" },
            "date_updated": rfc2822(stream.stopped_at.unwrap_or(stream.started_at)),
            "uri": format!("/2010-04-01/Accounts/{account}/Calls/{call}/Streams/{}.json", stream.sid),
        })
    }

    pub(super) fn task_body(&self, task: &Task) -> Value {
        json!({
            "account_sid": self.account.as_str(), "workspace_sid": self.workspace_sid.as_str(), "sid": task.sid.as_str(),
            "assignment_status": task.status.as_str(), "attributes": self.attributes(task),
            "task_channel_unique_name": task.channel, "date_created": iso8601(task.created), "priority": 0,
            "age": (self.now - task.created) / 1_000,
        })
    }

    pub(super) fn reservations_listed(&self, rows: Vec<&Reservation>, page: Page, path: &str) -> Value {
        let body = |found: &Reservation| {
            json!({
                "account_sid": self.account.as_str(), "workspace_sid": self.workspace_sid.as_str(),
                "sid": found.sid.as_str(), "task_sid": found.task.as_str(), "worker_sid": found.worker.as_str(),
                "reservation_status": found.status.as_str(), "date_created": iso8601(found.created),
            })
        };
        let (rows, total, size) = self.cut(rows.into_iter().map(body).collect(), page);
        let address = |number: usize| format!("{path}?PageSize={size}&Page={number}");
        json!({
            "reservations": rows,
            "meta": {
                "key": "reservations", "page": page.number, "page_size": size, "url": address(page.number),
                "first_page_url": address(0), "previous_page_url": page.number.checked_sub(1).map(address),
                "next_page_url": ((page.number + 1) * size < total).then(|| address(page.number + 1)),
            },
        })
    }
}

/// As in "Fri, 18 Feb 2011 21:07:19 +0000": whole seconds.
fn rfc2822(at: Ms) -> String {
    let at = jiff::Timestamp::from_millisecond(at).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC);
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

fn iso8601(at: Ms) -> String {
    jiff::Timestamp::from_millisecond(at).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
