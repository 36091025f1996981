//! What every command about one call needs: which call is meant, and its answer as JSON.

use crate::call::sid::SID_LENGTH;
use crate::cli::running::Running;
use crate::cli::say;
use crate::console::view::CallList;
use anyhow::anyhow;

/// The task of a SID, which may be the customer's leg.
pub(super) async fn task(service: &Running, sid: &str) -> anyhow::Result<String> {
    let is_sid = sid.len() == SID_LENGTH && sid.bytes().all(|byte| byte.is_ascii_alphanumeric());
    anyhow::ensure!(
        is_sid,
        "not a SID: name a call by its task (WT + 32 hex digits) or its customer's leg (CA + 32 hex digits)"
    );
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
