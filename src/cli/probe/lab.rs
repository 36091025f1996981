use crate::twilio::client::{CALLBACK_RETRIES, Client, Form, TrialAnswer};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// The calls end by then whatever becomes of us.
const CALL_LIMIT_S: u32 = 300;

/// For a call to be answered, or for a leg to be where it should be.
const LIMIT: Duration = Duration::from_secs(45);
const POLL: Duration = Duration::from_millis(250);

/// How often an end is asked for that is not taken.
const END_TRIES: u32 = 5;

/// Calls of its own in a conference of its own.
pub(super) struct Lab {
    client: Arc<Client>,
    from: String,
    to: String,
    pub(super) destination: String,
    /// Where status callbacks are received.
    pub(super) callback: Option<String>,
    /// The conference's name, which nobody else has.
    pub(super) room: String,
    created: Arc<Mutex<Created>>,
    /// Requests that create something: they are waited for, so that nothing is created unseen.
    creating: TaskTracker,
}

#[derive(Default)]
struct Created {
    calls: Vec<String>,
    conference: Option<String>,
    has_met: bool,
}

/// A leg of ours in the conference.
#[derive(Debug, Clone)]
pub(super) struct Leg {
    pub(super) call: String,
    pub(super) conference: String,
}

impl Lab {
    pub(super) fn new(client: Client, from: String, to: String, destination: String, callback: Option<String>) -> Self {
        let room = format!("taskrouter-streams-probe-{}", jiff::Timestamp::now().as_microsecond());
        let (client, created) = (Arc::new(client), Arc::default());
        Self { client, from, to, destination, callback, room, created, creating: TaskTracker::new() }
    }

    fn created(&self) -> std::sync::MutexGuard<'_, Created> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether two legs met in the conference, without which next to nothing can be tried.
    pub(super) fn has_met(&self) -> bool {
        self.created().has_met
    }

    pub(super) fn met(&self) {
        self.created().has_met = true;
    }

    /// Calls somebody into the conference. Its end ends the conference, as a customer's does, where `guard` says so.
    pub(super) async fn call_in(&self, guard: bool) -> Result<Leg, TrialAnswer> {
        let form = vec![("EndConferenceOnExit".into(), guard.to_string()), ("Beep".into(), "false".to_owned())];
        let told = self.create(vec!["Conferences".into(), self.room.clone(), "Participants.json".into()], form).await;
        match (told.text("call_sid"), told.text("conference_sid")) {
            (Some(call), Some(conference)) => Ok(Leg { call: call.to_owned(), conference: conference.to_owned() }),
            (_, _) => Err(told),
        }
    }

    /// Calls somebody who is in no conference.
    pub(super) async fn call(&self) -> Result<String, TrialAnswer> {
        let twiml = format!("<Response><Pause length=\"{CALL_LIMIT_S}\"/></Response>");
        let told = self.create(vec!["Calls.json".into()], vec![("Twiml".into(), twiml)]).await;
        told.text("sid").map(str::to_owned).ok_or(told)
    }

    /// Also when nobody waits for it any more, what was created is known.
    async fn create(&self, path: Vec<String>, mut form: Form) -> TrialAnswer {
        let common = [("From", self.from.clone()), ("To", self.to.clone()), ("TimeLimit", CALL_LIMIT_S.to_string())];
        form.extend(common.map(|(name, value)| (name.into(), value)));
        let (client, created) = (self.client.clone(), self.created.clone());
        let creating = self.creating.spawn(async move {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let told = client.trial().write(&path, form).await;
            let mut created = created.lock().unwrap_or_else(PoisonError::into_inner);
            created.calls.extend(told.text("call_sid").or(told.text("sid")).map(str::to_owned));
            created.conference = told.text("conference_sid").map(str::to_owned).or(created.conference.take());
            told
        });
        creating.await.unwrap_or_default()
    }

    /// Starts a stream by the parameters that the service sends.
    pub(super) async fn start(&self, call: &str, name: &str, track: &str) -> TrialAnswer {
        self.start_by(&self.client, call, name, track, CALLBACK_RETRIES).await
    }

