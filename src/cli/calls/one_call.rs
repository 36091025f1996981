//! What every command about one call needs: which call is meant, and its answer as JSON.

use crate::call::sid::{CallSid, TaskSid};
use crate::cli::running::Running;
use crate::cli::say;
use crate::console::view::CallList;
use anyhow::anyhow;

/// Reads the argument that names a call.
pub(super) fn sid(text: &str) -> Result<String, &'static str> {
    if text.parse::<TaskSid>().is_ok() || text.parse::<CallSid>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("not a SID: name a call by its task (WT + 32 hex digits) or its customer's leg (CA + 32 hex digits)")
}

/// The task of a SID, which may be the customer's leg.
pub(super) async fn task(service: &Running, sid: &str) -> anyhow::Result<String> {
    if sid.starts_with("WT") {
        return Ok(sid.to_owned());
    }
    let list: CallList = service.get(&format!("/calls?state=all&limit=1&find={sid}")).await?;
    list.calls.first().map(|call| call.task.to_string()).ok_or_else(|| anyhow!("no call has the leg {sid}"))
}

/// Prints an answer for programs.
pub(super) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(value)?);
    Ok(())
}
