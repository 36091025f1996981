//! One line of the examination.

use serde::Serialize;

/// How something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and could be better or is not known.
    Warning,
    /// The worker cannot do its work like this.
    Failure,
}

/// What was looked at, how it was found, and what to do. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    check: &'static str,
    pub(super) verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, found: found.into(), remedy: None }
    }

    pub(super) fn warning(check: &'static str, found: impl Into<String>, remedy: &str) -> Self {
        Self { check, verdict: Verdict::Warning, found: found.into(), remedy: Some(remedy.to_owned()) }
    }

    pub(super) fn failure(check: &'static str, found: impl Into<String>, remedy: &str) -> Self {
        Self { check, verdict: Verdict::Failure, found: found.into(), remedy: Some(remedy.to_owned()) }
    }
}

/// For people: a line each, and what to do below it.
pub(super) fn table(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.check.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for Check { check, verdict, found, remedy } in checks {
        let verdict = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "WARNING",
            Verdict::Failure => "FAILURE",
        };
        lines.push(format!("{verdict:<8} {check:<width$}  {found}"));
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
