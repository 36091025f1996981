use super::callbacks::{Callbacks, FIRST};
use super::lab::{Lab, Leg};
use crate::twilio::client::{Client, TrialAnswer};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// A leg that leaves its conference disappears from the list within a few hundred milliseconds; a write that is ignored stays so.
const SETTLED: Duration = Duration::from_secs(2);

/// Twilio tries a callback again within seconds.
const CALLBACK_LIMIT: Duration = Duration::from_secs(20);

/// What is assumed, in the order in which it is tried. docs/twilio.md names the rows.
const ASSUMED: [(&str, &str); 22] = [
    ("start", "a stream starts on a leg in a conference: 200 or 201, with a SID"),
    ("callback-fragment", "the callback's address may have a fragment (#rc=3…)"),
    ("leg-stays", "the leg stays where it is: the same row before and after"),
    ("callback", "a signed status callback says that the stream started or failed"),
    ("callback-retry", "a callback that was answered with 503 comes again"),
    ("name-taken", "a name that runs is refused with a 4xx"),
    ("fifth-track", "a fifth track is refused with a 4xx"),
    ("stop-by-name", "a stop by name is answered with status \"stopped\""),
    ("stop-by-sid", "a stop by SID is answered with status \"stopped\""),
    ("stop-twice", "the stop of a stream that is over is answered with 404 or 21220"),
    ("name-again", "nothing: each start gets a new name"),
    ("start-held", "a stream starts on a leg on hold, which stays"),
    ("guard-held", "a guard written while on hold is answered with 200, and ignored"),
    ("guard-unheld", "a guard written with Hold=false in the same request is kept"),
    ("redirect-back", "a redirected leg is back in the same conference"),
    ("stream-survives", "a stream survives a redirect of its leg"),
    ("start-outside", "a stream starts on a call that is in no conference"),
    ("start-ringing", "a start on a leg that rings is answered by Twilio: taken or refused"),
    ("start-over", "a start on a call that is over is refused with 21220"),
    ("stop-over", "a stop on a call that is over is answered with 404 or 21220"),
    ("end", "an ended call is completed within seconds"),
    ("restricted-key", "a key without the right is refused with 401 or 403"),
];

/// Whether what was assumed is certain now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Certainty {
    Certain,
    Contradicted,
    CouldNotTry,
}

/// One assumption, and what was seen. It holds statuses, codes and words of our own only.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    pub(super) id: &'static str,
    pub(super) assumed: &'static str,
    pub(super) seen: String,
    pub(super) verdict: Certainty,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, id: &'static str, seen: String, verdict: Certainty) {
        let assumed = ASSUMED.iter().find(|(known, _)| *known == id).map_or("", |(_, assumed)| assumed);
        self.0.push(Finding { id, assumed, seen, verdict });
    }

    fn saw(&mut self, id: &'static str, agrees: bool, seen: impl ToString) {
        let verdict = if agrees { Certainty::Certain } else { Certainty::Contradicted };
        self.add(id, seen.to_string(), verdict);
    }

    fn could_not_try(&mut self, ids: &[&'static str], why: impl ToString) {
        ids.iter().for_each(|id| self.add(id, why.to_string(), Certainty::CouldNotTry));
    }

    /// Names what was not tried.
    pub(super) fn complete(&mut self, why: &str) {
        for (id, _) in ASSUMED {
            if !self.0.iter().any(|row| row.id == id) {
                self.could_not_try(&[id], why);
            }
        }
        let place = |row: &Finding| ASSUMED.iter().position(|(id, _)| *id == row.id);
        self.0.sort_by_key(place);
    }

    pub(super) fn all(&self) -> &[Finding] {
        &self.0
    }

    pub(super) fn contradicted(&self) -> usize {
        self.0.iter().filter(|row| row.verdict == Certainty::Contradicted).count()
    }
}

/// Tries everything in turn.
pub(super) async fn try_all(
    lab: &Lab,
    callbacks: Option<&Callbacks>,
    restricted: Option<&Client>,
    rows: &mut Findings,
) {
    let customer = match lab.call_in(true).await {
        Ok(leg) => leg,
        Err(told) => return rows.complete(&format!("no call could be placed: {told}")),
    };
    try_ringing(lab, rows).await;
    let is_in = |row: &Value| row["status"] == "connected";
    if lab.row_when(&customer, is_in).await.is_none() || !has_company(lab).await {
        return rows.complete("the calls were not answered: --to must answer by itself");
    }
    lab.met();
    try_streams(lab, &customer, callbacks, rows).await;
    try_hold(lab, &customer, rows).await;
    try_redirect(lab, &customer, rows).await;
    try_restricted(lab, &customer, restricted, rows).await;
    try_outside(lab, rows).await;
}

