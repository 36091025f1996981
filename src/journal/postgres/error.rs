//! What PostgreSQL's failures mean, told by code: a server's message can hold values.

use crate::journal::JournalError;

/// Whether the same again can end better: a deadlock, a conflict with another transaction, a connection that broke.
pub(super) fn is_transient(error: &sqlx::Error) -> bool {
    match error.as_database_error().map(|error| error.code()) {
        // Serialization failure, deadlock, an identity that another connection committed at the same moment; and a
        // server that goes down or comes up, whose connections are closed one by one.
        Some(Some(code)) => matches!(&*code, "40001" | "40P01" | "23505") || ends_the_session(&code),
        Some(None) => false,
        None => matches!(error, sqlx::Error::Io(_)),
    }
}

/// Whether the server has said no, and so has rolled back. A session that it ends may have committed before.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| !error.code().is_some_and(|code| ends_the_session(&code)))
}

/// Whether a server that refuses a connection may take it later: nobody listens yet, it starts or stops, it has no connection left, or
/// a pooler in front of it does not reach it.
pub(super) fn may_come(error: &sqlx::Error) -> bool {
    match error.as_database_error().map(|error| error.code()) {
        Some(Some(code)) => ends_the_session(&code) || code == "53300" || code.starts_with("08"),
        Some(None) => false,
        // A certificate that does not fit arrives as data that is not valid, and will not fit later.
        None => matches!(error, sqlx::Error::Io(error) if error.kind() != std::io::ErrorKind::InvalidData),
    }
}

fn ends_the_session(code: &str) -> bool {
    code.starts_with("57P")
}

/// Whether the server takes no writes: it follows another one, or an administrator has said so.
pub(super) fn is_read_only(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| matches!(&*code, "25006" | "0A000"))
}

/// Whether the server objects to a value, and so would to every transaction that holds it.
pub(super) fn objects_to_a_value(reason: &str) -> bool {
    reason.starts_with(&format!("{REFUSED} 22")) || reason.starts_with(&format!("{REFUSED} 54"))
}

pub(super) const READ_ONLY: &str =
    "the server takes no writes: it is a standby, or its default_transaction_read_only is on";

const REFUSED: &str = "PostgreSQL refused with SQLSTATE";

pub(super) fn unavailable(error: &sqlx::Error) -> JournalError {
    // By code only: a server's message can hold values.
    let reason = match (error.as_database_error().map(|error| error.code()), error) {
        (Some(Some(code)), _) => format!("{REFUSED} {code}"),
        (Some(None), _) => REFUSED.to_owned(),
        (None, sqlx::Error::Io(error)) => format!("the connection failed: {}", error.kind()),
        (None, sqlx::Error::PoolTimedOut) => "no connection could be had in time".to_owned(),
        (None, sqlx::Error::PoolClosed) => "it has been closed".to_owned(),
        (None, _) => "the connection failed".to_owned(),
    };
    JournalError::Unavailable { reason }
}

/// What the server or the connection said, for whoever opens the journal: there are no values of ours in it yet.
pub(super) fn describe(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(refusal) => refusal.message().to_owned(),
        None => error.to_string(),
    }
}
