use super::folder::{Key, RecordedAnswer, RecordedContent, Recording};
use crate::world::twiml::{Verb, read};
use actix_web::dev::{Server, ServerHandle};
use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Twilio's word that a call is over.
const OVER: [&str; 5] = ["busy", "canceled", "completed", "failed", "no-answer"];

/// Twilio's API, as it answered then.
pub(super) struct Answers {
    script: Mutex<Script>,
    changed: Notify,
}

#[derive(Default)]
struct Script {
    /// The answers to each request, with their places in the recording.
    recorded: BTreeMap<Key, Vec<(usize, RecordedAnswer)>>,
    /// How many of them have been given.
    given: BTreeMap<Key, usize>,
    /// How often each command was asked for.
    asked: BTreeMap<Key, usize>,
    /// The places of events, deliveries and callbacks.
    inbound: Vec<usize>,
    /// The place of what was posted last.
    posted: usize,
    /// The place of the command that was answered last.
    commanded: usize,
    started: BTreeSet<String>,
    stopped: BTreeSet<String>,
    /// The names of streams by their SIDs.
    names: BTreeMap<String, String>,
    is_over: bool,
}

impl Answers {
    pub(super) fn new(recording: &Recording) -> Self {
        let mut script = Script::default();
        for (place, item) in recording.items.iter().enumerate() {
            match &item.what {
                RecordedContent::Answer(answer) => {
                    script.recorded.entry(answer.key()).or_default().push((place, answer.clone()));
                }
                RecordedContent::Event(_) | RecordedContent::Delivery(_) | RecordedContent::Status(_) => {
                    script.inbound.push(place)
                }
            }
        }
        Self { script: Mutex::new(script), changed: Notify::new() }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every command has been asked for that was answered before this place; says which were not in time.
    pub(super) async fn asked_before(&self, place: usize, limit: Duration) -> Vec<Key> {
        let all = async {
            loop {
                let changed = self.changed.notified();
                if self.script().missing_before(place).is_empty() {
                    return;
                }
                changed.await;
            }
        };
        // In time or not: what is missing then is told.
        let _ = tokio::time::timeout(limit, all).await;
        self.script().missing_before(place)
    }

    /// What was recorded at this place is posted now.
    pub(super) fn reached(&self, place: usize) {
        self.script().posted = place;
    }

    /// Twilio says that a stream is over.
    pub(super) fn told_over(&self, name: &str) {
        self.script().stopped.insert(name.to_owned());
    }

    /// Commands that were asked for more often than then.
    pub(super) fn unrecorded(&self) -> Vec<Key> {
        let script = self.script();
        let recorded = |key: &Key| script.recorded.get(key).map_or(0, Vec::len);
        script.asked.iter().filter(|(key, count)| **count > recorded(key)).map(|(key, _)| key.clone()).collect()
    }

    /// How many streams were started, how many of them are over, and the names of those that are not.
    pub(super) fn streams(&self) -> (usize, usize, Vec<String>) {
        let script = self.script();
        let running: Vec<String> =
            script.started.difference(&script.stopped).filter(|_| !script.is_over).cloned().collect();
        (script.started.len(), script.started.len() - running.len(), running)
    }
}

impl Script {
    fn missing_before(&self, place: usize) -> Vec<Key> {
        let asked = |key: &Key| self.asked.get(key).copied().unwrap_or_default();
        let due = |answers: &[(usize, RecordedAnswer)]| answers.iter().filter(|(at, _)| *at < place).count();
        let missing =
            |(key, answers): &(&Key, &Vec<(usize, RecordedAnswer)>)| key.is_command() && asked(key) < due(answers);
        self.recorded.iter().filter(missing).map(|(key, _)| key.clone()).collect()
    }

