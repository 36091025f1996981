//! Signed events of calls with random SIDs: counting ones would make every index grow at its end only.

use crate::server::{ACCOUNT, EVENTS_URL, TOKEN, WORKSPACE};
use taskrouter_streams::twilio::signature;

/// Random enough for SIDs (splitmix64).
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 32 hexadecimal digits.
    pub(crate) fn digits(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }
}

/// The events of one call, as whole requests.
pub(crate) struct CallEvents<'a> {
    rng: &'a mut Rng,
    task: String,
    pub(crate) customer: String,
    at_ms: i64,
}

impl<'a> CallEvents<'a> {
    pub(crate) fn new(rng: &'a mut Rng) -> Self {
        let (task, customer) = (format!("WT{}", rng.digits()), format!("CA{}", rng.digits()));
        Self { rng, task, customer, at_ms: 1_764_000_000_000 }
    }

    pub(crate) fn task(&mut self, event: &str, status: &str) -> Vec<u8> {
        let resource = self.task.clone();
        self.request("task", &resource, event, status, &[])
    }

    pub(crate) fn reservation(&mut self, event: &str, status: &str, sid: &str) -> Vec<u8> {
        let more = [
            ("ReservationSid", sid.to_owned()),
            ("WorkerSid", format!("WK{}", &sid[2..])),
            ("WorkerName", "alice".to_owned()),
            ("WorkerAttributes", "{\"contact_uri\":\"client:alice\"}".to_owned()),
        ];
        self.request("reservation", sid, event, status, &more)
    }

    fn request(&mut self, kind: &str, resource: &str, event: &str, status: &str, more: &[(&str, String)]) -> Vec<u8> {
        self.at_ms += 100;
        let attributes = format!(
            "{{\"direction\":\"inbound\",\"call_sid\":\"{0}\",\"from\":\"+15550100101\",\"conference\":{{\"participants\":{{\"customer\":\"{0}\"}}}}}}",
            self.customer
        );
        let mut pairs = vec![
            ("EventType", format!("{kind}.{event}")),
            ("AccountSid", ACCOUNT.to_owned()),
            ("WorkspaceSid", WORKSPACE.to_owned()),
            ("Sid", format!("EV{}", self.rng.digits())),
            ("Timestamp", (self.at_ms / 1_000).to_string()),
            ("TimestampMs", self.at_ms.to_string()),
            ("ResourceType", kind.to_owned()),
            ("ResourceSid", resource.to_owned()),
            ("TaskSid", self.task.clone()),
            ("TaskAttributes", attributes),
            ("TaskAssignmentStatus", status.to_owned()),
            ("TaskVersion", "0".to_owned()),
            ("TaskChannelUniqueName", "voice".to_owned()),
            ("TaskQueueName", "Everyone".to_owned()),
            ("WorkflowName", "Assign to Anyone".to_owned()),
        ];
        pairs.extend(more.iter().cloned());
        let signature = signature::sign(EVENTS_URL, &pairs, TOKEN);
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        let length = body.len();
        format!(
            "POST /taskrouter/events HTTP/1.1\r\nHost: h\r\nX-Twilio-Signature: {signature}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}
