//! The signature of requests to pause and resume: hexadecimal HMAC-SHA256, keyed with `pause.secret`, over method, path, timestamp and
//! body, each but the body on a line of its own.

use crate::call::fact::EpochMs;
use crate::ingest::pause_requests::PauseRequests;
use actix_web::HttpRequest;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use std::fmt;

/// When the request was made, in seconds since the Unix epoch.
const TIMESTAMP: &str = "x-pause-timestamp";

pub(super) const SIGNATURE: &str = "x-pause-signature";

/// How far a request's time may be from ours: the clocks differ, and what is older may be a replay.
const MAX_AGE_S: u64 = 300;

/// What requests to pause and resume need.
#[derive(Debug, Clone)]
pub struct PauseEntry {
    pub(super) requests: PauseRequests,
    pub(super) key: PauseKey,
}

impl PauseEntry {
    /// Requests that are signed with this key are asked for.
    pub fn new(requests: PauseRequests, key: PauseKey) -> Self {
        Self { requests, key }
    }
}

/// Checks signatures.
#[derive(Clone)]
pub struct PauseKey(Hmac<Sha256>);

impl fmt::Debug for PauseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PauseKey(…)")
    }
}

impl PauseKey {
    /// Of `pause.secret`.
    #[expect(clippy::expect_used, reason = "the error is for algorithms that take keys of one length only")]
    pub fn new(secret: &SecretString) -> Self {
        let key = secret.expose_secret().as_bytes();
        Self(Hmac::new_from_slice(key).expect("HMAC takes a key of any length"))
    }

    /// Whether the request was signed with the key within the last minutes before `now`; else the reason.
    pub(super) fn verify(&self, request: &HttpRequest, body: &[u8], now: EpochMs) -> Result<(), &'static str> {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let timestamp = header(TIMESTAMP).ok_or("X-Pause-Timestamp is missing")?;
        let signature =
            header(SIGNATURE).and_then(from_hex).ok_or("X-Pause-Signature is missing or not hexadecimal")?;
        let mut mac = self.0.clone();
        for line in [request.method().as_str(), request.path(), timestamp] {
            mac.update(line.as_bytes());
            mac.update(b"\n");
        }
        mac.update(body);
        mac.verify_slice(&signature).map_err(|_| "X-Pause-Signature does not match")?;
        let is_fresh = timestamp.parse::<i64>().is_ok_and(|at| at.abs_diff(now / 1_000) <= MAX_AGE_S);
        if is_fresh { Ok(()) } else { Err("X-Pause-Timestamp is more than five minutes off") }
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    digits.chunks(2).map(|pair| u8::try_from(pair.iter().fold(0, |sum, digit| 16 * sum + digit)).ok()).collect()
}
