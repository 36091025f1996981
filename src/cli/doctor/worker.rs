//! The running service, seen through its admin listener.

use super::check::Check;
use crate::cli::ingress_client::reachable;
use crate::config::Settings;
use crate::telemetry::metrics::PREFIX;
use std::time::Duration;

/// A healthy service answers at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn checks(settings: &Settings) -> Vec<Check> {
    let base = format!("http://{}", reachable(settings.admin.listen));
    let client = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).no_proxy().build();
    let asked = match client {
        Ok(client) => ask(&client, &base).await,
        Err(error) => Err(error),
    };
    match asked {
        Ok((status, metrics)) => vec![health(status), parked(&metrics), orphans(&metrics)],
        Err(_) => {
            let found = format!("no service answers at {base}, so its parked changes are unknown");
            let remedy = "start `serve`, or set admin.listen to its address";
            vec![Check::warning("worker", found, remedy)]
        }
    }
}

async fn ask(client: &reqwest::Client, base: &str) -> Result<(u16, String), reqwest::Error> {
    let status = client.get(format!("{base}/health/ready")).send().await?.status().as_u16();
    let metrics = client.get(format!("{base}/metrics")).send().await?.text().await?;
    Ok((status, metrics))
}

fn health(status: u16) -> Check {
    const NAME: &str = "worker";
    match status {
        200 => Check::ok(NAME, "running and ready"),
        503 => Check::failure(NAME, "running, but its journal does not answer", "see its log for the reason"),
        _ => Check::warning(
            NAME,
            format!("admin.listen answers with {status}"),
            "set admin.listen to the service's address: another program listens there",
        ),
    }
}

fn parked(metrics: &str) -> Check {
    const NAME: &str = "parked changes";
    let remedy = "see `calls list --parked`, fix the cause, then run `calls redrive`";
    match gauge(metrics, "calls{state=\"parked\"}") {
        Some(0.0) => Check::ok(NAME, "no change is parked"),
        Some(calls) => Check::warning(NAME, format!("{calls} calls have a parked change"), remedy),
        None => Check::warning(NAME, "the service does not report it", "check that the service has this version"),
    }
}

fn orphans(metrics: &str) -> Check {
    const NAME: &str = "stale streams";
    let remedy = "see `calls list --live`: each is stopped automatically, or its call shows why not";
    match gauge(metrics, "streams_orphaned") {
        Some(0.0) => Check::ok(NAME, "no stream runs without an agent"),
        Some(streams) => Check::warning(NAME, format!("{streams} streams run without an agent"), remedy),
        None => Check::warning(NAME, "the service does not report it", "check that the service has this version"),
    }
}

fn gauge(metrics: &str, name: &str) -> Option<f64> {
    let name = format!("{PREFIX}_{name} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name))?.parse().ok()
}
