//! The calls that make Event Streams deliver what matters to us.
//! Source: <https://www.twilio.com/docs/events/webhook-quickstart>.

use super::plan::quoted;
use crate::http::EVENT_STREAMS_PATH;
use crate::twilio::event;
use crate::twilio::event_stream::TYPE_PREFIX;
use serde_json::json;

/// As text for a terminal. A subscription has a sink of its own: Twilio refuses a second one on the same.
pub(super) fn calls(public_url: &str, login: &str) -> String {
    let destination = format!("{public_url}{EVENT_STREAMS_PATH}");
    let sink = json!({"destination": destination, "method": "POST", "batch_events": true}).to_string();
    let curl = |resource: &str| format!("curl -X POST https://events.twilio.com/v1/{resource} \\\n  -u \"{login}\"");
    let field = |text: String| format!(" \\\n  --data-urlencode {}", quoted(&text));
    let mut text = format!("# 1. Where to: answers with the sink's SID, DG…\n{}", curl("Sinks"));
    for part in [
        "Description=taskrouter-streams".to_owned(),
        "SinkType=webhook".to_owned(),
        format!("SinkConfiguration={sink}"),
    ] {
        text.push_str(&field(part));
    }
    text.push_str("\n\n# 2. What: with that SID in place of DG…\n");
    text.push_str(&curl("Subscriptions"));
    text.push_str(&field("Description=taskrouter-streams".to_owned()));
    text.push_str(&field("SinkSid=DG…".to_owned()));
    for name in event::types() {
        text.push_str(&field(format!("Types={}", json!({"type": format!("{TYPE_PREFIX}{name}")}))));
    }
    let undo = |resource: &str| format!("\ncurl -X DELETE https://events.twilio.com/v1/{resource} -u \"{login}\"");
    text.push_str("\n\n# To undo it, with the SIDs of the answers: the subscription first, then the sink");
    text.push_str(&undo("Subscriptions/DF…"));
    text.push_str(&undo("Sinks/DG…"));
    text
}
