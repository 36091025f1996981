//! The names of environment variables.

/// The prefix of our own environment variables, and the separator between a section and a key.
pub(super) const PREFIX: &str = "TRS__";
pub(super) const SEPARATOR: &str = "__";

/// What a variable of ours begins with when one underscore was written instead of two.
pub(super) const MISWRITTEN_PREFIX: &str = "TRS_";

/// The names that every Twilio tool uses, and our keys for them.
pub(super) const TWILIO_NAMES: [(&str, &str); 7] = [
    ("TWILIO_ACCOUNT_SID", "twilio.account_sid"),
    ("TWILIO_AUTH_TOKEN", "twilio.auth_tokens"),
    ("TWILIO_API_KEY", "twilio.api_key"),
    ("TWILIO_API_SECRET", "twilio.api_secret"),
    ("TWILIO_WORKSPACE_SID", "twilio.workspace_sid"),
    ("TWILIO_REGION", "twilio.region"),
    ("TWILIO_EDGE", "twilio.edge"),
];

/// The names that every HTTP client knows for the way out, and our keys for them; a later one wins.
pub(super) const PROXY_NAMES: [(&str, &str); 4] = [
    ("HTTPS_PROXY", "twilio.proxy"),
    ("https_proxy", "twilio.proxy"),
    ("NO_PROXY", "twilio.no_proxy"),
    ("no_proxy", "twilio.no_proxy"),
];
