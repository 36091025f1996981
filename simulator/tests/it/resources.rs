//! Every REST resource, each answer held against Twilio's specification: fields, filters, changes and ends.

use super::openapi::Spec;
use super::{ACCOUNT, START, WORKSPACE, world};
use serde_json::Value;
use twilio_simulator::world::{CallAction, Mode, RecordingAct, Reply, Target, World};
use twilio_simulator::{Ms, SimConfig, Site};

/// An account that is asked as over the wire.
struct Account {
    world: World,
    site: Site,
    now: Ms,
    spec: Spec,
}

impl Account {
    fn new(config: SimConfig) -> Self {
        let site = Site { account: ACCOUNT.parse().unwrap(), workspace: WORKSPACE.parse().unwrap() };
        Self { world: world(config), site, now: START, spec: Spec::new() }
    }

    /// With a call that alice has accepted: also its task, customer and conference.
    fn talking() -> (Self, [String; 3]) {
        let mut account = Self::new(SimConfig::default());
        let task = account.world.advance(START).customer_calls();
        account.world.accepts(&task, "alice").unwrap();
        let customer = account.world.report(&task).unwrap().customer.unwrap().to_string();
        let conference = account.world.conference(&task).unwrap().to_string();
        (account, [task.to_string(), customer, conference])
    }

    fn ask(&mut self, method: &str, path: &str, parameters: &[(&str, &str)]) -> Reply {
        let path = match path.strip_prefix("/v1") {
            Some(_) => path.replace("{WS}", WORKSPACE),
            None => format!("/2010-04-01/Accounts/{ACCOUNT}{path}.json"),
        };
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let request = self.site.request(method, &path, &parameters);
        let request = request.unwrap_or_else(|| panic!("{method} {path} is not simulated"));
        let reply = self.world.advance(self.now).perform(&request, &path);
        let faults = self.spec.faults(method, &path, &reply);
        assert!(faults.is_empty(), "{method} {path}: {faults:#?}");
        reply
    }

    fn get(&mut self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let reply = self.ask("GET", path, parameters);
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.body
    }

    fn post(&mut self, path: &str, parameters: &[(&str, &str)], status: u16) -> Value {
        let reply = self.ask("POST", path, parameters);
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
        reply.body
    }

    /// How many rows a list has.
    fn count(&mut self, path: &str, key: &str, parameters: &[(&str, &str)]) -> usize {
        self.get(path, parameters)[key].as_array().unwrap().len()
    }
}

#[test]
fn every_resource_of_a_call_is_as_specified() {
    let (mut account, [_, customer, conference]) = Account::talking();
    account.get(&format!("/Calls/{customer}"), &[]);
    assert_eq!(account.count("/Calls", "calls", &[]), 2);
    account.get(&format!("/Conferences/{conference}"), &[]);
    assert_eq!(account.count("/Conferences", "conferences", &[]), 1);
    let participants = format!("/Conferences/{conference}/Participants");
    assert_eq!(account.count(&participants, "participants", &[]), 2);
    account.get(&format!("{participants}/{customer}"), &[]);
    let streams = format!("/Calls/{customer}/Streams");
    account.post(&streams, &[("Url", "wss://a.example"), ("Name", "a")], 200);
    account.post(&format!("{streams}/a"), &[("Status", "stopped")], 200);
}

#[test]
fn every_resource_of_taskrouter_is_as_specified() {
    let (mut account, [task, _, _]) = Account::talking();
    assert_eq!(account.count("/v1/Workspaces", "workspaces", &[]), 2);
    account.get("/v1/Workspaces/{WS}", &[]);
    account.get(&format!("/v1/Workspaces/{{WS}}/Tasks/{task}"), &[]);
    assert_eq!(account.count("/v1/Workspaces/{WS}/Tasks", "tasks", &[]), 1);
    let reservations = format!("/v1/Workspaces/{{WS}}/Tasks/{task}/Reservations");
    let reservation = account.get(&reservations, &[])["reservations"][0].clone();
    account.get(&format!("{reservations}/{}", reservation["sid"].as_str().unwrap()), &[]);
    let worker = account.get("/v1/Workspaces/{WS}/Workers", &[])["workers"][0].clone();
    let worker = format!("/v1/Workspaces/{{WS}}/Workers/{}", worker["sid"].as_str().unwrap());
    account.get(&worker, &[]);
    let reservations = account.get(&format!("{worker}/Reservations"), &[])["reservations"].clone();
    account.get(&format!("{worker}/Reservations/{}", reservations[0]["sid"].as_str().unwrap()), &[]);
    let queue = account.get("/v1/Workspaces/{WS}/TaskQueues", &[])["task_queues"][0].clone();
    let queue = format!("/v1/Workspaces/{{WS}}/TaskQueues/{}", queue["sid"].as_str().unwrap());
    account.get(&queue, &[]);
    assert!(account.count("/v1/Workspaces/{WS}/Events", "events", &[]) > 2);
}

