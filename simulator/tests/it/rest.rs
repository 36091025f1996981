//! The REST door over real sockets.

use super::{ACCOUNT, TOKEN, WORKSPACE, json, rejoin, simulator, start};
use reqwest::StatusCode;
use serde_json::Value;
use std::time::{Duration, Instant};
use taskrouter_streams::call::sid::TaskSid;
use twilio_simulator::world::OpName;
use twilio_simulator::{SimConfig, Simulator};

pub(super) struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub(super) fn of(sim: &Simulator) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        Self { http, base: sim.api_base_url() }
    }

    pub(super) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(self.url(path)).basic_auth(ACCOUNT, Some(TOKEN))
    }

    pub(super) fn post(&self, path: &str, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.http.post(self.url(path)).basic_auth(ACCOUNT, Some(TOKEN)).form(form)
    }

    fn url(&self, path: &str) -> String {
        if path.starts_with("/v") {
            format!("{}{path}", self.base)
        } else {
            format!("{}/2010-04-01/Accounts/{ACCOUNT}{path}", self.base)
        }
    }

    async fn json(&self, path: &str) -> Value {
        json(self.get(path).send().await.unwrap()).await
    }
}

async fn talking(config: SimConfig) -> (Simulator, TaskSid) {
    let sim = simulator(config).await;
    let task = sim.act(|world| world.customer_calls()).await;
    sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    (sim, task)
}

#[tokio::test]
async fn a_conference_is_found_by_name_and_read() {
    let (sim, task) = talking(SimConfig::default()).await;
    let client = Client::of(&sim);
    let found = client.json(&format!("/Conferences.json?FriendlyName={task}&Status=in-progress&PageSize=20")).await;
    let conference = sim.world(|world| world.conference(&task)).unwrap();
    assert_eq!(found["conferences"][0]["sid"], conference.as_str());
    assert_eq!(found["page_size"], 20);
    assert_eq!(found["next_page_uri"], Value::Null);
    let read = client.json(&format!("/Conferences/{conference}.json")).await;
    assert_eq!((&read["friendly_name"], &read["status"]), (&task.as_str().into(), &"in-progress".into()));
    let none = client.json("/Conferences.json?FriendlyName=another&Status=in-progress").await;
    assert_eq!(none["conferences"].as_array().unwrap().len(), 0);
    sim.stop().await;
}

#[tokio::test]
async fn participants_come_in_pages_that_lead_to_one_another() {
    let (sim, task) = talking(SimConfig { page_size_limit: 1, ..SimConfig::default() }).await;
    let client = Client::of(&sim);
    let conference = sim.world(|world| world.conference(&task)).unwrap();
    let first = client.json(&format!("/Conferences/{conference}/Participants.json?PageSize=50")).await;
    assert_eq!(first["participants"].as_array().unwrap().len(), 1);
    let next = first["next_page_uri"].as_str().unwrap();
    let next = next.strip_prefix(&format!("/2010-04-01/Accounts/{ACCOUNT}")).unwrap();
    let second = client.json(next).await;
    assert_ne!(second["participants"][0]["call_sid"], first["participants"][0]["call_sid"]);
    assert_eq!(second["next_page_uri"], Value::Null);
    sim.stop().await;
}

#[tokio::test]
async fn a_guard_a_redirect_and_a_stop_go_over_the_wire() {
    let (sim, task) = talking(SimConfig::default()).await;
    let client = Client::of(&sim);
    let (conference, customer) = (
        sim.world(|world| world.conference(&task)).unwrap(),
        sim.world(|world| world.report(&task)).unwrap().customer.unwrap(),
    );
    let path = format!("/Conferences/{conference}/Participants/{customer}.json");
    let answer = client.post(&path, &[("EndConferenceOnExit", "false"), ("Hold", "false")]).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.headers()["Twilio-Request-Id"].to_str().unwrap().starts_with("RQ"));
    let twiml = rejoin(&start("a name & more"), task.as_str()).replace("a name & more", "a name &amp; more");
    let answer = client.post(&format!("/Calls/{customer}.json"), &[("Twiml", &twiml)]).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(sim.quiet(Duration::from_secs(5)).await);
    let stop = format!("/Calls/{customer}/Streams/a%20name%20&%20more.json");
    let answer = client.post(&stop, &[("Status", "stopped")]).send().await.unwrap();
    assert_eq!(json(answer).await["status"], "stopped");
    assert_eq!(sim.world(|world| world.violations().to_vec()), []);
    let ops: Vec<_> =
        sim.world(|world| world.requests().to_vec()).iter().map(|request| (request.op, request.status)).collect();
    let expected =
        [OpName::UpdateParticipant, OpName::RedirectCall, OpName::StopStream].map(|op| (Some(op), Some(200)));
    assert_eq!(ops, expected);
    assert!(sim.world(|world| world.requests().to_vec()).iter().all(|request| request.task.as_ref() == Some(&task)));
    sim.stop().await;
}

