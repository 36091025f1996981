//! `X-Twilio-Signature`: base64 of HMAC-SHA1, keyed with the account's auth token, over the public URL and the form's
//! parameters. Source: <https://www.twilio.com/docs/usage/security#validating-requests>.
//!
//! The URL is the one configured in Twilio, so it is composed of a configured base and the raw request target. Headers of
//! proxies are not signed and not trusted.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use subtle::{Choice, ConstantTimeEq};

/// A decoded form parameter: its name and its value.
pub type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Why a [`Verifier`] cannot be made; each message says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// The base is not http or https.
    #[error("the public URL must begin with https:// or http://, as the URL configured in Twilio does")]
    Scheme,
    /// The base has no host, or its port is not a number.
    #[error("the public URL must name a host, and after a colon only a port number")]
    Authority,
    /// The base has credentials, which Twilio drops before signing.
    #[error("the public URL must not contain a user or password: Twilio does not sign them")]
    UserInfo,
    /// The base has a query, a fragment or characters that a URL cannot have.
    #[error("the public URL must not contain a query, a fragment, spaces or characters other than ASCII")]
    Characters,
    /// There is no token, or an empty one, with which anyone could sign.
    #[error("an auth token is missing or empty: give the account's primary token, and during a rotation both")]
    Token,
}

/// Decides whether Twilio signed a request for one public base URL with one of several auth tokens.
#[derive(Debug)]
pub struct Verifier {
    // Twilio signs with the port for some products and without it for others; both are tried, as its own libraries do.
    bases: [String; 2],
    /// Keyed with the tokens.
    macs: Vec<Hmac<Sha1>>,
    /// The place of the token and the base that fitted last, among all that may: the next request is most likely signed so too.
    usual: AtomicUsize,
}

impl Verifier {
    /// A verifier for `public_base` (`https://host[:port][/prefix]`, as configured in Twilio; a trailing slash is
    /// dropped) and `tokens`, of which any may have signed: during a rotation, the old and the new one.
    pub fn new(public_base: &str, tokens: Vec<SecretString>) -> Result<Self, VerifierError> {
        if tokens.is_empty() || tokens.iter().any(|token| token.expose_secret().is_empty()) {
            return Err(VerifierError::Token);
        }
        let macs = tokens.iter().map(|token| keyed(token.expose_secret())).collect();
        Ok(Self { bases: with_and_without_port(public_base)?, macs, usual: AtomicUsize::new(0) })
    }

    /// Whether `header` signs this URL alone and its query holds a `bodySHA256`. Then only one body can be authentic, and a large
    /// one is worth reading. The body itself is not checked yet.
    pub fn awaits_body(&self, path_and_query: &str, header: &[u8]) -> bool {
        body_hash(path_and_query).is_some() && self.signs_url(path_and_query, header)
    }

    /// Whether `header` signs this URL alone. The body is not checked.
    pub fn signs_url(&self, path_and_query: &str, header: &[u8]) -> bool {
        self.is_signed(path_and_query, &[String::new()], header)
    }