/// Two connected legs are a conference in progress; the redirect needs somebody who stays.
async fn has_company(lab: &Lab) -> bool {
    let Ok(other) = lab.call_in(false).await else { return false };
    lab.row_when(&other, |row| row["status"] == "connected").await.is_some()
}

async fn try_ringing(lab: &Lab, rows: &mut Findings) {
    const ID: &str = "start-ringing";
    let ringing = match lab.call_in(false).await {
        Ok(leg) => leg,
        Err(told) => return rows.could_not_try(&[ID], format!("no call could be placed: {told}")),
    };
    let told = lab.start(&ringing.call, "probe-ringing", "inbound_track").await;
    let status = lab.call_status(&ringing.call).await.unwrap_or_default();
    if status == "queued" || status == "ringing" {
        rows.saw(ID, told.is_done() || told.code.is_some(), told);
    } else {
        rows.could_not_try(&[ID], "it was answered before it could be tried");
    }
    lab.end(&ringing.call).await;
}

async fn try_streams(lab: &Lab, leg: &Leg, callbacks: Option<&Callbacks>, rows: &mut Findings) {
    let before = lab.row(leg).await;
    let mut started = lab.start(&leg.call, FIRST, "inbound_track").await;
    if lab.callback.is_none() {
        rows.could_not_try(&["callback-fragment"], "--public-url is not given");
    } else {
        rows.saw("callback-fragment", started.status != Some(400), &started);
        if started.status == Some(400) {
            started = lab.start_plainly(&leg.call, FIRST, "inbound_track").await;
        }
    }
    let sid = started.text("sid").map(str::to_owned);
    rows.saw("start", started.is_done() && sid.is_some(), &started);
    if !started.is_done() {
        return;
    }
    tokio::time::sleep(SETTLED).await;
    let during = lab.row(leg).await;
    rows.saw("leg-stays", stayed(before.as_ref(), during.as_ref()), moved(before.as_ref(), during.as_ref()));
    try_callbacks(callbacks, rows).await;
    let taken = lab.start(&leg.call, FIRST, "inbound_track").await;
    rows.saw("name-taken", is_refused(&taken), taken);
    // One track, two, and one more are the four that a call has.
    let second = lab.start(&leg.call, "probe-2", "both_tracks").await;
    let third = lab.start(&leg.call, "probe-3", "outbound_track").await;
    if second.is_done() && third.is_done() {
        let fifth = lab.start(&leg.call, "probe-4", "inbound_track").await;
        rows.saw("fifth-track", is_refused(&fifth), fifth);
    } else {
        rows.saw("fifth-track", false, format!("four tracks were not to be had: {second}; {third}"));
    }
    let by_name = lab.stop(&leg.call, FIRST).await;
    rows.saw("stop-by-name", by_name.text("status") == Some("stopped"), by_name);
    match second.text("sid") {
        Some(sid) => {
            let by_sid = lab.stop(&leg.call, sid).await;
            rows.saw("stop-by-sid", by_sid.text("status") == Some("stopped"), by_sid);
        }
        None => rows.could_not_try(&["stop-by-sid"], "the answer to the start had no SID"),
    }
    let twice = lab.stop(&leg.call, FIRST).await;
    rows.saw("stop-twice", is_over(&twice), twice);
    let again = lab.start(&leg.call, FIRST, "inbound_track").await;
    rows.saw("name-again", true, &again);
    for name in [FIRST, "probe-3", "probe-4"] {
        lab.stop(&leg.call, name).await;
    }
}

async fn try_callbacks(callbacks: Option<&Callbacks>, rows: &mut Findings) {
    let Some(callbacks) = callbacks else {
        return rows.could_not_try(&["callback", "callback-retry"], "--public-url is not given");
    };
    let seen = callbacks.attempts(FIRST, CALLBACK_LIMIT).await;
    let what = if seen == 0 { "none came: does the tunnel lead to --listen?" } else { "it came" };
    // Without a single one the tunnel may be at fault, which would not contradict anything.
    if seen == 0 {
        return rows.could_not_try(&["callback", "callback-retry"], what);
    }
    rows.saw("callback", true, what);
    rows.saw("callback-retry", seen > 1, format!("it came {seen} times"));
}