#[tokio::test]
async fn a_stream_is_created_and_stopped_over_the_wire() {
    let (sim, task) = talking(SimConfig::default()).await;
    let client = Client::of(&sim);
    let customer = sim.world(|world| world.report(&task)).unwrap().customer.unwrap();
    let form = [
        ("Url", "wss://media.example/a"),
        ("Name", "a name & more"),
        ("Track", "both_tracks"),
        ("Parameter1.Name", "workerSid"),
        ("Parameter1.Value", "WK0000000000000000000000000000000a"),
        ("Parameter99.Name", "x"),
        ("Parameter99.Value", "1 + 1"),
    ];
    let answer = client.post(&format!("/Calls/{customer}/Streams.json"), &form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let sid = json(answer).await["sid"].as_str().unwrap().to_owned();
    let stream = sim.world(|world| world.report(&task)).unwrap().streams.remove(0);
    assert_eq!(stream.worker.unwrap().as_str(), "WK0000000000000000000000000000000a");
    assert_eq!(stream.parameters[1], ("x".to_owned(), "1 + 1".to_owned()));
    let stop = client.post(&format!("/Calls/{customer}/Streams/{sid}.json"), &[("Status", "stopped")]);
    assert_eq!(json(stop.send().await.unwrap()).await["status"], "stopped");
    let ops: Vec<_> =
        sim.world(|world| world.requests().to_vec()).iter().map(|request| (request.op, request.status)).collect();
    assert_eq!(ops, [(Some(OpName::CreateStream), Some(200)), (Some(OpName::StopStream), Some(200))]);
    assert_eq!(sim.world(|world| world.violations().to_vec()), []);
    sim.stop().await;
}

#[tokio::test]
async fn a_task_bears_its_attributes_as_a_string_and_lists_its_reservations() {
    let (sim, task) = talking(SimConfig::default()).await;
    let client = Client::of(&sim);
    let read = client.json(&format!("/v1/Workspaces/{WORKSPACE}/Tasks/{task}")).await;
    let attributes: Value = serde_json::from_str(read["attributes"].as_str().unwrap()).unwrap();
    assert_eq!(attributes["conference"]["sid"], sim.world(|world| world.conference(&task)).unwrap().as_str());
    let listed = client.json(&format!("/v1/Workspaces/{WORKSPACE}/Tasks/{task}/Reservations")).await;
    assert_eq!(listed["reservations"][0]["reservation_status"], "accepted");
    sim.stop().await;
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_an_api_key_is_let_in() {
    let (sim, _) = talking(SimConfig::default()).await;
    let url = format!("{}/2010-04-01/Accounts/{ACCOUNT}/Conferences.json", sim.api_base_url());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for request in [http.get(&url), http.get(&url).basic_auth(ACCOUNT, Some("wrong"))] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(json(answer).await["code"], 20003);
    }
    let key = http.get(&url).basic_auth("SK00000000000000000000000000005e01", Some("the key's secret"));
    assert_eq!(key.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(sim.world(|world| world.violations().to_vec()), []);
    sim.stop().await;
}

#[tokio::test]
async fn what_is_not_simulated_is_501_and_a_note_and_what_twilio_has_not_is_404_and_a_violation() {
    let (sim, _) = talking(SimConfig::default()).await;
    let client = Client::of(&sim);
    let path = "/Calls/CA00000000000000000000000000000000.json";
    let answer = client.post(path, &[("Twiml", "<Response/>")]).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let body: Value = json(answer).await;
    assert_eq!((&body["code"], &body["status"]), (&20404.into(), &404.into()));
    assert_eq!(sim.world(|world| world.violations().to_vec()), []);
    for path in ["/Messages.json", "/Calls/CA00000000000000000000000000000000/Transcriptions.json", "/v1/Services"] {
        let answer = client.get(path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_IMPLEMENTED);
        assert!(json(answer).await["message"].as_str().unwrap().contains(path));
    }
    let told: Vec<String> = sim.world(|world| world.notes().iter().map(ToString::to_string).collect());
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(sim.world(|world| world.violations().to_vec()), []);
    for path in ["/v1/Workspaces/WS00000000000000000000000000000000/Tasks", "/v9/Nonsense"] {
        assert_eq!(client.get(path).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(sim.world(|world| world.violations().len()), 2);
    sim.stop().await;
}

#[tokio::test]
async fn every_request_takes_the_latency() {
    let (sim, _) = talking(SimConfig { latency_ms: 60, ..SimConfig::default() }).await;
    let began = Instant::now();
    Client::of(&sim).json("/Conferences.json").await;
    assert!(began.elapsed() >= Duration::from_millis(60));
    sim.stop().await;
}
