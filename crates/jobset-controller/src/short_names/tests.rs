use jobset_api::constants;
use serde_json::{Value, json};

use super::*;
use crate::index::Cache as _;
use crate::options::Clock;
use crate::testing::{self, Answer, Log, Seen, refusal};

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/ns/endpointslices";

/// A JobSet `name` with uid `uid-name` and roles `w` and `leader`.
fn jobset_of(name: &str) -> Value {
    let mut jobset = testing::jobset(name, &format!("uid-{name}"), 1);
    let role =
        |name: &str| json!({"name": name, "replicas": 9, "template": {"spec": {"template": {}}}});
    jobset["spec"] = json!({
        "replicatedJobs": [role("w"), role("leader")],
        "network": {"enableDNSHostnames": true},
    });
    jobset
}

/// A running Pod of it.
pub(super) fn pod(jobset: &str, role: &str, job: u32, index: u32) -> Value {
    json!({
        "metadata": {
            "namespace": "ns", "name": format!("{jobset}-{role}-{job}-{index}-x"),
            "uid": format!("pod-{jobset}-{role}-{job}-{index}"), "resourceVersion": "5",
            "labels": {
                constants::JOBSET_NAME_KEY: jobset, constants::JOBSET_UID_KEY: format!("uid-{jobset}"),
                constants::REPLICATED_JOB_NAME_KEY: role, constants::JOB_INDEX_KEY: job.to_string(),
                constants::JOB_COMPLETION_INDEX_KEY: index.to_string(),
            },
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "controller": true,
                                 "name": format!("{jobset}-{role}-{job}"), "uid": "j"}],
        },
        "spec": {"subdomain": jobset, "nodeName": "n1"},
        "status": {"phase": "Running", "podIP": format!("10.0.{job}.{index}")},
    })
}

/// A slice that a JobSet owns.
pub(super) fn slice(name: &str, jobset: &str, service: &str, revision: u64) -> Value {
    json!({
        "metadata": {
            "namespace": "ns", "name": name, "uid": format!("uid-{name}"),
            "resourceVersion": revision.to_string(),
            "labels": {
                short_names::SERVICE_NAME_KEY: service,
                short_names::MANAGED_BY_KEY: short_names::MANAGED_BY,
                constants::JOBSET_NAME_KEY: jobset,
            },
            "ownerReferences": [{
                "apiVersion": constants::API_VERSION, "kind": "JobSet", "controller": true,
                "name": jobset, "uid": format!("uid-{jobset}"),
            }],
        },
        "addressType": "IPv4",
        "endpoints": [],
    })
}

struct Bench {
    publisher: Publisher,
    log: Log,
    /// Keeps events from being counted as dropped.
    _events: events::Worker,
}