    /// Whether `header` signs this request. `path_and_query` is the raw request target, `is_form` says whether the media
    /// type is `application/x-www-form-urlencoded`, and `pairs` is `body` parsed by [`parse_pairs`] (unused otherwise).
    ///
    /// A body that is not a form is authentic only if the signed query contains its hash as `bodySHA256`.
    pub fn verify(&self, path_and_query: &str, is_form: bool, body: &[u8], pairs: &[Pair<'_>], header: &[u8]) -> bool {
        let hash_matches = body_hash(path_and_query).map(|claimed| {
            let actual = lower_hex(&Sha256::digest(body));
            bool::from(actual.as_bytes().ct_eq(claimed.as_bytes()))
        });
        let url_alone = if body.is_empty() { hash_matches.unwrap_or(true) } else { hash_matches.unwrap_or(false) };
        let mut suffixes = Vec::with_capacity(2);
        if is_form && !body.is_empty() {
            suffixes.push(canonical(pairs));
        }
        if url_alone {
            suffixes.push(String::new());
        }
        self.is_signed(path_and_query, &suffixes, header)
    }

    fn is_signed(&self, path_and_query: &str, suffixes: &[String], header: &[u8]) -> bool {
        let forms = || self.macs.iter().flat_map(|mac| self.bases.iter().map(move |base| (mac, base)));
        let fits = |(mac, base): (&Hmac<Sha1>, &String)| {
            suffixes.iter().fold(Choice::from(0), |fits, suffix| {
                let expected = signature(mac, &[base, path_and_query, suffix]);
                fits | expected.as_bytes().ct_eq(header)
            })
        };
        // Only who can sign learns from the time that this takes.
        if forms().nth(self.usual.load(Ordering::Relaxed)).is_some_and(|form| fits(form).into()) {
            return true;
        }
        // No early exit: the time taken must not reveal which token, form of the URL or byte came close.
        let mut authentic = Choice::from(0);
        for (place, form) in forms().enumerate() {
            let fits = fits(form);
            authentic |= fits;
            if fits.into() {
                self.usual.store(place, Ordering::Relaxed);
            }
        }
        authentic.into()
    }
}

/// The parameters of a form body, decoded once for both the signature and the event, in the order sent. Bytes that are not
/// UTF-8 become U+FFFD.
pub fn parse_pairs(body: &[u8]) -> Vec<Pair<'_>> {
    form_urlencoded::parse(body).collect()
}

/// The `X-Twilio-Signature` with which Twilio would send these form parameters to `url`, which is signed as given.
pub fn sign<K: AsRef<str>, V: AsRef<str>>(url: &str, pairs: &[(K, V)], token: &str) -> String {
    signature(&keyed(token), &[url, &canonical(pairs)])
}

/// The URL to which Twilio would post a body that is not a form: with the body's hash, in the place of any other.
pub fn url_with_body_hash(url: &str, body: &[u8]) -> String {
    let hash = lower_hex(&Sha256::digest(body));
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let others = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("bodySHA256="));
    let pairs: Vec<String> = others.map(str::to_owned).chain([format!("bodySHA256={hash}")]).collect();
    format!("{address}?{}", pairs.join("&"))
}

/// Names and values without delimiters: names sorted by their bytes; of a repeated name, the distinct values, sorted.
fn canonical<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)]) -> String {
    let mut sorted: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut text = String::with_capacity(sorted.iter().map(|(name, value)| name.len() + value.len()).sum());
    for (name, value) in sorted {
        text.push_str(name);
        text.push_str(value);
    }
    text
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104, section 3)")]
fn keyed(token: &str) -> Hmac<Sha1> {
    Hmac::new_from_slice(token.as_bytes()).expect("HMAC takes a key of any length")
}

fn signature(mac: &Hmac<Sha1>, parts: &[&str]) -> String {
    let mut mac = mac.clone();
    for part in parts {
        mac.update(part.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The first `bodySHA256` of the query. Later ones are ignored, as Twilio's libraries for four languages do.
fn body_hash(path_and_query: &str) -> Option<Cow<'_, str>> {
    let (_, query) = path_and_query.split_once('?')?;
    form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "bodySHA256").map(|(_, value)| value)
}

fn lower_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The base without a port, and with the explicit or else the scheme's own. Only the authority is touched: a URL that was
/// parsed and printed again may differ in bytes that are signed.
fn with_and_without_port(base: &str) -> Result<[String; 2], VerifierError> {
    if !base.bytes().all(|b| b.is_ascii_graphic()) || base.contains(['?', '#']) {
        return Err(VerifierError::Characters);
    }
    let (scheme, rest) = base.split_once("://").ok_or(VerifierError::Scheme)?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => "443",
        "http" => "80",
        _ => return Err(VerifierError::Scheme),
    };
    let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(VerifierError::UserInfo);
    }
    // The colons inside the brackets of an IPv6 literal are not the port's.
    let host_end = match authority.rfind(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok() => digits,
        None if port.is_empty() => default_port,
        Some(_) | None => return Err(VerifierError::Authority),
    };
    if host.is_empty() {
        return Err(VerifierError::Authority);
    }
    let prefix = prefix.trim_end_matches('/');
    Ok([format!("{scheme}://{host}{prefix}"), format!("{scheme}://{host}:{port}{prefix}")])
}
