//! `calls pause` and `calls resume`.

use super::one_call::{print_json, sid, task};
use crate::cli::running::Running;
use crate::cli::say;
use crate::console::view::{CallStory, PauseView};
use anyhow::anyhow;
use reqwest::Method;

#[derive(clap::Args)]
pub(super) struct PauseArgs {
    /// Name the call by its task (WT…) or its customer's leg (CA…)
    #[arg(value_parser = sid)]
    sid: String,
    /// Pause only the streams of this reservation (WR…)
    #[arg(long, value_name = "RESERVATION")]
    reservation: Option<String>,
    /// Keep this reason with the pause: a word or two without personal data
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Say when the pause's time is up: after so many seconds, and after pause.max_s at the latest
    #[arg(long, value_name = "N")]
    seconds: Option<u32>,
    /// Name the pause; by default it gets a name
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct ResumeArgs {
    /// Name the call by its task (WT…) or its customer's leg (CA…)
    #[arg(value_parser = sid)]
    sid: String,
    /// Name the pause; not needed where the call has only one
    id: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl PauseArgs {
    pub(super) async fn run(&self, service: &Running) -> anyhow::Result<()> {
        let task = task(service, &self.sid).await?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        let texts = [("id", &self.id), ("reservation", &self.reservation), ("reason", &self.reason)];
        query.extend_pairs(texts.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?))));
        query.extend_pairs(self.seconds.map(|seconds| ("seconds", seconds.to_string())));
        let said = service.ask(Method::POST, &format!("/calls/{task}/pause?{}", query.finish())).await?;
        let pause: PauseView = serde_json::from_str(&said)?;
        if self.json {
            return print_json(&pause);
        }
        let recordings = match pause.recording.as_deref() {
            None => String::new(),
            Some("none") => "; no recording to pause".to_owned(),
            Some(state) => format!("; recording {state}"),
        };
        let stops = pause.stops.len();
        say(&format!("{task}: paused ({}), which is proven; {stops} streams stopped{recordings}", pause.id));
        Ok(())
    }
}

impl ResumeArgs {
    pub(super) async fn run(&self, service: &Running) -> anyhow::Result<()> {
        let task = task(service, &self.sid).await?;
        let id = match &self.id {
            Some(id) => id.clone(),
            None => only_pause(service, &task).await?,
        };
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("id", &id).finish();
        let said = service.ask(Method::POST, &format!("/calls/{task}/resume?{query}")).await?;
        if self.json {
            return print_json(&serde_json::from_str::<serde_json::Value>(&said)?);
        }
        say(&format!("{task}: the pause {id} has ended"));
        Ok(())
    }
}

async fn only_pause(service: &Running, task: &str) -> anyhow::Result<String> {
    let CallStory { call, .. } = service.get(&format!("/calls/{task}")).await?;
    let mut open: Vec<String> =
        call.pauses.into_iter().filter(|pause| pause.resumed_ms.is_none()).map(|pause| pause.id).collect();
    match open.len() {
        0 => Err(anyhow!("no pause of {task} is on")),
        1 => Ok(open.remove(0)),
        _ => Err(anyhow!("{task} has several pauses: name one of {}", open.join(", "))),
    }
}
