//! Event Streams: the requests that create its sink and subscription, printed or made.
//! Source: <https://www.twilio.com/docs/events/webhook-quickstart>.

use super::plan::quoted;
use crate::call::sid::SubscriptionSid;
use crate::cli::accounts::Login;
use crate::cli::{CommandResult, note, say};
use crate::config::Settings;
use crate::http::EVENT_STREAMS_PATH;
use crate::twilio::client::{ApiError, Client, SinkRow, SubscriptionRow, sink_configuration};
use crate::twilio::event;
use crate::twilio::event_stream::{PARTICIPANT_TYPE, TYPE_PREFIX};
use anyhow::{anyhow, bail};
use serde_json::json;
use std::process::ExitCode;

/// The sink's destination, and the login of printed requests.
pub(in crate::cli) struct Delivery<'a> {
    client: &'a Client,
    destination: String,
    base: &'a str,
    login: &'a Login,
    /// The event types that this configuration needs, as Event Streams names them.
    types: Vec<String>,
}

/// What Event Streams is configured with.
pub(in crate::cli) struct Found {
    /// Our sink; an active one before any other.
    pub(in crate::cli) sink: Option<SinkRow>,
    subscriptions: Vec<SubscriptionRow>,
    /// How many event types are needed.
    needed: usize,
    /// Those of them without a subscription.
    pub(in crate::cli) missing: Vec<String>,
}

impl<'a> Delivery<'a> {
    pub(in crate::cli) fn new(client: &'a Client, settings: &Settings, login: &'a Login) -> Self {
        let base = client.event_streams().base_url().as_str().trim_end_matches('/');
        let destination = format!("{}{EVENT_STREAMS_PATH}", settings.server.public_url);
        let of_holds = settings.streams.wants_hold_events().then(|| PARTICIPANT_TYPE.to_owned());
        let types = event::types().map(|name| format!("{TYPE_PREFIX}{name}")).chain(of_holds).collect();
        Self { client, destination, base, login, types }
    }

    /// Prints the requests as shell commands, unless all is made. What cannot be read, such as without a connection, does not keep
    /// anybody from making them by hand.
    pub(super) async fn preview(&self) -> CommandResult {
        match self.read().await {
            Ok(found) => {
                let description = found.describe(&self.destination);
                if found.missing.is_empty() {
                    say(&format!("{description}\n\nNothing to do."));
                    return Ok(ExitCode::SUCCESS);
                }
                // Comments, like what explains the requests: all of it can be given to a shell.
                description.lines().for_each(|line| say(&format!("# {line}")));
            }
            Err(error) => note(&format!("cannot read what is made already: {error}")),
        }
        say(&self.calls());
        Ok(ExitCode::SUCCESS)
    }

    /// The requests as shell commands.
    fn calls(&self) -> String {
        let Self { base, login, .. } = self;
        let curl = |resource: &str| format!("curl -X POST {base}/v1/{resource} \\\n  -u \"{}\"", login.user);
        let field = |text: String| format!(" \\\n  --data-urlencode {}", quoted(&text));
        let mut text = format!("# 1. Create the sink; the answer holds its SID, DG…\n{}", curl("Sinks"));
        for part in [
            "Description=taskrouter-streams".to_owned(),
            "SinkType=webhook".to_owned(),
            format!("SinkConfiguration={}", sink_configuration(&self.destination)),
        ] {
            text.push_str(&field(part));
        }
        text.push_str("\n\n# 2. Create the subscription, with that SID in place of DG…\n");
        text.push_str(&curl("Subscriptions"));
        text.push_str(&field("Description=taskrouter-streams".to_owned()));
        text.push_str(&field("SinkSid=DG…".to_owned()));
        for name in &self.types {
            text.push_str(&field(format!("Types={}", json!({"type": name}))));
        }
        text.push_str("\n\n# To undo this, with the SIDs of the answers: the subscription first, then the sink");
        text.push_str(&self.undo("Subscriptions/DF…"));
        text.push_str(&self.undo("Sinks/DG…"));
        text.push_str(&self.login.remark("# "));
        text.push_str("\n\n# Or run this again with --yes, which creates what is missing and prints how to undo it.");
        text
    }

