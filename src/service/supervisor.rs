//! The tasks that the service owns. Each runs until it is told to stop. One that ends before leaves a process that looks alive and
//! does half of its work, so its end is the end of the process: systemd and Kubernetes start it again.

use std::collections::HashMap;
use std::fmt::Display;
use tokio::task::{Id, JoinError, JoinSet};

pub(super) const PUBLIC: &str = "public listener";
pub(super) const ADMIN: &str = "admin listener";

/// A task that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its name.
    pub task: &'static str,
    /// What it ended with.
    pub reason: String,
    /// Whether it ended in order, as all of them do once they are told to.
    pub in_order: bool,
}

/// Tasks by name.
#[derive(Default)]
pub struct Supervisor {
    tasks: JoinSet<Result<(), String>>,
    names: HashMap<Id, &'static str>,
}

impl Supervisor {
    /// Runs a task until it ends or the supervisor is dropped.
    pub fn spawn<E: Display>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(async move { task.await.map_err(|error| error.to_string()) });
        self.names.insert(handle.id(), name);
    }

    /// The next task to end; never, when there is none.
    pub async fn ended(&mut self) -> Ended {
        match self.tasks.join_next_with_id().await {
            Some(joined) => self.name(joined),
            None => std::future::pending().await,
        }
    }

    /// Waits until all of these have ended, and logs what did not end in order.
    pub async fn join(&mut self, names: &[&'static str]) {
        while self.names.values().any(|name| names.contains(name)) {
            let Ended { task, reason, in_order } = self.ended().await;
            if !in_order {
                tracing::error!(task, reason, "a task did not end in order");
            }
        }
    }

    fn name(&mut self, joined: Result<(Id, Result<(), String>), JoinError>) -> Ended {
        let (id, reason) = match joined {
            Ok((id, Ok(()))) => (id, None),
            Ok((id, Err(error))) => (id, Some(error)),
            // Where it panicked stands in the log already.
            Err(error) if error.is_panic() => (error.id(), Some("it panicked".to_owned())),
            Err(error) => (error.id(), Some("it was aborted".to_owned())),
        };
        let task = self.names.remove(&id).unwrap_or("unnamed task");
        Ended { task, in_order: reason.is_none(), reason: reason.unwrap_or_else(|| "it returned".to_owned()) }
    }
}
