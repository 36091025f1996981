//! One check and its verdict.

use crate::config::in_terms_of;
use serde::Serialize;

/// The verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// Correct.
    Ok,
    /// Works but could be better, or could not be checked.
    Warning,
    /// The service cannot work like this.
    Failure,
}

/// What was checked, what was found, and what to do. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    check: &'static str,
    /// The account, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    pub(super) verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, account: None, verdict: Verdict::Ok, found: found.into(), remedy: None }
    }

    pub(super) fn warning(check: &'static str, found: impl Into<String>, remedy: &str) -> Self {
        Self { check, account: None, verdict: Verdict::Warning, found: found.into(), remedy: Some(remedy.to_owned()) }
    }

    pub(super) fn failure(check: &'static str, found: impl Into<String>, remedy: &str) -> Self {
        Self { check, account: None, verdict: Verdict::Failure, found: found.into(), remedy: Some(remedy.to_owned()) }
    }

    /// The same check of one of several accounts; its remedy names that account's keys.
    pub(super) fn of(self, account: &str) -> Self {
        let remedy = self.remedy.map(|remedy| in_terms_of(account, &remedy));
        Self { account: Some(account.to_owned()), remedy, ..self }
    }

    fn name(&self) -> String {
        self.account.as_ref().map_or(self.check.to_owned(), |account| format!("{} of {account}", self.check))
    }
}

/// A line per check, with its remedy below.
pub(super) fn table(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name().len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for check in checks {
        let (name, Check { verdict, found, remedy, .. }) = (check.name(), check);
        let verdict = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "WARNING",
            Verdict::Failure => "FAILURE",
        };
        lines.push(format!("{verdict:<8} {name:<width$}  {found}"));
        lines.extend(remedy.as_ref().map(|remedy| format!("{:<8} {:<width$}  → {remedy}", "", "")));
    }
    let count = |wanted| checks.iter().filter(|check| check.verdict == wanted).count();
    lines.push(format!(
        "\n{} ok, {} warnings, {} failures",
        count(Verdict::Ok),
        count(Verdict::Warning),
        count(Verdict::Failure)
    ));
    lines.join("\n")
}
