//! How the simulated Twilio behaves: every delay and limit, with its unit.

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, or a span of them.
pub type Ms = i64;

/// The knobs of the world and its surroundings. A scenario file overrides single ones under `[settings]`.
///
/// Unless said otherwise a delay of 0 means "at once". The defaults are those of a fast, well-behaved Twilio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimConfig {
    /// Seeds every SID, so that two runs of the same steps name everything alike.
    pub seed: u64,
    /// The agents, in the order in which a new task is offered.
    pub agents: Vec<String>,
    /// Until a written guard takes effect and is read back, ms; the write's own answer echoes it at once.
    pub guard_lag_ms: Ms,
    /// From a redirect until the leg is in the conference again, ms. How long Twilio takes is assumed.
    pub rejoin_ms: Ms,
    /// From `reservation.accepted` until the customer is moved into the conference, ms.
    pub customer_join_ms: Ms,
    /// The customer's own address, as the Calls resource and the attributes bear it: a number, or `client:…` of an in-app caller.
    pub customer_address: String,
    /// The customer of an outbound call is in the conference, `ringing`, from the agent's accepting on.
    pub outbound_rings: bool,
    /// How long an outside number, a supervisor or a colleague is `ringing` before the leg is connected, ms.
    pub ringing_ms: Ms,
    /// A recorder has written the worker's leg into the attributes of outbound calls, as `call_sid`.
    pub recorder_attributes: bool,
    /// There is TwiML behind the conference, as of a survey: when the conference ends, the customer's leg lives on. A leg
    /// that was redirected has none.
    pub survey: bool,
    /// Streams outlive a redirect of their leg (observed; Twilio documents it for `<Start>` only).
    pub streams_survive_redirects: bool,
    /// What `POST …/Streams.json` is answered: 200 as Twilio's OpenAPI document says, or 201 as for other creations.
    pub stream_created_status: u16,
    /// The streams' status callbacks that are lost, as in `["stream-started"]`.
    pub callbacks_lost: Vec<String>,
    /// How late the others come, ms.
    pub callbacks_late_ms: u64,
    /// Whether a status callback's URL may have a fragment; else a stream that has one is refused with 400.
    pub callback_fragments: bool,
    /// How long a participant is `connecting` before it is `connected`, ms; its guard cannot be written meanwhile.
    pub connecting_ms: Ms,
    /// From `reservation.accepted` until `TaskAttributes` bear `conference`, ms; later than 0 a `task.updated` tells.
    pub conference_attributes_ms: Ms,
    /// `TaskAttributes` never bear `conference`.
    pub conference_attributes_missing: bool,
    /// From the initiation of a transfer until the server has the customer on hold, ms.
    pub transfer_hold_ms: Ms,
    /// From a transferee's accepting a cold transfer until Flex in their browser un-holds the customer, ms.
    pub cold_unhold_ms: Ms,
    /// How long a customer alone in a wrong conference waits before hanging up, ms.
    pub patience_ms: Ms,
    /// How long after acknowledging that the task is over the service may still have commands on the way, ms.
    pub over_grace_ms: Ms,
    /// How long a stream may run after the service was told that no agent is on the call, ms: the grace that the end of a call
    /// has, and time for a request.
    pub unattended_ms: Ms,
    /// Whether a stream may bear the name of one that has stopped. Twilio documents "unique per Call" and leaves it open;
    /// a name that a running stream bears is refused either way.
    pub reuse_stream_names: bool,
    /// The simulator plays the service's part as well: it streams both tracks of the customer's leg here (`wss://…`) for every
    /// agent on the call.
    pub streams_by_itself: Option<String>,
    /// Where the sockets of streams are opened for real: addresses that begin with a public base (`wss://…`) are seen from
    /// this machine under a local one (`ws://…`). The sockets of other streams open in name only.
    pub sockets: Vec<Route>,
    /// From a stream's start until its socket is open, where that is in name only, ms.
    pub socket_open_ms: Ms,
    /// How long a destination may take to answer the handshake, ms.
    pub socket_connect_ms: Ms,
    /// How long a `<Say>` or a `<Play>` takes, ms, whatever it says or plays.
    pub prompt_ms: Ms,
    /// How `chunk` counts in the media messages. Twilio's documentation can be read either way.
    pub chunks: Chunks,
    /// The answers to what Twilio refuses without having published how.
    pub errors: AssumedErrors,
    /// Most rows of one page, whatever `PageSize` asks for. Twilio's own is 1000.
    pub page_size_limit: usize,
    /// Time that every REST request takes, ms: half before it is processed, half after.
    pub latency_ms: u64,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            agents: ["alice", "bob", "carol"].map(str::to_owned).to_vec(),
            guard_lag_ms: 0,
            rejoin_ms: 10,
            customer_join_ms: 0,
            customer_address: "+15550100002".to_owned(),
            outbound_rings: false,
            ringing_ms: 0,
            recorder_attributes: false,
            survey: false,
            streams_survive_redirects: true,
            stream_created_status: 200,
            callbacks_lost: Vec::new(),
            callbacks_late_ms: 0,
            callback_fragments: true,
            connecting_ms: 0,
            conference_attributes_ms: 0,
            conference_attributes_missing: false,
            transfer_hold_ms: 0,
            cold_unhold_ms: 5,
            patience_ms: 200,
            over_grace_ms: 2_000,
            unattended_ms: 3_000,
            reuse_stream_names: false,
            streams_by_itself: None,
            sockets: Vec::new(),
            socket_open_ms: 5,
            socket_connect_ms: 5_000,
            prompt_ms: 1_000,
            chunks: Chunks::PerTrack,
            errors: AssumedErrors::default(),
            page_size_limit: 1_000,
            latency_ms: 0,
        }
    }
}

