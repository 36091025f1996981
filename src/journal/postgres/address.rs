//! Where the database is, and how it is connected to.

use super::tls::{Tls, TlsFiles, Verification};
use crate::journal::OpenError;
use secrecy::{ExposeSecret as _, SecretString};
use std::borrow::Cow;
use std::future::poll_fn;
use std::str::{FromStr, Utf8Error};
use std::time::Duration;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Error, Socket};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

/// How long a connection may take to say goodbye.
const PARTING: Duration = Duration::from_secs(1);

const DEFAULT_PORT: u16 = 5432;

/// A database's address.
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
    /// Reads `postgres://user:password@host:port/database?sslmode=…`.
    ///
    /// # Errors
    /// When it is no such address, or a file that it names cannot be used.
    pub(super) fn parse(url: &SecretString) -> Result<Self, OpenError> {
        // Whatever is wrong with it, a message may not quote it, because it holds the password.
        let wrong = || OpenError::Unopenable {
            path: "in PostgreSQL".to_owned(),
            reason: "journal.url is not an address of PostgreSQL".to_owned(),
        };
        let url = Url::parse(url.expose_secret()).map_err(|_| wrong())?;
        let parts = Parts::of(&url).ok_or_else(wrong)?;
        let shown = parts.shown();
        let (mode, verification) = match parts.mode.as_deref() {
            Some("disable" | "allow") => (SslMode::Disable, Verification::None),
            None | Some("prefer") => (SslMode::Prefer, Verification::None),
            // As libpq does: whoever names an authority wants it to count.
            Some("require") if parts.authority.is_some() => (SslMode::Require, Verification::Authority),
            Some("require") => (SslMode::Require, Verification::None),
            Some("verify-ca") => (SslMode::Require, Verification::Authority),
            Some("verify-full") => (SslMode::Require, Verification::Name),
            Some(_) => return Err(wrong()),
        };
        let refused = |reason: &str| OpenError::Unopenable { path: shown.clone(), reason: reason.to_owned() };
        if verification == Verification::None && parts.authority.is_some() {
            return Err(refused(
                "sslrootcert counts for nothing with this sslmode: write sslmode=verify-full in journal.url",
            ));
        }
        let client = match (parts.certificate.as_deref(), parts.key.as_deref()) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) | (None, Some(_)) => {
                return Err(refused("sslcert and sslkey belong together: journal.url names only one of them"));
            }
        };
        let files = TlsFiles { verification, authority: parts.authority.as_deref(), client };
        let tls = Tls::new(&files).map_err(|reason| OpenError::Unopenable { path: shown.clone(), reason })?;
        let mut config = parts.config();
        config.ssl_mode(mode).application_name("taskrouter-streams");
        Ok(Self { config, tls, shown })
    }

    /// Connects; the client waits until the driver is polled.
    pub(super) async fn connect(&self) -> Result<(Client, Driver), Error> {
        self.config.connect(self.tls.clone()).await
    }
}

/// What an address names.
#[derive(Default)]
struct Parts<'a> {
    host: Option<Cow<'a, str>>,
    port: Option<u16>,
    user: Option<Cow<'a, str>>,
    password: Option<Cow<'a, str>>,
    database: Option<Cow<'a, str>>,
    options: Option<Cow<'a, str>>,
    mode: Option<Cow<'a, str>>,
    authority: Option<Cow<'a, str>>,
    certificate: Option<Cow<'a, str>>,
    key: Option<Cow<'a, str>>,
}

impl<'a> Parts<'a> {
    fn of(url: &'a Url) -> Option<Self> {
        let mut parts = Self {
            host: url.host_str().filter(|host| !host.is_empty()).map(decoded).transpose().ok()?,
            port: url.port(),
            user: Some(url.username()).filter(|user| !user.is_empty()).map(decoded).transpose().ok()?,
            password: url.password().map(decoded).transpose().ok()?,
            database: Some(url.path().trim_matches('/'))
                .filter(|name| !name.is_empty())
                .map(decoded)
                .transpose()
                .ok()?,
            ..Self::default()
        };
        for (name, value) in url.query_pairs() {
            match &*name {
                "host" | "hostaddr" => parts.host = Some(value),
                "port" => parts.port = Some(u16::from_str(&value).ok()?),
                "user" => parts.user = Some(value),
                "password" => parts.password = Some(value),
                "dbname" => parts.database = Some(value),
                "options" => parts.options = Some(value),
                "sslmode" | "ssl-mode" => parts.mode = Some(value),
                "sslrootcert" | "ssl-root-cert" | "ssl-ca" => parts.authority = Some(value),
                "sslcert" | "ssl-cert" => parts.certificate = Some(value),
                "sslkey" | "ssl-key" => parts.key = Some(value),
                _ => tracing::warn!(parameter = %name, "journal.url has a parameter that is not known; it is ignored"),
            }
        }
        Some(parts)
    }

    fn host(&self) -> &str {
        // The brackets of an IPv6 address belong to the URL.
        let host = self.host.as_deref().unwrap_or("localhost");
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    fn shown(&self) -> String {
        let database = self.database.as_deref().unwrap_or("the user's own database");
        format!("{database} in PostgreSQL at {}:{}", self.host(), self.port.unwrap_or(DEFAULT_PORT))
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        // One that begins with a slash is the directory of a Unix socket.
        config.host(self.host()).port(self.port.unwrap_or(DEFAULT_PORT));
        if let Some(user) = self.user.as_deref() {
            config.user(user);
        }
        if let Some(password) = self.password.as_deref() {
            config.password(password);
        }
        if let Some(database) = self.database.as_deref() {
            config.dbname(database);
        }
        if let Some(options) = self.options.as_deref() {
            config.options(options);
        }
        config
    }
}

/// Without percent signs.
fn decoded(text: &str) -> Result<Cow<'_, str>, Utf8Error> {
    percent_encoding::percent_decode_str(text).decode_utf8()
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