    fn undo(&self, resource: &str) -> String {
        format!("\ncurl -X DELETE {}/v1/{resource} -u \"{}\"", self.base, self.login.user)
    }

    /// Creates what is missing, and prints how to undo that.
    pub(super) async fn carry_out(&self) -> CommandResult {
        let found = self.read().await.map_err(|error| {
            anyhow!(error).context("cannot read the Event Streams configuration, so nothing was changed")
        })?;
        say(&found.describe(&self.destination));
        if found.missing.is_empty() {
            say("\nNothing to do.");
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(sink) = found.sink.as_ref().filter(|sink| sink.status.as_deref() == Some("failed")) {
            bail!("the sink {} has failed, so Twilio delivers nothing to it: delete it and run setup again", sink.sid);
        }
        let mut made = Vec::new();
        let ended = self.make(&found, &mut made).await;
        if !made.is_empty() {
            let undo: String = made.iter().rev().map(|resource| self.undo(resource)).collect();
            say(&format!("\nTo undo this:\n{undo}{}", self.login.remark("")));
        }
        match ended {
            Ok(()) => {
                say("\nDone. Next: taskrouter-streams doctor --event-streams");
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Err(anyhow!(error).context(
                "not everything was created: run setup again to create the rest. A sink that is not active yet accepts no \
                 subscription",
            )),
        }
    }

    pub(in crate::cli) async fn read(&self) -> Result<Found, ApiError> {
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
        let missing = self.types.iter().filter(|name| !told.contains(name)).cloned().collect();
        Ok(Found { sink, subscriptions, needed: self.types.len(), missing })
    }

    /// Records in `made` what was created, as paths below the version, also when it ends early.
    async fn make(&self, found: &Found, made: &mut Vec<String>) -> Result<(), ApiError> {
        let sink = match &found.sink {
            Some(sink) => sink.sid.clone(),
            None => {
                let sink = self.client.event_streams().create_sink(&self.destination).await?.sid;
                say(&format!("\ncreated  sink {sink}"));
                made.push(format!("Sinks/{sink}"));
                sink
            }
        };
        let Some(SubscriptionRow { sid, .. }) = found.subscriptions.first() else {
            let sid = self.client.event_streams().subscribe(&sink, &found.missing).await?.sid;
            say(&format!("created  subscription {sid}, {} event types", found.missing.len()));
            made.push(format!("Subscriptions/{sid}"));
            return Ok(());
        };
        for name in &found.missing {
            self.client.event_streams().add_event_type(sid, name).await?;
            say(&format!("created  {name} in subscription {sid}"));
            made.push(added(sid, name));
        }
        Ok(())
    }
}

fn added(subscription: &SubscriptionSid, name: &str) -> String {
    format!("Subscriptions/{subscription}/SubscribedEvents/{name}")
}

impl Found {
    fn describe(&self, destination: &str) -> String {
        let sink = self.sink.as_ref().map_or("none yet".to_owned(), |sink| {
            format!("{} ({})", sink.sid, sink.status.as_deref().unwrap_or("of unknown status"))
        });
        let subscription = match self.subscriptions.as_slice() {
            [] => "none yet".to_owned(),
            all => all.iter().map(|row| row.sid.to_string()).collect::<Vec<_>>().join(", "),
        };
        let mut text = format!("sink          {sink} for {destination}\nsubscription  {subscription}");
        let (total, missing) = (self.needed, self.missing.len());
        text.push_str(&format!("\nevent types   {} of the {total} needed", total - missing));
        if self.has_subaccounts() {
            text.push_str(
                "\n\nA subscription includes the events of subaccounts. The parent account signs them, so the service refuses \
                 every delivery that contains one: create one sink per account.",
            );
        }
        text
    }

    /// Whether a subscription includes events of other accounts.
    pub(in crate::cli) fn has_subaccounts(&self) -> bool {
        self.subscriptions.iter().any(|row| row.of_subaccounts == Some(true))
    }
}
