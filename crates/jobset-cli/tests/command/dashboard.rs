//! The dashboard as a command: who is answered, and what it does when the cluster goes away.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::browser::{address, dashboard};
use crate::support::{Cluster, PATIENCE, Place, jobset};

/// An answer over HTTP/1.0, whose body ends with the connection.
struct Answer {
    status: u16,
    headers: Vec<String>,
    body: BufReader<TcpStream>,
}

impl Answer {
    /// Sends a request with these headers to the address with the token, or to another path of it.
    fn to(method: &str, url: &str, path: Option<&str>, headers: &[&str]) -> Self {
        let rest = url.strip_prefix("http://").unwrap();
        let (host, own) = rest.split_at(rest.find('/').unwrap());
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let path = path.unwrap_or(own);
        let more = headers.join("\r\n");
        let end = if more.is_empty() { "" } else { "\r\n" };
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nhost: {host}\r\n{more}{end}\r\n"
        )
        .unwrap();
        let mut body = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            body.read_line(&mut line).unwrap();
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines.remove(0).split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            headers: lines,
            body,
        }
    }

    /// The next thing that is told.
    fn event(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert!(
                self.body.read_line(&mut line).unwrap() > 0,
                "the stream ended"
            );
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).unwrap();
            }
        }
    }

    /// Waits until nothing more is told.
    fn end(mut self) {
        std::io::copy(&mut self.body, &mut std::io::sink()).unwrap();
    }

    /// Waits until something is told that is as wanted.
    fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.event();
            if wanted(&event) {
                return event;
            }
        }
    }
}

/// The header with the cookie that the address gives.
fn cookie(url: &str) -> String {
    let welcome = Answer::to("GET", url, None, &[]);
    assert_eq!(welcome.status, 200);
    let set = welcome
        .headers
        .iter()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    format!("cookie: {}", set.unwrap().split(';').next().unwrap())
}

#[test]
fn a_cluster_that_goes_and_comes_back_is_found_again() {
    let fake = ["--runtime", "fake", "--fake-duration", "1h"];
    let mut cluster = Cluster::up(&fake);
    let collection = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets";
    cluster.create(collection, &jobset("first", &[("one", "true")], &json!({})));
    let (_running, url) = dashboard(&cluster);
    let cookie = cookie(&url);
    let open = |path| {
        let stream = Answer::to("GET", &url, Some(path), &[&cookie]);
        assert_eq!(stream.status, 200);
        stream
    };
    let mut list = open("/api/list");
    let mut detail = open("/api/jobset/default/first");
    let running = |event: &Value| event["set"]["set"]["state"] == "Running";
    detail.until(running);
    let mut logs = open("/api/jobset/default/first/logs");
    logs.until(|event| event["known"] == 1);
    cluster.kill();
    let lost = |event: &Value| event["set"]["link"]["state"] == "lost";
    let told = detail.until(lost);
    assert!(
        told["set"]["link"]["message"].as_str().unwrap().len() > 10,
        "{told}"
    );
    assert_eq!(told["set"]["set"], Value::Null, "what was known stands");
    list.until(lost);
    // Logs begin anew when they are asked for again.
    logs.end();
    // It comes back under another port, with another token.
    cluster.up_again(&fake);
    let live = |event: &Value| event["set"]["link"]["state"] == "live";
    detail.until(live);
    list.until(live);
    cluster.create(
        collection,
        &jobset("second", &[("one", "true")], &json!({})),
    );
    list.until(|event| event["set"]["set/default/second"]["state"] == "Running");
    // Another viewer is told what is there now, and not what was.
    let mut late = open("/api/list");
    let event = late.event();
    assert_eq!(event["full"], true);
    assert!(event["set"]["set/default/first"].is_object(), "{event}");
}

#[test]
fn the_cluster_of_the_machine_brings_its_dashboard_along() {
    let place = Place::new();
    let mut up = place.start(&["up", "--runtime", "fake", "--dashboard=0"]);
    let url = address(&mut up);
    let cookie = cookie(&url);
    let port = url.split([':', '/']).nth(4).unwrap();
    let status = |method: &str, path: &str, headers: &[&str]| {
        Answer::to(method, &url, Some(path), headers).status
    };
    assert_eq!(status("GET", "/api/about", &[&cookie]), 200);
    assert_eq!(status("GET", "/api/about", &[]), 401);
    assert_eq!(status("GET", "/?token=0", &[]), 401);
    assert_eq!(
        status(
            "GET",
            "/api/about",
            &[&cookie, "origin: http://127.0.0.1:1"]
        ),
        403
    );
    assert_eq!(status("DELETE", "/api/list", &[&cookie]), 405);
    // The same on the other address of loopback, if there is one.
    if let Ok(mut stream) = TcpStream::connect(format!("[::1]:{port}")) {
        write!(
            stream,
            "GET /api/about HTTP/1.0\r\nhost: [::1]:{port}\r\n{cookie}\r\n\r\n"
        )
        .unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{line}");
    }
    // All namespaces are shown, and none has a JobSet.
    let mut list = Answer::to("GET", &url, Some("/api/list"), &[&cookie]);
    let event = list.until(|event| event["set"]["link"]["state"] == "live");
    assert_eq!(event["set"].as_object().unwrap().len(), 1);

    // The port is taken now.
    for command in [
        vec!["up", "--runtime", "fake", &format!("--dashboard={port}")],
        vec![
            "run",
            "js.yaml",
            "--runtime",
            "fake",
            &format!("--dashboard={port}"),
        ],
    ] {
        place.write(
            "js.yaml",
            jobset("js", &[("one", "true")], &json!({})).to_string(),
        );
        let ended = place.run(&command);
        let expected = format!("cannot listen on 127.0.0.1:{port}");
        assert!(ended.expect_code(1).stderr.contains(&expected), "{ended:?}");
    }
    up.signal(Signal::SIGINT);
    up.wait().expect_code(0);
    assert!(place.temporary_files().is_empty());
}

#[test]
fn a_run_is_shown_while_it_lasts() {
    let place = Place::new();
    let gate = place.path("gate");
    let script = format!("while ! test -e {}; do sleep 0.02; done", gate.display());
    place.write(
        "js.yaml",
        jobset("js", &[("one", &script)], &json!({})).to_string(),
    );
    let mut run = place.start(&["run", "js.yaml", "--dashboard=0"]);
    let url = address(&mut run);
    let mut detail = Answer::to(
        "GET",
        &url,
        Some("/api/jobset/default/js"),
        &[&cookie(&url)],
    );
    detail.until(|event| event["set"]["set"]["state"] == "Running");
    std::fs::write(&gate, "").unwrap();
    run.wait().expect_code(0);
}

#[test]
fn without_a_cluster_there_is_no_dashboard() {
    let place = Place::new();
    let ended = place.run(&["dashboard", "--kubeconfig", "nothing"]);
    assert!(ended.expect_code(1).stderr.contains("nothing"), "{ended:?}");
    place.run(&["dashboard", "--port", "x"]).expect_code(2);
    place
        .run(&["dashboard", "-A", "-n", "default"])
        .expect_code(2);
    let cluster = Cluster::up(&["--runtime", "fake"]);
    let mut running = cluster.start(&["dashboard", "--port", "0", "--all-namespaces"]);
    address(&mut running);
    running.signal(Signal::SIGINT);
    running.wait().expect_code(0);
}
