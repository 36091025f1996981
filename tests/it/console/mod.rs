//! The operator's page and the `calls` commands, over real sockets.

mod axe;
mod browser;
mod calls;
mod http;
mod pages;
mod search;

use super::metrics::story;
use crate::stories::patient;
use reqwest::{Method, Response};
use std::net::SocketAddr;
use twilio_simulator::SimConfig;
use twilio_simulator::testbed::Testbed;

/// Live calls, one in each state that a page shows, and one whose stream was given up.
pub(crate) async fn busy_stage(extra: &str) -> Testbed {
    let extra = format!(
        "[server]\nthreads = 1\n[streams]\nstrategy = \"redirect\"\nconfirm_within_ms = 300\n[retry]\nfirst_ms = 1\ncap_ms = 5\ngive_up_ms = 20\n[admin]\nlive_every_ms = 50\n{extra}"
    );
    let stage = Testbed::start(SimConfig { latency_ms: 5, ..patient() }, &extra).await.unwrap();
    let told = [
        &[
            "customer calls",
            "alice accepts",
            "settle",
            "alice transfers to bob, warm",
            "settle",
            "bob accepts",
            "settle",
        ][..],
        &["customer calls", "settle"],
        &["customer calls", "alice accepts", "settle", "alice leaves", "alice completes", "settle"],
        &["customer calls", "alice accepts", "settle"],
    ];
    for steps in told {
        let outcome = stage.run(&story(steps)).await;
        assert_eq!(outcome.failures, Vec::<String>::new());
    }
    let parked =
        [&["customer calls"][..], &["the next redirect is answered 503"; 40], &["alice accepts", "settle"]].concat();
    stage.run(&story(&parked)).await;
    stage.sim.faults(|faults| faults.clear());
    stage
}

/// The answer to a request with these headers; redirects are not followed.
pub(crate) async fn answer(admin: SocketAddr, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let mut request = client.request(method, format!("http://{admin}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// What is answered to a GET.
pub(crate) async fn text(stage: &Testbed, path: &str) -> String {
    answer(stage.service.admin(), Method::GET, path, &[]).await.text().await.unwrap()
}