    /// The next answer to the request. How often something is read is a matter of time, so a reading is answered as it was between
    /// what has happened by now and what has not: the last answer from there is repeated.
    fn answer(&mut self, key: &Key) -> Option<RecordedAnswer> {
        let since = self.posted.max(self.commanded);
        let (posted, commanded) = self.next_to_come();
        let answers = self.recorded.get(key)?;
        let given = self.given.entry(key.clone()).or_default();
        if key.is_command() {
            let (at, answer) = answers.get(*given).or(answers.last())?;
            *given += 1;
            self.commanded = self.commanded.max(*at);
            return Some(answer.clone());
        }
        let before = |place: usize| answers.iter().take_while(|(at, _)| *at < place).count();
        let (passed, there) = (before(since), before(posted.min(commanded)));
        // Where nothing was read then, what was read next is nearer to the truth than what was read before.
        let is_ahead = there <= passed && before(commanded) > passed;
        let last = if is_ahead { passed } else { there.saturating_sub(1) };
        let next = (*given).max(passed).min(last);
        *given = next + 1;
        answers.get(next).map(|(_, answer)| answer.clone())
    }

    /// The places of what is posted next, and of the next command that has not been asked for.
    fn next_to_come(&self) -> (usize, usize) {
        let posted = self.inbound.iter().copied().find(|place| *place > self.posted).unwrap_or(usize::MAX);
        let commands = self.recorded.iter().filter(|(key, _)| key.is_command()).filter_map(|(key, answers)| {
            let asked = self.asked.get(key).copied().unwrap_or_default();
            answers.get(asked).map(|(place, _)| *place)
        });
        (posted, commands.min().unwrap_or(usize::MAX))
    }

    /// What the request means for streams, now that it was answered.
    fn note(&mut self, key: &Key, twiml: Option<&str>, answer: &RecordedAnswer) {
        let text = |name: &str| answer.body.get(name).and_then(Value::as_str);
        if answer.body["code"] == 21220 || text("direction").and(text("status")).is_some_and(|it| OVER.contains(&it)) {
            self.is_over = true;
        }
        if !key.is_command() || !(200..300).contains(&answer.status) {
            return;
        }
        for verb in twiml.map(read).and_then(Result::ok).unwrap_or_default() {
            match verb {
                Verb::Start(order) => self.started.extend(order.name),
                Verb::Stop(name) => drop(self.stopped.insert(name)),
                Verb::Connect(_)
                | Verb::Prompt(_)
                | Verb::Pause(_)
                | Verb::Dial(_)
                | Verb::Redirect(_)
                | Verb::Hangup => {}
            }
        }
        if key.path.ends_with("/Streams.json") {
            if let (Some(name), Some(sid)) = (&key.name, text("sid")) {
                self.names.insert(sid.to_owned(), name.clone());
            }
            self.started.extend(key.name.clone());
        } else if let Some((_, handle)) = key.path.split_once("/Streams/") {
            let handle = handle.trim_end_matches(".json");
            self.stopped.insert(self.names.get(handle).map_or(handle, String::as_str).to_owned());
        }
    }
}

/// Serves the answers on a port of its own.
pub(super) fn serve(answers: Arc<Answers>) -> std::io::Result<(Server, ServerHandle, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let data = Data::from(answers);
    let app = move || App::new().app_data(data.clone()).default_service(web::to(answer));
    let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(1).listen(listener)?.run();
    let handle = server.handle();
    Ok((server, handle, address))
}

async fn answer(request: HttpRequest, body: Bytes, answers: Data<Answers>) -> HttpResponse {
    let pairs = |text: &[u8]| form_urlencoded::parse(text).into_owned().collect::<Vec<(String, String)>>();
    let (query, form) = (pairs(request.query_string().as_bytes()), pairs(&body));
    let get = |from: &[(String, String)], wanted: &str| {
        from.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    let name = get(&form, "Name").or_else(|| get(&query, "FriendlyName"));
    let key = Key { method: request.method().to_string(), path: request.path().to_owned(), name };
    let found = {
        let mut script = answers.script();
        if key.is_command() {
            *script.asked.entry(key.clone()).or_default() += 1;
        }
        let found = script.answer(&key);
        if let Some(answer) = &found {
            script.note(&key, get(&form, "Twiml").as_deref(), answer);
        }
        found
    };
    answers.changed.notify_waiters();
    let (status, body) = match found {
        Some(answer) => (answer.status, answer.body),
        None => (404, json!({"code": 20404, "status": 404, "message": "this request was not recorded"})),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status).content_type("application/json").body(body.to_string())
}
