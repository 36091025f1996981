//! How the database is connected to.

use super::tls::{Tls, TlsFiles};
use super::url::DatabaseUrl;
use crate::journal::OpenError;
use secrecy::ExposeSecret as _;
use std::future::poll_fn;
use std::time::Duration;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Client, Config, Error, Socket};
use tokio_util::task::AbortOnDropHandle;

/// How long a connection may take to say goodbye.
const PARTING: Duration = Duration::from_secs(1);

/// How a database is connected to.
#[derive(Clone)]
pub(super) struct Address {
    config: Config,
    tls: Tls,
    /// Without user and password.
    pub(super) shown: String,
}

/// A connection that something has to drive.
pub(super) type Driver = tokio_postgres::Connection<Socket, super::tls::Encrypted<Socket>>;

impl Address {
    /// Of several addresses behind one name, the first is taken whose server is `wanted`.
    ///
    /// # Errors
    /// When a file that it names cannot be used.
    pub(super) fn new(url: &DatabaseUrl, wanted: TargetSessionAttrs) -> Result<Self, OpenError> {
        let shown = url.shown();
        let client = url.client.as_ref().map(|(certificate, key)| (certificate.as_str(), key.as_str()));
        let files = TlsFiles { verification: url.verification, authority: url.authority.as_deref(), client };
        let tls = Tls::new(&files).map_err(|reason| OpenError::Unopenable {
            path: shown.clone(),
            reason,
            remedy: "correct the file, or journal.url",
        })?;
        let mut config = Config::new();
        // One that begins with a slash is the directory of a Unix socket.
        config.host(&url.host).port(url.port).dbname(&url.database).ssl_mode(url.mode);
        config.application_name("taskrouter-streams").target_session_attrs(wanted);
        if let Some(address) = url.address {
            config.hostaddr(address);
        }
        if let Some(user) = &url.user {
            config.user(user);
        }
        if let Some(password) = &url.password {
            config.password(password.expose_secret());
        }
        if let Some(options) = &url.options {
            config.options(options);
        }
        Ok(Self { config, tls, shown })
    }

    /// Connects; the client waits until the driver is polled.
    pub(super) async fn connect(&self) -> Result<(Client, Driver), Error> {
        self.config.connect(self.tls.clone()).await
    }
}

/// A connection that is driven until this is dropped.
pub(super) struct Connection {
    pub(super) client: Client,
    driven: AbortOnDropHandle<()>,
}

impl Connection {
    pub(super) async fn open(address: &Address) -> Result<Self, Error> {
        let (client, mut driver) = address.connect().await?;
        // What the server says unasked is not logged: it may hold values. That a connection has broken, its client says.
        let driving = async move { while let Some(Ok(_)) = poll_fn(|cx| driver.poll_message(cx)).await {} };
        Ok(Self { client, driven: AbortOnDropHandle::new(tokio::spawn(driving)) })
    }

    /// Says goodbye, so that the server does not log a connection that was lost.
    pub(super) async fn close(self) {
        let Self { client, driven } = self;
        drop(client);
        // Whatever is wrong with it now no longer matters.
        drop(tokio::time::timeout(PARTING, driven).await);
    }
}
