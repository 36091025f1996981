//! Times as Twilio writes them.

use crate::sim_config::Ms;
use jiff::Timestamp;

/// As in "Fri, 18 Feb 2011 21:07:19 +0000": whole seconds.
pub(super) fn rfc2822(at: Ms) -> String {
    timestamp(at).to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// As in "2011-02-18T21:07:19Z".
pub(super) fn iso8601(at: Ms) -> String {
    timestamp(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// As in "2011-02-18T21:07:19.012Z".
pub(super) fn iso8601_ms(at: Ms) -> String {
    timestamp(at).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn timestamp(at: Ms) -> Timestamp {
    Timestamp::from_millisecond(at).unwrap_or_default()
}
