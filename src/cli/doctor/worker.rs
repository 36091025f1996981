//! The running worker, as its admin listener tells.

use super::check::Check;
use crate::cli::ingress_client::reachable;
use crate::config::Settings;
use crate::telemetry::metrics::PREFIX;
use std::time::Duration;

/// The service answers at once, or is not well.
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
            let found = format!("no worker answers at {base}, so what it left undone is not known");
            let remedy = "start `serve`, or set admin.listen to where it listens";
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
        200 => Check::ok(NAME, "it runs and is ready"),
        503 => Check::failure(NAME, "it runs, and its journal does not answer", "look into its log for the reason"),
        _ => Check::warning(
            NAME,
            format!("admin.listen answers with {status}"),
            "something else listens there: set admin.listen to where the worker does",
        ),
    }
}

fn parked(metrics: &str) -> Check {
    const NAME: &str = "parked work";
    let remedy = "see `calls list --parked`, mend the cause, then `calls redrive`";
    match gauge(metrics, "calls{state=\"parked\"}") {
        Some(0.0) => Check::ok(NAME, "no change was given up"),
        Some(calls) => Check::warning(NAME, format!("{calls} calls have a change that was given up"), remedy),
        None => Check::warning(NAME, "the worker does not say", "is the worker of this version?"),
    }
}

fn orphans(metrics: &str) -> Check {
    const NAME: &str = "stale streams";
    let remedy = "see `calls list --live`: each is stopped by itself, or its call shows why not";
    match gauge(metrics, "streams_orphaned") {
        Some(0.0) => Check::ok(NAME, "no stream runs without its agent"),
        Some(streams) => Check::warning(NAME, format!("{streams} streams run without their agents"), remedy),
        None => Check::warning(NAME, "the worker does not say", "is the worker of this version?"),
    }
}

fn gauge(metrics: &str, name: &str) -> Option<f64> {
    let name = format!("{PREFIX}_{name} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name))?.parse().ok()
}
