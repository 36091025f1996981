//! Pages that are kept up to date: the same content again whenever it changes, as server-sent events.
//!
//! The content is made anew every `admin.live_every_ms` and compared, which is right on every store and whichever process
//! changed the call.

use super::look::{Asked, task};
use super::refusal::Refusal;
use super::{Console, call_page, pages};
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use maud::Markup;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;

/// Something is sent this often, so that a reader who has gone away is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// `GET /console/live`: the list.
pub(super) async fn list(console: web::Data<Console>, asked: web::Query<Asked>) -> Result<HttpResponse, Refusal> {
    let asked = asked.into_inner();
    let shown = console.clone();
    follow(&console, async move || pages::list_content(&shown, &asked).await)
}

/// `GET /console/calls/{WT}/live`: a call.
pub(super) async fn call(console: web::Data<Console>, path: web::Path<String>) -> Result<HttpResponse, Refusal> {
    let task = task(&path)?;
    let shown = console.clone();
    follow(&console, async move || call_page::content(&shown, &task).await)
}

fn follow<F>(console: &web::Data<Console>, content: F) -> Result<HttpResponse, Refusal>
where
    F: AsyncFn() -> Result<Markup, Refusal> + 'static,
{
    let room = console.views.clone().try_acquire_owned().map_err(|_| Refusal::TooManyViews)?;
    // One message: a reader who is slow gets the newest content once he is ready, not all that he has missed.
    let (sender, receiver) = mpsc::channel(1);
    let shown = console.clone();
    console.tasks.spawn_local(async move {
        shown.metrics.work.live_views.inc();
        tokio::select! {
            () = send(&content, &sender, shown.settings.live_every) => {}
            () = sender.closed() => {}
            () = shown.stop.cancelled() => {}
        }
        shown.metrics.work.live_views.dec();
        drop(room);
    });
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/event-stream")).body(Events { receiver }))
}

/// Sends the content whenever it has changed, until the reader is gone or there is nothing any more.
async fn send(content: &impl AsyncFn() -> Result<Markup, Refusal>, sender: &mpsc::Sender<Bytes>, every: Duration) {
    let mut shown = String::new();
    let mut quiet = Duration::ZERO;
    loop {
        let message = match content().await {
            Ok(content) if content.0 != shown => {
                shown = content.into_string();
                Some(event(&shown))
            }
            Ok(_) if quiet < HEARTBEAT => None,
            // A comment: the reader need not know of it. The journal may be back next time.
            Ok(_) | Err(Refusal::Journal(_)) => Some(Bytes::from_static(b":\n\n")),
            Err(
                Refusal::NoSuchCall
                | Refusal::Nothing
                | Refusal::Misunderstood(_)
                | Refusal::NothingParked
                | Refusal::TooManyViews,
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
