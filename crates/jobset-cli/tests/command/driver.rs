//! A real browser, by the WebDriver protocol: JSON over HTTP to chromedriver.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{PATIENCE, missing};

pub(crate) const ENTER: char = '\u{e007}';
pub(crate) const ESCAPE: char = '\u{e00c}';
pub(crate) const LEFT: char = '\u{e012}';
pub(crate) const RIGHT: char = '\u{e014}';
pub(crate) const DOWN: char = '\u{e015}';

/// Headless Chromium. It ends when this is dropped.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: TempDir,
}

impl Browser {
    /// Starts one, if the machine has it; says so loudly if not.
    pub(crate) fn start() -> Option<Self> {
        let chromium = ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find_map(on_path);
        let (Some(chromium), Some(driver)) = (chromium, on_path("chromedriver")) else {
            missing("chromium with chromedriver");
            return None;
        };
        let profile = TempDir::new().unwrap();
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap());
        let port = loop {
            let mut line = String::new();
            assert!(said.read_line(&mut line).unwrap() > 0, "chromedriver ended");
            let port = line.trim_end().trim_end_matches('.').rsplit(' ').next();
            if line.contains("started successfully on port") {
                break port.unwrap().parse().unwrap();
            }
        };
        // What it says later must not stop it.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
            profile,
        };
        let data = browser.profile.path().join("data");
        let data = format!("--user-data-dir={}", data.display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,800",
            &data,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"binary": chromium, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let answer = browser.call("POST", "/session", &wanted);
        browser.session = answer["sessionId"].as_str().unwrap().to_owned();
        browser.size(1280, 800);
        Some(browser)
    }

    /// One request; the value of the answer.
    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let value = self.try_call(method, path, body).unwrap();
        assert!(value["error"].is_null(), "{path}: {value:#}");
        value
    }

    fn try_call(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Value> {
        let body = if method == "POST" {
            body.to_string()
        } else {
            String::new()
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.port,
            body.len(),
        )?;
        let mut answer = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            answer.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut bytes = vec![0; length];
        answer.read_exact(&mut bytes)?;
        let mut document: Value = serde_json::from_slice(&bytes)?;
        Ok(document["value"].take())
    }

    #[track_caller]
    fn command(&self, path: &str, body: &Value) -> Value {
        self.call("POST", &format!("/session/{}/{path}", self.session), body)
    }

    /// Opens an address.
    #[track_caller]
    pub(crate) fn go(&self, url: &str) {
        self.command("url", &json!({"url": url}));
    }

    pub(crate) fn reload(&self) {
        self.command("refresh", &json!({}));
    }

    /// What an expression is in the page.
    #[track_caller]
    pub(crate) fn eval(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.command("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression is true in the page.
    #[track_caller]
    pub(crate) fn until(&self, expression: &str) {
        let started = Instant::now();
        // What an expression speaks of may not be there yet.
        let careful =
            format!("(() => {{ try {{ return {expression}; }} catch {{ return false; }} }})()");
        while self.eval(&careful) != true {
            if started.elapsed() > PATIENCE {
                self.screenshot("stuck");
                let text = self.eval("document.body.innerText");
                panic!("{expression}: {}", text.as_str().unwrap_or_default());
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Presses keys, one after the other.
    #[track_caller]
    pub(crate) fn press(&self, keys: impl IntoIterator<Item = char>) {
        let actions: Vec<Value> = keys
            .into_iter()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|type_| json!({"type": type_, "value": key.to_string()}))
            })
            .collect();
        let actions = json!([{"type": "key", "id": "keyboard", "actions": actions}]);
        self.command("actions", &json!({"actions": actions}));
    }

    /// A command of the browser's own protocol.
    #[track_caller]
    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.command("goog/cdp/execute", &body)
    }

    /// Makes the page so large.
    pub(crate) fn size(&self, width: u32, height: u32) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Dark or light, as a reader's system would be.
    pub(crate) fn scheme(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// Keeps a picture of the page among the artefacts of the tests.
    pub(crate) fn screenshot(&self, name: &str) {
        let answer = self.devtools("Page.captureScreenshot", &json!({"format": "png"}));
        let bytes = decode(answer["data"].as_str().unwrap());
        self.keep(&format!("{name}.png"), &bytes);
    }

    /// Keeps a file among the artefacts of the tests.
    #[expect(
        clippy::unused_self,
        reason = "only who has a browser has something to keep"
    )]
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) {
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let directory = target.parent().unwrap().join("artifacts/dashboard");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(name), bytes).unwrap();
    }

    fn log(&self, type_: &str) -> Vec<Value> {
        let entries = self.command("se/log", &json!({"type": type_}));
        entries.as_array().unwrap().clone()
    }

    /// What the page has complained of.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let entries = self.log("browser").into_iter();
        entries
            .filter(|entry| {
                ["SEVERE", "WARNING"]
                    .iter()
                    .any(|level| entry["level"] == *level)
            })
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Addresses that the page has asked for.
    pub(crate) fn requests(&self) -> Vec<String> {
        let entries = self.log("performance").into_iter();
        entries
            .filter_map(|entry| {
                let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
                let message = &message["message"];
                let url = &message["params"]["request"]["url"];
                (message["method"] == "Network.requestWillBeSent")
                    .then(|| url.as_str().unwrap_or_default().to_owned())
            })
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser outlives chromedriver unless it is told to end, also after a test has failed.
        if !self.session.is_empty() {
            let _ = self.try_call(
                "DELETE",
                &format!("/session/{}", self.session),
                &Value::Null,
            );
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// Base64.
fn decode(text: &str) -> Vec<u8> {
    let digit = |letter: u8| match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bytes, mut bits, mut have) = (Vec::new(), 0_u32, 0);
    for value in text.bytes().filter_map(digit) {
        bits = (bits << 6) | u32::from(value);
        have += 6;
        if have >= 8 {
            have -= 8;
            bytes.push((bits >> have) as u8);
        }
    }
    bytes
}
