//! What is only read, on a thread of its own.

use super::error::unavailable;
use super::live::CallId;
use super::queue::{Message, Read};
use super::turns::Turns;
use super::{packing, projection};
use crate::call::fact::Fact;
use crate::call::sid::TaskSid;
use crate::journal::values::parse;
use crate::journal::{JournalError, Seq};
use rusqlite::Connection;
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
    let rows = || {
        // One state of the file: a call is packed while it is read.
        let reading = connection.unchecked_transaction()?;
        let id = match id {
            Some(id) => Some(id),
            None => projection::call_of(&reading, call)?.map(|call| call.id),
        };
        id.map_or(Ok(Vec::new()), |id| packing::facts(&reading, id, after))
    };
    parse(call, rows().map_err(unavailable)?)
}
