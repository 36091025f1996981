//! Hints from other processes: a session that listens, on a connection of its own.

use super::address::Address;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Error};
use tokio_util::sync::CancellationToken;

pub(super) const CHANNEL: &str = "taskrouter_streams";

/// Between attempts to listen: polling finds what is due meanwhile.
const PAUSE: Duration = Duration::from_secs(5);

/// Passes on what other processes notify, until `stop`. What is missed while the connection is away is found by polling.
pub(super) async fn listen(
    address: Address,
    acquire_timeout: Duration,
    own_origin: String,
    hint: Arc<Notify>,
    stop: CancellationToken,
) {
    let listening = async {
        loop {
            // A connection of its own each time: one that was kept could lead to a server that takes no LISTEN, for ever.
            if let Err(error) = pass_on(&address, acquire_timeout, &own_origin, &hint).await {
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

/// Until the connection is lost.
async fn pass_on(address: &Address, acquire_timeout: Duration, own_origin: &str, hint: &Notify) -> Result<(), Error> {
    let Ok(connected) = tokio::time::timeout(acquire_timeout, address.connect()).await else { return Ok(()) };
    let (client, mut driver) = connected?;
    let hearing = async {
        while let Some(message) = poll_fn(|cx| driver.poll_message(cx)).await {
            if let AsyncMessage::Notification(notification) = message?
                && notification.payload() != own_origin
            {
                hint.notify_one();
            }
        }
        Ok(())
    };
    let listen = format!("LISTEN {CHANNEL}");
    tokio::try_join!(client.batch_execute(&listen), hearing)?;
    Ok(())
}
