//! What PostgreSQL's failures mean, told by code: a server's message can hold values.

use crate::journal::{JournalError, OpenError};
use std::error::Error as _;
use std::io;
use tokio_postgres::Error;

/// An answer that does not have the form that was asked for.
#[derive(Debug)]
pub(super) struct Unexpected;

impl From<Error> for Unexpected {
    fn from(_: Error) -> Self {
        Self
    }
}

impl From<Unexpected> for JournalError {
    fn from(_: Unexpected) -> Self {
        JournalError::Unavailable { reason: "its answer could not be read".to_owned() }
    }
}

/// Whether the same again can end better: a deadlock, a conflict with another transaction, a connection that broke.
pub(super) fn is_transient(error: &Error) -> bool {
    match code(error) {
        // Serialization failure, deadlock, an identity that another connection committed at the same moment, the rest of a
        // transaction that did not arrive in time; and a server that goes down or comes up, whose connections are closed one by one.
        Some(code) => matches!(code, "40001" | "40P01" | "23505" | "25P03") || ends_the_session(code),
        None => error.is_closed() || broken(error).is_some(),
    }
}

/// Whether the server has said no, and so has rolled back. A session that it ends may have committed before.
pub(super) fn is_refusal(error: &Error) -> bool {
    error.as_db_error().is_some_and(|error| !ends_the_session(error.code().code()))
}

/// Whether a server that refuses a connection may take it later: nobody listens yet, it starts or stops, it has no connection left, or
/// a pooler in front of it does not reach it.
pub(super) fn may_come(error: &Error) -> bool {
    match code(error) {
        Some(code) => ends_the_session(code) || code == "53300" || code.starts_with("08"),
        None => error.is_closed() || broken(error).is_some(),
    }
}

fn code(error: &Error) -> Option<&str> {
    error.as_db_error().map(|error| error.code().code())
}

fn ends_the_session(code: &str) -> bool {
    code.starts_with("57P")
}

/// How a connection broke. A certificate that does not fit, or a message that cannot be written or read, is data that is not valid: it
/// will not be later.
fn broken(error: &Error) -> Option<io::ErrorKind> {
    let kind = io_error(error)?.kind();
    Some(kind).filter(|kind| !matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
}

fn io_error(error: &Error) -> Option<&io::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}

/// Whether there is a server at none of its addresses that takes writes: the driver's own word, and not the system's.
pub(super) fn finds_no_writable(error: &Error) -> bool {
    io_error(error)
        .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none())
}

/// Whether the server takes no writes: it follows another one, or an administrator has said so.
pub(super) fn is_read_only(error: &Error) -> bool {
    code(error).is_some_and(|code| matches!(code, "25006" | "0A000"))
}

/// Whether a lock was not to be had in time.
pub(super) fn is_locked(error: &Error) -> bool {
    code(error) == Some("55P03")
}

/// Whether the server objects to a value, and so would to every transaction that holds it.
pub(super) fn objects_to_a_value(reason: &str) -> bool {
    reason.starts_with(&format!("{REFUSED} 22")) || reason.starts_with(&format!("{REFUSED} 54"))
}

pub(super) const READ_ONLY: &str =
    "the server takes no writes: it is a standby, or its default_transaction_read_only is on";

const REFUSED: &str = "PostgreSQL refused with SQLSTATE";

pub(super) fn unavailable(error: &Error) -> JournalError {
    // By code only: a server's message can hold values.
    let reason = match (code(error), broken(error)) {
        (Some(code), _) => format!("{REFUSED} {code}"),
        (None, Some(kind)) => format!("the connection failed: {kind}"),
        (None, None) => "the connection failed".to_owned(),
    };
    JournalError::Unavailable { reason }
}

/// Why a database cannot be opened, in its own words: there are no values of ours in it yet. What can end by itself is waited for.
pub(super) fn unopened(shown: &str, error: &Error) -> OpenError {
    let path = shown.to_owned();
    if finds_no_writable(error) || is_read_only(error) {
        return read_only(shown);
    }
    let reason = match error.as_db_error() {
        Some(refusal) => refusal.message().to_owned(),
        None => error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
    };
    let code = code(error).unwrap_or_default();
    let unreachable = |remedy| OpenError::Unreachable { path: path.clone(), reason: reason.clone(), remedy };
    let remedy = match code {
        "53100" => return unreachable("make room on its disk"),
        "53300" => return unreachable("raise its max_connections, or end other connections"),
        // Its own time limit, or somebody's word.
        "57014" => return unreachable("end the transaction that it waits for"),
        _ if may_come(error) => {
            return unreachable("check that the database is running, and that journal.url leads to it");
        }
        "28P01" | "28000" => "correct the user and the password in journal.url, or let pg_hba.conf admit them",
        "3D000" => "create the database, or name another in journal.url",
        "42501" => {
            "let the role create a schema (GRANT CREATE ON DATABASE), or own taskrouter_streams; where the tables are of this \
             version, USAGE, SELECT, INSERT, UPDATE and DELETE are enough"
        }
        _ => "check journal.url",
    };
    OpenError::Unopenable { path, reason, remedy }
}

/// A standby is promoted some time, and an administrator allows writes again.
pub(super) fn read_only(shown: &str) -> OpenError {
    let (path, reason) = (shown.to_owned(), READ_ONLY.to_owned());
    OpenError::Unreachable { path, reason, remedy: "promote it, or set journal.url to the primary" }
}
