//! The seam to [`crate::twilio::signature`]: how a webhook is signed.
//!
//! Source: <https://www.twilio.com/docs/usage/security#validating-requests>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

/// `X-Twilio-Signature` of a form body: the URL, then every distinct key with each of its distinct values, both sorted.
pub(super) fn sign(url: &str, pairs: &[(String, String)], token: &str) -> String {
    let mut sorted: Vec<&(String, String)> = pairs.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut text = url.to_owned();
    for (key, value) in sorted {
        text.push_str(key);
        text.push_str(value);
    }
    // HMAC takes keys of every length, so this cannot fail; an empty signature would be refused, as it should.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(token.as_bytes()) else {
        return String::new();
    };
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}