#[test]
fn sinks_and_subscriptions_keep_what_they_are_given_and_can_be_deleted() {
    let mut account = Account::new(SimConfig::default());
    let configuration = ("SinkConfiguration", "{\"destination\":\"https://a.example\",\"method\":\"POST\"}");
    let sink = account.post("/v1/Sinks", &[configuration, ("Description", "mine"), ("SinkType", "webhook")], 201);
    assert_eq!(sink["description"], "mine");
    let sink = sink["sid"].as_str().unwrap().to_owned();
    let types = ("Types", "{\"type\":\"com.twilio.taskrouter.task.created\"}");
    let form = [("SinkSid", sink.as_str()), ("Description", "ours"), types];
    let subscription = account.post("/v1/Subscriptions", &form, 201);
    assert_eq!(subscription["description"], "ours");
    let subscription = format!("/v1/Subscriptions/{}", subscription["sid"].as_str().unwrap());
    let events = format!("{subscription}/SubscribedEvents");
    account.post(&events, &[("Type", "com.twilio.x"), ("SchemaVersion", "2")], 201);
    assert_eq!(account.count(&events, "types", &[]), 2);
    account.get(&format!("{events}/com.twilio.x"), &[]);
    let updated = account.post(&subscription, &[("Description", "yours")], 200);
    assert_eq!(updated["description"], "yours");
    assert_eq!(account.post(&format!("/v1/Sinks/{sink}"), &[("Description", "new")], 200)["description"], "new");
    for path in [&format!("{events}/com.twilio.x"), &subscription, &format!("/v1/Sinks/{sink}")] {
        assert_eq!(account.ask("DELETE", path, &[]).status, 204, "{path}");
        assert_eq!(account.ask("DELETE", path, &[]).status, 404, "{path}");
        assert_eq!(account.ask("GET", path, &[]).status, 404, "{path}");
    }
}

#[test]
fn filters_are_honoured() {
    let (mut account, [task, customer, conference]) = Account::talking();
    let participants = format!("/Conferences/{conference}/Participants");
    account.post(&format!("{participants}/{customer}"), &[("Hold", "true"), ("Muted", "true")], 200);
    let tasks = "/v1/Workspaces/{WS}/Tasks";
    let reservations = format!("{tasks}/{task}/Reservations");
    // The world began on 2025-10-09.
    for (path, key, filter, found) in [
        ("/Conferences", "conferences", ("FriendlyName", task.as_str()), 1),
        ("/Conferences", "conferences", ("FriendlyName", "another"), 0),
        ("/Conferences", "conferences", ("Status", "in-progress"), 1),
        ("/Conferences", "conferences", ("Status", "completed"), 0),
        ("/Conferences", "conferences", ("DateCreated", "2025-10-09"), 1),
        ("/Conferences", "conferences", ("DateCreated", "2025-10-08"), 0),
        ("/Conferences", "conferences", ("DateCreated<", "2025-10-09"), 1),
        ("/Conferences", "conferences", ("DateCreated<", "2025-10-08"), 0),
        ("/Conferences", "conferences", ("DateCreated>", "2025-10-10"), 0),
        ("/Conferences", "conferences", ("DateUpdated>", "2025-10-09"), 1),
        (&participants, "participants", ("Hold", "true"), 1),
        (&participants, "participants", ("Hold", "false"), 1),
        (&participants, "participants", ("Muted", "true"), 1),
        (&participants, "participants", ("Coaching", "true"), 0),
        ("/Calls", "calls", ("Status", "in-progress"), 2),
        ("/Calls", "calls", ("Status", "completed"), 0),
        ("/Calls", "calls", ("From", "+15550100002"), 1),
        ("/Calls", "calls", ("To", "client:alice"), 1),
        ("/Calls", "calls", ("StartTime>", "2025-10-10"), 0),
        (tasks, "tasks", ("AssignmentStatus", "pending,assigned"), 1),
        (tasks, "tasks", ("AssignmentStatus", "canceled"), 0),
        (tasks, "tasks", ("TaskQueueName", "Nobody"), 0),
        (&reservations, "reservations", ("ReservationStatus", "accepted"), 1),
        (&reservations, "reservations", ("ReservationStatus", "pending"), 0),
        (&reservations, "reservations", ("WorkerSid", "WK00000000000000000000000000000000"), 0),
        ("/v1/Workspaces/{WS}/Workers", "workers", ("FriendlyName", "bob"), 1),
        ("/v1/Workspaces/{WS}/Workers", "workers", ("Available", "false"), 0),
    ] {
        assert_eq!(account.count(path, key, &[filter]), found, "{path} {filter:?}");
    }
    // The SDKs repeat a parameter that has several values.
    let several = [("AssignmentStatus", "canceled"), ("AssignmentStatus", "assigned")];
    assert_eq!(account.count(tasks, "tasks", &several), 1);
    assert_eq!(account.ask("GET", "/Conferences", &[("DateCreated", "yesterday")]).status, 400);
}

