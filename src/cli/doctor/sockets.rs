//! The destinations: do they accept TLS and a WebSocket handshake?

use super::check::Check;
use anyhow::Context as _;
use std::time::{Duration, Instant};

/// For TCP, TLS and the handshake together.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The handshake of RFC 6455, whose key is any 16 bytes.
const HANDSHAKE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "ZG9jdG9yJ3Mga25vY2sgIQ=="),
];

pub(super) async fn checks(urls: Vec<&str>) -> anyhow::Result<Vec<Check>> {
    let http = reqwest::Client::builder()
        .timeout(HANDSHAKE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .http1_only()
        .build()
        .context("cannot create an HTTP client: install the system's root certificates (ca-certificates)")?;
    let mut checks = Vec::new();
    for url in urls {
        checks.push(check(&http, url).await);
    }
    Ok(checks)
}

async fn check(http: &reqwest::Client, url: &str) -> Check {
    const NAME: &str = "destination";
    let began = Instant::now();
    let mut request = http.get(format!("https{}", url.trim_start_matches("wss")));
    for (name, value) in HANDSHAKE {
        request = request.header(name, value);
    }
    let sent = request.send().await;
    let ms = began.elapsed().as_millis();
    match sent.map(|answer| answer.status().as_u16()) {
        Ok(101) => Check::ok(NAME, format!("{url} opens a WebSocket within {ms} ms")),
        Ok(status @ (401 | 403)) => {
            Check::ok(NAME, format!("{url} refuses an unsigned handshake ({status}), as it should"))
        }
        Ok(status) => Check::warning(
            NAME,
            format!("{url} answers a WebSocket handshake with {status}"),
            "check the path: it must accept WebSocket connections",
        ),
        Err(error) if error.is_connect() => Check::failure(
            NAME,
            format!("{url}: could not connect, or its certificate is not trusted"),
            "check host, port, firewall and certificate: Twilio connects from the Internet",
        ),
        Err(error) if error.is_timeout() => Check::failure(
            NAME,
            format!("{url} does not answer within {} s", HANDSHAKE_TIMEOUT.as_secs()),
            "check whether the server is overloaded: Twilio would give up too",
        ),
        Err(_) => Check::warning(
            NAME,
            format!("{url} closes the connection during the handshake"),
            "check the path: it must accept WebSocket connections",
        ),
    }
}
