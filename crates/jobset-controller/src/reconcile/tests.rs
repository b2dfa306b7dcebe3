use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::concurrency::Limiter;
use crate::events::{self, Reporter};
use crate::index::Cache as _;
use crate::testing::{self, Answer, Log, Seen, refusal, requests};

const STATUS: &str = "PATCH /apis/jobset.x-k8s.io/v1alpha2/namespaces/ns/jobsets/js/status";
const JOBS: &str = "/apis/batch/v1/namespaces/ns/jobs";
const SERVICE: &str = "POST /api/v1/namespaces/ns/services";
const EVENT: &str = "POST /apis/events.k8s.io/v1/namespaces/ns/events";

struct Bench {
    reconciler: Reconciler,
    log: Log,
}

fn jobset_with_one_job() -> Value {
    let mut jobset = testing::jobset("js", "u1", 1);
    jobset["spec"] = json!({
        "replicatedJobs": [{"name": "w", "replicas": 1, "template": {"spec": {"template":
            {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}}}}],
        "successPolicy": {"operator": "All"},
        "network": {"enableDNSHostnames": true},
    });
    jobset
}

/// Stores nothing, but answers each write with the object that a server would then have.
fn echo() -> impl Fn(&Seen) -> Answer + Send + Sync + 'static {
    let revision = AtomicU64::new(100);
    move |seen| {
        let revision = revision.fetch_add(1, Ordering::Relaxed);
        let mut object = match seen.method.as_str() {
            "PATCH" => {
                let mut jobset = jobset_with_one_job();
                jobset["status"] = seen.body["status"].clone();
                jobset
            }
            _ => seen.body.clone(),
        };
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = revision.to_string().into();
        if metadata["uid"].is_null() {
            metadata["uid"] = format!("uid-{revision}").into();
        }
        Answer::Json(200, object)
    }
}

