//! What is only read, on a thread of its own.

use super::error::unavailable;
use super::live::CallId;
use super::projection;
use super::queue::{Message, Read};
use super::turns::Turns;
use crate::call::fact::Fact;
use crate::call::sid::TaskSid;
use crate::journal::values::parse;
use crate::journal::{JournalError, Seq};
use rusqlite::{Connection, params};
use tokio::sync::mpsc;

/// Answers until told to close.
pub(super) fn run(connection: Connection, turns: &Turns, mut queue: mpsc::UnboundedReceiver<Message<Read>>) {
    while let Some(Message::Work(read)) = queue.blocking_recv() {
        turns.read(|| read(&connection));
    }
}

/// The facts of a call, whose number memory knows if it is live.
pub(super) fn facts(
    connection: &Connection,
    call: &TaskSid,
    id: Option<CallId>,
    after: Seq,
) -> Result<Vec<(Seq, Fact)>, JournalError> {
    let rows = || -> rusqlite::Result<Vec<(Seq, String)>> {
        let id = match id {
            Some(id) => Some(id),
            None => projection::call_of(connection, call)?.map(|call| call.id),
        };
        connection
            .prepare_cached("SELECT seq, body FROM fact WHERE call = ?1 AND seq > ?2 ORDER BY seq")?
            .query_map(params![id, after], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    };
    parse(call, rows().map_err(unavailable)?)
}
