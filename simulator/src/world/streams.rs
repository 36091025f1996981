//! Media streams of a leg, started by TwiML or by the Streams resource: unique names, four tracks, and an end with the call.
//!
//! ```text
//! opening → open → stopped            stream-started, then stream-stopped
//!        ↘      ↘ failed              stream-error, and the stream is over: Twilio does not connect again
//! ```
//!
//! A stream counts from its start (its tracks and its name are taken), whatever its socket does. Where an address has a
//! local counterpart (`SimConfig::sockets`), the surroundings open a real socket and report; elsewhere it is open after
//! `socket_open_ms`.

use super::calls::Call;
use super::context::{Context, VoiceEffect};
use super::time::{iso8601_ms, rfc2822};
use super::{Event, Misuse, SocketFailure, SocketOrder, SocketTarget};
use crate::sim_config::Ms;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use taskrouter_streams::call::sid::{AccountSid, CallSid, EventSid, StreamSid, TaskSid, WorkerSid};
use taskrouter_streams::twilio::twiml::{MAX_PARAMETERS, StreamVerb, Track, check_stream};

/// Documented: a call forks at most this many tracks.
const TRACKS_PER_CALL: usize = 4;

/// A stream that the Streams resource is asked for, as it came over the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a parameter of the resource, named as there")]
pub struct StreamOrder {
    pub url: Option<String>,
    pub name: Option<String>,
    pub track: Option<String>,
    pub status_callback: Option<String>,
    pub status_callback_method: Option<String>,
    /// `Parameter1.Name` with `Parameter1.Value`, and so on, as far as they are complete.
    pub parameters: Vec<(String, String)>,
}

impl StreamOrder {
    /// Reads a form's parameters.
    pub fn read(form: &[(String, String)]) -> Self {
        let get = |name: &str| form.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
        let pair =
            |number: usize| Some((get(&format!("Parameter{number}.Name"))?, get(&format!("Parameter{number}.Value"))?));
        Self {
            url: get("Url"),
            name: get("Name"),
            track: get("Track"),
            status_callback: get("StatusCallback"),
            status_callback_method: get("StatusCallbackMethod"),
            parameters: (1..=MAX_PARAMETERS).filter_map(pair).collect(),
        }
    }

    /// The same as TwiML would say it, or the reason why Twilio would not take it.
    pub(super) fn verb(self, sid: &StreamSid) -> Result<StreamVerb, String> {
        let track = match self.track.as_deref() {
            // Twilio's own default.
            None => Track::InboundTrack,
            Some(name) => Track::from_name(name).ok_or("no such Track")?,
        };
        if self.status_callback_method.is_some_and(|method| method != "POST") {
            return Err("a StatusCallbackMethod other than POST is not simulated".to_owned());
        }
        let verb = StreamVerb {
            name: self.name.unwrap_or_else(|| sid.to_string()),
            url: self.url.ok_or("Missing required parameter Url in the post body")?,
            track,
            parameters: self.parameters,
            status_callback: self.status_callback,
        };
        check_stream(&verb).map_err(|error| error.to_string())?;
        Ok(verb)
    }
}

/// A stream and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReport {
    /// Its SID.
    pub sid: StreamSid,
    /// Its name: its SID when it was given none.
    pub name: String,
    /// Where its audio goes.
    pub url: String,
    /// `inbound_track`, `outbound_track` or `both_tracks`.
    pub track: &'static str,
    /// Its `workerSid` parameter.
    pub worker: Option<WorkerSid>,
    /// Every parameter.
    pub parameters: Vec<(String, String)>,
    /// Where Twilio tells what becomes of it.
    pub status_callback: Option<String>,
    /// When it was asked for.
    pub started_at: Ms,
    /// When its socket was open.
    pub opened_at: Option<Ms>,
    /// When it stopped.
    pub stopped_at: Option<Ms>,
    /// Why its socket failed, which stopped it.
    pub failure: Option<SocketFailure>,
    /// Somebody asked for that failure, as a scenario does.
    pub failed_by_script: bool,
    /// It ran until the call was over.
    pub ended_with_call: bool,
    tracks: usize,
    task: TaskSid,
    /// Started by `<Connect>`: it cannot outlive a redirect (documented).
    connects: bool,
}

impl StreamReport {
    /// Whether it was given a name. Documented: the name defaults to the SID.
    pub fn is_named(&self) -> bool {
        self.name != self.sid.as_str()
    }

    fn is_running(&self) -> bool {
        self.stopped_at.is_none()
    }

    pub(super) fn body(&self, account: &AccountSid, call: &CallSid) -> Value {
        let account = account.as_str();
        json!({
            "account_sid": account, "call_sid": call.as_str(), "sid": self.sid.as_str(),
            "name": self.is_named().then_some(&self.name),
            "status": if self.is_running() { "in-progress" } else { "stopped" },
            "date_updated": rfc2822(self.stopped_at.unwrap_or(self.started_at)),
            "uri": format!("/2010-04-01/Accounts/{account}/Calls/{call}/Streams/{}.json", self.sid),
        })
    }