#[test]
fn every_filter_that_twilio_documents_is_honoured_or_refused() {
    let (account, [task, customer, conference]) = Account::talking();
    let spec = Spec::new();
    for (_, template, operation) in spec.operations().filter(|(method, _, _)| *method == "GET") {
        let path = template
            .replace("{AccountSid}", ACCOUNT)
            .replace("{WorkspaceSid}", WORKSPACE)
            .replace("{TaskSid}", &task)
            .replace("{ConferenceSid}", &conference)
            .replace("{CallSid}", &customer);
        for filter in operation["query"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap()) {
            if ["Page", "PageSize", "PageToken"].contains(&filter) {
                continue;
            }
            // Nothing has such a value: whoever honours the filter finds nothing, or refuses it.
            let value = match filter {
                "StartDate" => "2031-01-01T00:00:00Z",
                "EndDate" => "2001-01-01T00:00:00Z",
                "Minutes" => "-1",
                _ => "#",
            };
            let parameters = [(filter.to_owned(), value.to_owned())];
            let Some(request) = account.site.request("GET", &path, &parameters) else { continue };
            let mut world = Account::talking().0.world;
            let reply = world.perform(&request, &path);
            let rows = reply.body.as_object().unwrap().values().find_map(Value::as_array).map_or(0, Vec::len);
            let is_flag = ["Muted", "Hold", "Coaching", "Available"].contains(&filter);
            assert!(reply.status >= 400 || rows == 0 || is_flag, "{template} {filter}");
        }
    }
}

#[test]
fn a_page_leads_to_the_next_where_it_was_asked_with_its_filters() {
    let (mut account, _) = Account::talking();
    account.world.asked_at("http://127.0.0.1:4010");
    let filter = [("PageSize", "2"), ("Available", "true")];
    let page = account.get("/v1/Workspaces/{WS}/Workers", &filter);
    let next = format!("http://127.0.0.1:4010/v1/Workspaces/{WORKSPACE}/Workers?Available=true&PageSize=2&Page=1");
    assert_eq!((page["workers"].as_array().unwrap().len(), &page["meta"]["next_page_url"]), (2, &next.into()));
}

#[test]
fn a_participant_keeps_what_is_written() {
    let (mut account, [_, customer, conference]) = Account::talking();
    let path = format!("/Conferences/{conference}/Participants/{customer}");
    account.post(&path, &[("Muted", "true")], 200);
    account.post(&path, &[("Hold", "true")], 200);
    let other = account.world.tasks()[0].clone();
    let leg = account.world.worker_leg(&other, "alice").unwrap().to_string();
    account.post(&path, &[("Coaching", "true"), ("CallSidToCoach", &leg)], 200);
    let row = account.get(&path, &[]);
    assert_eq!((&row["muted"], &row["hold"], &row["coaching"]), (&true.into(), &true.into(), &true.into()));
    assert_eq!(row["call_sid_to_coach"], leg.as_str());
}

