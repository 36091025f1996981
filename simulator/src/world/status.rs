//! The statuses of Twilio's resources, spelled as Twilio spells them.

macro_rules! status {
    ($(#[$doc:meta] $name:ident { $($variant:ident = $text:literal),+ $(,)? })+) => {$(
        #[$doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $name { $($variant),+ }

        impl $name {
            pub(super) fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    )+};
}

status! {
    /// `TaskAssignmentStatus`.
    TaskStatus {
        Pending = "pending",
        Reserved = "reserved",
        Assigned = "assigned",
        Wrapping = "wrapping",
        Completed = "completed",
        Canceled = "canceled",
    }
    /// A reservation's status.
    ReservationStatus {
        Pending = "pending",
        Accepted = "accepted",
        Rejected = "rejected",
        Timeout = "timeout",
        Canceled = "canceled",
        Wrapping = "wrapping",
        Completed = "completed",
    }
    /// A conference's status.
    ConferenceStatus {
        Init = "init",
        InProgress = "in-progress",
        Completed = "completed",
    }
    /// `TransferStatus`; "complete" is what Twilio's own data says, though its documentation says COMPLETED.
    TransferStatus {
        Initiated = "initiated",
        Complete = "complete",
        Failed = "failed",
        Canceled = "canceled",
    }
}
