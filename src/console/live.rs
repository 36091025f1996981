//! Live pages: their content is sent again whenever it changes, as server-sent events.
//!
//! The content is rendered every `admin.live_every_ms` and compared. That works with every store, whichever process changed
//! the call.

use super::error::ConsoleError;
use super::queries::{ListQuery, task};
use super::state::Console;
use super::{call_page, pages};
use crate::telemetry::metrics::Metrics;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use maud::Markup;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Something is sent at least this often, so that a reader who has left is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// `GET /console/live`: the list.
pub(super) async fn list(
    console: web::Data<Console>,
    views: web::Data<LiveViews>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, ConsoleError> {
    let query = query.into_inner();
    views.follow(async move || pages::list_content(&console, &query).await)
}

/// `GET /console/calls/{WT}/live`: a call.
pub(super) async fn call(
    console: web::Data<Console>,
    views: web::Data<LiveViews>,
    path: web::Path<String>,
) -> Result<HttpResponse, ConsoleError> {
    let task = task(&path)?;
    views.follow(async move || call_page::content(&console, &task).await)
}

/// The live pages under way.
pub(super) struct LiveViews {
    metrics: Arc<Metrics>,
    permits: Arc<Semaphore>,
    every: Duration,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl LiveViews {
    /// At most `limit` pages at once, each checked for changes after every pause.
    pub(super) fn new(metrics: Arc<Metrics>, limit: usize, every: Duration, stop: CancellationToken) -> Self {
        Self { metrics, permits: Arc::new(Semaphore::new(limit)), every, tasks: TaskTracker::new(), stop }
    }

    fn follow<F>(&self, content: F) -> Result<HttpResponse, ConsoleError>
    where
        F: AsyncFn() -> Result<Markup, ConsoleError> + 'static,
    {
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| ConsoleError::TooManyViews)?;
        // One message: a slow reader gets the newest content next, not everything that was missed.
        let (sender, receiver) = mpsc::channel(1);
        let (metrics, every, stop) = (self.metrics.clone(), self.every, self.stop.clone());
        self.tasks.spawn_local(async move {
            metrics.work.live_views.inc();
            tokio::select! {
                () = send(&content, &sender, every) => {}
                () = sender.closed() => {}
                () = stop.cancelled() => {}
            }
            metrics.work.live_views.dec();
            drop(permit);
        });
        Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/event-stream")).body(Events { receiver }))
    }
}

/// Sends the content whenever it has changed, until the reader leaves or the call is deleted.
async fn send(content: &impl AsyncFn() -> Result<Markup, ConsoleError>, sender: &mpsc::Sender<Bytes>, every: Duration) {
    let mut shown = String::new();
    let mut quiet = Duration::ZERO;
    loop {
        let message = match content().await {
            Ok(content) if content.0 != shown => {
                shown = content.into_string();
                Some(event(&shown))
            }
            Ok(_) if quiet < HEARTBEAT => None,
            // A comment, which readers ignore. The journal may answer next time.
            Ok(_) | Err(ConsoleError::Journal(_)) => Some(Bytes::from_static(b":\n\n")),
            Err(
                ConsoleError::NoSuchCall
                | ConsoleError::NoSuchPage
                | ConsoleError::InvalidQuery(_)
                | ConsoleError::NothingParked
                | ConsoleError::PauseRefused(_)
                | ConsoleError::InvalidPause(_)
                | ConsoleError::TooManyViews,
            ) => return,
        };
        quiet = if message.is_some() { Duration::ZERO } else { quiet + every };
        if let Some(message) = message
            && sender.send(message).await.is_err()
        {
            return;
        }
        tokio::time::sleep(every).await;
    }
}

fn event(content: &str) -> Bytes {
    let mut text = String::with_capacity(content.len() + 64);
    for line in content.lines() {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    Bytes::from(text)
}

/// The body of such an answer.
struct Events {
    receiver: mpsc::Receiver<Bytes>,
}

impl MessageBody for Events {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        self.get_mut().receiver.poll_recv(context).map(|message| message.map(Ok))
    }
}
