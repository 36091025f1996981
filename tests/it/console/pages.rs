//! The pages in a real browser.

use super::browser::Browser;
use super::busy_stage;
use std::path::Path;

const TAB: &str = "\u{E004}";
const ENTER: &str = "\u{E007}";

/// Keeps a picture of the page for people, and says whether there is anything on it.
async fn picture(browser: &Browser, name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
    std::fs::create_dir_all(&folder).unwrap();
    let png = browser.screenshot().await;
    assert!(png.len() > 20_000, "{name} is empty");
    std::fs::write(folder.join(format!("{name}.png")), png).unwrap();
}

#[tokio::test]
async fn the_pages_are_sound_in_a_real_browser() {
    let stage = busy_stage("").await;
    let Some(browser) = Browser::start().await else { return };
    let console = format!("http://{}/console", stage.service.admin());
    browser.open(&console).await;
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        picture(&browser, &format!("list-{scheme}")).await;
    }
    browser.press(&format!("{TAB}{ENTER}")).await;
    assert_eq!(browser.text("return document.activeElement.id").await, "main", "the first stop skips to the content");
    browser.run("document.querySelector('tbody tr:last-child th a').click()").await;
    browser.until("return document.querySelectorAll('.diagram svg rect').length > 10").await;
    let ground = async || browser.text("return getComputedStyle(document.body).backgroundColor").await;
    let dark = ground().await;
    picture(&browser, "call-dark").await;
    browser.prefer("light").await;
    assert_ne!(ground().await, dark, "the colours are those that the person prefers");
    picture(&browser, "call-light").await;
    let wrong = browser
        .text(
            "const wrong = [];
             if (document.querySelectorAll('h1').length !== 1) wrong.push('not one h1');
             for (const part of ['header', 'main', 'nav[aria-label]', '[role=search]', '[role=status]', 'html[lang]'])
               if (!document.querySelector(part)) wrong.push('no ' + part);
             for (const head of document.querySelectorAll('th')) if (!head.scope) wrong.push('a th without scope');
             for (const box of document.querySelectorAll('input:not([type=hidden])'))
               if (!box.labels.length) wrong.push('an input without label');
             for (const stop of document.querySelectorAll('a, button, input:not([type=hidden])')) {
               stop.focus({ focusVisible: true });
               if (stop.offsetParent && getComputedStyle(stop).outlineStyle === 'none') wrong.push('no outline: ' + stop.outerHTML);
             }
             const ids = [...document.querySelectorAll('[id]')].map((found) => found.id);
             if (new Set(ids).size !== ids.length) wrong.push('an id twice: ' + ids);
             if (document.documentElement.scrollWidth > innerWidth) wrong.push('wider than the window');
             return wrong.join('; ');",
        )
        .await;
    assert_eq!(wrong, "");
    let phone = serde_json::json!({"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": false});
    browser.command("Emulation.setDeviceMetricsOverride", phone).await;
    for (name, page) in [("call-phone", browser.text("return location.href").await), ("list-phone", console)] {
        browser.open(&page).await;
        let wide = browser.run("return document.documentElement.scrollWidth").await;
        assert_eq!(wide, 400, "{page} fits a phone; what is wider scrolls by itself");
        picture(&browser, name).await;
    }
    assert_eq!(
        browser.complaints().await,
        Vec::<String>::new(),
        "no script fails and the policy has nothing to refuse"
    );
    stage.stop().await;
}

#[tokio::test]
async fn a_page_follows_what_happens_keeps_the_focus_and_can_be_paused() {
    let stage = busy_stage("").await;
    let Some(browser) = Browser::start().await else { return };
    browser.open(&format!("http://{}/console", stage.service.admin())).await;
    browser.until("return document.querySelectorAll('tbody tr').length === 4").await;
    browser.run("window.loaded = 'once'; document.querySelector('tbody tr:first-child th a').focus()").await;
    let focused = browser.text("return document.activeElement.id").await;
    stage.sim.act(|world| world.customer_calls()).await;
    browser.until("return document.querySelectorAll('tbody tr').length === 5").await;
    assert_eq!(browser.text("return window.loaded").await, "once", "the page was not loaded again");
    assert_eq!(browser.text("return document.activeElement.id").await, focused);

    browser.run("document.getElementById('live').click()").await;
    assert_eq!(browser.text("return document.getElementById('live').textContent").await, "Paused");
    stage.sim.act(|world| world.customer_calls()).await;
    stage.at_rest().await.unwrap();
    assert_eq!(browser.run("return document.querySelectorAll('tbody tr').length").await, 5);
    browser.run("document.getElementById('live').click()").await;
    browser.until("return document.querySelectorAll('tbody tr').length === 6").await;
    stage.stop().await;
}

#[tokio::test]
async fn what_was_given_up_is_redriven_from_its_page() {
    let stage = busy_stage("").await;
    let Some(browser) = Browser::start().await else { return };
    browser.open(&format!("http://{}/console?state=parked", stage.service.admin())).await;
    browser.run("document.querySelector('tbody th a').click()").await;
    browser.until("return !!document.getElementById('redrive')").await;
    picture(&browser, "parked").await;
    browser.run("document.getElementById('redrive').focus()").await;
    browser.press(ENTER).await;
    browser.until("return !document.querySelector('.parked-changes') && !!document.querySelector('.story')").await;
    browser.until("return document.querySelector('.story').innerText.includes('an operator redrives the call')").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    stage.stop().await;
}