async fn try_hold(lab: &Lab, leg: &Leg, rows: &mut Findings) {
    const IDS: [&str; 3] = ["start-held", "guard-held", "guard-unheld"];
    let told = lab.update(leg, &[("Hold", "true")]).await;
    let Some(before) = lab.row_when(leg, |row| row["hold"] == true).await else {
        return rows.could_not_try(&IDS, format!("the leg could not be put on hold: {told}"));
    };
    let started = lab.start(&leg.call, "probe-held", "inbound_track").await;
    tokio::time::sleep(SETTLED).await;
    let during = lab.row(leg).await;
    let stayed = stayed(Some(&before), during.as_ref());
    let seen = format!("{started}; {}", moved(Some(&before), during.as_ref()));
    rows.saw("start-held", started.is_done() && stayed, seen);
    lab.stop(&leg.call, "probe-held").await;
    let told = lab.update(leg, &[("EndConferenceOnExit", "false")]).await;
    tokio::time::sleep(SETTLED).await;
    let row = lab.row(leg).await.unwrap_or_default();
    let is_ignored = row["end_conference_on_exit"] == true;
    let seen = if is_ignored { "ignored" } else { "kept" };
    rows.saw("guard-held", told.is_done() && is_ignored, format!("{told}; {seen}"));
    let told = lab.update(leg, &[("EndConferenceOnExit", "false"), ("Hold", "false")]).await;
    let is_kept = lab.row_when(leg, is_lowered).await.is_some();
    let seen = if is_kept { "kept" } else { "ignored" };
    rows.saw("guard-unheld", told.is_done() && is_kept, format!("{told}; {seen}"));
}

fn is_lowered(row: &Value) -> bool {
    row["end_conference_on_exit"] == false && row["hold"] == false
}

async fn try_redirect(lab: &Lab, leg: &Leg, rows: &mut Findings) {
    const IDS: [&str; 2] = ["redirect-back", "stream-survives"];
    lab.update(leg, &[("EndConferenceOnExit", "false")]).await;
    let Some(before) = lab.row_when(leg, is_lowered).await else {
        return rows.could_not_try(&IDS, "the guard could not be lowered");
    };
    let started = lab.start(&leg.call, "probe-redirect", "inbound_track").await;
    let told = lab.redirect(leg).await;
    // The new TwiML raises the guard. Dates have whole seconds, within which the leg may be back.
    let is_in_anew = |row: &Value| {
        let is_new = row["date_created"] != before["date_created"] || row["end_conference_on_exit"] == true;
        row["status"] == "connected" && is_new
    };
    let began = tokio::time::Instant::now();
    let back = told.is_done() && lab.row_when(leg, is_in_anew).await.is_some();
    let ms = began.elapsed().as_millis();
    let seen = if back { format!("{told}; back within {ms} ms") } else { format!("{told}; not back") };
    rows.saw("redirect-back", back, seen);
    if !started.is_done() {
        return rows.could_not_try(&["stream-survives"], format!("no stream could be started: {started}"));
    }
    let stopped = lab.stop(&leg.call, "probe-redirect").await;
    rows.saw("stream-survives", stopped.text("status") == Some("stopped"), format!("its stop: {stopped}"));
}

async fn try_restricted(lab: &Lab, leg: &Leg, restricted: Option<&Client>, rows: &mut Findings) {
    let Some(client) = restricted else {
        return rows.could_not_try(&["restricted-key"], "--restricted-key is not given");
    };
    let told = lab.start_by(client, &leg.call, "probe-restricted", "inbound_track", "").await;
    if told.is_done() {
        lab.stop(&leg.call, "probe-restricted").await;
    }
    rows.saw("restricted-key", matches!(told.status, Some(401 | 403)), told);
}

async fn try_outside(lab: &Lab, rows: &mut Findings) {
    const IDS: [&str; 4] = ["start-outside", "start-over", "stop-over", "end"];
    let call = match lab.call().await {
        Ok(call) => call,
        Err(told) => {
            return rows.could_not_try(&IDS, format!("no call outside of a conference could be placed: {told}"));
        }
    };
    if !lab.comes_to(&call, "in-progress").await {
        return rows.could_not_try(&IDS, "the call was not answered");
    }
    let told = lab.start(&call, "probe-outside", "inbound_track").await;
    rows.saw("start-outside", told.is_done(), told);
    let told = lab.end(&call).await;
    let is_over_now = lab.comes_to(&call, "completed").await;
    rows.saw("end", told.is_done() && is_over_now, told);
    let told = lab.start(&call, "probe-over", "inbound_track").await;
    rows.saw("start-over", told.code == Some(21220), told);
    let told = lab.stop(&call, "probe-outside").await;
    rows.saw("stop-over", is_over(&told), told);
}

fn is_refused(told: &TrialAnswer) -> bool {
    told.status.is_some_and(|status| (400..500).contains(&status))
}

fn is_over(told: &TrialAnswer) -> bool {
    told.status == Some(404) || told.code == Some(21220)
}

/// The same row, connected as before.
fn stayed(before: Option<&Value>, after: Option<&Value>) -> bool {
    let is_same = |(before, after): (&Value, &Value)| {
        after["status"] == "connected" && before["date_created"] == after["date_created"]
    };
    before.zip(after).is_some_and(is_same)
}

fn moved(before: Option<&Value>, after: Option<&Value>) -> &'static str {
    if stayed(before, after) { "the same row" } else { "another row, or none" }
}
