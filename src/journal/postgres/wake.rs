//! Hints from other processes: a session that listens, on a connection of its own.

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(super) const CHANNEL: &str = "taskrouter_streams";

/// Between attempts to listen: polling finds what is due meanwhile.
const PAUSE: Duration = Duration::from_secs(5);

/// Passes on what other processes notify, until `stop`. What is missed while the connection is away is found by polling.
pub(super) async fn listen(
    options: PgConnectOptions,
    acquire_timeout: Duration,
    own_origin: String,
    hint: Arc<Notify>,
    stop: CancellationToken,
) {
    let listening = async {
        loop {
            // A connection of its own each time: one that was kept could lead to a server that takes no LISTEN, for ever.
            let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(acquire_timeout);
            let pool = pool.connect_lazy_with(options.clone());
            if let Err(error) = pass_on(&pool, &own_origin, &hint).await {
                tracing::debug!(%error, "other processes' hints do not arrive; polling goes on");
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = listening => {}
        () = stop.cancelled() => {}
    }
    // Dropped rather than closed: closing would wait for a database that may never answer.
}

async fn pass_on(pool: &PgPool, own_origin: &str, hint: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    // `None` when the connection was lost.
    while let Some(notification) = listener.try_recv().await? {
        if notification.payload() != own_origin {
            hint.notify_one();
        }
    }
    Ok(())
}
