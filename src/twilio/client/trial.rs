//! Requests with which `probe` tries what is assumed of Twilio. They are told as they end: nothing is judged or retried here.

use super::account_context::AccountContext;
use super::arming::Arming;
use super::request::Form;
use super::transport::Transport;
use serde_json::Value;

/// Sends a request and tells how it ended.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    pub(super) transport: &'a Transport,
    pub(super) account: &'a AccountContext,
}

/// How a request ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrialAnswer {
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Twilio's error code.
    pub code: Option<u32>,
    /// The body of a success.
    pub body: Value,
}

impl TrialAnswer {
    /// A 2xx.
    pub fn is_done(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// A field of the body that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name)?.as_str()
    }
}

impl std::fmt::Display for TrialAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.status, self.code) {
            (None, _) => f.write_str("no answer"),
            (Some(status), None) => write!(f, "{status}"),
            (Some(status), Some(code)) => write!(f, "{status}, code {code}"),
        }
    }
}

impl Trial<'_> {
    /// A GET of a resource of the account.
    pub async fn read(self, path: &[&str], query: &[(&str, &str)]) -> TrialAnswer {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        self.ask(self.account.get(path).with_query(query)).await
    }

    /// A POST to a resource of the account.
    pub async fn write(self, path: &[&str], form: Form) -> TrialAnswer {
        self.ask(self.account.get(path).with_form(form)).await
    }

    async fn ask(self, request: super::request::Request) -> TrialAnswer {
        let _permit = self.transport.permit().await;
        let mut exchange = self.transport.exchange("try an assumption", Arming::always());
        match self.transport.send(&mut exchange, &request).await {
            Ok(body) => {
                let body = serde_json::from_slice(&body).unwrap_or_default();
                TrialAnswer { status: exchange.status, code: None, body }
            }
            Err(outcome) => {
                let code = outcome.trouble().and_then(|trouble| trouble.code);
                TrialAnswer { status: exchange.status, code, body: Value::Null }
            }
        }
    }
}
