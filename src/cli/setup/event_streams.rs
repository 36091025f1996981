//! Event Streams: the calls that make it deliver what matters to us, shown or made.
//! Source: <https://www.twilio.com/docs/events/webhook-quickstart>.

use super::plan::quoted;
use crate::call::sid::SubscriptionSid;
use crate::cli::{CommandResult, say};
use crate::http::EVENT_STREAMS_PATH;
use crate::twilio::client::{ApiError, Client, SinkRow, SubscriptionRow, sink_configuration};
use crate::twilio::event;
use crate::twilio::event_stream::TYPE_PREFIX;
use anyhow::{anyhow, bail};
use serde_json::json;
use std::process::ExitCode;

/// Where to, and as whom.
pub(in crate::cli) struct Delivery<'a> {
    client: &'a Client,
    destination: String,
    base: &'a str,
    login: &'a str,
}

/// What is there already.
pub(in crate::cli) struct Found {
    /// The sink for us, one that works before one that does not.
    pub(in crate::cli) sink: Option<SinkRow>,
    subscriptions: Vec<SubscriptionRow>,
    /// Event types that matter and are not subscribed to.
    pub(in crate::cli) missing: Vec<String>,
}

/// The types that matter, as Event Streams names them.
fn types() -> impl Iterator<Item = String> {
    event::types().map(|name| format!("{TYPE_PREFIX}{name}"))
}

impl<'a> Delivery<'a> {
    pub(in crate::cli) fn new(client: &'a Client, public_url: &str, login: &'a str) -> Self {
        let base = client.event_streams().base_url().as_str().trim_end_matches('/');
        Self { client, destination: format!("{public_url}{EVENT_STREAMS_PATH}"), base, login }
    }

    /// The calls, as text for a terminal.
    pub(super) fn calls(&self) -> String {
        let Self { base, login, .. } = self;
        let curl = |resource: &str| format!("curl -X POST {base}/v1/{resource} \\\n  -u \"{login}\"");
        let field = |text: String| format!(" \\\n  --data-urlencode {}", quoted(&text));
        let mut text = format!("# 1. Where to: answers with the sink's SID, DG…\n{}", curl("Sinks"));
        for part in [
            "Description=taskrouter-streams".to_owned(),
            "SinkType=webhook".to_owned(),
            format!("SinkConfiguration={}", sink_configuration(&self.destination)),
        ] {
            text.push_str(&field(part));
        }
        text.push_str("\n\n# 2. What: with that SID in place of DG…\n");
        text.push_str(&curl("Subscriptions"));
        text.push_str(&field("Description=taskrouter-streams".to_owned()));
        text.push_str(&field("SinkSid=DG…".to_owned()));
        for name in types() {
            text.push_str(&field(format!("Types={}", json!({"type": name}))));
        }
        text.push_str("\n\n# To undo it, with the SIDs of the answers: the subscription first, then the sink");
        text.push_str(&self.undo("Subscriptions/DF…"));
        text.push_str(&self.undo("Sinks/DG…"));
        text.push_str("\n\n# Or run this again with --yes, which makes what is not there yet and says how to undo it.");
        text
    }

    fn undo(&self, resource: &str) -> String {
        format!("\ncurl -X DELETE {}/v1/{resource} -u \"{}\"", self.base, self.login)
    }

    /// Makes what is not there yet, and says how to undo that.
    pub(super) async fn carry_out(&self) -> CommandResult {
        let found = self.look().await.map_err(|error| {
            anyhow!(error).context("what Event Streams is set to cannot be read, and nothing was changed")
        })?;
        say(&found.told(&self.destination));
        if found.missing.is_empty() {
            say("\nNothing to do.");
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(sink) = found.sink.as_ref().filter(|sink| sink.status.as_deref() == Some("failed")) {
            bail!("the sink {} has failed, and Twilio delivers nothing to it: delete it and run setup again", sink.sid);
        }
        let mut made = Vec::new();
        let ended = self.make(&found, &mut made).await;
        if !made.is_empty() {
            let undo: String = made.iter().rev().map(|resource| self.undo(resource)).collect();
            say(&format!("\nTo undo what was made:\n{undo}"));
        }
        match ended {
            Ok(()) => {
                say("\nDone. Next: taskrouter-streams doctor --event-streams");
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Err(anyhow!(error).context(
                "not everything was made: run setup again, which goes on with what is there by then. A sink that is not \
                 active yet takes no subscription",
            )),
        }
    }

    pub(in crate::cli) async fn look(&self) -> Result<Found, ApiError> {
        let ours = |sink: &SinkRow| sink.destination() == Some(self.destination.as_str());
        let mut sinks: Vec<SinkRow> = self.client.event_streams().sinks().await?.into_iter().filter(ours).collect();
        sinks.sort_by_key(|sink| sink.status.as_deref() != Some("active"));
        let sink = sinks.into_iter().next();
        let subscriptions = match &sink {
            Some(sink) => self.client.event_streams().subscriptions(&sink.sid).await?,
            None => Vec::new(),
        };
        let mut told = Vec::new();
        for subscription in &subscriptions {
            told.extend(self.client.event_streams().event_types(&subscription.sid).await?);
        }
        Ok(Found { sink, subscriptions, missing: types().filter(|name| !told.contains(name)).collect() })
    }

    /// Notes in `made` what has been made, as paths below the version, also when it ends early.
    async fn make(&self, found: &Found, made: &mut Vec<String>) -> Result<(), ApiError> {
        let sink = match &found.sink {
            Some(sink) => sink.sid.clone(),
            None => {
                let sink = self.client.event_streams().create_sink(&self.destination).await?.sid;
                say(&format!("\nmade  sink {sink}"));
                made.push(format!("Sinks/{sink}"));
                sink
            }
        };
        let Some(SubscriptionRow { sid, .. }) = found.subscriptions.first() else {
            let sid = self.client.event_streams().subscribe(&sink, &found.missing).await?.sid;
            say(&format!("made  subscription {sid}, {} event types", found.missing.len()));
            made.push(format!("Subscriptions/{sid}"));
            return Ok(());
        };
        for name in &found.missing {
            self.client.event_streams().add_event_type(sid, name).await?;
            say(&format!("made  {name} in subscription {sid}"));
            made.push(added(sid, name));
        }
        Ok(())
    }
}

fn added(subscription: &SubscriptionSid, name: &str) -> String {
    format!("Subscriptions/{subscription}/SubscribedEvents/{name}")
}

impl Found {
    fn told(&self, destination: &str) -> String {
        let sink = self.sink.as_ref().map_or("none yet".to_owned(), |sink| {
            format!("{} ({})", sink.sid, sink.status.as_deref().unwrap_or("of unknown status"))
        });
        let subscription = match self.subscriptions.as_slice() {
            [] => "none yet".to_owned(),
            all => all.iter().map(|row| row.sid.to_string()).collect::<Vec<_>>().join(", "),
        };
        let mut text = format!("sink          {sink} for {destination}\nsubscription  {subscription}");
        let (total, missing) = (types().count(), self.missing.len());
        text.push_str(&format!("\nevent types   {} of {total} that matter", total - missing));
        if self.brings_subaccounts() {
            text.push_str(
                "\n\nA subscription brings the events of subaccounts as well. Those are signed by the parent account, so the \
                 worker refuses every delivery that has one: give each account a sink of its own.",
            );
        }
        text
    }

    /// Whether a subscription brings events of other accounts.
    pub(in crate::cli) fn brings_subaccounts(&self) -> bool {
        self.subscriptions.iter().any(|row| row.of_subaccounts == Some(true))
    }
}
