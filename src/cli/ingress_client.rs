//! A client of the service's public listener, which signs its requests as Twilio does.

use crate::config::Settings;
use crate::twilio::signature::{self, Pair};
use anyhow::Context as _;
use secrecy::{ExposeSecret, SecretString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Longer than Twilio would wait for the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Posts signed or unsigned events to a service.
pub(super) struct IngressClient {
    client: reqwest::Client,
    /// Scheme, host and prefix that requests go to.
    base: String,
    /// Scheme, host and prefix that signatures are computed over.
    signed_base: String,
    token: SecretString,
}

impl IngressClient {
    /// The configured service, at `base` or else at its address on this machine.
    pub(super) fn new(settings: &Settings, base: Option<String>) -> anyhow::Result<Self> {
        let here = || format!("http://{}", reachable(settings.server.listen));
        let token = settings.twilio.auth_tokens.first().context("no auth token is configured to sign with")?;
        Ok(Self {
            client: reqwest::Client::builder()
                .timeout(ANSWER_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .context("cannot create an HTTP client: install the system's root certificates (ca-certificates)")?,
            base: base.map_or_else(here, |base| base.trim_end_matches('/').to_owned()),
            signed_base: settings.server.public_url.clone(),
            token: token.clone(),
        })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Posts a form, signed or not; returns the answer's status, or why there is none.
    pub(super) async fn post(&self, path: &str, form: &[Pair<'_>], signed: bool) -> Result<u16, String> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = self
            .client
            .post(format!("{}{path}", self.base))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body);
        if signed {
            let url = format!("{}{path}", self.signed_base);
            request = request.header("X-Twilio-Signature", signature::sign(&url, form, self.token.expose_secret()));
        }
        match request.send().await {
            Ok(answer) => Ok(answer.status().as_u16()),
            Err(error) if error.is_connect() => Err("could not connect".to_owned()),
            Err(error) if error.is_timeout() => Err(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
            Err(_) => Err("the connection closed before the answer".to_owned()),
        }
    }
}

/// The address to connect to, for an address to listen on.
pub(super) fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}
