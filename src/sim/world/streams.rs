//! Media streams of a leg: unique names, four tracks, and an end with the call.

use super::{Misuse, Ms, World};
use crate::call::sid::{CallSid, StreamSid, WorkerSid};
use crate::sim::twiml::StreamVerb;

/// Documented: a call forks at most this many tracks.
pub(super) const TRACKS_PER_CALL: usize = 4;

/// A stream and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReport {
    /// Its SID.
    pub sid: StreamSid,
    /// Its name.
    pub name: String,
    /// Where its audio goes.
    pub url: String,
    /// `inbound_track`, `outbound_track` or `both_tracks`.
    pub track: &'static str,
    /// Its `workerSid` parameter.
    pub worker: Option<WorkerSid>,
    /// Every parameter.
    pub parameters: Vec<(String, String)>,
    /// When it started.
    pub started_at: Ms,
    /// When it stopped.
    pub stopped_at: Option<Ms>,
    /// It ran until the call was over.
    pub ended_with_call: bool,
    tracks: usize,
}

impl World {
    /// `<Start><Stream>`. A name that was ever used on the call, or a fifth track, is a violation and starts nothing. (That
    /// a stopped stream's name cannot be used again is assumed: Twilio documents "unique per Call".)
    pub(super) fn start_stream(&mut self, call: &CallSid, verb: StreamVerb) {
        let sid: StreamSid = self.mint(StreamSid::PREFIX);
        let now = self.now;
        let Some(leg) = self.calls.get_mut(call).filter(|leg| leg.live) else {
            return;
        };
        let running = leg.streams.iter().filter(|stream| stream.stopped_at.is_none());
        let tracks: usize = running.map(|stream| stream.tracks).sum();
        if leg.streams.iter().any(|stream| stream.name == verb.name) {
            return self.violated(Misuse::DuplicateStreamName { call: call.clone(), name: verb.name });
        }
        if tracks + verb.track.cost() > TRACKS_PER_CALL {
            return self.violated(Misuse::TrackBudgetExceeded { call: call.clone(), name: verb.name });
        }
        let worker = verb.parameters.iter().find(|(name, _)| name == "workerSid");
        leg.streams.push(StreamReport {
            sid,
            name: verb.name,
            url: verb.url,
            track: verb.track.as_str(),
            worker: worker.and_then(|(_, value)| value.parse().ok()),
            parameters: verb.parameters,
            started_at: now,
            stopped_at: None,
            ended_with_call: false,
            tracks: verb.track.cost(),
        });
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
        Some(stream.clone())
    }
}
