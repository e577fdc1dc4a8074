//! A real browser, driven by WebDriver: Chromium and its driver, as they are on the machine. The protocol is
//! a handful of requests in JSON. Of the libraries for it, one makes `serde_json` keep the order of fields in
//! the program that is tested, which production's does not, and one brings a dozen crates a second time.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::{eventually, wait_until};

/// `1`: the tests in a browser must be run. Not set: where there is one.
const WANTED: &str = "HOLDFAST_TEST_BROWSER";
const MISSING: &str = "The console is tested in a real browser: install one with `apt-get install -y \
                       chromium chromium-driver`, or put `chromium` and `chromedriver` on the PATH.";
const FLAGS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-default-apps",
];
/// As WebDriver names an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Of one command: a page is loaded meanwhile.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Browser {
    _driver: Child,
    client: Client,
    address: String,
    session: String,
}

/// Where the first of these programs is.
fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|file| file.is_file())
}

impl Browser {
    /// With a fresh profile in `dir`. None, and a word about it, where there is none, unless there must be.
    pub async fn start(dir: &Path) -> Option<Self> {
        let chromium = program(&["chromium", "chromium-browser", "google-chrome"]);
        let (Some(chromium), Some(driver)) = (chromium, program(&["chromedriver"])) else {
            assert!(std::env::var(WANTED).is_err(), "{MISSING}");
            // Not by `eprintln!`, which nobody sees of a test that passes.
            let _ = writeln!(std::io::stderr(), "skipped: a test in a browser. {MISSING}");
            return None;
        };
        let mut command = Command::new(driver);
        // Its temporary files stay where the system has them: a socket's path may not be long.
        command.args(["--port=0", "--log-level=SEVERE"]).env("HOME", dir);
        let mut driver =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
            let line = line.expect("chromedriver says its port");
            if let Some((_, port)) = line.rsplit_once("successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        let mut arguments: Vec<String> = FLAGS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", dir.join("profile").display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"binary": chromium, "args": arguments, "prefs": {
                // Debian's begins with a page of somebody else's.
                "session.restore_on_startup": 4,
                "session.startup_urls": ["about:blank"],
                "homepage": "about:blank",
            }},
        }}});
        let client = providers::http_client().no_proxy().timeout(PATIENCE).build().unwrap();
        let address = format!("127.0.0.1:{port}");
        let mut browser = Self { _driver: driver, client, address, session: String::new() };
        let begun = browser.ask(Method::POST, "", &wanted).await;
        browser.session = begun["sessionId"].as_str().unwrap().to_owned();
        browser.open("about:blank").await;
        browser.complaints().await; // whatever it did before is no page's of ours
        browser.places().await;
        Some(browser)
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        self.try_ask(method, path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn try_ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, Value> {
        let session = if self.session.is_empty() { String::new() } else { format!("/{}", self.session) };
        let url = format!("http://{}/session{session}{path}", self.address);
        let request = self.client.request(method.clone(), url);
        let request = if method == Method::POST { request.json(body) } else { request };
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        match answer["value"].get("error") {
            Some(_) => Err(answer["value"].clone()),
            None => Ok(answer["value"].clone()),
        }
    }

    /// Chromium's own way to be asked for more than WebDriver knows.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.ask(Method::POST, "/goog/cdp/execute", &json!({"cmd": command, "params": parameters})).await
    }

    pub async fn open(&self, url: &str) {
        self.ask(Method::POST, "/url", &json!({"url": url})).await;
    }

    pub async fn url(&self) -> String {
        self.ask(Method::GET, "/url", &Value::Null).await.as_str().unwrap().to_owned()
    }

    /// Runs a script in the page; gives what it returns.
    pub async fn run(&self, script: &str, arguments: Value) -> Value {
        self.ask(Method::POST, "/execute/sync", &json!({"script": script, "args": arguments})).await
    }

    /// The same, of a script that calls its last argument when it is done.
    pub async fn run_until_done(&self, script: &str, arguments: Value) -> Value {
        self.ask(Method::POST, "/execute/async", &json!({"script": script, "args": arguments})).await
    }

    /// Waits until there is such an element; gives it.
    async fn element(&self, xpath: &str) -> String {
        eventually(&format!("{xpath} is there"), async || {
            let asked = json!({"using": "xpath", "value": xpath});
            let found = self.try_ask(Method::POST, "/element", &asked).await.ok()?;
            found[ELEMENT].as_str().map(str::to_owned)
        })
        .await
    }

    /// Clicks it, as soon as it is there and not just being replaced.
    pub async fn click(&self, xpath: &str) {
        wait_until(&format!("{xpath} is clicked"), async || {
            let element = self.element(xpath).await;
            self.try_ask(Method::POST, &format!("/element/{element}/click"), &json!({})).await.is_ok()
        })
        .await;
    }

    pub async fn fill(&self, xpath: &str, text: &str) {
        let element = self.element(xpath).await;
        self.ask(Method::POST, &format!("/element/{element}/clear"), &json!({})).await;
        self.ask(Method::POST, &format!("/element/{element}/value"), &json!({"text": text})).await;
    }

    /// The link with this text.
    pub async fn follow(&self, text: &str) {
        self.click(&format!("//a[normalize-space()='{text}']")).await;
    }

    /// The button with this text.
    pub async fn press(&self, text: &str) {
        self.click(&format!("//button[normalize-space()='{text}']")).await;
    }

    /// The text of the page, as it is seen.
    pub async fn text(&self) -> String {
        let text = self.run("return document.body.innerText", json!([])).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows this.
    pub async fn until_shown(&self, text: &str) {
        wait_until(&format!("the page shows `{text}`"), async || self.text().await.contains(text)).await;
    }

    /// What the browser has to complain about since it was asked last.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.ask(Method::POST, "/se/log", &json!({"type": "browser"})).await;
        let entries =
            entries.as_array().unwrap().iter().filter(|it| it["level"] != "INFO" && it["level"] != "DEBUG");
        entries.map(|it| it["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Where requests went since it was asked last.
    pub async fn places(&self) -> BTreeSet<String> {
        let entries = self.ask(Method::POST, "/se/log", &json!({"type": "performance"})).await;
        let url = |entry: &Value| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &message["message"];
            (message["method"] == "Network.requestWillBeSent").then_some(())?;
            message["params"]["request"]["url"].as_str().map(str::to_owned)
        };
        let urls = entries.as_array().unwrap().iter().filter_map(url);
        let place = |url: String| url.split('/').take(3).collect::<Vec<_>>().join("/");
        urls.filter(|url| url.starts_with("http") || url.starts_with("ws")).map(place).collect()
    }

    /// As a phone or a desk has it, by day or by night.
    pub async fn look(&self, width: u32, is_dark: bool) {
        let is_phone = width < 600;
        let size = json!({"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": is_phone});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    pub async fn without_scripts(&self, is_without: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": is_without})).await;
    }

    /// A picture of what is seen.
    pub async fn picture(&self, file: &Path) {
        let picture = self.ask(Method::GET, "/screenshot", &Value::Null).await;
        std::fs::write(file, BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap()).unwrap();
    }
}

/// The driver ends its browser, if it is told so; killed, it leaves it behind.
impl Drop for Browser {
    fn drop(&mut self) {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
        let request = format!(
            "DELETE /session/{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.session, self.address
        );
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read(&mut [0; 1024]); // answered once the browser has ended
    }
}
