//! What `setup` would change, and how to undo it.

use crate::cli::accounts::Login;
use crate::twilio::client::WorkspaceRow;
use crate::twilio::event;
use std::collections::BTreeSet;
use std::fmt;
use url::Url;

/// Twilio retries up to three times after a 5xx, a failed connection or a time-out; not after a 4xx.
/// Source: <https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>.
const OVERRIDES: &str = "rc=3&rp=5xx,ct,rt";

/// Whose URL receives the workspace's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Owner {
    Nobody,
    /// Ours, with any connection overrides.
    Us,
    Other,
}

/// A workspace as it is and as it should be.
pub(in crate::cli) struct Plan {
    now: WorkspaceRow,
    /// Our URL, without a fragment.
    pub(in crate::cli) address: String,
    /// The URL to set, with its fragment.
    pub(in crate::cli) url: String,
    pub(in crate::cli) filter: String,
    pub(in crate::cli) owner: Owner,
}

impl Plan {
    /// The change that makes `now` send the relevant events, or all of them, to `address`.
    pub(in crate::cli) fn new(now: &WorkspaceRow, address: &str, all_events: bool) -> Self {
        let url = now.event_callback_url.as_str();
        let owner = match url.split_once('#').map_or(url, |(url, _)| url) {
            "" => Owner::Nobody,
            found if found == address => Owner::Us,
            _ => Owner::Other,
        };
        let filter = if all_events { String::new() } else { event::types().collect::<Vec<_>>().join(",") };
        let (now, address) = (now.clone(), address.to_owned());
        Self { now, url: format!("{address}#{OVERRIDES}"), address, filter, owner }
    }

    /// Whether nothing needs to change.
    pub(in crate::cli) fn is_done(&self) -> bool {
        self.now.event_callback_url == self.url && names(&self.now.events_filter) == names(&self.filter)
    }

    /// Whether the URL asks Twilio to retry.
    pub(in crate::cli) fn has_overrides(&self) -> bool {
        self.now.event_callback_url == self.url
    }

    /// The relevant event types that the filter leaves out.
    pub(in crate::cli) fn missing(&self) -> Vec<&'static str> {
        let told = names(&self.now.events_filter);
        if told.is_empty() { Vec::new() } else { event::types().filter(|name| !told.contains(name)).collect() }
    }

    /// The request that restores the workspace as it is now.
    pub(in crate::cli) fn undo(&self, base: &str, login: &Login) -> String {
        let WorkspaceRow { sid, event_callback_url, events_filter, .. } = &self.now;
        let base = base.trim_end_matches('/');
        let hidden = if shown(event_callback_url) == printable(event_callback_url) || event_callback_url.is_empty() {
            ""
        } else {
            "\n\n(the user and password of the former URL are hidden: fill them in)"
        };
        let url = if event_callback_url.is_empty() { String::new() } else { shown(event_callback_url) };
        format!(
            "  curl -X POST {base}/v1/Workspaces/{sid} \\\n    -u \"{}\" \\\n    \
             --data-urlencode {} \\\n    --data-urlencode {}{hidden}{}",
            login.user,
            quoted(&format!("EventCallbackUrl={url}")),
            quoted(&format!("EventsFilter={}", printable(events_filter))),
            login.remark(""),
        )
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WorkspaceRow { sid, name, event_callback_url, events_filter } = &self.now;
        writeln!(f, "workspace         {} ({sid})", printable(name))?;
        writeln!(f, "EventCallbackUrl  now   {}", shown(event_callback_url))?;
        writeln!(f, "                  then  {}", self.url)?;
        writeln!(f, "EventsFilter      now   {}", filter(events_filter))?;
        write!(f, "                  then  {}", filter(&self.filter))
    }
}

fn names(filter: &str) -> BTreeSet<&str> {
    filter.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
}

fn filter(text: &str) -> String {
    if text.is_empty() { "(every event)".to_owned() } else { printable(text) }
}

/// Another party's URL, without its password.
pub(in crate::cli) fn shown(url: &str) -> String {
    if url.is_empty() {
        return "(none)".to_owned();
    }
    match Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() || !parsed.username().is_empty() => {
            // Fails only for URLs without a host, which have no user either.
            let _ = parsed.set_password(None);
            let _ = parsed.set_username("hidden");
            printable(parsed.as_str())
        }
        Ok(_) | Err(_) => printable(url),
    }
}

/// Foreign text without control characters, which a terminal would obey.
pub(in crate::cli) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Quotes a word for a POSIX shell.
pub(in crate::cli) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