fn bench(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Bench {
    let (requests, stats, log) = requests(answer);
    let index = Arc::new(Index::default());
    index.replace(vec![
        serde_json::from_value::<WatchedJobSet>(jobset_with_one_job()).unwrap(),
    ]);
    let queue = Arc::new(Queue::new(1));
    let clock = Clock::from_fn(|| Timestamp::from_second(1_700_000_000).unwrap());
    let reporter = Reporter {
        controller: "jobset".into(),
        instance: "i".into(),
    };
    let (recorder, worker) =
        events::recorder(requests.clone(), stats.clone(), reporter, clock.clone());
    tokio::spawn(worker.run());
    let executor = Executor {
        requests: requests.clone(),
        limiter: Limiter::new(50),
        per_jobset: 50,
        index: index.clone(),
        queue: queue.clone(),
        stats: stats.clone(),
        start_time_matters: AtomicBool::new(false),
    };
    let reconciler = Reconciler {
        index,
        queue,
        requests,
        executor,
        recorder,
        stats,
        planning: PlanOptions::default(),
        pod_webhook: true,
        clock,
        status_interval: Duration::from_millis(500),
        confirmation_timeout: Duration::from_secs(10),
        placement_wanted: Arc::default(),
        memory: Mutex::default(),
    };
    Bench { reconciler, log }
}

impl Bench {
    async fn reconcile(&self) -> Outcome {
        self.reconciler.reconcile(&Key::new("ns", "js")).await
    }

    /// The requests since the last call.
    fn sent(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
            .iter()
            .map(Seen::line)
            .collect()
    }

    /// The watch shows the only Job with this status.
    fn watch_job(&self, revision: u64, status: Value) {
        let snapshot = self
            .reconciler
            .index
            .snapshot(&Key::new("ns", "js"), Duration::from_secs(10))
            .unwrap();
        let uid = snapshot.jobs[0].uid.clone();
        let mut job = testing::job("js-w-0", &uid, revision, "js", "u1");
        job["metadata"]["labels"] = json!({
            "jobset.sigs.k8s.io/replicatedjob-name": "w",
            "jobset.sigs.k8s.io/job-index": "0",
            "jobset.sigs.k8s.io/restart-attempt": "0",
        });
        job["status"] = status;
        self.reconciler
            .index
            .apply(serde_json::from_value::<WatchedJob>(job).unwrap());
    }
}

fn settled() -> Outcome {
    Outcome {
        again: None,
        retry: false,
        children: 1,
    }
}

#[tokio::test(start_paused = true)]
async fn own_writes_are_known_without_any_watch_event() {
    let bench = bench(echo());
    let outcome = bench.reconcile().await;
    assert!(!outcome.retry);
    assert_eq!(
        bench.sent(),
        [
            SERVICE.to_owned(),
            format!("POST {JOBS}"),
            STATUS.to_owned()
        ]
    );
    let outcome = bench.reconcile().await;
    assert!(!outcome.retry && outcome.children == 1);
    assert_eq!(bench.sent(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn pods_are_followed_for_the_webhook_alone() {
    use futures::FutureExt as _;

    for pod_webhook in [true, false] {
        let mut bench = bench(echo());
        let mut jobset = jobset_with_one_job();
        jobset["metadata"]["resourceVersion"] = "99".into();
        jobset["metadata"]["annotations"] =
            json!({"alpha.jobset.sigs.k8s.io/exclusive-topology": "rack"});
        let jobset: WatchedJobSet = serde_json::from_value(jobset).unwrap();
        bench.reconciler.index.replace(vec![jobset]);
        bench.reconciler.pod_webhook = pod_webhook;
        bench.reconcile().await;
        let wanted = bench.reconciler.placement_wanted.notified().now_or_never();
        assert_eq!(wanted.is_some(), pod_webhook);
    }
}

#[tokio::test(start_paused = true)]
async fn events_follow_the_status_and_carry_its_revision() {
    let bench = bench(echo());
    bench.reconcile().await;
    bench.sent();
    bench.watch_job(
        500,
        json!({"conditions": [{"type": "Complete", "status": "True"}]}),
    );
    bench.reconcile().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let log = bench.log.lock().unwrap();
    let lines: Vec<_> = log.iter().map(Seen::line).collect();
    assert_eq!(lines, [STATUS, EVENT]);
    assert_eq!(log[0].body["status"]["terminalState"], "Completed");
    assert_eq!(log[1].body["reason"], "AllJobsCompleted");
    let written = log[1].body["regarding"]["resourceVersion"]
        .as_str()
        .unwrap();
    assert!(written > "100", "{written}");
    assert_eq!(bench.reconciler.stats.completed(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_planned_anew_without_events() {
    let answer = echo();
    let bench = bench(move |seen| match seen.line().as_str() {
        STATUS => refusal(409, "Conflict", "the object has been modified"),
        _ => answer(seen),
    });
    assert!(bench.reconcile().await.retry);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!bench.sent().contains(&EVENT.to_owned()));
    assert_eq!(bench.reconciler.stats.conflicts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_status_whose_answer_is_lost_is_written_again_with_the_old_revision() {
    let bench = bench(|seen| match seen.line().as_str() {
        STATUS => Answer::Never,
        _ => Answer::Json(201, seen.body.clone()),
    });
    assert!(bench.reconcile().await.retry);
    assert!(bench.reconcile().await.retry);
    let log = bench.log.lock().unwrap();
    let revisions: Vec<_> = log
        .iter()
        .filter(|seen| seen.line() == STATUS)
        .map(|seen| seen.body["metadata"]["resourceVersion"].clone())
        .collect();
    assert_eq!(
        revisions,
        ["1", "1"],
        "the server refuses the second if it applied the first"
    );
}

#[tokio::test(start_paused = true)]
async fn counts_wait_and_then_are_written() {
    let bench = bench(echo());
    bench.reconcile().await;
    bench.sent();
    bench.watch_job(500, json!({"active": 1}));
    let outcome = bench.reconcile().await;
    assert_eq!(bench.sent(), [""; 0]);
    let wait = outcome.again.unwrap();
    assert!(wait <= Duration::from_millis(500));
    tokio::time::sleep(wait).await;
    bench.reconcile().await;
    assert_eq!(bench.sent(), [STATUS]);
    assert_eq!(bench.reconcile().await, settled());
}

/// Counts that are taken back while others' work goes first have waited for nothing: what is wanted
/// much later waits for its own time.
#[tokio::test(start_paused = true)]
async fn the_patience_with_others_begins_with_the_status_that_waits() {
    let bench = bench(echo());
    bench.reconcile().await;
    bench.sent();
    tokio::time::sleep(Duration::from_secs(1)).await;
    bench
        .reconciler
        .queue
        .add(&Key::new("ns", "other"), Lane::Live);
    bench.watch_job(500, json!({"active": 1}));
    assert!(bench.reconcile().await.again.is_some());
    bench.watch_job(501, json!({}));
    assert_eq!(bench.reconcile().await.again, None);

    tokio::time::sleep(Duration::from_mins(1)).await;
    bench.watch_job(502, json!({"active": 1}));
    assert!(bench.reconcile().await.again.is_some());
    assert_eq!(bench.sent(), [""; 0], "the other JobSet still waits");

    tokio::time::sleep(Duration::from_secs(4)).await;
    bench.reconcile().await;
    assert_eq!(bench.sent(), [STATUS]);
}

/// A write that was refused is not put behind the work of others a second time.
#[tokio::test(start_paused = true)]
async fn a_status_that_was_refused_has_waited_already() {
    let refuse = Arc::new(AtomicBool::new(false));
    let answer = echo();
    let refused = Arc::clone(&refuse);
    let bench = bench(move |seen| match seen.line().as_str() {
        STATUS if refused.swap(false, Ordering::Relaxed) => {
            refusal(409, "Conflict", "the object has been modified")
        }
        _ => answer(seen),
    });
    bench.reconcile().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    bench
        .reconciler
        .queue
        .add(&Key::new("ns", "other"), Lane::Live);
    bench.watch_job(500, json!({"active": 1}));
    assert!(bench.reconcile().await.again.is_some());
    tokio::time::sleep(Duration::from_secs(4)).await;
    bench.sent();
    refuse.store(true, Ordering::Relaxed);
    assert!(bench.reconcile().await.retry);
    assert!(!bench.reconcile().await.retry);
    assert_eq!(bench.sent(), [STATUS, STATUS]);
}

/// spec/reconcile.md §2 [B]: counts do not freeze while creation keeps failing.
#[tokio::test(start_paused = true)]
async fn the_status_is_written_although_creation_fails() {
    let answer = echo();
    let bench = bench(move |seen| match seen.path.as_str() {
        JOBS => refusal(403, "Forbidden", "quota exceeded"),
        _ => answer(seen),
    });
    assert!(bench.reconcile().await.retry);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent = bench.sent();
    assert!(sent.contains(&STATUS.to_owned()), "{sent:?}");
    assert!(
        sent.contains(&EVENT.to_owned()),
        "the failure is told: {sent:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_the_watch_never_shows_is_looked_up() {
    let answer = echo();
    let bench = bench(move |seen| match seen.method.as_str() {
        "GET" => refusal(404, "NotFound", "gone"),
        _ => answer(seen),
    });
    let outcome = bench.reconcile().await;
    assert!(!outcome.retry);
    let outcome = bench.reconcile().await;
    tokio::time::sleep(outcome.again.unwrap()).await;
    bench.sent();
    assert_eq!(bench.reconcile().await.again, Some(Duration::ZERO));
    assert_eq!(bench.sent(), [format!("GET {JOBS}/js-w-0")]);
    bench.reconcile().await;
    assert!(
        bench.sent().contains(&format!("POST {JOBS}")),
        "it is created again"
    );
}
