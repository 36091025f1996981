//! Transfers: one task, one conference, a new reservation for each agent who is asked.

use super::status::{ReservationStatus, TransferStatus};
use crate::sim_config::Ms;
use taskrouter_streams::call::sid::{ReservationSid, TaskQueueSid, TransferSid, WorkerSid};

/// How a transfer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The transferor stays until they hang up.
    Warm,
    /// The transferor's leg leaves at once.
    Cold,
}

/// Whom a transfer goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One agent.
    Agent(String),
    /// A queue, which asks these agents one after another.
    Queue(Vec<String>),
}

/// Why an offer came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OfferFailure {
    Rejected,
    TimedOut,
    /// The agent's leg cannot be dialled.
    Unreachable,
}

impl OfferFailure {
    /// What becomes of the reservation, and the event that tells.
    pub(super) fn reservation(self) -> (ReservationStatus, &'static str) {
        match self {
            Self::Rejected => (ReservationStatus::Rejected, "reservation.rejected"),
            Self::TimedOut => (ReservationStatus::Timeout, "reservation.timeout"),
            Self::Unreachable => (ReservationStatus::Canceled, "reservation.canceled"),
        }
    }

    /// `TransferFailedReason`.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Rejected => "Transfer failed because the worker rejected the reservation",
            Self::TimedOut => "Transfer failed because the reservation timed out",
            Self::Unreachable => "Transfer failed because the reservation was canceled",
        }
    }
}

/// A transfer.
#[derive(Debug, Clone)]
pub(super) struct Transfer {
    pub(super) sid: TransferSid,
    pub(super) mode: Mode,
    pub(super) to_queue: Option<TaskQueueSid>,
    pub(super) to_worker: Option<WorkerSid>,
    pub(super) by_reservation: ReservationSid,
    pub(super) by_worker: WorkerSid,
    pub(super) started: Ms,
    pub(super) status: TransferStatus,
    pub(super) failed: Option<&'static str>,
}

impl Transfer {
    pub(super) fn is_open(&self) -> bool {
        self.status == TransferStatus::Initiated
    }
}
