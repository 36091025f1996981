//! Hands the answers of a commit over to a thread all at once.
//!
//! A thread that serves connections waits for many events at a time. Woken for each of them, on a core that it shares with whoever
//! commits, it would take the core, handle one answer and sleep again, as often as there are answers.
//!
//! ```text
//! store ── the answers of a commit ──▶ a thread's inbox ── hand_out_answers ──▶ whoever waits on that thread
//! ```

use super::{Ingested, JournalError};
use crate::telemetry::metrics::Metrics;
use std::cell::RefCell;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

pub(super) type Answer = Result<Ingested, JournalError>;

/// Where a thread gets its answers.
type Inbox = mpsc::UnboundedSender<Vec<(Waiting, Answer)>>;

thread_local! {
    /// This thread's, while it hands out what comes there.
    static INBOX: RefCell<Option<Inbox>> = const { RefCell::new(None) };
}

/// Whoever waits for an event's commit. Dropped unanswered, it tells them so.
pub(super) struct Waiting {
    waiting: oneshot::Sender<Answer>,
    inbox: Option<Inbox>,
}

impl Waiting {
    /// To be called by the thread on which the answer is waited for.
    pub(super) fn begin() -> (Self, oneshot::Receiver<Answer>) {
        let (waiting, answered) = oneshot::channel();
        (Self { waiting, inbox: INBOX.with_borrow(Clone::clone) }, answered)
    }

    fn answer(self, answer: Answer) {
        // Whoever no longer waits needs no answer.
        drop(self.waiting.send(answer));
    }
}

/// Answers everybody: those whose thread has an inbox together, and the others one by one.
pub(super) fn answer_all(answers: impl IntoIterator<Item = (Waiting, Answer)>) {
    let mut together: Vec<(Inbox, Vec<(Waiting, Answer)>)> = Vec::new();
    for (mut waiting, answer) in answers {
        let Some(inbox) = waiting.inbox.take() else {
            waiting.answer(answer);
            continue;
        };
        match together.iter_mut().find(|(other, _)| other.same_channel(&inbox)) {
            Some((_, answers)) => answers.push((waiting, answer)),
            None => together.push((inbox, vec![(waiting, answer)])),
        }
    }
    for (inbox, answers) in together {
        // Nobody hands them out any more.
        if let Err(mpsc::error::SendError(answers)) = inbox.send(answers) {
            answers.into_iter().for_each(|(waiting, answer)| waiting.answer(answer));
        }
    }
}

/// Hands out the answers to what is ingested on this thread meanwhile, until it is dropped. For a thread whose tasks stay with it: they
/// must end before this does.
pub async fn hand_out_answers(metrics: Arc<Metrics>) {
    let (inbox, mut answers) = mpsc::unbounded_channel();
    let _open = Open::new(inbox);
    while let Some(answers) = answers.recv().await {
        metrics.work.round("answers", true);
        answers.into_iter().for_each(|(waiting, answer)| waiting.answer(answer));
    }
}

/// This thread's inbox, as long as somebody looks into it.
struct Open;

impl Open {
    fn new(inbox: Inbox) -> Self {
        INBOX.set(Some(inbox));
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // A thread that ends has none any more.
        let _ = INBOX.try_with(|inbox| inbox.take());
    }
}
