//! Media streams of a leg, started by TwiML or by the Streams resource: unique names, four tracks, and an end with the call.

use super::{Misuse, Ms, Reply, SocketFailure, World};
use taskrouter_streams::call::sid::{CallSid, ReservationSid, StreamSid, TaskSid, WorkerSid};
use taskrouter_streams::twilio::twiml::{MAX_PARAMETERS, StreamVerb, Track, check_stream};

/// Documented: a call forks at most this many tracks.
pub(super) const TRACKS_PER_CALL: usize = 4;

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

    /// The same as TwiML would say it; `None` with the reason when Twilio would not take it.
    fn verb(self, sid: &StreamSid) -> Result<StreamVerb, String> {
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
    /// It ran until the call was over.
    pub ended_with_call: bool,
    tracks: usize,
}

impl StreamReport {
    /// Whether it was given a name. Documented: the name defaults to the SID.
    pub fn is_named(&self) -> bool {
        self.name != self.sid.as_str()
    }
}

/// Why a stream was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unstarted {
    CallOver,
    NameTaken,
    NoTrackLeft,
}

impl World {
    /// `POST …/Streams.json`. That a call which is over is answered 400/21220, as when it is redirected, is assumed; so are
    /// 400/20001 for what Twilio cannot open and for a fifth track, and 409/20409 for a name that is taken: Twilio documents
    /// no code for any of them.
    pub(super) fn command_start(&mut self, ca: &str, order: &StreamOrder, path: &str) -> Reply {
        let Some((call, live)) = self.get_call(ca).map(|call| (call.sid.clone(), call.live)) else {
            return Reply::not_found(path);
        };
        self.check_command(&call);
        if !live {
            return Reply::error(400, 21220, "Call is not in-progress");
        }
        let sid: StreamSid = self.mint(StreamSid::PREFIX);
        let verb = match order.clone().verb(&sid) {
            Ok(verb) => verb,
            Err(reason) => {
                let reply = Reply::error(400, 20001, &reason);
                self.violated(Misuse::BadStream { call, reason });
                return reply;
            }
        };
        match self.start_stream(&call, sid, verb) {
            Ok(stream) => Reply { status: 201, body: self.stream_body(&call, &stream) },
            Err(Unstarted::CallOver) => Reply::error(400, 21220, "Call is not in-progress"),
            Err(Unstarted::NameTaken) => Reply::error(409, 20409, "A stream of this name exists on the call"),
            Err(Unstarted::NoTrackLeft) => Reply::error(400, 20001, "No track is left on the call"),
        }
    }

    /// `POST …/Streams/{MZ or name}.json`, `Status=stopped`, for streams of either origin (documented). 404/20404 for one
    /// that is over or never was is assumed.
    pub(super) fn command_stop(&mut self, ca: &str, stream: &str, path: &str) -> Reply {
        let Some(call) = self.get_call(ca).map(|call| call.sid.clone()) else {
            return Reply::not_found(path);
        };
        self.check_command(&call);
        let Some(stopped) = self.stop_stream(&call, stream) else {
            return Reply::not_found(path);
        };
        Reply { status: 200, body: self.stream_body(&call, &stopped) }
    }

    /// Starts a stream on a live leg, whoever asked for it. A name that is taken, or a fifth track, is a violation and starts
    /// nothing. (Whether a stopped stream's name stays taken is a setting: Twilio documents "unique per Call".)
    pub(super) fn start_stream(
        &mut self,
        call: &CallSid,
        sid: StreamSid,
        verb: StreamVerb,
    ) -> Result<StreamReport, Unstarted> {
        let (now, reuse) = (self.now, self.config.reuse_stream_names);
        let leg = self.calls.get_mut(call).filter(|leg| leg.live).ok_or(Unstarted::CallOver)?;
        let running = leg.streams.iter().filter(|stream| stream.stopped_at.is_none());
        let tracks: usize = running.map(|stream| stream.tracks).sum();
        let takes = |stream: &StreamReport| stream.name == verb.name && (!reuse || stream.stopped_at.is_none());
        if leg.streams.iter().any(takes) {
            self.violated(Misuse::DuplicateStreamName { call: call.clone(), name: verb.name });
            return Err(Unstarted::NameTaken);
        }
        if tracks + verb.track.cost() > TRACKS_PER_CALL {
            self.violated(Misuse::TrackBudgetExceeded { call: call.clone(), name: verb.name });
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
            started_at: now,
            opened_at: None,
            failure: None,
            stopped_at: None,
            ended_with_call: false,
            tracks: verb.track.cost(),
        };
        leg.streams.push(stream.clone());
        self.open_socket(call, &stream);
        Ok(stream)
    }

    /// Where the simulator plays the worker's part: what a worker would ask for when an agent comes to the call.
    pub(super) fn start_by_itself(&mut self, task: &TaskSid, reservation: &ReservationSid) {
        let customer = self.tasks.get(task).and_then(|task| task.customer.clone());
        let worker = self.reservations.get(reservation).map(|found| found.worker.clone());
        let (Some(url), Some(call), Some(worker)) = (self.config.streams_by_itself.clone(), customer, worker) else {
            return;
        };
        let parameters =
            [("workerSid", worker.as_str()), ("reservationSid", reservation.as_str()), ("taskSid", task.as_str())];
        let verb = StreamVerb {
            name: own_name(reservation),
            url,
            track: Track::BothTracks,
            parameters: parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            status_callback: None,
        };
        let sid: StreamSid = self.mint(StreamSid::PREFIX);
        // What is refused shows as a violation.
        let _ = self.start_stream(&call, sid, verb);
    }

    /// The same when he leaves it.
    pub(super) fn stop_by_itself(&mut self, task: &TaskSid, reservation: &ReservationSid) {
        let customer = self.tasks.get(task).and_then(|task| task.customer.clone());
        if let Some(call) = customer.filter(|_| self.config.streams_by_itself.is_some()) {
            // It may be over with the call already.
            let _ = self.stop_stream(&call, &own_name(reservation));
        }
    }

    /// Stops a running stream by SID or name. `None` when there is none: over, or never there.
    pub(super) fn stop_stream(&mut self, call: &CallSid, sid_or_name: &str) -> Option<StreamReport> {
        let now = self.now;
        let leg = self.calls.get_mut(call)?;
        let meant = |stream: &&mut StreamReport| {
            stream.stopped_at.is_none() && (stream.name == sid_or_name || stream.sid.as_str() == sid_or_name)
        };
        let stream = leg.streams.iter_mut().find(meant)?;
        stream.stopped_at = Some(now);
        let stopped = stream.clone();
        self.stream_stopped(call, &stopped.sid);
        Some(stopped)
    }
}

fn own_name(reservation: &ReservationSid) -> String {
    format!("Stream_{reservation}")
}
