//! Every page in a real browser, on a desk and on a phone, in light and dark, judged by axe-core.

use super::browser::Browser;
use super::{busy_stage, text};
use serde_json::{Value, json};
use std::path::Path;

/// Where `make setup-test` puts axe-core.
const AXE: &str = "axe-core/package/axe.min.js";

/// The source of axe-core; `None`, said aloud, where it is missing, which CI does not accept.
#[expect(clippy::print_stderr, reason = "what was not tried must be seen")]
fn axe() -> Option<String> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join(AXE);
    match std::fs::read_to_string(&file) {
        Ok(source) => Some(source),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "axe-core is missing, see make setup-test: {error}");
            eprintln!("SKIPPED: the console was not judged by axe-core: {}: {error}", file.display());
            None
        }
    }
}

async fn widen(browser: &Browser, width: u32) {
    let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
    browser.command("Emulation.setDeviceMetricsOverride", size).await;
}

async fn picture(browser: &Browser, name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{name}.png")), browser.screenshot().await).unwrap();
}

#[tokio::test]
async fn every_page_is_accessible_and_fits_on_a_desk_and_on_a_phone_in_light_and_dark() {
    let Some(axe) = axe() else { return };
    let stage = busy_stage("").await;
    let Some(browser) = Browser::start().await else { return };
    let parked: Value = serde_json::from_str(&text(&stage, "/calls?state=parked").await).unwrap();
    let live: Value = serde_json::from_str(&text(&stage, "/calls").await).unwrap();
    let task = |list: &Value, place: usize| list["calls"][place]["task"].as_str().unwrap().to_owned();
    let last = live["calls"].as_array().unwrap().len() - 1;
    let pages = [
        ("live", "/console".to_owned()),
        ("search", "/console?state=all&from=24h&outcome=problem".to_owned()),
        ("parked", "/console?state=parked".to_owned()),
        ("ended", "/console?state=over".to_owned()),
        ("transfer", format!("/console/calls/{}", task(&live, last))),
        ("given-up", format!("/console/calls/{}", task(&parked, 0))),
        ("redrive-all", "/console/parked/redrive".to_owned()),
        ("day", "/console/day".to_owned()),
        ("wrong", "/console?find=%2B15550100100".to_owned()),
    ];
    let mut wrong = Vec::new();
    for (name, page) in &pages {
        for (width, scheme) in [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")] {
            browser.prefer(scheme).await;
            widen(&browser, width).await;
            browser.open(&format!("http://{}{page}", stage.service.admin())).await;
            picture(&browser, &format!("{name}-{width}-{scheme}")).await;
            let wide = browser.run("return document.documentElement.scrollWidth").await;
            if wide != json!(width) {
                wrong.push(format!("{name} at {width}: {wide} wide"));
            }
            let judged =
                browser.run(&format!("{axe}; return axe.run(document, {{resultTypes: ['violations']}})")).await;
            for violation in judged["violations"].as_array().unwrap() {
                let places = violation["nodes"].as_array().unwrap().iter().map(|node| node["html"].to_string());
                let places: Vec<String> = places.take(3).collect();
                wrong.push(format!("{name} at {width}, {scheme}: {}: {}", violation["id"], places.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    widen(&browser, 390).await;
    browser.open(&format!("http://{}{}", stage.service.admin(), pages[4].1)).await;
    let story = browser.run("return document.getElementById('story').offsetHeight / document.querySelectorAll('.story tbody tr').length").await;
    assert!(story.as_f64().unwrap() < 160.0, "a line of the story is {story} px high on a phone");
    let mut complaints = browser.complaints().await;
    // The page that says what is wrong with a search is not answered with 200.
    complaints.retain(|complaint| !complaint.contains("status of 400"));
    assert_eq!(complaints, Vec::<String>::new());
    stage.stop().await;
}

#[tokio::test]
async fn without_javascript_calls_are_searched_and_redriven() {
    let stage = busy_stage("").await;
    let Some(browser) = Browser::start().await else { return };
    browser.command("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    browser.open(&format!("http://{}/console?state=all&outcome=problem", stage.service.admin())).await;
    let source = browser.source().await;
    assert!(source.contains("data-label=\"Outcome\"") && source.contains("missing"), "{source}");
    assert!(!source.contains("class=\"copy\""), "no script has run");
    picture(&browser, "without-javascript").await;
    browser.open(&format!("http://{}/console/parked/redrive", stage.service.admin())).await;
    browser.click("#confirm").await;
    stage.at_rest().await.unwrap();
    assert!(browser.source().await.contains("No calls with parked changes."));
    stage.stop().await;
}