#[test]
fn a_program_calls_a_number_into_a_conference_and_removes_it() {
    let (mut account, [_, _, conference]) = Account::talking();
    let participants = format!("/Conferences/{conference}/Participants");
    let form = [("To", "+15550100077"), ("From", "+15550100001"), ("Label", "third"), ("Muted", "true")];
    let row = account.post(&participants, &form, 201);
    assert_eq!((&row["label"], &row["muted"]), (&"third".into(), &true.into()));
    assert_eq!(account.ask("POST", &participants, &form).body["code"], 16025);
    let call = row["call_sid"].as_str().unwrap();
    assert_eq!(account.get(&format!("{participants}/third"), &[])["call_sid"], call);
    assert_eq!(account.ask("DELETE", &format!("{participants}/third"), &[]).status, 204);
    assert_eq!(account.ask("DELETE", &format!("{participants}/third"), &[]).status, 404);
    assert_eq!(account.get(&format!("/Calls/{call}"), &[])["status"], "completed");
    assert_eq!(account.get(&format!("/Conferences/{conference}"), &[])["status"], "in-progress");
    let new = account.post("/Conferences/my room/Participants", &form, 201);
    let made = account.get(&format!("/Conferences/{}", new["conference_sid"].as_str().unwrap()), &[]);
    assert_eq!((&made["friendly_name"], &made["status"]), (&"my room".into(), &"init".into()));
    assert_eq!(account.world.violations(), []);
}

#[test]
fn a_program_creates_a_call_that_follows_its_twiml_and_ends() {
    let mut account = Account::new(SimConfig { ringing_ms: 100, ..SimConfig::default() });
    let twiml = "<Response><Say>Hello</Say></Response>";
    let form = [("To", "+15550100077"), ("From", "+15550100001"), ("Twiml", twiml)];
    let call = account.post("/Calls", &form, 201);
    assert_eq!(call["status"], "queued");
    let path = format!("/Calls/{}", call["sid"].as_str().unwrap());
    for (wait, status) in [(0, "ringing"), (100, "in-progress"), (1_000, "completed")] {
        account.now += wait;
        assert_eq!(account.get(&path, &[])["status"], status);
    }
    assert_eq!(account.get(&path, &[])["duration"], "1");
    assert_eq!(account.ask("POST", "/Calls", &form[..2]).status, 400);
    let relative = [form[0], form[1], ("Url", "/twiml")];
    assert_eq!(account.ask("POST", "/Calls", &relative).body["code"], 21205);
    let by_url = [form[0], form[1], ("Url", "https://a.example/twiml"), form[2]];
    account.post("/Calls", &by_url, 201);
    account.now += 100;
    assert_eq!(account.world.advance(account.now).take_documents().len(), 1);
    assert_eq!(account.world.violations(), []);
}

#[test]
fn a_program_makes_tasks_and_answers_reservations() {
    let mut account = Account::new(SimConfig::default());
    let tasks = "/v1/Workspaces/{WS}/Tasks";
    let made = account.post(tasks, &[("Attributes", "{\"type\":\"back office\"}"), ("Priority", "7")], 201);
    let task = format!("{tasks}/{}", made["sid"].as_str().unwrap());
    assert_eq!(account.get(&task, &[])["priority"], 7);
    let reservation = account.get(&format!("{task}/Reservations"), &[])["reservations"][0]["sid"].clone();
    let reservation = format!("{task}/Reservations/{}", reservation.as_str().unwrap());
    for status in ["accepted", "wrapping", "completed"] {
        let told = account.post(&reservation, &[("ReservationStatus", status)], 200);
        assert_eq!(told["reservation_status"], status);
    }
    assert_eq!(account.ask("POST", &reservation, &[("ReservationStatus", "accepted")]).status, 400);
    assert_eq!(account.get(&task, &[])["assignment_status"], "completed");
    let other = account.post(tasks, &[], 201);
    let other = format!("{tasks}/{}", other["sid"].as_str().unwrap());
    let attributes: Value = account.post(&other, &[("Attributes", "{\"a\":1}")], 200)["attributes"].clone();
    assert_eq!(attributes, "{\"a\":1}");
    let canceled = account.post(&other, &[("AssignmentStatus", "canceled"), ("Reason", "a mistake")], 200);
    assert_eq!((&canceled["assignment_status"], &canceled["reason"]), (&"canceled".into(), &"a mistake".into()));
    assert_eq!(account.ask("DELETE", &other, &[]).status, 204);
    let third = account.post(tasks, &[], 201);
    let third = format!("{tasks}/{}", third["sid"].as_str().unwrap());
    assert_eq!(account.ask("DELETE", &third, &[]).status, 204);
    assert_eq!(account.ask("GET", &third, &[]).status, 404);
}