    /// Documented: a form of these fields, if the stream was given a `StatusCallback`. That each change is told once, and a
    /// stop also of a stream whose socket was never open, is assumed.
    fn tell(&self, cx: &mut Context, call: &CallSid, event_type: &'static str) {
        let Some(url) = self.status_callback.clone() else { return };
        let mut form = vec![
            ("AccountSid".to_owned(), cx.account.to_string()),
            ("CallSid".to_owned(), call.to_string()),
            ("StreamSid".to_owned(), self.sid.to_string()),
            ("StreamName".to_owned(), self.name.clone()),
            ("StreamEvent".to_owned(), event_type.to_owned()),
        ];
        form.extend(self.failure.map(|failure| ("StreamError".to_owned(), failure.to_string())));
        form.push(("Timestamp".to_owned(), iso8601_ms(cx.now())));
        let sid: EventSid = cx.mint(EventSid::PREFIX);
        cx.tell(Event { sid, event_type, task: self.task.clone(), form, callback_url: Some(url) });
    }
}

/// Why a stream was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unstarted {
    CallOver,
    NameTaken,
    NoTrackLeft,
}

/// Every stream of every leg, and what is to be done with their sockets.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// In the order of their starts.
    of_calls: BTreeMap<CallSid, Vec<StreamReport>>,
    started: usize,
    orders: Vec<SocketOrder>,
    /// What the next streams' sockets meet, by script.
    failures: VecDeque<SocketFailure>,
    /// How many of the next stops are answered and not carried out.
    ignored_stops: u32,
    /// When a stop was last ignored.
    stops_ignored: BTreeMap<CallSid, Ms>,
}

impl Streams {
    /// A leg's streams, in the order of their starts.
    pub(super) fn of(&self, call: &CallSid) -> &[StreamReport] {
        self.of_calls.get(call).map_or(&[], Vec::as_slice)
    }

    /// How many have started.
    pub(super) fn started(&self) -> usize {
        self.started
    }

    pub(super) fn running(&self, call: &CallSid) -> impl DoubleEndedIterator<Item = &StreamReport> {
        self.of(call).iter().filter(|stream| stream.is_running())
    }

    /// The legs that have running streams.
    pub(super) fn calls_with_running(&self) -> impl Iterator<Item = &CallSid> {
        let running = |streams: &[StreamReport]| streams.iter().any(StreamReport::is_running);
        self.of_calls.iter().filter(move |(_, streams)| running(streams)).map(|(call, _)| call)
    }

    /// When a stop of one of the leg's streams was last ignored by script.
    pub(super) fn stop_ignored_at(&self, call: &CallSid) -> Option<&Ms> {
        self.stops_ignored.get(call)
    }

    /// Starts a stream on a live leg, whoever asked for it. A name that is taken, or a fifth track, is a violation and starts
    /// nothing. (Whether a stopped stream's name stays taken is a setting: Twilio documents "unique per Call".)
    pub(super) fn start(
        &mut self,
        cx: &mut Context,
        leg: &Call,
        sid: StreamSid,
        verb: StreamVerb,
        connects: bool,
    ) -> Result<StreamReport, Unstarted> {
        if !leg.is_live() {
            return Err(Unstarted::CallOver);
        }
        let (call, reuse) = (&leg.sid, cx.config.reuse_stream_names);
        let tracks: usize = self.running(call).map(|stream| stream.tracks).sum();
        let takes = |stream: &StreamReport| stream.name == verb.name && (!reuse || stream.is_running());
        if self.of(call).iter().any(takes) {
            cx.violated(Misuse::DuplicateStreamName { call: call.clone(), name: verb.name });
            return Err(Unstarted::NameTaken);
        }
        if tracks + verb.track.cost() > TRACKS_PER_CALL {
            cx.violated(Misuse::TrackBudgetExceeded { call: call.clone(), name: verb.name });
            return Err(Unstarted::NoTrackLeft);
        }
        let worker = verb.parameters.iter().find(|(name, _)| name == "workerSid");
        let stream = StreamReport {
            sid,
            name: verb.name,
            url: verb.url,
            track: verb.track.as_str(),
            worker: worker.and_then(|(_, value)| value.parse().ok()),
            parameters: verb.parameters,
            status_callback: verb.status_callback,
            started_at: cx.now(),
            opened_at: None,
            failure: None,
            failed_by_script: false,
            stopped_at: None,
            ended_with_call: false,
            tracks: verb.track.cost(),
            task: leg.task.clone(),
            connects,
        };
        self.of_calls.entry(call.clone()).or_default().push(stream.clone());
        self.started += 1;
        self.open_socket(cx, call, &stream);
        Ok(stream)
    }

