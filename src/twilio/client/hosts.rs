//! The hosts of Twilio's REST API: `{product}.{edge}.{region}.twilio.com`.
//! Source: <https://www.twilio.com/docs/global-infrastructure/using-the-twilio-rest-api-in-a-non-us-region>.

use url::Url;

/// A Twilio product with its own hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Calls, conferences, participants, streams.
    Api,
    /// Tasks.
    TaskRouter,
    /// Sinks and subscriptions of Event Streams.
    Events,
}

/// A region or edge that gives no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The edge of the region is not known.
    #[error("the edge of this region is unknown: set twilio.edge (TWILIO_EDGE) as well")]
    UnknownRegion,
    /// Not a label of a host name.
    #[error("a region or edge is made of lower-case letters, digits and hyphens, as in \"ie1\" and \"dublin\"")]
    NotAName,
}

/// The regions and their edges, for a region alone: hosts with a region and no edge stopped working on 2026-04-28
/// (<https://www.twilio.com/docs/global-infrastructure/api-domain-migration-guide>).
const EDGES: [(&str, &str); 8] = [
    ("us1", "ashburn"),
    ("us2", "umatilla"),
    ("ie1", "dublin"),
    ("de1", "frankfurt"),
    ("au1", "sydney"),
    ("jp1", "tokyo"),
    ("sg1", "singapore"),
    ("br1", "sao-paulo"),
];

/// The base URL of a product, without a trailing slash. Without region and edge it is the plain host; a region alone uses its
/// own edge, an edge alone us1.
pub fn base_url(product: Product, region: Option<&str>, edge: Option<&str>) -> Result<String, HostError> {
    let product = match product {
        Product::Api => "api",
        Product::TaskRouter => "taskrouter",
        Product::Events => "events",
    };
    if [region, edge].into_iter().flatten().any(|name| !is_label(name)) {
        return Err(HostError::NotAName);
    }
    let (edge, region) = match (edge, region) {
        (None, None) => return Ok(format!("https://{product}.twilio.com")),
        (Some(edge), region) => (edge, region.unwrap_or("us1")),
        (None, Some(region)) => (edge_of(region)?, region),
    };
    Ok(format!("https://{product}.{edge}.{region}.twilio.com"))
}

/// The base URL of the Events API: TaskRouter's edge and region, or the same address if that is not a host of Twilio's.
pub(super) fn events_beside(taskrouter: &Url) -> Url {
    let mut url = taskrouter.clone();
    if let Some(rest) = taskrouter.host_str().and_then(|host| host.strip_prefix("taskrouter.")) {
        // Fails only for URLs without a host.
        let _ = url.set_host(Some(&format!("events.{rest}")));
    }
    url
}

fn edge_of(region: &str) -> Result<&'static str, HostError> {
    let found = EDGES.iter().find(|(known, _)| *known == region);
    found.map(|(_, edge)| *edge).ok_or(HostError::UnknownRegion)
}

fn is_label(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !name.is_empty() && name.len() <= 63 && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}
