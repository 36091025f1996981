use super::answers::{self, Answers};
use super::folder::{RecordedContent, RecordedItem, Recording, parameter};
use serde_json::Value;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taskrouter_streams::config::{self, ConfigError};
use taskrouter_streams::service::{Service, StartError};
use taskrouter_streams::twilio::signature::{sign, url_with_body_hash};
use tempfile::TempDir;

const TOKEN: &str = "the-token-of-the-recording";
const PUBLIC_URL: &str = "https://streams.example.com";
const EVENTS_PATH: &str = "/taskrouter/events";
const EVENT_STREAMS_PATH: &str = "/taskrouter/event-streams";
const STATUS_PATH: &str = "/streams/status";

/// Longer than Twilio would wait for the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a command may take that was asked for then. After the first that is missing it makes no sense to wait so long again.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);
const AFTER_THE_FIRST: Duration = Duration::from_millis(200);

/// Until the service has nothing more to do: longer than its longest time-out.
const REST_LIMIT: Duration = Duration::from_secs(45);
/// What is planned later than this is a look at a quiet call.
const REST_HORIZON: Duration = Duration::from_secs(300);
const REST_POLL: Duration = Duration::from_millis(5);

/// A replay that could not take place.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No temporary folder for the journal, or no port.
    #[error("cannot create a temporary folder for the journal, or open a port: {0}")]
    System(#[from] std::io::Error),
    /// The service's configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The service cannot start.
    #[error(transparent)]
    Service(#[from] StartError),
    /// No HTTP client.
    #[error("cannot create an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// What is expected of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// The service asks for each change as often as it did then, and for no other.
    SameCommands,
    /// So many streams are started.
    Streams(usize),
    /// So many of them are over at the end.
    Stopped(usize),
    /// None runs at the end.
    NoStreams,
}

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown =
            || format!("{text:?} is no expectation: write same-commands, no-streams, streams=NUMBER or stopped=NUMBER");
        let number = |text: &str| text.parse().map_err(|_| unknown());
        match text.split_once('=') {
            None if text == "same-commands" => Ok(Self::SameCommands),
            None if text == "no-streams" => Ok(Self::NoStreams),
            Some(("streams", count)) => Ok(Self::Streams(number(count)?)),
            Some(("stopped", count)) => Ok(Self::Stopped(number(count)?)),
            Some(_) | None => Err(unknown()),
        }
    }
}

/// How a recording is told again.
pub struct Replay {
    /// The recording.
    pub recording: Recording,
    /// How many times faster than then; 0 omits the pauses.
    pub speed: f64,
    /// Configuration (TOML) of the service, over what the recording needs.
    pub config: String,
    /// What is expected besides that every event is accepted.
    pub expected: Vec<Expectation>,
}

/// What a replay came to.
#[derive(Debug, Default)]
pub struct ReplayVerdict {
    /// Events and callbacks that were posted.
    pub posted: usize,
    /// Streams that were started.
    pub streams: usize,
    /// What was otherwise than expected, as lines.
    pub failures: Vec<String>,
}