/// How the chunks of a stream's audio are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chunks {
    /// Each track counts its own.
    PerTrack,
    /// One count for both tracks.
    PerStream,
}

/// The answers to what Twilio refuses without having published how. Each is assumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AssumedErrors {
    /// A stream whose name is taken on its call.
    pub stream_name_taken: RestError,
    /// A stream for which the call has no track left.
    pub no_track_left: RestError,
    /// A stream that Twilio cannot open, for its URL or its parameters.
    pub bad_stream: RestError,
    /// A stream on a call that is over. That it is the code of every realtime operation is observed of a sibling.
    pub stream_on_ended_call: RestError,
    /// The stop of a stream that is over or never was.
    pub stop_of_no_stream: RestError,
    /// Writing the guard of a participant who is not connected yet. That it fails is observed.
    pub not_connected: RestError,
}

/// How a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestError {
    /// HTTP status.
    pub status: u16,
    /// Twilio's error code.
    pub code: u32,
}

impl Default for AssumedErrors {
    fn default() -> Self {
        let error = |status, code| RestError { status, code };
        Self {
            stream_name_taken: error(409, 20409),
            no_track_left: error(400, 20001),
            bad_stream: error(400, 20001),
            stream_on_ended_call: error(400, 21220),
            stop_of_no_stream: error(404, 20404),
            not_connected: error(400, 20001),
        }
    }
}

/// Where public addresses are, seen from this machine: the part of a proxy or a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What the addresses begin with, as in `https://streams.example.com`. No trailing slash.
    pub public: String,
    /// What that is replaced by, as in `http://127.0.0.1:8080`. No trailing slash.
    pub local: String,
}

impl Route {
    /// Where `url` is, if it lies below the public address.
    pub fn leads(&self, url: &str) -> Option<String> {
        let rest = url.strip_prefix(&self.public)?;
        let below = rest.is_empty() || rest.starts_with(['/', '?']);
        below.then(|| format!("{}{rest}", self.local))
    }
}

/// Settings that do not fit [`SimConfig`].
#[derive(Debug, thiserror::Error)]
#[error("[settings]: {0}")]
pub struct BadSettings(String);

impl SimConfig {
    /// The same with the named knobs set otherwise. Unknown names and wrong types are refused.
    pub fn overridden(&self, overrides: &serde_json::Map<String, serde_json::Value>) -> Result<Self, BadSettings> {
        let bad = |error: serde_json::Error| BadSettings(error.to_string());
        let mut all = serde_json::to_value(self).map_err(bad)?;
        if let Some(object) = all.as_object_mut() {
            object.extend(overrides.clone());
        }
        serde_json::from_value(all).map_err(bad)
    }
}