    /// As [`start`](Self::start), without the fragment of the callback's address.
    pub(super) async fn start_plainly(&self, call: &str, name: &str, track: &str) -> TrialAnswer {
        self.start_by(&self.client, call, name, track, "").await
    }

    pub(super) async fn start_by(
        &self,
        client: &Client,
        call: &str,
        name: &str,
        track: &str,
        end: &str,
    ) -> TrialAnswer {
        let mut form: Form = [("Url", &*self.destination), ("Name", name), ("Track", track)]
            .map(|(name, value)| (name.into(), value.to_owned()))
            .to_vec();
        form.extend(self.callback.iter().map(|url| ("StatusCallback".into(), format!("{url}{end}"))));
        client.trial().write(&["Calls", call, "Streams.json"], form).await
    }

    /// Stops a stream by its SID or its name.
    pub(super) async fn stop(&self, call: &str, handle: &str) -> TrialAnswer {
        self.write(&["Calls", call, "Streams", &format!("{handle}.json")], &[("Status", "stopped")]).await
    }

    pub(super) async fn update(&self, leg: &Leg, form: &[(&str, &str)]) -> TrialAnswer {
        self.write(&["Conferences", &leg.conference, "Participants", &format!("{}.json", leg.call)], form).await
    }

    /// New TwiML that leads the leg back into the conference, as the service writes it.
    pub(super) async fn redirect(&self, leg: &Leg) -> TrialAnswer {
        let twiml = format!(
            "<Response><Dial><Conference beep=\"false\" endConferenceOnExit=\"true\">{}</Conference></Dial></Response>",
            self.room
        );
        self.write(&["Calls", &format!("{}.json", leg.call)], &[("Twiml", &twiml)]).await
    }

    async fn write(&self, path: &[&str], form: &[(&str, &str)]) -> TrialAnswer {
        let form = form.iter().map(|(name, value)| ((*name).to_owned().into(), (*value).to_owned())).collect();
        self.client.trial().write(path, form).await
    }

    /// The leg's row in its conference, if it has one.
    pub(super) async fn row(&self, leg: &Leg) -> Option<Value> {
        let path = ["Conferences", &leg.conference, "Participants", &format!("{}.json", leg.call)];
        let told = self.client.trial().read(&path, &[]).await;
        told.is_done().then_some(told.body)
    }

    /// The leg's row, once it is as `is_so` says.
    pub(super) async fn row_when(&self, leg: &Leg, is_so: impl Fn(&Value) -> bool) -> Option<Value> {
        until(async || self.row(leg).await.filter(&is_so)).await
    }

    pub(super) async fn call_status(&self, call: &str) -> Option<String> {
        let told = self.client.trial().read(&["Calls", &format!("{call}.json")], &[]).await;
        told.text("status").map(str::to_owned)
    }

    /// Whether the call has come to this status.
    pub(super) async fn comes_to(&self, call: &str, status: &str) -> bool {
        until(async || self.call_status(call).await.filter(|found| found == status)).await.is_some()
    }

    pub(super) async fn end(&self, call: &str) -> TrialAnswer {
        self.write(&["Calls", &format!("{call}.json")], &[("Status", "completed")]).await
    }

    /// Ends everything that was created. Returns what could not be ended.
    pub(super) async fn end_all(&self) -> Vec<String> {
        self.creating.close();
        self.creating.wait().await;
        let (calls, conference) = {
            let created = self.created();
            (created.calls.clone(), created.conference.clone())
        };
        let mut left = Vec::new();
        for call in calls {
            if !self.is_over(&call).await {
                left.push(format!("the call {call}"));
            }
        }
        // Without its legs it is over; a leg that an answer was lost about is in it.
        if let Some(conference) = conference {
            self.write(&["Conferences", &format!("{conference}.json")], &[("Status", "completed")]).await;
        }
        left
    }

    async fn is_over(&self, call: &str) -> bool {
        for _ in 0..END_TRIES {
            let told = self.end(call).await;
            // 21220: it was over already.
            if told.is_done() || told.code == Some(21220) {
                return true;
            }
            tokio::time::sleep(POLL).await;
        }
        false
    }
}

/// What `look` finds, when it finds it in time.
pub(super) async fn until<T>(look: impl AsyncFn() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look().await {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        tokio::time::sleep(POLL).await;
    }
}