#[test]
fn the_codes_that_nobody_has_published_are_settings() {
    let mut config = SimConfig::default();
    config.errors.stream_name_taken.status = 400;
    config.errors.stream_name_taken.code = 31_000;
    config.errors.stop_of_no_stream.code = 31_001;
    let mut account = Account::new(config);
    let task = account.world.advance(START).customer_calls();
    let customer = account.world.report(&task).unwrap().customer.unwrap();
    let (streams, form) = (format!("/Calls/{customer}/Streams"), [("Url", "wss://a.example"), ("Name", "a")]);
    account.post(&streams, &form, 200);
    assert_eq!(account.post(&streams, &form, 400)["code"], 31_000);
    assert_eq!(account.post(&format!("{streams}/b"), &[("Status", "stopped")], 404)["code"], 31_001);
}

#[test]
fn a_conference_that_is_over_says_why() {
    let (mut account, [_, customer, conference]) = Account::talking();
    let task = account.world.tasks()[0].clone();
    account.world.transfers(&task, "alice", &Target::Agent("bob".into()), Mode::Warm).unwrap();
    let path = format!("/Conferences/{conference}");
    assert_eq!(account.ask("DELETE", &format!("{path}/Participants/{customer}"), &[]).status, 204);
    let over = account.get(&path, &[]);
    assert_eq!(over["reason_conference_ended"], "participant-with-end-conference-on-exit-kicked");
    assert_eq!(over["call_sid_ending_conference"], customer.as_str());
}

#[test]
fn recordings_of_calls_and_conferences_are_as_specified_and_end_with_them() {
    let (mut account, [task, customer, conference]) = Account::talking();
    let task: taskrouter_streams::call::sid::TaskSid = task.parse().unwrap();
    account.world.happens(&task, CallAction::ConferenceRecording(RecordingAct::Starts)).unwrap();
    let of_call = format!("/Calls/{customer}/Recordings");
    account.post(&of_call, &[], 200);
    for of in [of_call.clone(), format!("/Conferences/{conference}/Recordings")] {
        let listed = account.get(&of, &[])["recordings"].clone();
        let sid = listed[0]["sid"].as_str().unwrap();
        assert_eq!((listed.as_array().unwrap().len(), &listed[0]["status"]), (1, &"in-progress".into()));
        let paused =
            account.post(&format!("{of}/Twilio.CURRENT"), &[("Status", "paused"), ("PauseBehavior", "silence")], 200);
        assert_eq!((&paused["sid"], &paused["status"]), (&sid.into(), &"paused".into()));
        assert_eq!(account.get(&format!("{of}/{sid}"), &[])["status"], "paused");
        assert_eq!(account.post(&format!("{of}/{sid}"), &[("Status", "in-progress")], 200)["status"], "in-progress");
        for (wrong, status) in [([("Status", "later")], 400), ([("PauseBehavior", "skip")], 400)] {
            account.post(&format!("{of}/{sid}"), &wrong, status);
        }
    }
    account.world.advance(START).customer_hangs_up(&task).unwrap();
    assert_eq!(account.get(&of_call, &[])["recordings"][0]["status"], "completed");
    account.post(&format!("{of_call}/Twilio.CURRENT"), &[("Status", "paused")], 404);
    account.post(&of_call, &[], 400);
    assert_eq!(account.world.violations(), []);
}

#[test]
fn nobody_may_change_the_recording_of_a_workers_leg() {
    let (mut account, [task, ..]) = Account::talking();
    let worker = account.world.worker_leg(&task.parse().unwrap(), "alice").unwrap();
    let of = format!("/Calls/{worker}/Recordings");
    account.post(&of, &[], 200);
    account.post(&format!("{of}/Twilio.CURRENT"), &[("Status", "paused")], 200);
    assert_eq!(account.world.violations().len(), 1);
}
