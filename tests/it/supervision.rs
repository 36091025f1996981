//! The end of a part is the end of the process; a call that cannot be read is parked and blinds nothing else.

use crate::ingress::{ADMIN, account, fake, settings, status};
use crate::metrics::{Samples, get, named, story, until};
use crate::pace::scaled;
use crate::stories::patient;
use crate::strangers::{self, PATIENCE};
use actix_web::rt::System;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use taskrouter_streams::call::fact::{Fact, FactKind};
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::http::{Listener, admin, public};
use taskrouter_streams::journal::{Journal, NewFact};
use taskrouter_streams::service::{Ended, Supervisor};
use taskrouter_streams::telemetry::metrics::Metrics;
use twilio_simulator::testbed::Testbed;

#[tokio::test]
async fn a_task_that_ends_is_named_with_what_it_ended_with() {
    let mut tasks = Supervisor::default();
    tasks.spawn("long one", std::future::pending::<Result<(), Infallible>>());
    for (name, reason, in_order) in
        [("returns", "it returned", true), ("fails", "no files left", false), ("panics", "it panicked", false)]
    {
        tasks.spawn(name, async move {
            match name {
                "returns" => Ok(()),
                "fails" => Err("no files left"),
                _ => panic!("expected by this test"),
            }
        });
        assert_eq!(tasks.ended().await, Ended { task: name, reason: reason.to_owned(), in_order });
    }
    tokio::time::timeout(Duration::from_millis(10), tasks.ended()).await.expect_err("the long one still runs");
    tasks.join(&["returns"]).await;
}

/// Either listener, on a free address.
fn listeners() -> [(Listener, SocketAddr); 2] {
    let metrics = || Arc::new(Metrics::new("0", "0"));
    let [one, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = [&one, &other].map(|listener| listener.local_addr().unwrap());
    let public = public(settings(vec![account(1, &["token"])]), fake(1, false), metrics(), one).unwrap();
    let admin = admin(fake(1, false), metrics(), |_| {}, other, ADMIN).unwrap();
    [(public, addresses[0]), (admin, addresses[1])]
}

#[test]
fn a_listener_ends_with_any_of_its_threads() {
    for name in ["public listener", "admin listener"] {
        let ended = System::new().block_on(async {
            let [(public, public_address), (admin, admin_address)] = listeners();
            let is_public = name == "public listener";
            let (listener, address) = if is_public { (public, public_address) } else { (admin, admin_address) };
            let mut tasks = Supervisor::default();
            tasks.spawn(name, listener.run());
            let health = tokio::task::spawn_blocking(move || strangers::get(&address.to_string(), "/health/live"));
            assert_eq!(status(&health.await.unwrap()), if is_public { "404" } else { "200" });
            // Ends the threads of the server behind its back.
            System::current().stop();
            tokio::time::timeout(scaled(PATIENCE), tasks.ended()).await.expect("it goes on without a thread")
        });
        let reason = "one of its threads has died".to_owned();
        assert_eq!(ended, Ended { task: name, reason, in_order: false });
    }
}

#[tokio::test]
async fn a_listener_that_is_stopped_ends_in_order() {
    for (listener, address) in listeners() {
        let _idle = TcpStream::connect(address).unwrap();
        let (handle, running) = (listener.handle(), tokio::spawn(listener.run()));
        handle.stop().await;
        running.await.unwrap().expect("a thread that is told to end has not died");
    }
}

/// Something new about a call, so that it is due.
async fn hears_of(journal: &dyn Journal, task: &TaskSid, identity: &str) {
    let fact = Fact { at: journal.clock().now(), kind: FactKind::Redriven };
    journal.ingest(NewFact { call: task.clone(), identity: identity.to_owned(), fact: fact.into() }).await.unwrap();
}

async fn json(stage: &Testbed, path: &str) -> serde_json::Value {
    serde_json::from_str(&get(stage, path).await.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_fact_that_is_no_json_parks_its_call_and_nothing_else() {
    a_damaged_fact_parks_its_call_and_nothing_else("'{'").await;
}

/// One flipped bit is enough.
#[tokio::test]
async fn a_fact_that_is_no_text_parks_its_call_and_nothing_else() {
    a_damaged_fact_parks_its_call_and_nothing_else("CAST(x'7bff' AS TEXT)").await;
}

async fn a_damaged_fact_parks_its_call_and_nothing_else(body: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("journal.db");
    let url = format!("sqlite:{}", file.display());
    let extra = "[server]\nthreads = 1\n[admin]\nstream_gauges_ms = 100";
    let stage = Testbed::start_on(&url, patient(), extra).await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let told = stage.run(&story(&["customer calls", "alice accepts", "settle", "expect stream alice"])).await;
        assert_eq!(told.failures, Vec::<String>::new());
        tasks.extend(told.tasks);
    }
    let [damaged, sound] = &tasks[..] else { panic!("{tasks:?}") };
    let connection = rusqlite::Connection::open(&file).unwrap();
    let last = "SELECT max(id) FROM fact WHERE call = (SELECT call FROM fact WHERE task = ?1) AND identity IS NOT NULL";
    let damage = format!("UPDATE fact SET body = {body} WHERE id = ({last})");
    assert_eq!(connection.execute(&damage, [damaged.as_str()]).unwrap(), 1);
    let stage = stage.restart().await.unwrap();
    // The streams of the other call are counted.
    let is_seen = |samples: &Samples| {
        let live = samples.get(&named("streams_live"));
        samples.get(&named("calls_unreadable")) == Some(&1.0) && live >= Some(&1.0)
    };
    until(&stage, is_seen).await;

    hears_of(&**stage.service.journal(), damaged, "something new").await;
    until(&stage, |samples| samples.get(&named("calls{state=\"parked\"}")) == Some(&1.0)).await;
    let list = json(&stage, "/calls?state=parked").await;
    assert_eq!(list["calls"][0]["task"], damaged.as_str());
    let reason = list["calls"][0]["parked"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("cannot be read") && reason.contains("redrive"), "{reason}");
    assert_eq!(json(&stage, &format!("/calls/{sound}")).await["call"]["parked"], serde_json::json!([]));
    let page = get(&stage, &format!("/console/calls/{damaged}")).await;
    assert_eq!(page.status(), 200, "it is shown, as far as it can be read");

    let parked = |samples: &Samples| samples[&named("parked_total{change=\"serve\"}")];
    let once = parked(&until(&stage, |_| true).await);
    assert_eq!(once, 1.0);
    let redrive = reqwest::Client::new()
        .post(format!("http://{}/calls/{damaged}/redrive", stage.service.admin()))
        .send()
        .await
        .unwrap();
    assert_eq!(redrive.status(), 202);
    until(&stage, |samples| parked(samples) == 2.0).await;
    until(&stage, |samples| samples.get(&named("calls{state=\"active\"}")) == Some(&0.0)).await;
    stage.stop().await;
}
