//! `[streams]` and `[eligibility]`: which calls are streamed, how, and where to.

use super::destinations::destinations;
use super::rules::rules;
use crate::call::policy::Strategy;
use crate::call::rules::OnHold;
use crate::config::reader::{HOUR_MS, Reader};
use crate::config::{EligibilityConfig, StreamsConfig};
use std::time::Duration;

/// Twilio's: four tracks of one call can be streamed.
const TRACKS_PER_CALL: u64 = 4;
/// A stream's name is this, a worker's SID and a reservation's SID.
const PREFIX_CHARACTERS: usize = 40;

/// Each look is a request, for each call.
const SOONEST_HOLD_POLL_MS: u128 = 500;

pub(super) fn streams(reader: &mut Reader) -> Option<StreamsConfig> {
    let strategies = [Strategy::Redirect, Strategy::StreamsApi].map(|strategy| (strategy.as_str(), strategy));
    let strategy = reader.choice("streams.strategy", &strategies);
    let name_prefix = name_prefix(reader);
    let track_budget = reader.count("streams.track_budget", 1..=TRACKS_PER_CALL);
    let confirm_within = reader.millis("streams.confirm_within_ms", 1..=HOUR_MS);
    let restart_after = reader.millis("streams.restart_after_ms", 1..=HOUR_MS);
    let restart_cap = reader.millis("streams.restart_cap_ms", 1..=HOUR_MS);
    let end_grace = reader.millis("streams.end_grace_ms", 0..=60_000);
    let verify_sample = reader.number("streams.verify_sample", 0..=1_000);
    let restart_limit = reader.count("streams.restart_limit", 0..=100);
    let quiet_check = reader.millis("streams.quiet_check_ms", 1_000..=24 * HOUR_MS);
    let hold_events = reader.truth("streams.hold_events");
    let hold_poll = reader.millis("streams.hold_poll_ms", 0..=HOUR_MS);
    if hold_poll.is_some_and(|every| (1..SOONEST_HOLD_POLL_MS).contains(&every.as_millis())) {
        let remedy = format!("set {SOONEST_HOLD_POLL_MS} or more, or 0 to look only during a hold");
        reader.problem("streams.hold_poll_ms", "would read every call's conference all the time", &remedy);
    }
    let destinations = destinations(reader);
    let rules = rules(reader, destinations.as_deref());
    let dearest = destinations.iter().flatten().map(|to| to.track.cost()).max();
    if let (Some(budget), Some(dearest)) = (track_budget, dearest)
        && budget < dearest
    {
        let remedy = "make it 2 or more, or stream one track only";
        reader.problem("streams.track_budget", format!("is {budget}, less than one of the streams takes"), remedy);
    }
    let stops = destinations.iter().flatten().find(|to| to.on_hold == OnHold::Stop);
    if let (Some(to), Some(false), Some(Duration::ZERO)) = (stops, hold_events, hold_poll) {
        let wrong = format!("is \"stop\" for {}, and nothing would tell of holds", to.name);
        let remedy = "set streams.hold_events = true for an Event Streams subscription that tells, or streams.hold_poll_ms to look";
        reader.problem("streams.destinations.on_hold", wrong, remedy);
    }
    Some(StreamsConfig {
        strategy: strategy?,
        name_prefix: name_prefix?,
        track_budget: track_budget?,
        confirm_within: confirm_within?,
        restart_after: restart_after?,
        restart_cap: restart_cap?,
        restart_limit: restart_limit?,
        end_grace: end_grace?,
        verify_per_mille: u32::try_from(verify_sample?).unwrap_or(0),
        quiet_check: quiet_check?,
        hold_events: hold_events?,
        hold_poll: hold_poll?,
        destinations: destinations?,
        rules: rules?,
    })
}

fn name_prefix(reader: &mut Reader) -> Option<String> {
    const KEY: &str = "streams.name_prefix";
    let remedy = "write up to 40 letters, digits, hyphens and underscores, as in \"Stream_\"";
    let prefix = reader.text(KEY, remedy)?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if prefix.len() > PREFIX_CHARACTERS || !prefix.bytes().all(is_plain) {
        reader.problem(KEY, "cannot stand in a URL's path as it is, or is too long", remedy);
        return None;
    }
    Some(prefix)
}

pub(super) fn eligibility(reader: &mut Reader) -> Option<EligibilityConfig> {
    let channels = reader.texts("eligibility.channels", "list task channels, as in [\"voice\"]");
    let outbound = reader.truth("eligibility.outbound");
    let outbound_wait = reader.millis("eligibility.outbound_wait_ms", 1..=HOUR_MS);
    Some(EligibilityConfig { channels: channels?, outbound: outbound?, outbound_wait: outbound_wait? })
}
