//! The keys that are addresses. No problem quotes one: an address can hold a password.

use crate::config::JournalUrl;
use crate::config::layers::Raw;
use crate::config::reader::Reader;
use crate::journal::DatabaseUrl;
use crate::telemetry::traces;
use crate::twilio::client::{HostError, Product, base_url};
use ipnet::IpNet;
use std::net::IpAddr;
use std::path::PathBuf;
use url::{Host, Url};

const API_BASE_URL: &str = "twilio.api_base_url";
const TASKROUTER_BASE_URL: &str = "twilio.taskrouter_base_url";

/// The paths of the public listener, which do not belong in `server.public_url`.
const EVENT_PATHS: [&str; 4] =
    ["/taskrouter/events", "/taskrouter/event-streams", "/taskrouter/assignment", "/streams/status"];

/// `server.public_url`, as written, because signatures are computed over it; without a fragment and the last slash.
pub(super) fn public_url(reader: &mut Reader) -> Option<String> {
    const KEY: &str = "server.public_url";
    let remedy = "set it to the address at which Twilio reaches this listener, as in \"https://streams.example.com\"";
    let text = reader.text(KEY, remedy)?;
    let text = text.split_once('#').map_or(text.as_str(), |(address, _fragment)| address);
    let Ok(url) = Url::parse(text) else {
        reader.problem(KEY, "is not a URL", remedy);
        return None;
    };
    let wrong = if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
        "does not begin with https:// and a host"
    } else if url.scheme() == "http" && !is_loopback(&url) {
        "begins with http://, which sends callers' data unencrypted"
    } else if has_userinfo(&url) {
        "has a user or password, which Twilio leaves out of its signatures"
    } else if url.query().is_some() {
        "has a query string, which the paths below it cannot keep"
    } else if text.contains(char::is_whitespace) || !text.is_ascii() {
        "has characters that must be percent-encoded"
    } else if let Some(path) =
        EVENT_PATHS.iter().find(|path| text.trim_end_matches('/').to_ascii_lowercase().ends_with(**path))
    {
        let remedy = format!("leave {path} out: it is added to this address");
        reader.problem(KEY, format!("ends with {path}, which is the path of one kind of request"), remedy);
        return None;
    } else {
        let (scheme, rest) = text.split_once(':')?;
        return Some(format!("{}:{}", scheme.to_ascii_lowercase(), rest.trim_end_matches('/')));
    };
    reader.problem(KEY, wrong, remedy);
    None
}

/// A list of networks, which may be empty. An address alone is a network of one.
pub(super) fn networks(reader: &mut Reader, key: &'static str) -> Option<Vec<IpNet>> {
    let remedy = "list addresses or networks, as in [\"10.0.0.0/8\", \"192.0.2.1\"]";
    let network = |item| match item {
        Raw::Text(text) => text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)),
        Raw::Integer(_) | Raw::Truth(_) | Raw::List(_) | Raw::Table(_) | Raw::Other => None,
    };
    let items = reader.list(key, remedy)?;
    let networks: Option<Vec<IpNet>> = items.into_iter().map(network).collect();
    if networks.is_none() {
        reader.problem(key, "has an item that is neither an address nor a network", remedy);
    }
    networks
}

/// The base URLs of the API and of TaskRouter: the overrides, else those of the region and edge.
pub(super) fn base_urls(reader: &mut Reader) -> Option<(Url, Url)> {
    let region = reader.optional_text("twilio.region");
    let edge = reader.optional_text("twilio.edge");
    let (api, taskrouter) = (reader.optional_text(API_BASE_URL), reader.optional_text(TASKROUTER_BASE_URL));
    let overridden = api.is_some() && taskrouter.is_some();
    let mut resolve = |key, text: Option<String>, product| match text {
        Some(text) => base(reader, key, &text),
        None => base_url(product, region.as_deref(), edge.as_deref()).ok().and_then(|text| Url::parse(&text).ok()),
    };
    let urls =
        (resolve(API_BASE_URL, api, Product::Api), resolve(TASKROUTER_BASE_URL, taskrouter, Product::TaskRouter));
    if let (false, Err(error)) = (overridden, base_url(Product::Api, region.as_deref(), edge.as_deref())) {
        match error {
            HostError::UnknownRegion => reader.problem("twilio.region", "is not a known region", error.to_string()),
            HostError::NotAName => reader.problem("twilio.region", "or twilio.edge is not a name", error.to_string()),
        }
    }
    Some((urls.0?, urls.1?))
}

fn base(reader: &mut Reader, key: &'static str, text: &str) -> Option<Url> {
    let remedy = "write https:// (or http:// for the simulator) and a host, or leave it out to use Twilio's hosts";
    let wrong = match Url::parse(text) {
        Err(_) => "is not a URL",
        Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => "is not an http:// or https:// URL",
        Ok(url) if has_userinfo(&url) => "has a user or password, which belong in the keys for credentials",
        Ok(url) if url.query().is_some() || url.fragment().is_some() => "has a query string or a fragment",
        Ok(url) => return Some(url),
    };
    reader.problem(key, wrong, remedy);
    None
}

/// `traces.otlp_url`: where traces go, if anywhere.
pub(super) fn otlp_url(reader: &mut Reader) -> Option<String> {
    const KEY: &str = "traces.otlp_url";
    let text = reader.optional_text(KEY)?;
    let (wrong, remedy) = match Url::parse(&text) {
        _ if !traces::SUPPORTED => (
            "is set, but this program was built without the feature opentelemetry",
            "build it with `cargo build --release --features opentelemetry`, or leave the key out",
        ),
        Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() || has_userinfo(&url) => (
            "is not an http:// or https:// URL without a user",
            "write it as in \"http://127.0.0.1:4318/v1/traces\"; a collector's key belongs in OTEL_EXPORTER_OTLP_HEADERS",
        ),
        Ok(_) => return Some(text),
        Err(_) => ("is not a URL", "write it as in \"http://127.0.0.1:4318/v1/traces\""),
    };
    reader.problem(KEY, wrong, remedy);
    None
}

/// `journal.url`: which store, and where.
pub(super) fn journal_url(reader: &mut Reader) -> Option<JournalUrl> {
    const KEY: &str = "journal.url";
    let remedy = "write sqlite: and the path of a file, as in \"sqlite:/var/lib/taskrouter-streams/journal.db\", or \
                  \"postgres://user:password@host/database?sslmode=verify-full\"";
    let text = reader.text(KEY, remedy)?;
    let wrong = match text.split_once(':') {
        Some(("sqlite", "" | ":memory:")) => "names no file, so nothing would survive a restart",
        Some(("sqlite", path)) if path.starts_with("//") || path.starts_with("file:") || path.contains('?') => {
            "is not sqlite: followed by a plain path"
        }
        Some(("sqlite", path)) => return Some(JournalUrl::Sqlite(PathBuf::from(path))),
        Some(("postgres" | "postgresql", _)) => match text.parse::<DatabaseUrl>() {
            Ok(url) => return Some(JournalUrl::Postgres(Box::new(url))),
            Err(wrong) => {
                reader.problem(KEY, wrong.to_string(), remedy);
                return None;
            }
        },
        Some(_) | None => "names an unknown store",
    };
    reader.problem(KEY, wrong, remedy);
    None
}

pub(super) fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