impl Replay {
    /// Starts the service beside the recorded Twilio, tells the call, and judges. `told` is called with a line for each item.
    ///
    /// # Errors
    /// When the service cannot be started.
    pub async fn run(&self, told: impl Fn(&str)) -> Result<ReplayVerdict, ReplayError> {
        let journal = TempDir::new()?;
        let answers = Arc::new(Answers::new(&self.recording));
        let (server, handle, twilio) = answers::serve(answers.clone())?;
        let server = tokio::spawn(server);
        let service = Service::start(&self.settings(&journal, &format!("http://{twilio}"))?).await?;
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_TIMEOUT).build()?;
        let post = Poster { client, base: format!("http://{}", service.public()) };
        let mut verdict = self.tell(&post, &answers, told).await;
        // One that does otherwise than then may go on trying for long.
        if verdict.failures.is_empty()
            && let Err(busy) = at_rest(&service).await
        {
            verdict.failures.push(busy);
        }
        self.judge(&answers, &mut verdict);
        service.stop().await;
        handle.stop(false).await;
        let _ = server.await;
        Ok(verdict)
    }

    fn settings(&self, journal: &TempDir, twilio: &str) -> Result<config::Settings, ConfigError> {
        let Recording { account, workspace, .. } = &self.recording;
        let mut environment = BTreeMap::from([
            ("TRS__SERVER__LISTEN", "127.0.0.1:0".to_owned()),
            ("TRS__SERVER__PUBLIC_URL", PUBLIC_URL.to_owned()),
            ("TRS__ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
            ("TRS__TWILIO__ACCOUNT_SID", account.to_string()),
            ("TRS__TWILIO__AUTH_TOKENS", TOKEN.to_owned()),
            ("TRS__TWILIO__WORKSPACE_SID", workspace.to_string()),
            ("TRS__TWILIO__API_BASE_URL", twilio.to_owned()),
            ("TRS__TWILIO__TASKROUTER_BASE_URL", twilio.to_owned()),
            ("TRS__JOURNAL__URL", format!("sqlite:{}", journal.path().join("journal.db").display())),
        ]);
        if !self.config.contains("strategy") {
            let strategy = if self.recording.has_redirects() { "redirect" } else { "streams-api" };
            environment.insert("TRS__STREAMS__STRATEGY", strategy.to_owned());
        }
        let mut text = self.config.clone();
        if !text.contains("destinations") {
            let mut destinations = self.recording.destinations();
            if destinations.is_empty() {
                destinations.push(("wss://audio.example.com/destination-1".to_owned(), "inbound_track".to_owned()));
            }
            for (url, track) in destinations {
                text.push_str(&format!("\n[[streams.destinations]]\nurl = \"{url}\"\ntrack = \"{track}\"\n"));
            }
        }
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        config::from_text(Some(("the replay", &text)), &environment)
    }

    async fn tell(&self, post: &Poster, answers: &Answers, told: impl Fn(&str)) -> ReplayVerdict {
        let (mut verdict, mut before, total) = (ReplayVerdict::default(), None, self.recording.items.len());
        for (place, item) in self.recording.items.iter().enumerate() {
            let Some(at) = item.at() else { continue };
            let limit = if verdict.failures.is_empty() { COMMAND_LIMIT } else { AFTER_THE_FIRST };
            if let Some(missing) = answers.asked_before(place, limit).await.first()
                && verdict.failures.is_empty()
            {
                verdict.failures.push(format!("before {} the service did not ask for: {missing}", item.name));
            }
            tokio::time::sleep(self.pause(before, at)).await;
            before = Some(at);
            answers.reached(place);
            let said = post.item(item).await;
            told(&format!(
                "{:>4}/{total}  {:<48}  {}",
                place + 1,
                item.name,
                said.as_ref().unwrap_or_else(|said| said)
            ));
            verdict.posted += 1;
            if let Err(said) = said {
                verdict.failures.push(format!("{} was not accepted: {said}", item.name));
            }
            if let RecordedContent::Status(status) = &item.what
                && parameter(&status.form, "StreamEvent") != Some("stream-started")
                && let Some(name) = parameter(&status.form, "StreamName")
            {
                answers.told_over(name);
            }
        }
        let limit = if verdict.failures.is_empty() { COMMAND_LIMIT } else { AFTER_THE_FIRST };
        let missing = answers.asked_before(total, limit).await;
        if self.expected.contains(&Expectation::SameCommands) {
            verdict.failures.extend(missing.iter().map(|key| format!("the service did not ask for: {key}")));
        }
        verdict
    }

    fn pause(&self, before: Option<i64>, at: i64) -> Duration {
        match before {
            Some(before) if self.speed > 0.0 => {
                Duration::from_millis(u64::try_from(at - before).unwrap_or(0)).div_f64(self.speed)
            }
            Some(_) | None => Duration::ZERO,
        }
    }

    fn judge(&self, answers: &Answers, verdict: &mut ReplayVerdict) {
        let (started, stopped, running) = answers.streams();
        verdict.streams = started;
        for expectation in &self.expected {
            match expectation {
                Expectation::SameCommands => {
                    let more = answers.unrecorded();
                    verdict.failures.extend(more.iter().map(|key| format!("the service asked in addition for: {key}")));
                }
                Expectation::Streams(count) if *count != started => {
                    verdict.failures.push(format!("{started} streams were started, not {count}"));
                }
                Expectation::Stopped(count) if *count != stopped => {
                    verdict.failures.push(format!("{stopped} streams are over, not {count}"));
                }
                Expectation::NoStreams if !running.is_empty() => {
                    verdict.failures.push(format!("still running: {}", running.join(", ")));
                }
                Expectation::Streams(_) | Expectation::Stopped(_) | Expectation::NoStreams => {}
            }
        }
    }
}

/// Waits until nothing is due but looks at quiet calls.
async fn at_rest(service: &Service) -> Result<(), String> {
    let deadline = Instant::now() + REST_LIMIT;
    loop {
        let due = service.journal().next_due().await.map_err(|error| error.to_string())?;
        if due.is_none_or(|due| due >= REST_HORIZON) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("the service did not come to rest: something is due in {due:?}"));
        }
        tokio::time::sleep(REST_POLL).await;
    }
}

/// Signs and posts, as Twilio does.
struct Poster {
    client: reqwest::Client,
    base: String,
}

impl Poster {
    /// The answer in words, of success or of failure.
    async fn item(&self, item: &RecordedItem) -> Result<String, String> {
        match &item.what {
            RecordedContent::Event(form) => self.form(EVENTS_PATH, form).await,
            RecordedContent::Status(status) => {
                self.form(&format!("{STATUS_PATH}?task={}", status.task), &status.form).await
            }
            RecordedContent::Delivery(delivery) => {
                let body = Value::from(delivery.events.clone()).to_string();
                let path = url_with_body_hash(EVENT_STREAMS_PATH, body.as_bytes());
                let signature = sign(&format!("{PUBLIC_URL}{path}"), &[] as &[(&str, &str)], TOKEN);
                self.send(&path, &signature, "application/json", body).await
            }
            RecordedContent::Answer(_) => Ok(String::new()),
        }
    }

    async fn form(&self, path: &str, form: &[(String, String)]) -> Result<String, String> {
        let signature = sign(&format!("{PUBLIC_URL}{path}"), form, TOKEN);
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send(path, &signature, "application/x-www-form-urlencoded", body).await
    }

    async fn send(&self, path: &str, signature: &str, media_type: &str, body: String) -> Result<String, String> {
        let request = self.client.post(format!("{}{path}", self.base)).header("X-Twilio-Signature", signature);
        let answer = request.header("Content-Type", media_type).body(body).send().await;
        let status = answer.map_err(|error| error.without_url().to_string())?.status();
        if status.is_success() { Ok(status.to_string()) } else { Err(status.to_string()) }
    }
}
