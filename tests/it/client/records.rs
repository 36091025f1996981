//! TaskRouter's records: each is judged alone.

use super::*;
use serde_json::{Value, json};
use taskrouter_streams::twilio::client::{EventsPage, PagingError, RecordsPage};
use taskrouter_streams::twilio::event_record;

fn record(number: u32, at_ms: Option<i64>) -> String {
    let mut record = json!({"sid": format!("EV{number:032x}"), "event_type": "task.created"});
    if let Some(at_ms) = at_ms {
        record["event_date_ms"] = json!(at_ms);
    }
    record.to_string()
}

async fn listed(rows: &[&str], page_size: usize) -> RecordsPage {
    let body = format!("{{\"events\": [{}], \"meta\": {{\"page_size\": {page_size}}}}}", rows.join(","));
    let script = Script::start([Reply::Bytes(answer(200, &[], &body))]).await;
    let client = Client::new(settings(&script.url())).unwrap();
    client.event_log().page(&EventsPage::first(0, 100_000)).await.unwrap()
}

fn sids(page: &RecordsPage) -> Vec<&str> {
    page.records.iter().filter_map(event_record::sid).collect()
}

#[tokio::test]
async fn a_record_that_cannot_be_read_costs_only_itself() {
    let (first, second) = (record(1, Some(50_000)), record(2, Some(40_000)));
    for bad in ["7", "null", "[]", "\"x\"", "{\"sid\": }", "{sid}"] {
        let page = listed(&[bad, &first, bad, &second, bad], 50).await;
        assert_eq!((sids(&page).len(), page.unreadable, page.next), (2, 3, Ok(None)), "{bad}");
    }
    for fault in ["\"\\ud83d\"", "NaN", "\"a\nb\"", "\"\u{1}\""] {
        let odd = first.replacen('{', &format!("{{\"event_data\": {{\"x\": {fault}}},"), 1);
        let page = listed(&[&odd, &second], 50).await;
        assert_eq!((sids(&page).len(), page.unreadable), (2, 0), "{fault}");
        assert!(page.records[0]["event_data"].is_object());
    }
}

#[tokio::test]
async fn records_without_a_time_or_unreadable_ones_do_not_stop_the_paging() {
    let (newest, oldest, undated) = (record(1, Some(50_000)), record(2, Some(40_000)), record(3, None));
    for rows in [
        [undated.as_str(), &newest, &oldest, "7"],
        ["7", &newest, &oldest, &undated],
        [&newest, &undated, "null", &oldest],
        [&undated, "null", &newest, &undated],
    ] {
        let page = listed(&rows, 4).await;
        let next = page.next.unwrap().expect("a full page has a next one");
        assert_ne!(next, EventsPage::first(0, 100_000), "{rows:?}: it goes on from the oldest");
    }
    let page = listed(&[&undated, "7"], 2).await;
    assert_eq!(page.next, Err(PagingError::Disordered), "nothing tells where the list is");
    let page = listed(&[&oldest, &newest], 2).await;
    assert_eq!(page.next, Err(PagingError::Disordered));
}

#[tokio::test]
async fn a_list_that_is_none_is_an_error_of_the_request() {
    for body in ["", "[]", "{}", "{\"events\": 7}", "{\"events\": [", "<html>"] {
        let script = Script::start([Reply::Bytes(answer(200, &[], body))]).await;
        let client = Client::new(settings(&script.url())).unwrap();
        assert!(client.event_log().page(&EventsPage::first(0, 1)).await.is_err(), "{body}");
    }
    let page = listed(&[], 50).await;
    assert_eq!((page.records, page.unreadable, page.next), (Vec::<serde_json::Map<String, Value>>::new(), 0, Ok(None)));
}
