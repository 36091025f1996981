use super::rows::{Certainty, Finding, Findings};
use crate::telemetry::{COMMIT, VERSION};
use serde_json::json;

/// A line per row: what is assumed, what was seen, whether it is certain.
pub(super) fn table(rows: &Findings) -> String {
    let width = |of: fn(&Finding) -> usize| rows.all().iter().map(of).max().unwrap_or(0);
    let (id, assumed) = (width(|row| row.id.len()), width(|row| row.assumed.len()));
    let line = |id_: &str, assumed_: &str, certain: &str, seen: &str| {
        format!("{id_:<id$}  {assumed_:<assumed$}  {certain:<13}  {seen}")
    };
    let mut lines = vec![line("row", "assumed", "certain", "seen")];
    lines.extend(rows.all().iter().map(|row| line(row.id, row.assumed, word(row.verdict), &row.seen)));
    let count = |wanted| rows.all().iter().filter(|row| row.verdict == wanted).count();
    lines.push(format!(
        "\n{} certain, {} contradicted, {} could not be tried",
        count(Certainty::Certain),
        count(Certainty::Contradicted),
        count(Certainty::CouldNotTry)
    ));
    lines.join("\n")
}

fn word(verdict: Certainty) -> &'static str {
    match verdict {
        Certainty::Certain => "yes",
        Certainty::Contradicted => "CONTRADICTED",
        Certainty::CouldNotTry => "could not try",
    }
}

/// The report as a file: no SID, no number, no address, and the day only.
pub(super) fn file(rows: &Findings) -> anyhow::Result<String> {
    let day = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let report =
        json!({"program": "taskrouter-streams", "version": VERSION, "commit": COMMIT, "day": day, "rows": rows.all()});
    Ok(format!("{}\n", serde_json::to_string_pretty(&report)?))
}
