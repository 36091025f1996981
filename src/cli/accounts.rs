//! The configured accounts that a command works on.

use crate::config::{FIRST_ACCOUNT, Settings, TwilioConfig, in_terms_of};
use anyhow::bail;
use secrecy::ExposeSecret;
use std::collections::BTreeMap;

#[derive(clap::Args)]
pub(super) struct Chosen {
    /// Work on this account only, by its SID or its name in the configuration
    #[arg(long, value_name = "SID|NAME")]
    account: Option<String>,
}

impl Chosen {
    /// The chosen accounts with their configurations: all unless one is named.
    pub(super) fn each(&self, settings: &Settings) -> anyhow::Result<Vec<(String, Settings)>> {
        let all = settings.by_account();
        let Some(wanted) = &self.account else { return Ok(all) };
        let list = listed(&all);
        let is_meant = |name: &String, own: &Settings| name == wanted || own.twilio.account_sid.as_str() == wanted;
        let meant: Vec<_> = all.into_iter().filter(|(name, own)| is_meant(name, own)).collect();
        if meant.is_empty() {
            bail!("no account has that SID or name. The accounts are:\n{list}");
        }
        Ok(meant)
    }

    /// The one chosen account: commands that change something do not guess.
    pub(super) fn one(&self, settings: &Settings) -> anyhow::Result<(String, Settings)> {
        let mut meant = self.each(settings)?;
        match (meant.pop(), meant.is_empty()) {
            (Some(one), true) => Ok(one),
            (_, _) => bail!(
                "several accounts are configured: choose one with --account. The accounts are:\n{}",
                listed(&settings.by_account())
            ),
        }
    }
}

/// How a printed request logs in to Twilio, without showing a secret.
#[derive(Default)]
pub(super) struct Login {
    /// What `curl -u` is given: the user and the password, or the user alone, and curl asks for the password.
    pub(super) user: String,
    /// What it asks for.
    asked_for: Option<String>,
}

impl Login {
    /// Of a shell with these variables.
    pub(super) fn new(account: &str, settings: &Settings, environment: &BTreeMap<String, String>) -> Self {
        let TwilioConfig { account_sid, auth_tokens, .. } = &settings.twilio;
        let token = auth_tokens.first().map(ExposeSecret::expose_secret).unwrap_or_default();
        let variables = ["TWILIO_AUTH_TOKEN", "TRS__TWILIO__AUTH_TOKENS"].map(|name| in_terms_of(account, name));
        let Some(password) = variables.iter().find_map(|name| in_shell(name, token, environment)) else {
            let key = in_terms_of(account, "twilio.auth_tokens");
            let asked_for = format!("(curl asks for a password: the auth token of {account_sid}, the first of {key})");
            return Self { user: account_sid.to_string(), asked_for: Some(asked_for) };
        };
        let holds_sid = environment.get("TWILIO_ACCOUNT_SID").is_some_and(|sid| sid == account_sid.as_str());
        let by_variable = account == FIRST_ACCOUNT && holds_sid;
        let sid = if by_variable { "$TWILIO_ACCOUNT_SID" } else { account_sid.as_str() };
        Self { user: format!("{sid}:{password}"), asked_for: None }
    }

    /// What to say below the requests, in a line that begins with `mark`.
    pub(super) fn remark(&self, mark: &str) -> String {
        self.asked_for.as_ref().map_or_else(String::new, |text| format!("\n\n{mark}{text}"))
    }
}

/// What a shell makes a token of, by this variable or by the file that it names: the token alone, or the first of several.
fn in_shell(name: &str, token: &str, environment: &BTreeMap<String, String>) -> Option<String> {
    let begins = |list: &str| list.split(',').next() == Some(token);
    if let Some(list) = environment.get(name).filter(|list| begins(list)) {
        return Some(if list == token { format!("${name}") } else { format!("${{{name}%%,*}}") });
    }
    let name = format!("{name}_FILE");
    let text = std::fs::read_to_string(environment.get(&name)?).ok()?;
    text.lines().next().filter(|line| begins(line))?;
    Some(format!("$(head -n 1 \"${name}\" | cut -d , -f 1)"))
}

fn listed(all: &[(String, Settings)]) -> String {
    let line = |(name, own): &(String, Settings)| format!("  {}  {name}", own.twilio.account_sid);
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}
