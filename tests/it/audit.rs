//! What somebody may be trying is logged, counted and slowed.

use crate::ingress::{FORM, TARGET, fake, raw, send, sid, status};
use crate::metrics::{named, samples};
use crate::program::{self, Serving};
use crate::strangers::{get, listen};
use std::time::{Duration, Instant};
use taskrouter_streams::twilio::signature::sign;

fn created(number: u32, at_s: u64) -> Vec<u8> {
    let pairs = [
        ("EventType", "task.created".to_owned()),
        ("AccountSid", sid("AC", 1)),
        ("WorkspaceSid", sid("WS", 1)),
        ("Sid", sid("EV", number)),
        ("Timestamp", at_s.to_string()),
        ("TaskSid", sid("WT", number)),
    ];
    let body = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let signature = sign(&format!("{}{TARGET}", crate::ingress::BASE), &pairs, "token");
    raw(TARGET, FORM, &[&signature], body.as_bytes())
}

#[test]
fn authentic_events_that_are_old_are_acted_on_and_counted_as_possible_replays() {
    let journal = fake(9, false);
    let listener = listen(journal.clone(), |settings| settings.late_after = Duration::from_secs(3600));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for (number, at_s, late) in [(1, now, [0, 0]), (2, now - 7200, [1, 0]), (2, now - 7200, [1, 1]), (3, now, [1, 1])] {
        assert_eq!(status(&send(listener.address, &created(number, at_s))), "204");
        let counted =
            ["new", "duplicate"].map(|verdict| listener.sample(&format!("events_late_total{{verdict=\"{verdict}\"}}")));
        assert_eq!(counted, late, "event {number}");
    }
    assert_eq!(*journal.kept.lock().unwrap(), [1, 2, 3].map(|number| sid("EV", number)));
}

const ADMIN_TOKEN: &str = "an-admin-token-of-the-tests";

fn with_token(token: &str) -> Vec<u8> {
    format!("GET /calls HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n")
        .into_bytes()
}

#[test]
fn wrong_admin_tokens_are_logged_counted_and_slowed() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = program::program();
    command.stderr(std::fs::File::create(&log).unwrap());
    let journal = format!("sqlite:{}", folder.path().join("journal.db").display());
    let settings = [("TRS__ADMIN__TOKEN", ADMIN_TOKEN), ("TRS__ADMIN__LOGIN_DELAY_MS", "2000")];
    let serving = Serving::start_logging(command, &journal, "http://127.0.0.1:9", &settings);
    let admin = serving.admin.parse().unwrap();
    assert_eq!(status(&send(admin, &with_token(ADMIN_TOKEN))), "200");
    let began = Instant::now();
    let answers: Vec<String> = std::thread::scope(|scope| {
        let tries: Vec<_> =
            (0..40).map(|number| scope.spawn(move || send(admin, &with_token(&format!("guess-{number}"))))).collect();
        tries.into_iter().map(|attempt| status(&attempt.join().unwrap()).to_owned()).collect()
    });
    let slowed = answers.iter().filter(|answer| *answer == "401").count();
    let turned_away = answers.iter().filter(|answer| *answer == "429").count();
    assert!(slowed <= 32 && slowed + turned_away == 40, "{answers:?}");
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(status(&send(admin, &with_token(ADMIN_TOKEN))), "200", "afterwards the right one is let in");
    assert_eq!(status(&get(&serving.admin, "/calls")), "401", "without a token there is nothing to slow");
    let metrics = get(&serving.admin, "/metrics");
    let (_, body) = metrics.split_once("\r\n\r\n").unwrap();
    let counted = samples(body);
    let count = |reason: &str| counted[&named(&format!("admin_refusals_total{{reason=\"{reason}\"}}"))];
    assert_eq!(count("wrong_token") + count("too_many"), 40.0);
    assert_eq!(count("missing_token"), 1.0);
    let log = std::fs::read_to_string(&log).unwrap();
    assert_eq!(log.matches("refused a request to the console").count(), 1, "{log}");
    assert!(!log.contains("guess-") && !log.contains(ADMIN_TOKEN), "{log}");
}
