//! A real browser, driven through WebDriver, as far as these tests need one.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A headless Chromium.
pub(super) struct Browser {
    driver: Child,
    session: String,
    http: reqwest::Client,
    _profile: TempDir,
}

impl Browser {
    /// Starts one; `None`, said aloud, where there is none, which CI does not accept.
    #[expect(clippy::print_stderr, reason = "what was not tried must be seen")]
    pub(super) async fn start() -> Option<Self> {
        let spawned = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = match spawned {
            Ok(driver) => driver,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "chromium and chromium-driver are missing: {error}");
                eprintln!("SKIPPED: the console was not tried in a browser, for there is no chromedriver: {error}");
                return None;
            }
        };
        let profile = TempDir::new().unwrap();
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let started = lines.map_while(Result::ok).find(|line| line.contains("started successfully on port")).unwrap();
        let port = started.trim_end_matches('.').rsplit(' ').next().unwrap().to_owned();
        let base = format!("http://127.0.0.1:{port}");
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--window-size=1360,900",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut browser = Self { driver, session: base.clone(), http, _profile: profile };
        let created = browser.post("/session", &capabilities).await;
        browser.session = format!("{base}/session/{}", created["sessionId"].as_str().unwrap());
        Some(browser)
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.http.post(format!("{}{path}", self.session));
        let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert!(value["value"]["error"].is_null(), "{path}: {text}");
        value["value"].clone()
    }

    pub(super) async fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url})).await;
    }

    /// What a function body returns in the page.
    pub(super) async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []})).await
    }

    pub(super) async fn text(&self, script: &str) -> String {
        self.run(script).await.as_str().unwrap_or_else(|| panic!("{script} is not a text")).to_owned()
    }

    /// Waits until the function body returns true.
    pub(super) async fn until(&self, script: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.run(script).await != json!(true) {
            if Instant::now() > deadline {
                panic!("never: {script}\n{}", self.text("return document.body.innerText").await);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Presses keys, as in "\u{E004}" for Tab.
    pub(super) async fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})])
            .collect();
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]})).await;
    }

    /// The page as it stands, which needs no script.
    pub(super) async fn source(&self) -> String {
        let answer = self.http.get(format!("{}/source", self.session)).send().await.unwrap();
        let value: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        value["value"].as_str().unwrap().to_owned()
    }

    /// Clicks as a person does, which needs no script.
    pub(super) async fn click(&self, selector: &str) {
        let found = self.post("/element", &json!({"using": "css selector", "value": selector})).await;
        let element = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.post(&format!("/element/{element}/click"), &json!({})).await;
    }

    /// A command of Chromium's own protocol.
    pub(super) async fn command(&self, command: &str, params: Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": params})).await
    }

    /// Prefers a colour scheme, as a person's system does.
    pub(super) async fn prefer(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.command("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// The whole page as PNG.
    pub(super) async fn screenshot(&self) -> Vec<u8> {
        use base64::Engine as _;
        let shot = self.command("Page.captureScreenshot", json!({"captureBeyondViewport": true})).await;
        base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }

    /// What the page complained of: scripts that failed, what the policy refused.
    pub(super) async fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({"type": "browser"})).await;
        log.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
    }

    /// Ends the session, and Chromium with it: the driver alone would leave it running.
    fn end_session(&self) -> std::io::Result<()> {
        let (address, path) = self.session["http://".len()..].split_once('/').unwrap_or_default();
        let mut driver = TcpStream::connect(address)?;
        write!(driver, "DELETE /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        driver.set_read_timeout(Some(Duration::from_secs(20)))?;
        driver.read_to_end(&mut Vec::new()).map(drop)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.end_session();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
