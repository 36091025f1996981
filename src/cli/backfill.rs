//! `backfill`: fetches missed events from TaskRouter's records and posts them to the running service.
//!
//! Posting works with every store, whichever process holds the journal.

use super::accounts::Chosen;
use super::ingress_client::IngressClient;
use super::{CommandResult, Configured, complain, misused, say};
use crate::call::fact::EpochMs;
use crate::config::Settings;
use crate::http::EVENTS_PATH;
use crate::http::STREAM_STATUS_PATH;
use crate::twilio::client::{Client, EventsPage, RecordsPage};
use crate::twilio::event;
use crate::twilio::event_record::{self, Record};
use anyhow::{Context as _, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

#[derive(clap::Args)]
#[command(
    after_help = "At its start the service does this automatically, for the time since the last event. Use the command when \
                  events were lost while the service ran, for example because a tunnel or proxy was down. Events that \
                  the service has already change nothing. Fetches for every account unless --account names one.\n\
                  Example: taskrouter-streams backfill --since 2h\n\
                  Exit codes: 0 every event was accepted; 1 some were not, or Twilio did not answer; 2 wrong arguments \
                  or configuration."
)]
pub(super) struct Backfill {
    #[command(flatten)]
    configured: Configured,
    #[command(flatten)]
    chosen: Chosen,
    /// Look back this far: a number and s, m, h or d, as in 90m (TaskRouter keeps events for 30 days)
    #[arg(long, value_name = "SPAN", value_parser = span)]
    since: Duration,
    /// Post to the service at this address instead of server.listen on this machine
    #[arg(long, value_name = "URL")]
    to: Option<String>,
}

impl Backfill {
    pub(super) async fn run(self) -> CommandResult {
        let settings = match self.configured.load() {
            Ok(settings) => settings,
            Err(error) => return Ok(misused(&error.into())),
        };
        let accounts = match self.chosen.each(&settings) {
            Ok(accounts) => accounts,
            Err(error) => return Ok(misused(&error)),
        };
        let (several, mut whole) = (accounts.len() > 1, true);
        for (name, settings) in &accounts {
            if several {
                say(&format!("{name} ({}):", settings.twilio.account_sid));
            }
            // A failure of one account must not cost the next one its events.
            whole &= self.fill(settings).await.unwrap_or_else(|error| {
                complain(&error);
                false
            });
        }
        Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Posts one account's records; returns whether all were accepted.
    async fn fill(&self, settings: &Settings) -> anyhow::Result<bool> {
        let client = Client::new(settings.client(STREAM_STATUS_PATH))?;
        let ingress = IngressClient::new(settings, self.to.clone())?;
        let now = jiff::Timestamp::now().as_millisecond();
        let since = now.saturating_sub(EpochMs::try_from(self.since.as_millis()).unwrap_or(EpochMs::MAX));
        let first = EventsPage::newest(since, now);
        let (read, records) = read(&client, first, settings.backfill.max_events).await?;
        say(&format!("{read} events in TaskRouter's records, {} of them relevant", records.len()));
        let mut taken = 0;
        // The newest are listed first, and the oldest happened first.
        for record in records.iter().rev() {
            match ingress.post(EVENTS_PATH, &event_record::pairs(record), true).await {
                Ok(status) if (200..300).contains(&status) => taken += 1,
                Ok(status) => say(&format!("{}: answered with {status}", name(record))),
                Err(reason) => {
                    let base = ingress.base();
                    anyhow::bail!(
                        "{base}: {reason} (after {taken} events): check that the service runs there, or pass its address with --to"
                    );
                }
            }
        }
        say(&format!("{taken} of {} were accepted; events that the service had already change nothing", records.len()));
        Ok(taken == records.len())
    }
}

/// The number of records, and the relevant ones, newest first.
async fn read(client: &Client, first: EventsPage, limit: usize) -> anyhow::Result<(usize, Vec<Record>)> {
    let (mut page, mut count, mut records, mut seen) = (Some(first), 0, Vec::new(), BTreeSet::new());
    while let Some(asked) = page {
        ensure!(
            count < limit,
            "there are more than backfill.max_events = {limit} events: raise that limit, or shorten --since"
        );
        let answer = client.event_log().page(&asked).await.context("cannot read TaskRouter's records")?;
        let RecordsPage { records: mut found, unreadable, next, .. } = answer;
        event_record::keep_new(&mut found, &mut seen);
        count += found.len() + unreadable;
        if unreadable > 0 {
            say(&format!("{unreadable} records are not JSON objects and were skipped"));
        }
        let matters = |record: &Record| record.get("event_type").and_then(Value::as_str).is_some_and(event::matters);
        records.extend(found.into_iter().filter(matters));
        page = next.context("cannot read TaskRouter's records to their end: shorten --since")?;
    }
    Ok((count, records))
}

fn name(record: &Record) -> &str {
    // Nothing else of a record is printed: it may be personal data.
    event_record::sid(record).filter(|sid| sid.starts_with("EV")).unwrap_or("an event")
}

/// Parses a span such as "90m".
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and s, m, h or d, as in 90m".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let number: u64 = text.strip_suffix(unit).and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}
