//! The dashboard in a real browser. What it looks like is kept under `target/artifacts/dashboard`.

use serde_json::{Value, json};

use crate::driver::{Browser, DOWN, ENTER, ESCAPE, LEFT, RIGHT};
use crate::support::{Cluster, Place, Running, jobset};

/// Starts `jobset dashboard`; its address with the token.
pub(crate) fn dashboard(cluster: &Cluster) -> (Running, String) {
    let mut running = cluster.start(&["dashboard", "--port", "0"]);
    let url = address(&mut running);
    (running, url)
}

/// The address that has been printed.
pub(crate) fn address(running: &mut Running) -> String {
    let (stdout, stderr) = running.wait_for("/?token=");
    let word = |text: &str| {
        let mut words = text.split_whitespace();
        words
            .find(|word| word.contains("/?token="))
            .map(str::to_owned)
    };
    word(&stdout).or_else(|| word(&stderr)).unwrap()
}

/// Text that would run if it were taken for markup.
const EVIL: &str = "<img src=x onerror=\"window.evil=1\"><script>window.evil=2</script>";

/// A JobSet that runs until files appear, one that has failed, and one that waits in a queue.
fn jobsets(place: &Place) -> [Value; 3] {
    let gate = |name: &str| {
        format!(
            "while ! test -e {}; do sleep 0.02; done",
            place.path(name).display()
        )
    };
    let mut train = jobset(
        "train",
        &[
            (
                "leader",
                &format!(
                    "echo 'the leader waits for its workers'; {}",
                    gate("leader")
                ),
            ),
            (
                "workers",
                &format!(
                    "i=0; while [ $i -lt 40 ]; do echo \"step $i: loss 0.$((99 - i))\"; i=$((i + 1)); done; \
                     echo '{EVIL}'; {}",
                    gate("workers")
                ),
            ),
        ],
        &json!({"failurePolicy": {"maxRestarts": 3}}),
    );
    train["spec"]["replicatedJobs"][1]["replicas"] = 12.into();
    let mut broken = jobset(
        "broken",
        &[
            ("leader", "while :; do sleep 0.1; done"),
            (
                "workers",
                "echo loading the model; echo \"/data: no such directory <b>at all</b>\"; exit 7",
            ),
        ],
        &json!({"failurePolicy": {"maxRestarts": 1}}),
    );
    broken["spec"]["replicatedJobs"][0]["replicas"] = 2.into();
    let mut queued = jobset("queued", &[("one", "true")], &json!({"suspend": true}));
    queued["metadata"]["labels"] = json!({"kueue.x-k8s.io/queue-name": "gpus"});
    [train, broken, queued]
}

