//! `replay`: posts recorded events in order, signed.

use super::signing::Signing;
use super::{CommandResult, misused, say};
use crate::http::{EVENT_STREAMS_PATH, EVENTS_PATH};
use crate::twilio::signature;
use anyhow::{Context as _, anyhow};
use secrecy::ExposeSecret as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Longer than Twilio would wait for the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(clap::Args)]
#[command(
    after_help = "Each file is one form body, or a delivery of Event Streams that `serve --record` has recorded \
                  (*.event-streams.json). Those of a directory go in the order of their names, with the pauses that were \
                  between them. What else is in a recorded directory Twilio itself has to say again: \
                  `twilio-simulator replay DIR` does so.\n\
                  Exit codes: 0 every event was answered with 2xx; 1 some were not; 2 wrong arguments."
)]
pub(super) struct Replay {
    /// Post these files, or the events of these directories
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// Post to this URL
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/taskrouter/events")]
    to: String,
    /// Sign this URL, when the service's server.public_url differs from --to
    #[arg(long, value_name = "URL")]
    sign_as: Option<String>,
    #[command(flatten)]
    signing: Signing,
    /// Replay this many times faster than recorded; 0 omits the pauses
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
}

struct Recorded {
    name: String,
    body: Vec<u8>,
    /// A delivery of Event Streams, and not an Event Callback.
    is_delivery: bool,
    at_ms: Option<u64>,
}

/// What `serve --record` writes for a delivery.
#[derive(serde::Deserialize)]
struct DeliveryFile {
    at: u64,
    events: Vec<serde_json::Value>,
}

/// How the name of such a file ends.
const DELIVERY: &str = ".event-streams.json";

impl Replay {
    pub(super) async fn run(self) -> CommandResult {
        let token = match self.signing.token() {
            Ok(token) => token,
            Err(error) => return Ok(misused(&error)),
        };
        let token = token.expose_secret();
        if !self.speed.is_finite() || self.speed < 0.0 {
            return Ok(misused(&anyhow!("--speed must be 0 or more")));
        }
        let events = match read_all(&self.paths) {
            Ok(events) => events,
            Err(error) => return Ok(misused(&error)),
        };
        let client = reqwest::Client::builder()
            .timeout(ANSWER_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("cannot create an HTTP client")?;
        let (total, mut refused, mut before) = (events.len(), 0, None);
        for (place, event) in events.iter().enumerate() {
            tokio::time::sleep(self.pause(before, event.at_ms)).await;
            before = event.at_ms.or(before);
            let (ok, answer) = self.post(&client, token, event).await;
            refused += usize::from(!ok);
            say(&format!("{:>3}/{total}  {:<44}  {answer}", place + 1, event.name));
        }
        say(&format!("{} of {total} events were accepted", total - refused));
        Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn pause(&self, before: Option<u64>, now: Option<u64>) -> Duration {
        match (before, now) {
            (Some(before), Some(now)) if self.speed > 0.0 => {
                Duration::from_millis(now.saturating_sub(before)).div_f64(self.speed)
            }
            (Some(_) | None, _) => Duration::ZERO,
        }
    }

    async fn post(&self, client: &reqwest::Client, token: &str, event: &Recorded) -> (bool, String) {
        let signed = self.sign_as.as_deref().unwrap_or(&self.to);
        let beside = |url: &str| url.replace(EVENTS_PATH, EVENT_STREAMS_PATH);
        let (to, signature, media_type) = if event.is_delivery {
            let [to, signed] = [&self.to, signed].map(|url| signature::url_with_body_hash(&beside(url), &event.body));
            (to, signature::sign(&signed, &[] as &[(&str, &str)], token), "application/json")
        } else {
            let signature = signature::sign(signed, &signature::parse_pairs(&event.body), token);
            (self.to.clone(), signature, "application/x-www-form-urlencoded")
        };
        let began = Instant::now();
        let answer = client
            .post(to)
            .header("X-Twilio-Signature", signature)
            .header("Content-Type", media_type)
            .body(event.body.clone())
            .send()
            .await;
        let ms = began.elapsed().as_millis();
        match answer {
            Ok(answer) => (answer.status().is_success(), format!("{} in {ms} ms", answer.status())),
            Err(error) if error.is_connect() => (false, "no connection: is the service running?".to_owned()),
            Err(error) if error.is_timeout() => (false, format!("no answer within {ms} ms")),
            Err(_) => (false, "the connection closed before the answer".to_owned()),
        }
    }
}

fn read_all(paths: &[PathBuf]) -> anyhow::Result<Vec<Recorded>> {
    let mut events = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).with_context(|| format!("{} cannot be read", path.display()))?;
            let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            files.retain(|file| file.extension().is_some_and(|end| end == "form") || is_delivery(file));
            files.sort();
            for file in &files {
                events.push(read(file)?);
            }
        } else {
            events.push(read(path)?);
        }
    }
    anyhow::ensure!(!events.is_empty(), "no *.form or *.event-streams.json file to replay");
    Ok(events)
}

fn read(path: &Path) -> anyhow::Result<Recorded> {
    let body = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if is_delivery(path) {
        let DeliveryFile { at, events } = serde_json::from_slice(&body)
            .with_context(|| format!("{} is not as `serve --record` writes it", path.display()))?;
        let body = serde_json::Value::from(events).to_string().into_bytes();
        return Ok(Recorded { name, body, is_delivery: true, at_ms: Some(at) });
    }
    let body = body.trim_ascii_end().to_vec();
    let at_ms =
        signature::parse_pairs(&body).iter().find(|(key, _)| key == "TimestampMs").and_then(|(_, ms)| ms.parse().ok());
    Ok(Recorded { name, body, is_delivery: false, at_ms })
}

fn is_delivery(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(DELIVERY))
}
