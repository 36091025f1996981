//! The way to Twilio: directly, or through a proxy that tunnels TLS (CONNECT).
//!
//! A command's body is handed out when its connection is ready to write it, and through a proxy that is when the tunnel and TLS within
//! it stand. A plain http:// address, as the simulator has, never goes through a proxy: it would take the request, and pass it on when
//! it likes.

use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;
use url::Url;

/// A proxy, and the hosts that are reached without it.
#[derive(Clone, PartialEq, Eq)]
pub struct OutboundProxy {
    /// May hold a user and a password.
    url: Url,
    direct: Vec<Direct>,
}

/// Hosts to which the proxy is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Direct {
    All,
    Network(IpNet),
    /// The host and all below it, in lower case.
    Domain(String),
}

/// Why an address cannot be a proxy's; the rest of a sentence that begins with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not the address of an HTTP proxy")]
pub struct NotAProxy;

impl OutboundProxy {
    /// From an address, whose scheme may be left out, and what `NO_PROXY` lists: hosts with all below them, addresses, networks, or
    /// `*` for everything.
    pub fn new<'a>(address: &str, direct: impl IntoIterator<Item = &'a str>) -> Result<Self, NotAProxy> {
        let address = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let url = Url::parse(&address).map_err(|_| NotAProxy)?;
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_bare {
            return Err(NotAProxy);
        }
        let entries = direct.into_iter().map(str::trim).filter(|entry| !entry.is_empty());
        Ok(Self { url, direct: entries.map(Direct::read).collect() })
    }

    /// Whether requests to this address go through it.
    pub fn carries(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        url.scheme() == "https" && !self.direct.iter().any(|direct| direct.covers(&host))
    }

    pub(super) fn for_reqwest(&self) -> reqwest::Proxy {
        let proxy = self.clone();
        reqwest::Proxy::custom(move |url| proxy.carries(url).then(|| proxy.url.clone()))
    }
}

impl Direct {
    fn read(entry: &str) -> Self {
        if entry == "*" {
            return Self::All;
        }
        if let Some(network) = entry.parse().ok().or_else(|| entry.parse::<IpAddr>().ok().map(IpNet::from)) {
            return Self::Network(network);
        }
        // Of a port nothing is said here: Twilio has one.
        let host = entry.split(':').next().unwrap_or_default();
        Self::Domain(host.trim_start_matches('*').trim_start_matches('.').to_ascii_lowercase())
    }

    fn covers(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Network(network) => host.parse().is_ok_and(|address: IpAddr| network.contains(&address)),
            Self::Domain(domain) => {
                host.strip_suffix(domain.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
        }
    }
}

/// Without its user and password.
impl fmt::Display for OutboundProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = (self.url.scheme(), self.url.host_str().unwrap_or_default());
        write!(f, "{scheme}://{host}:{}", self.url.port_or_known_default().unwrap_or_default())
    }
}

impl fmt::Debug for OutboundProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
