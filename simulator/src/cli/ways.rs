//! How the first agent's stream is started by either strategy, step by step, beside each other.

use super::say;
use taskrouter_streams::call::fact::Fact;
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::timeline::{self, Kind};

/// The width of the left column.
const COLUMN: usize = 62;

/// Prints the steps of both: `redirect` as the known example does it, and `streams-api`.
pub(super) fn beside(by_redirect: &[Fact], by_api: &[Fact]) {
    let (left, right) = (steps(by_redirect), steps(by_api));
    say(
        "\nhow the first agent's stream is started, by --strategy redirect and by --strategy streams-api (the default):",
    );
    say(&format!("  {:<COLUMN$}  {}", Strategy::Redirect.as_str(), Strategy::StreamsApi.as_str()));
    for row in 0..left.len().max(right.len()) {
        let cell = |steps: &[String]| steps.get(row).map(|step| format!("{}. {step}", row + 1)).unwrap_or_default();
        say(&format!("  {:<COLUMN$}  {}", cell(&left), cell(&right)));
    }
    say("  (streams-api reads to check that the customer stays where they are: always at first, then a sample)");
}

/// What was sent to Twilio between the first agent's accepting and whatever came next, without the names of streams.
fn steps(facts: &[Fact]) -> Vec<String> {
    let lines = timeline::lines(facts).into_iter();
    let after_accept = lines.skip_while(|line| !line.text.ends_with(" accepts")).skip(1);
    let until_next = after_accept.take_while(|line| line.kind != Kind::Event);
    until_next.filter(|line| line.kind == Kind::Step).map(|line| shortened(&line.text)).collect()
}

fn shortened(step: &str) -> String {
    let words = step.split(' ').map(|word| if word.contains("_WR") { "the stream" } else { word });
    let text = words.collect::<Vec<_>>().join(" ");
    text.replace(" on destination A for agent A", "").replace(", dial back in without a beep", ", dial back in")
}
