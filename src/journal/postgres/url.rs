//! What a database's address says.

use super::tls::Verification;
use secrecy::SecretString;
use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;
use tokio_postgres::config::SslMode;
use url::Url;

const DEFAULT_PORT: u16 = 5432;

/// The address of a database: `postgres://user:password@host:port/database?sslmode=…`, read much as libpq does
/// (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>).
#[derive(Debug, Clone)]
pub struct DatabaseUrl {
    /// A name, an address, or the directory of a Unix socket.
    pub(super) host: String,
    /// Where that name is, if it is not to be looked up.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    /// Without one, that of the process.
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretString>,
    pub(super) database: String,
    pub(super) options: Option<String>,
    pub(super) mode: SslMode,
    pub(super) verification: Verification,
    /// The file of the authority; without it, those that the machine trusts.
    pub(super) authority: Option<String>,
    /// The files of the client's certificate and its key.
    pub(super) client: Option<(String, String)>,
    unknown: Vec<usize>,
}

/// Why a text is no address of a database. No message quotes it: it can hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// The URL standard does not allow it, or its percent signs make no UTF-8.
    #[error("is not a URL: characters such as @, / and # in a password must be percent-encoded")]
    NotAUrl,
    /// Another scheme.
    #[error("does not begin with postgres:// or postgresql://")]
    AnotherScheme,
    /// Neither in its place nor as a parameter.
    #[error("names no host")]
    NoHost,
    /// Separated by commas, as libpq takes them.
    #[error("names several hosts, of which only one can be used: name the primary, or an address that moves with it")]
    SeveralHosts,
    /// Neither in its place nor as a parameter.
    #[error("names no database")]
    NoDatabase,
    /// As a parameter.
    #[error("has a hostaddr that is not an IP address")]
    HostAddress,
    /// As a parameter.
    #[error("has a port that is not a number up to 65535")]
    Port,
    /// What comes after a `#`.
    #[error("has a fragment: a # in a password must be written %23")]
    Fragment,
    /// An unknown one.
    #[error("has an sslmode other than disable, allow, prefer, require, verify-ca and verify-full")]
    SslMode,
    /// It would not be looked at.
    #[error("has an sslrootcert that counts for nothing with this sslmode: write sslmode=verify-full")]
    UnusedAuthority,
    /// A certificate without its key, or a key without its certificate.
    #[error("has only one of sslcert and sslkey, which belong together")]
    HalfAClient,
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(DatabaseUrlError::NotAUrl)?;
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(DatabaseUrlError::AnotherScheme);
        }
        let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        if hosts.contains(',') {
            return Err(DatabaseUrlError::SeveralHosts);
        }
        // The URL standard wants a host wherever there is a user or a port; here it may be a parameter.
        let is_named = !hosts.is_empty() && !hosts.starts_with(':');
        let stand_in = if is_named { "" } else { "host" };
        let url = Url::parse(&format!("{scheme}://{user}@{stand_in}{hosts}{after}"));
        let url = url.map_err(|_| DatabaseUrlError::NotAUrl)?;
        if url.fragment().is_some() {
            return Err(DatabaseUrlError::Fragment);
        }
        // A slash in a password that is not encoded ends the host: what comes after is the rest of the password, and an @.
        if url.path().contains('@') {
            return Err(DatabaseUrlError::NotAUrl);
        }
        let host = if is_named { decoded(url.host_str())? } else { None };
        Parts::of(&url, host)?.checked()
    }
}

impl DatabaseUrl {
    /// The places of parameters that are not known, counted from 1. Their names are not told: they may be of a password.
    pub fn unknown_parameters(&self) -> &[usize] {
        &self.unknown
    }

    /// The database without user and password.
    pub(super) fn shown(&self) -> String {
        format!("{} in PostgreSQL at {}:{}", self.database, self.host, self.port)
    }
}

/// What stands in an address, wherever it stands.
#[derive(Default)]
struct Parts<'a> {
    host: Option<Cow<'a, str>>,
    host_address: Option<Cow<'a, str>>,
    port: Option<u16>,
    user: Option<Cow<'a, str>>,
    password: Option<Cow<'a, str>>,
    database: Option<Cow<'a, str>>,
    options: Option<Cow<'a, str>>,
    mode: Option<Cow<'a, str>>,
    authority: Option<Cow<'a, str>>,
    certificate: Option<Cow<'a, str>>,
    key: Option<Cow<'a, str>>,
    unknown: Vec<usize>,
}