/// A publisher that knows the JobSet `js`, at a server that answers like this.
fn bench(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Bench {
    let (requests, stats, log) = testing::requests(answer);
    let index = Arc::new(Index::default());
    index.apply(serde_json::from_value::<crate::watched::WatchedJobSet>(jobset_of("js")).unwrap());
    let reporter = events::Reporter {
        controller: "jobset".to_owned(),
        instance: "test".to_owned(),
    };
    let (recorder, worker) =
        events::recorder(requests.clone(), stats.clone(), reporter, Clock::default());
    Bench {
        publisher: Publisher {
            feed: Feed::new(1),
            index,
            requests,
            limiter: Limiter::new(50),
            recorder,
            stats,
            told: Arc::default(),
        },
        log,
        _events: worker,
    }
}

/// Stores what it is told to store, under this revision.
fn store(seen: &Seen, revision: u64) -> Answer {
    let mut object = seen.body.clone();
    let name = object["metadata"]["name"]
        .as_str()
        .or(seen.path.rsplit('/').next());
    let name = name.unwrap_or_default().to_owned();
    object["metadata"]["uid"] = format!("uid-{name}").into();
    object["metadata"]["name"] = name.into();
    object["metadata"]["namespace"] = "ns".into();
    object["metadata"]["resourceVersion"] = revision.to_string().into();
    object["metadata"]["ownerReferences"] =
        slice("", "js", "js", 0)["metadata"]["ownerReferences"].clone();
    object["addressType"] = "IPv4".into();
    Answer::Json(200, object)
}

impl Bench {
    fn pod(&self, pod: Value) {
        let pod: WatchedPod = serde_json::from_value(pod).unwrap();
        self.publisher.feed.cache.apply(pod);
    }

    fn slice(&self, slice: Value) {
        let slice: WatchedSlice = serde_json::from_value(slice).unwrap();
        self.publisher.feed.cache.apply(slice);
    }

    async fn publish(&self, jobset: &str) -> bool {
        self.publisher.publish(&Key::new("ns", jobset)).await.0
    }

    fn lines(&self) -> Vec<String> {
        let sent = std::mem::take(&mut *self.log.lock().unwrap());
        sent.iter().map(Seen::line).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_known_before_the_watch_shows_it() {
    let bench = bench(|seen| store(seen, 7));
    assert!(bench.publish("js").await);
    assert_eq!(bench.lines(), [""; 0]);
    bench.pod(pod("js", "w", 0, 1));
    assert!(bench.publish("js").await);
    assert_eq!(bench.lines(), [format!("POST {SLICES}")]);
    assert!(bench.publish("js").await);
    assert_eq!(bench.lines(), [""; 0]);
    bench.pod(pod("js", "w", 0, 2));
    assert!(bench.publish("js").await);
    let lines = bench.lines();
    assert!(
        lines.len() == 1 && lines[0].starts_with("PATCH"),
        "{lines:?}"
    );
    assert_eq!(bench.publisher.stats.name_writes(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_creation_whose_answer_was_lost_is_found_again() {
    let held = Arc::new(Mutex::new(None::<Value>));
    let bench = bench(move |seen| {
        let mut held = held.lock().unwrap();
        match (seen.method.as_str(), &*held) {
            ("POST", None) => {
                let Answer::Json(_, stored) = store(seen, 7) else {
                    unreachable!()
                };
                *held = Some(stored);
                refusal(500, "InternalError", "lost")
            }
            ("POST", Some(_)) => refusal(409, "AlreadyExists", "it exists"),
            ("GET", Some(stored)) => Answer::Json(200, stored.clone()),
            _ => refusal(404, "NotFound", "no"),
        }
    });
    bench.pod(pod("js", "w", 0, 0));
    // The watch is further than the slice that it does not show.
    bench.slice(slice("other", "other", "other", 50));
    assert!(!bench.publish("js").await);
    assert!(!bench.publish("js").await);
    assert_eq!(bench.lines().len(), 3);
    // Found, and right as it is.
    assert!(bench.publish("js").await);
    assert_eq!(bench.lines(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_or_has_changed_is_planned_anew() {
    let bench = bench(|seen| match seen.method.as_str() {
        "PATCH" => refusal(404, "NotFound", "no"),
        _ => store(seen, 9),
    });
    bench.slice(slice("js-a", "js", "js", 5));
    bench.pod(pod("js", "w", 0, 0));
    assert!(!bench.publish("js").await);
    assert!(bench.publish("js").await);
    assert_eq!(
        bench.lines(),
        [format!("PATCH {SLICES}/js-a"), format!("POST {SLICES}")]
    );

    let conflicting = self::bench(|_| refusal(409, "Conflict", "newer"));
    conflicting.slice(slice("js-a", "js", "js", 5));
    conflicting.pod(pod("js", "w", 0, 0));
    assert!(!conflicting.publish("js").await);
    assert!(!conflicting.publish("js").await);
    assert_eq!(conflicting.lines().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_repeated_and_nothing_else_suffers() {
    let bench = bench(|_| refusal(403, "Forbidden", "endpointslices may not be written"));
    bench.pod(pod("js", "w", 0, 0));
    assert!(!bench.publish("js").await);
    assert_eq!(bench.publisher.stats.name_writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn slices_that_a_jobset_left_behind_are_deleted() {
    let bench = bench(|seen| {
        if seen.path.ends_with("/there") {
            Answer::Json(200, json!({"kind": "Status", "status": "Success"}))
        } else {
            refusal(404, "NotFound", "no")
        }
    });
    for (name, jobset) in [("there", "former"), ("not", "former")] {
        let mut orphan = slice(name, jobset, jobset, 3);
        orphan["metadata"]["ownerReferences"] = json!([]);
        bench.slice(orphan);
    }
    // The garbage collector's.
    bench.slice(slice("owned", "former", "former", 3));
    assert!(bench.publish("former").await);
    let mut lines = bench.lines();
    lines.sort();
    assert_eq!(
        lines,
        [
            format!("DELETE {SLICES}/not"),
            format!("DELETE {SLICES}/there")
        ]
    );
    assert!(bench.publish("former").await);
    assert_eq!(bench.lines(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_collision_is_told_once() {
    let bench = bench(|seen| store(seen, 7));
    let mut other = slice("other-0", "other", "js", 3);
    other["endpoints"] = json!([{"addresses": ["10.9.9.9"], "hostname": "w-0"}]);
    bench.slice(other.clone());
    bench.pod(pod("js", "w", 0, 0));
    for _ in 0..2 {
        assert!(bench.publish("js").await);
    }
    let told = || {
        lock(&bench.publisher.told)
            .get(&Key::new("ns", "js"))
            .cloned()
    };
    assert_eq!(told().unwrap().jobset, "other");
    other["endpoints"] = json!([]);
    other["metadata"]["resourceVersion"] = "8".into();
    bench.slice(other);
    assert!(bench.publish("js").await);
    assert_eq!(told(), None);
    let Bench {
        publisher,
        _events: worker,
        log,
    } = bench;
    drop(publisher);
    worker.run().await;
    let sent = lock(&log);
    let events: Vec<&Seen> = sent
        .iter()
        .filter(|seen| seen.path.ends_with("/events"))
        .collect();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].body["reason"], "ShortNameCollision");
    let note = "short name w-0.js is also of JobSet other: it leads to the Pods of both";
    assert_eq!(events[0].body["note"], note);
}

#[test]
fn looks_are_apart() {
    for (pods, millis) in [
        (0, 100),
        (5, 105),
        (500, 600),
        (5000, 1000),
        (usize::MAX, 1000),
    ] {
        assert_eq!(spacing(pods), Duration::from_millis(millis));
    }
}
