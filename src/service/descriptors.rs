//! How the open files that the process may have are shared out among connections and everything else.

use super::error::StartError;
use crate::config::ServerConfig;
use crate::http::{self, descriptors};

/// `server.max_connections`, or as many as the limit of open files allows beside `server.descriptor_reserve`.
pub(super) fn max_connections(server: &ServerConfig) -> Result<usize, StartError> {
    // The admin listener has one thread.
    let (reserve, closing) = (server.descriptor_reserve, (server.threads + 1) * http::CLOSING_PER_THREAD);
    let allowed = descriptors::allow(server.max_connections, reserve + closing)
        .ok_or_else(|| StartError::Descriptors { limit: descriptors::limit(), reserve })?;
    if allowed < server.max_connections {
        tracing::warn!(
            allowed,
            "the limit of open files allows fewer connections than server.max_connections: raise it (ulimit -n, LimitNOFILE=)"
        );
    }
    Ok(allowed)
}

/// Connections of the admin listener: half of `server.descriptor_reserve`. The other half is for the journal and Twilio.
pub(super) fn admin_connections(server: &ServerConfig) -> usize {
    server.descriptor_reserve / 2
}
