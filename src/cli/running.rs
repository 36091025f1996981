//! Requests to the running service's admin listener.

use super::ingress_client::reachable;
use super::{Configured, environment};
use anyhow::{Context as _, anyhow};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use std::time::Duration;
use url::Url;

/// The service answers at once, or is not well.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the service is found: of the configuration, only `[admin]` is read, so that a shell beside the service needs none of its
/// secrets.
#[derive(clap::Args)]
pub(super) struct Admin {
    #[command(flatten)]
    configured: Configured,
    /// Ask the service at this admin address, as in http://127.0.0.1:9090, without reading a configuration
    #[arg(long, value_name = "URL", global = true)]
    admin: Option<String>,
}

/// The running service.
pub(super) struct Running {
    base: String,
    token: Option<SecretString>,
    http: reqwest::Client,
}

impl Admin {
    /// The service, not asked yet.
    ///
    /// # Errors
    /// When neither an address is given nor a configuration can be read.
    pub(super) fn running(&self) -> anyhow::Result<Running> {
        let (base, token) = match &self.admin {
            Some(admin) => {
                let is_address =
                    Url::parse(admin).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
                anyhow::ensure!(is_address, "--admin is not an address: write it as in http://127.0.0.1:9090");
                (admin.trim_end_matches('/').to_owned(), crate::config::load_admin_token(&environment())?)
            }
            None => {
                let admin = self.configured.load_admin()?;
                anyhow::ensure!(
                    admin.listen.port() != 0,
                    "admin.listen has port 0: pass --admin with the address that `serve` printed"
                );
                (format!("http://{}", reachable(admin.listen)), admin.token)
            }
        };
        let http = reqwest::Client::builder()
            .timeout(ANSWER_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .context("no HTTP client can be made")?;
        Ok(Running { base, token, http })
    }
}

impl Running {
    /// What is at a path, read.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let text = self.ask(Method::GET, path).await?;
        let strange = || format!("{} answered with something else: is it this service?", self.base);
        serde_json::from_str(&text).with_context(strange)
    }

    /// The body of the answer to a request without one.
    ///
    /// # Errors
    /// When the service is not there or does not do it, with what it says of that.
    pub(super) async fn ask(&self, method: Method, path: &str) -> anyhow::Result<String> {
        let (status, text) = self.answer(method, path).await?;
        if status.is_success() { Ok(text) } else { Err(self.refusal(status, &text)) }
    }

    /// Whether it did what is asked of it; false when there was nothing to do any more.
    ///
    /// # Errors
    /// As for [`Self::ask`].
    pub(super) async fn ask_unless_moot(&self, path: &str) -> anyhow::Result<bool> {
        let (status, text) = self.answer(Method::POST, path).await?;
        match status {
            _ if status.is_success() => Ok(true),
            StatusCode::CONFLICT | StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refusal(status, &text)),
        }
    }

    async fn answer(&self, method: Method, path: &str) -> anyhow::Result<(StatusCode, String)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = request.send().await.map_err(|error| {
            if error.is_connect() {
                anyhow!("could not connect to {}: is the service running? (--admin sets the address)", self.base)
            } else {
                anyhow!("{} did not answer", self.base)
            }
        })?;
        let status = answer.status();
        Ok((status, answer.text().await.context("the answer broke off")?))
    }

    fn refusal(&self, status: StatusCode, text: &str) -> anyhow::Error {
        match status {
            StatusCode::UNAUTHORIZED => {
                anyhow!("{} wants a token: set TRS__ADMIN__TOKEN to its admin.token", self.base)
            }
            _ => anyhow!(reason(text).unwrap_or_else(|| format!("{} answered {status}", self.base))),
        }
    }
}

/// What the service says is wrong: `{"error": …}`, or a line of text.
fn reason(text: &str) -> Option<String> {
    let json: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let said = json.and_then(|json| json.get("error")?.as_str().map(str::to_owned)).unwrap_or_else(|| text.to_owned());
    let line = said.lines().next().unwrap_or_default();
    (!line.is_empty() && line.len() < 300 && !line.contains(char::is_control)).then(|| line.to_owned())
}
