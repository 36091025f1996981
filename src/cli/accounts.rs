//! The configured accounts that a command works on.

use crate::config::{FIRST_ACCOUNT, Settings, in_terms_of};
use anyhow::bail;

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

/// User and password of a request to Twilio, for a shell whose variables hold the secret.
pub(super) fn login(account: &str, settings: &Settings) -> String {
    if account == FIRST_ACCOUNT {
        return "$TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN".to_owned();
    }
    format!("{}:{}", settings.twilio.account_sid, in_terms_of(account, "$TWILIO_AUTH_TOKEN"))
}

fn listed(all: &[(String, Settings)]) -> String {
    let line = |(name, own): &(String, Settings)| format!("  {}  {name}", own.twilio.account_sid);
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}
