use crate::twilio::client::CALLBACK_RETRIES;
use crate::twilio::signature::{Verifier, VerifierError, parse_pairs};
use actix_web::dev::ServerHandle;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Below the public URL.
pub(super) const PATH: &str = "/probe";

/// The first stream's name. Its first callback is answered with 503.
pub(super) const FIRST: &str = "probe-1";

/// Why callbacks cannot be received.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallbacksError {
    #[error(transparent)]
    Listen(#[from] std::io::Error),
    #[error(transparent)]
    Verifier(#[from] VerifierError),
}

/// Receives the streams' status callbacks.
pub(super) struct Callbacks {
    seen: Arc<Seen>,
    server: JoinHandle<std::io::Result<()>>,
    handle: ServerHandle,
}

struct Seen {
    verifier: Verifier,
    /// Authentic ones, by the stream's name and its first event.
    attempts: Mutex<BTreeMap<(String, String), usize>>,
    changed: Notify,
}

impl Callbacks {
    pub(super) fn start(
        listen: SocketAddr,
        public_url: &str,
        tokens: Vec<SecretString>,
    ) -> Result<Self, CallbacksError> {
        let verifier = Verifier::new(public_url, tokens)?;
        let seen = Arc::new(Seen { verifier, attempts: Mutex::default(), changed: Notify::new() });
        let data = Data::from(seen.clone());
        let app = move || App::new().app_data(data.clone()).default_service(web::to(receive));
        let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(1).bind(listen)?.run();
        let handle = server.handle();
        Ok(Self { seen, server: tokio::spawn(server), handle })
    }

    /// How often the first callback about the stream came, once it came again or the time is up.
    pub(super) async fn attempts(&self, name: &str, limit: Duration) -> usize {
        let again = async {
            loop {
                let changed = self.seen.changed.notified();
                if self.seen.most(name) > 1 {
                    return;
                }
                changed.await;
            }
        };
        // Whether it came again is told by the count.
        let _ = tokio::time::timeout(limit, again).await;
        self.seen.most(name)
    }

    pub(super) async fn stop(self) {
        self.handle.stop(false).await;
        // It has nothing to say any more.
        let _ = self.server.await;
    }
}

impl Seen {
    fn most(&self, name: &str) -> usize {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.iter().filter(|((stream, _), _)| stream == name).map(|(_, count)| *count).max().unwrap_or_default()
    }

    /// Counts an authentic callback; says how many came before it about this stream.
    fn count(&self, name: &str, event: &str) -> usize {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = attempts.iter().filter(|((stream, _), _)| stream == name).map(|(_, count)| *count).sum();
        *attempts.entry((name.to_owned(), event.to_owned())).or_default() += 1;
        before
    }
}

async fn receive(request: HttpRequest, body: Bytes, seen: Data<Seen>) -> HttpResponse {
    let pairs = parse_pairs(&body);
    let signature = request.headers().get("x-twilio-signature").map(|value| value.as_bytes()).unwrap_or_default();
    // As Twilio was given it, whatever the tunnel makes of it. Whether a fragment is signed is not published.
    let targets = [PATH.to_owned(), format!("{PATH}{CALLBACK_RETRIES}")];
    if !targets.iter().any(|target| seen.verifier.verify(target, true, &body, &pairs, signature)) {
        return HttpResponse::Forbidden().finish();
    }
    let get = |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_ref());
    let name = get("StreamName").unwrap_or_default();
    let before = seen.count(name, get("StreamEvent").unwrap_or_default());
    seen.changed.notify_waiters();
    if before == 0 && name == FIRST {
        HttpResponse::ServiceUnavailable().finish()
    } else {
        HttpResponse::NoContent().finish()
    }
}