impl<'a> Parts<'a> {
    fn of(url: &'a Url, host: Option<Cow<'a, str>>) -> Result<Self, DatabaseUrlError> {
        let mut parts = Self {
            host,
            port: url.port(),
            user: decoded(Some(url.username()))?,
            password: decoded(url.password())?,
            database: decoded(Some(url.path().trim_matches('/')))?,
            ..Self::default()
        };
        let parameters = url.query().unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty());
        for (place, parameter) in (1..).zip(parameters) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if name.contains('@') {
                return Err(DatabaseUrlError::NotAUrl);
            }
            let part = match name {
                "port" => {
                    parts.port = Some(value.parse().map_err(|_| DatabaseUrlError::Port)?);
                    continue;
                }
                "host" => &mut parts.host,
                "hostaddr" => &mut parts.host_address,
                "user" => &mut parts.user,
                "password" => &mut parts.password,
                "dbname" => &mut parts.database,
                "options" => &mut parts.options,
                "sslmode" | "ssl-mode" => &mut parts.mode,
                "sslrootcert" | "ssl-root-cert" | "ssl-ca" => &mut parts.authority,
                "sslcert" | "ssl-cert" => &mut parts.certificate,
                "sslkey" | "ssl-key" => &mut parts.key,
                _ => {
                    parts.unknown.push(place);
                    continue;
                }
            };
            *part = decoded(Some(value))?;
        }
        Ok(parts)
    }

    fn checked(self) -> Result<DatabaseUrl, DatabaseUrlError> {
        let (mode, verification) = match self.mode.as_deref() {
            Some("disable" | "allow") => (SslMode::Disable, Verification::None),
            None | Some("prefer") => (SslMode::Prefer, Verification::None),
            // As libpq does: whoever names an authority wants it to count.
            Some("require") if self.authority.is_some() => (SslMode::Require, Verification::Authority),
            Some("require") => (SslMode::Require, Verification::None),
            Some("verify-ca") => (SslMode::Require, Verification::Authority),
            Some("verify-full") => (SslMode::Require, Verification::Name),
            Some(_) => return Err(DatabaseUrlError::SslMode),
        };
        if verification == Verification::None && self.authority.is_some() {
            return Err(DatabaseUrlError::UnusedAuthority);
        }
        let client = match (self.certificate, self.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.into_owned(), key.into_owned())),
            (Some(_), None) | (None, Some(_)) => return Err(DatabaseUrlError::HalfAClient),
        };
        let address = self.host_address.map(|address| address.parse().map_err(|_| DatabaseUrlError::HostAddress));
        let address: Option<IpAddr> = address.transpose()?;
        let host = self.host.or_else(|| Some(address?.to_string().into())).ok_or(DatabaseUrlError::NoHost)?;
        if host.contains(',') && !host.starts_with('/') {
            return Err(DatabaseUrlError::SeveralHosts);
        }
        // The brackets of an IPv6 address belong to the URL.
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        Ok(DatabaseUrl {
            host: bare.to_owned(),
            address,
            port: self.port.unwrap_or(DEFAULT_PORT),
            user: self.user.map(Cow::into_owned),
            password: self.password.map(|password| SecretString::from(password.into_owned())),
            database: self.database.ok_or(DatabaseUrlError::NoDatabase)?.into_owned(),
            options: self.options.map(Cow::into_owned),
            mode,
            verification,
            authority: self.authority.map(Cow::into_owned),
            client,
            unknown: self.unknown,
        })
    }
}

/// Without percent signs; `None` when there is nothing.
fn decoded(text: Option<&str>) -> Result<Option<Cow<'_, str>>, DatabaseUrlError> {
    let text = text.filter(|text| !text.is_empty());
    let decoded = text.map(|text| percent_encoding::percent_decode_str(text).decode_utf8()).transpose();
    decoded.map_err(|_| DatabaseUrlError::NotAUrl)
}