/// Every text that is shown can be read: contrast of at least 4.5 to what is behind it.
const UNREADABLE: &str = r"(() => {
  const parse = (text) => { const n = text.match(/[\d.]+/g).map(Number); return { rgb: n.slice(0, 3), a: n[3] ?? 1 }; };
  const lum = (rgb) => { const [r, g, b] = rgb.map((v) => { const c = v / 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { for (let x = e; x; x = x.parentElement) { const c = parse(getComputedStyle(x).backgroundColor); if (c.a > 0.5) return c.rgb; } return [255, 255, 255]; };
  const bad = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    const box = e.getBoundingClientRect();
    if (!own || box.width === 0 || e.closest('svg')) continue;
    const [a, b] = [lum(parse(getComputedStyle(e).color).rgb), lum(behind(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) bad.push(`${e.tagName}.${e.className}: ${e.textContent.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return bad;
})()";

/// The page is no wider than the window.
const FITS: &str = "document.documentElement.scrollWidth <= window.innerWidth";

#[test]
fn jobsets_are_looked_at_with_the_keyboard_alone() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let place = Place::new();
    let mut cluster = Cluster::of(&jobsets(&place), &["--no-logs"]);
    cluster.create(
        "/apis/events.k8s.io/v1/namespaces/default/events",
        &json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": "evil", "namespace": "default"},
            "eventTime": k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
            "regarding": {"kind": "Job", "name": "train-workers-3", "namespace": "default"},
            "type": "Warning", "reason": "Evil", "note": EVIL, "action": "Test",
            "reportingController": "test", "reportingInstance": "test",
        }),
    );
    let (running, url) = dashboard(&cluster);
    let origin = url.split("/?").next().unwrap();

    // The list. The token leaves the address at once.
    browser.go(&url);
    let row = |name: &str, state: &str| {
        format!(
            "[...document.querySelectorAll('.list tbody tr')].some((row) => row.innerText.includes('{name}') && row.innerText.includes('{state}'))"
        )
    };
    for (name, state) in [
        ("train", "Running"),
        ("broken", "Failed"),
        ("queued", "Suspended"),
    ] {
        browser.until(&row(name, state));
    }
    assert_eq!(browser.eval("location.search"), "");
    browser.until("document.getElementById('link').textContent === 'live'");
    assert_eq!(browser.eval(UNREADABLE), json!([]), "in the light list");
    browser.screenshot("list");
    browser.press(['?']);
    browser.until("document.getElementById('help').open");
    browser.screenshot("keys");
    browser.press([ESCAPE]);
    browser.until("!document.getElementById('help').open");

    // The filter, and into a JobSet.
    browser.press("/tra".chars());
    browser.until("[...document.querySelectorAll('.list tbody tr')].filter((row) => !row.hidden).length === 1");
    browser.press([ENTER]);
    browser.until("document.activeElement.textContent === 'train'");
    browser.press([ENTER]);
    browser.until("location.hash === '#/default/train'");
    browser.until("document.querySelectorAll('.cell[data-p=ready]').length >= 13");
    browser.until("document.activeElement.matches('button.cell')");
    // From the leader to the workers, to a Job, to its Pods.
    browser.press([DOWN, RIGHT, RIGHT, RIGHT, LEFT]);
    browser.until("document.activeElement.title.startsWith('workers-2: Running')");
    browser.press([ENTER]);
    browser.until("document.querySelector('.panel').innerText.includes('train-workers-2-0-')");
    assert_eq!(browser.eval(UNREADABLE), json!([]), "in the light detail");
    browser.screenshot("detail");
    browser.press([ENTER]);
    browser.until("document.activeElement.matches('.panel a')");
    browser.press([ESCAPE]);
    browser.until("document.activeElement.matches('button.cell')");

    // Logs of that Job; what is no markup stays text.
    browser.press(['l']);
    browser.until("location.hash.startsWith('#/default/train/logs?')");
    browser.until("document.querySelectorAll('.line').length === 41");
    browser.until("document.querySelector('.lines').innerText.includes('<img src=x')");
    browser.until("document.getElementById('command').textContent.startsWith('jobset logs train -n default --role workers --job 2')");
    assert_eq!(browser.eval(UNREADABLE), json!([]), "in the light logs");
    browser.screenshot("logs");
    browser.press("/loss 0.9[0-5]".chars());
    browser.press([ENTER]);
    browser.until("document.querySelectorAll('.line').length === 6");
    browser.press([ESCAPE]);
    browser.until("location.hash.startsWith('#/default/train?role=workers')");
    browser.until("document.activeElement.title.startsWith('workers-2')");

    // Events and timeline.
    browser.press(['3']);
    browser.until("[...document.querySelectorAll('.events .warning')].some((row) => row.innerText.includes('<script>'))");
    assert_eq!(browser.eval(UNREADABLE), json!([]), "in the light events");
    browser.screenshot("events");
    browser.press([ESCAPE]);
    browser.press(['2']);
    browser.until("document.querySelectorAll('.picture svg rect').length > 13");
    browser.screenshot("timeline");
    browser.press(['1']);

    // Something happens.
    std::fs::write(place.path("workers"), "").unwrap();
    browser.until("document.querySelectorAll('.cell[data-p=succeeded]').length === 13");
    browser.until("[...document.querySelectorAll('.row-head')].some((head) => head.innerText.includes('12 succeeded'))");
    browser.screenshot("detail-changed");

    // What is in the address is there again after a reload, and by going back.
    browser.go(&format!("{origin}/#/default/broken"));
    browser.reload();
    browser.until("document.querySelector('h1').textContent === 'broken'");
    browser.until("document.querySelector('.why').innerText.includes('ended with exit code 7')");
    browser.until("document.querySelector('.why pre').textContent.includes('<b>at all</b>')");
    browser.until("document.querySelector('.why').innerText.includes('broken-workers-0')");
    browser.screenshot("failed");
    browser.scheme("dark");
    let dark = browser.eval("getComputedStyle(document.body).backgroundColor");
    assert_eq!(dark, "rgb(20, 24, 30)");
    for part in ["", "/timeline", "/events", "/logs"] {
        browser.go(&format!("{origin}/#/default/broken{part}"));
        browser.until("document.querySelector('.why').hidden === false");
        if part == "/timeline" {
            browser.until("document.querySelectorAll('.picture svg rect').length > 0");
        }
        assert_eq!(browser.eval(UNREADABLE), json!([]), "in the dark{part}");
        browser.screenshot(&format!("dark{}", part.replace('/', "-")));
    }
    browser.press([ESCAPE, ESCAPE]);
    browser.until("document.querySelectorAll('.list tbody tr').length === 3");
    assert_eq!(browser.eval(UNREADABLE), json!([]), "in the dark list");
    browser.screenshot("dark-list");

    // A telephone.
    browser.size(390, 844);
    for (part, scheme) in [
        ("", "light"),
        ("default/train", "light"),
        ("default/broken", "light"),
        ("default/train/events", "light"),
        ("default/train/logs?role=workers", "dark"),
        ("default/train/timeline", "dark"),
    ] {
        browser.scheme(scheme);
        browser.go(&format!("{origin}/#/{part}"));
        browser.until("document.querySelector('.list tbody tr, .content:not([hidden])') !== null");
        if part.contains("timeline") {
            browser.until("document.querySelectorAll('.picture svg rect').length > 0");
        }
        if part.contains("logs") {
            browser.until("document.querySelectorAll('.line').length > 20");
        }
        browser.until(FITS);
        let name = part.split('?').next().unwrap().replace('/', "-");
        browser.screenshot(&format!("narrow-{name}"));
    }

    browser.size(1280, 800);
    browser.go(&format!("{origin}/#/default/nothing"));
    browser.until("document.querySelector('.empty:not([hidden])')?.innerText.includes('There is no JobSet nothing')");
    browser.screenshot("missing");

    // The cluster goes away: what was known stays, marked as old.
    browser.go(&format!("{origin}/#/default/broken"));
    browser.until("document.querySelector('.why').hidden === false");
    cluster.kill();
    browser.until(
        "document.getElementById('banner').innerText.includes('The cluster does not answer')",
    );
    browser.until("document.getElementById('link').textContent === 'no cluster'");
    browser.screenshot("lost");

    assert_eq!(browser.eval("typeof window.evil"), "undefined");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
    // The browser's own first page is not ours.
    let mut requests = browser.requests();
    requests.retain(|url| !url.starts_with("chrome:") && !url.starts_with("data:"));
    assert!(requests.len() > 20, "{requests:?}");
    let own = format!("{origin}/");
    assert!(
        requests.iter().all(|url| url.starts_with(&own)),
        "{requests:#?}"
    );

    // The dashboard goes away, which the browser itself complains of.
    drop(running);
    browser.until("document.getElementById('link').textContent === 'disconnected'");
    browser.until(
        "document.getElementById('banner').innerText.includes('The dashboard does not answer')",
    );
}

/// Takes note of every element that changes, of long tasks and of the pauses between frames. Ages, which
/// count seconds, are no changes.
const OBSERVE: &str = r"(() => {
  const seen = { elements: new Set(), cells: new Set(), records: 0, long: [], gaps: [] };
  window.seen = seen;
  new MutationObserver((records) => {
    for (const record of records) {
      const element = record.target.nodeType === 1 ? record.target : record.target.parentElement;
      if (element?.closest('[data-since]')) continue;
      seen.records += 1;
      seen.elements.add(element);
      if (element?.matches('button.cell')) seen.cells.add(element);
    }
  }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
  new PerformanceObserver((list) => { for (const entry of list.getEntries()) seen.long.push(Math.round(entry.duration)); })
    .observe({ type: 'longtask' });
  let last = performance.now();
  const frame = (now) => { seen.gaps.push(now - last); last = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  return true;
})()";

/// What has been noted, and from now on nothing.
const NOTED: &str = r"(() => {
  const { elements, cells, records, long, gaps } = window.seen;
  gaps.sort((a, b) => a - b);
  return { elements: elements.size, cells: cells.size, records, longTasks: long.length, longest: Math.max(0, ...long),
    frames: gaps.length, median: Math.round(gaps[Math.floor(gaps.length / 2)]), p99: Math.round(gaps[Math.floor(gaps.length * 0.99)]),
    max: Math.round(gaps.at(-1)) };
})()";

#[test]
fn a_thousand_jobs_are_no_trouble() {
    const READY: &str = "document.querySelectorAll('button.cell[data-p=ready]').length === 1000";
    let Some(browser) = Browser::start() else {
        return;
    };
    let mut big = jobset("big", &[("workers", "true")], &json!({}));
    big["spec"]["replicatedJobs"][0]["replicas"] = 1000.into();
    let fake = ["--no-logs", "--runtime", "fake", "--fake-duration", "1h"];
    let cluster = Cluster::of(&[big], &fake);
    let (_running, url) = dashboard(&cluster);
    browser.go(&url);
    browser.until("document.querySelectorAll('.list tbody tr').length === 1");
    // The page while all of them start.
    browser.eval(OBSERVE);
    browser.press([ENTER]);
    browser.until("window.seen.cells.size > 300");
    browser.screenshot("thousand-starting");
    browser.until(READY);
    let start = browser.eval(NOTED);
    // Events go on for a while.
    browser.until("document.querySelector('#panel-events tbody').childElementCount === 200");
    browser.until("document.querySelector('.badge b').textContent === 'Running'");
    browser.screenshot("thousand");

    // One Job changes: one cell does.
    let pods = cluster.get(
        "/api/v1/namespaces/default/pods?labelSelector=batch.kubernetes.io/job-name=big-workers-500",
    );
    let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    let restarted = json!([{"op": "add", "path": "/status/containerStatuses", "value": [{
        "name": "main", "image": "x", "imageID": "", "ready": true, "restartCount": 3, "state": {"running": {}},
    }]}]);
    browser.eval(OBSERVE);
    let path = format!("/api/v1/namespaces/default/pods/{pod}/status");
    cluster.patch(&path, serde_json::to_vec(&restarted).unwrap());
    browser.until("[...window.seen.cells].some((cell) => cell.title === 'workers-500: Running, 3 restarts of containers')");
    let one = browser.eval(NOTED);
    assert_eq!(one["cells"], 1, "{one}");

    browser.press(['2']);
    browser.until("document.querySelectorAll('.picture svg rect').length > 200");
    browser.screenshot("thousand-timeline");
    browser.press(['4']);
    browser.until("document.querySelector('#panel-logs [role=status]').textContent.includes('more than 100 containers')");
    browser.size(390, 844);
    browser.press(['1']);
    browser.until(FITS);
    browser.screenshot("thousand-narrow");
    assert!(browser.complaints().is_empty());
    // What it costs to open the page.
    browser.size(1280, 800);
    browser.reload();
    browser.until(READY);
    browser.eval(
        "(() => { window.opened = [];
          new PerformanceObserver((list) => opened.push(...list.getEntries().map((one) => Math.round(one.duration))))
            .observe({ type: 'longtask', buffered: true });
          setTimeout(() => opened.push('end'), 300); return true; })()",
    );
    browser.until("opened.includes('end')");
    let opened = browser.eval("opened.slice(0, -1)");
    // Timing decides nothing; it is told.
    let figures = format!(
        "all Jobs start: {start}\none Job changes: {one}\nlong tasks when the page is opened: {opened}\n"
    );
    browser.keep("thousand.txt", figures.as_bytes());
}