    fn open_socket(&mut self, cx: &mut Context, call: &CallSid, stream: &StreamReport) {
        let sid = stream.sid.clone();
        let (open_ms, limit_ms) = (cx.config.socket_open_ms, cx.config.socket_connect_ms);
        if let Some(failure) = self.failures.pop_front() {
            let delay = if failure == SocketFailure::TimedOut { limit_ms } else { open_ms };
            self.mark_scripted(&sid);
            let effect = VoiceEffect::SocketFails { stream: sid.clone(), failure };
            if cx.after_voice(delay, effect).is_some() {
                self.failed(cx, &sid, failure);
            }
            return;
        }
        let Some(local) = cx.config.sockets.iter().find_map(|route| route.leads(&stream.url)) else {
            let effect = VoiceEffect::SocketOpens { stream: sid.clone() };
            if cx.after_voice(open_ms, effect).is_some() {
                self.opened(cx, &sid);
            }
            return;
        };
        self.orders.push(SocketOrder::Open(Box::new(SocketTarget {
            account: cx.account.clone(),
            call: call.clone(),
            stream: sid,
            url: stream.url.clone(),
            local,
            track: stream.track,
            parameters: stream.parameters.clone(),
        })));
    }

    /// Stops a running stream by SID or name. `None` when there is none: over, or never there.
    pub(super) fn stop(&mut self, cx: &mut Context, call: &CallSid, sid_or_name: &str) -> Option<StreamReport> {
        let meant = |stream: &&mut StreamReport| {
            stream.is_running() && (stream.name == sid_or_name || stream.sid.as_str() == sid_or_name)
        };
        let stream = self.of_calls.get_mut(call)?.iter_mut().find(meant)?;
        if self.ignored_stops > 0 {
            // The answer says that it is over; it runs on.
            self.ignored_stops -= 1;
            self.stops_ignored.insert(call.clone(), cx.now());
            return Some(StreamReport { stopped_at: Some(cx.now()), ..stream.clone() });
        }
        stream.stopped_at = Some(cx.now());
        self.orders.push(SocketOrder::Stop(stream.sid.clone()));
        stream.tell(cx, call, "stream-stopped");
        Some(stream.clone())
    }

    /// Ends every running stream of a leg with the leg.
    pub(super) fn end_with_call(&mut self, cx: &mut Context, call: &CallSid) {
        for stream in self.of_calls.get_mut(call).into_iter().flatten().filter(|stream| stream.is_running()) {
            stream.stopped_at = Some(cx.now());
            stream.ended_with_call = true;
            self.orders.push(SocketOrder::Stop(stream.sid.clone()));
            stream.tell(cx, call, "stream-stopped");
        }
    }

    /// Ends the running streams of a leg that follows new TwiML, as far as they do not outlive that.
    pub(super) fn end_at_redirect(&mut self, cx: &mut Context, call: &CallSid) {
        let survive = cx.config.streams_survive_redirects;
        let ends = |stream: &&mut StreamReport| stream.is_running() && (stream.connects || !survive);
        for stream in self.of_calls.get_mut(call).into_iter().flatten().filter(ends) {
            stream.stopped_at = Some(cx.now());
            self.orders.push(SocketOrder::Stop(stream.sid.clone()));
            stream.tell(cx, call, "stream-stopped");
        }
    }

    /// A running stream's socket is open.
    pub(super) fn opened(&mut self, cx: &mut Context, sid: &StreamSid) {
        let Some((call, stream)) = self.running_mut(sid) else { return };
        stream.opened_at = Some(cx.now());
        stream.tell(cx, call, "stream-started");
    }

    /// A running stream's socket could not be opened, or is no more. The stream is over.
    pub(super) fn failed(&mut self, cx: &mut Context, sid: &StreamSid, failure: SocketFailure) {
        let Some((call, stream)) = self.running_mut(sid) else { return };
        stream.stopped_at = Some(cx.now());
        stream.failure = Some(failure);
        stream.tell(cx, call, "stream-error");
    }

    /// The same, with a real socket to cut.
    pub(super) fn cut(&mut self, cx: &mut Context, sid: &StreamSid) {
        self.orders.push(SocketOrder::Cut(sid.clone()));
        self.mark_scripted(sid);
        self.failed(cx, sid, SocketFailure::ClosedByServer);
    }

    fn mark_scripted(&mut self, sid: &StreamSid) {
        if let Some((_, stream)) = self.running_mut(sid) {
            stream.failed_by_script = true;
        }
    }

    pub(super) fn fail_next(&mut self, failure: SocketFailure, times: u32) {
        self.failures.extend((0..times).map(|_| failure));
    }

    pub(super) fn ignore_next_stops(&mut self, times: u32) {
        self.ignored_stops += times;
    }

    /// Takes what the surroundings are to do with real sockets, oldest first.
    pub(super) fn take_orders(&mut self) -> Vec<SocketOrder> {
        std::mem::take(&mut self.orders)
    }

    fn running_mut(&mut self, sid: &StreamSid) -> Option<(&CallSid, &mut StreamReport)> {
        self.of_calls.iter_mut().find_map(|(call, streams)| {
            let stream = streams.iter_mut().find(|stream| &stream.sid == sid && stream.is_running());
            stream.map(|stream| (call, stream))
        })
    }
}
