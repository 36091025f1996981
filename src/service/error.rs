//! Why a service does not start, or does not go on.

use crate::journal::{JournalError, OpenError};
use crate::telemetry::traces::TracesError;
use crate::twilio::client::ClientError;
use crate::twilio::signature::VerifierError;
use std::net::SocketAddr;

/// A service that cannot start; each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be had.
    #[error("{key} = {address} cannot be listened on: {reason}")]
    Listen {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The limit of open files leaves none for connections.
    #[error(
        "at most {limit} files can be open, and server.descriptor_reserve = {reserve} leaves none for connections: raise the \
         limit (ulimit -n, LimitNOFILE=), or lower the reserve"
    )]
    Descriptors {
        /// The soft limit.
        limit: u64,
        /// The reserve.
        reserve: usize,
    },
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// A listener ended while the journal was being opened.
    #[error("the {task} has ended ({reason}): the process stops, to be started again")]
    Ended {
        /// Its name.
        task: &'static str,
        /// What it ended with.
        reason: String,
    },
    /// The public URL or the tokens cannot be used for signatures.
    #[error("server.public_url or twilio.auth_tokens cannot be used: {0}")]
    Signature(#[from] VerifierError),
    /// Traces cannot be exported.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The client for Twilio's API cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Why a running service had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal has failed for good.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A task ended that nobody had told to.
    #[error("the {task} has ended ({reason}): the process stops, to be started again")]
    Ended {
        /// Its name.
        task: &'static str,
        /// What it ended with.
        reason: String,
    },
}
