//! The threads and tasks of a store. Each runs until the store is closed; one that ends before has died, and nothing works without it.

use super::JournalError;
use std::pin::Pin;
use tokio::sync::watch;

/// Where the reason stands once the store has failed for good.
pub(super) type Failure = watch::Sender<Option<JournalError>>;

/// Held by a thread or a task for as long as it runs. Dropped before it was [`ended`](Self::ended), as by a panic, it reports the store
/// as failed.
pub(super) struct Running {
    name: &'static str,
    failure: Failure,
    has_ended: bool,
}

impl Running {
    pub(super) fn new(name: &'static str, failure: Failure) -> Self {
        Self { name, failure, has_ended: false }
    }

    /// It has come to its end in order.
    pub(super) fn ended(mut self) {
        self.has_ended = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let died = JournalError::Fatal { reason: format!("its {} has died", self.name) };
        self.failure.send_if_modified(|failure| failure.is_none() && failure.replace(died).is_none());
    }
}

/// A thread's work, watched while it runs.
pub(super) fn watched(name: &'static str, failure: Failure, work: impl FnOnce()) -> impl FnOnce() {
    let running = Running::new(name, failure);
    move || {
        work();
        running.ended();
    }
}

/// Resolves with the reason once the store has failed.
pub(super) fn failed(failure: &Failure) -> Pin<Box<dyn Future<Output = JournalError> + Send + 'static>> {
    let mut failure = failure.subscribe();
    Box::pin(async move {
        match failure.wait_for(Option::is_some).await.map(|failure| failure.clone()) {
            Ok(Some(failure)) => failure,
            // Closed in order: it can no longer fail.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    })
}
