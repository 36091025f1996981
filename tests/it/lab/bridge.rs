//! Between the core and the world without a network: what the HTTP client and the simulator's door do with requests and
//! answers, by their own functions.

use taskrouter_streams::call::fact::FactKind;
use taskrouter_streams::call::rules;
use taskrouter_streams::call::sid::AccountSid;
use taskrouter_streams::call::step::{Operation, Outcome, Trouble};
use taskrouter_streams::twilio::client::{AccountContext, Body, Reader, StreamDestination};
use taskrouter_streams::twilio::event::{Content, parse};
use taskrouter_streams::twilio::failure::{ErrorResponse, verdict};
use taskrouter_streams::twilio::interest::Interest;
use taskrouter_streams::twilio::signature::parse_pairs;
use taskrouter_streams::twilio::stream_status::{self, StatusContent};
use taskrouter_streams::twilio::twiml::Track;
use twilio_simulator::faults::{Fault, FaultBody};
use twilio_simulator::world::{Event, OpName, Reply, Request, World};
use url::Url;

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const WORKSPACE: &str = "WS00000000000000000000000000000001";

/// Both sides' idea of whose account it is.
#[derive(Debug)]
pub(super) struct Bridge {
    client: AccountContext,
    base: Url,
    door: twilio_simulator::Site,
}

/// A request on its way.
#[derive(Debug, Clone)]
pub(super) struct Crossing {
    operation: Operation,
    meant: Request,
    path: String,
    asked: taskrouter_streams::twilio::client::Request,
}

impl Bridge {
    /// Streams go where the policy says.
    pub(super) fn new(destinations: &[rules::Destination]) -> Self {
        let destination = |to: &rules::Destination| StreamDestination {
            url: "wss://audio.example.com/a".to_owned(),
            track: if to.tracks == 2 { Track::BothTracks } else { Track::InboundTrack },
            confirms: to.confirms,
        };
        let client = AccountContext {
            account_sid: ACCOUNT.parse().unwrap(),
            workspace_sid: WORKSPACE.parse().unwrap(),
            destinations: destinations.iter().map(destination).collect(),
            status_url: "https://streams.example.com/streams/status".to_owned(),
        };
        let door =
            twilio_simulator::Site { account: client.account_sid.clone(), workspace: client.workspace_sid.clone() };
        Self { client, base: Url::parse("http://twilio.invalid").unwrap(), door }
    }

    pub(super) fn account(&self) -> AccountSid {
        self.door.account.clone()
    }

    pub(super) fn world(&self, behaviour: twilio_simulator::SimConfig, now: i64) -> World {
        World::new(behaviour, self.door.account.clone(), self.door.workspace.clone(), now)
    }

    /// What the worker sends, as the simulator reads it; or how it ends unsent.
    #[expect(clippy::result_large_err, reason = "it is looked at once, where it is returned")]
    pub(super) fn send(&self, operation: &Operation) -> Result<Crossing, Outcome> {
        let asked = self.client.request(operation).map_err(Outcome::Refused)?;
        let url = asked.url(&self.base);
        let mut parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        parameters.extend(asked.form.iter().flatten().map(|(name, value)| (name.to_string(), value.clone())));
        let method = if asked.form.is_some() { "POST" } else { "GET" };
        let path = url.path().to_owned();
        let meant = self.door.request(method, &path, &parameters).expect("the client asks for what there is");
        Ok(Crossing { operation: operation.clone(), meant, path, asked })
    }

    /// The world's answer, as the worker reads it. The lab's conferences fit one page.
    pub(super) fn perform(&self, crossing: &Crossing, world: &mut World, now: i64) -> Outcome {
        let reply = world.advance(now).perform(&crossing.meant, &crossing.path);
        self.read(crossing, reply.status, None, reply.body.to_string().as_bytes(), now)
    }

    /// The answer that a fault puts in its place.
    pub(super) fn faulty(&self, crossing: &Crossing, fault: &Fault, now: i64) -> Outcome {
        let Fault::Answer { status, retry_after, body, .. } = fault else { return unanswered() };
        let code = match status {
            401 => 20003,
            429 => 20429,
            400 => 20001,
            404 => 20404,
            _ => 20500,
        };
        let body = match body {
            FaultBody::Json => Reply::error(*status, code, "simulated failure").body.to_string(),
            FaultBody::Html => "<html><body><h1>upstream failure</h1></body></html>".to_owned(),
            FaultBody::Empty => String::new(),
            FaultBody::PlainText => "upstream connect error or disconnect/reset before headers".to_owned(),
            FaultBody::Xml => {
                format!("<TwilioResponse><RestException><Code>{code}</Code></RestException></TwilioResponse>")
            }
            FaultBody::TruncatedJson => "{\"sid\":\"CF".to_owned(),
        };
        self.read(crossing, *status, retry_after.as_deref(), body.as_bytes(), now)
    }

    fn read(&self, crossing: &Crossing, status: u16, retry_after: Option<&str>, body: &[u8], now: i64) -> Outcome {
        if !(200..300).contains(&status) {
            return verdict(ErrorResponse { status, retry_after, body }, crossing.asked.about, now);
        }
        match Reader::new(&self.client, &crossing.operation, 1).read(body) {
            Ok(Body::Whole(answer)) => Outcome::Done(answer),
            Ok(Body::NextPage(_)) => panic!("the lab's lists have one page"),
            Err(reason) => Outcome::Unknown(Trouble {
                status: Some(status),
                code: None,
                reason: reason.to_owned(),
                retry_after_ms: None,
                lost: false,
            }),
        }
    }

    /// An event, as the worker's door reads it: its identity and the fact, unless it is none of ours.
    pub(super) fn receive(&self, event: &Event, now: i64) -> Option<(String, FactKind)> {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(&event.form);
        let body = body.finish();
        let pairs = parse_pairs(body.as_bytes());
        if event.callback_url.is_some() {
            return match stream_status::parse(&pairs, now).expect("the simulator's callbacks are well-formed").content {
                StatusContent::Stream { identity, event } => Some((identity, FactKind::Stream(event))),
                StatusContent::NotOurs => None,
            };
        }
        match parse(&pairs, &Interest::default()).expect("the simulator's events are well-formed").content {
            Content::Ours { identity, what, .. } => Some((identity, what)),
            Content::NotOurs => None,
        }
    }
}

impl Crossing {
    pub(super) fn op(&self) -> OpName {
        self.meant.op()
    }
}

/// The connection broke, or the client lost its patience.
pub(super) fn unanswered() -> Outcome {
    let reason = "the connection broke before Twilio answered".to_owned();
    Outcome::Unknown(Trouble { status: None, code: None, reason, retry_after_ms: None, lost: true })
}
