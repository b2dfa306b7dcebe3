use std::sync::atomic::{AtomicUsize, Ordering};

use jobset_core::{Propagation, StepKind};
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::index::Cache as _;
use crate::testing::{Answer, Log, Seen, job, jobset, refusal, requests};

struct Bench {
    executor: Executor,
    jobset: JobSet,
    log: Log,
}

fn bench(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Bench {
    let (requests, stats, log) = requests(answer);
    let index = Arc::new(Index::default());
    let watched: WatchedJobSet = serde_json::from_value(jobset("js", "u1", 1)).unwrap();
    let jobset = (**watched.decoded.as_ref().unwrap()).clone();
    index.replace(vec![watched]);
    let executor = Executor {
        requests,
        limiter: Limiter::new(50),
        per_jobset: 50,
        index,
        queue: Arc::new(Queue::new(1)),
        stats,
        start_time_matters: AtomicBool::new(false),
    };
    Bench {
        executor,
        jobset,
        log,
    }
}

impl Bench {
    async fn run(&self, steps: Vec<Step>) -> Execution {
        self.executor.run(&self.jobset, steps).await
    }

    fn known(&self) -> Vec<(String, bool)> {
        let key = Key::new("ns", "js");
        let snapshot = self
            .executor
            .index
            .snapshot(&key, Duration::from_secs(10))
            .unwrap();
        snapshot
            .jobs
            .iter()
            .map(|job| (job.uid.clone(), job.deleting))
            .collect()
    }

    fn requests(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().map(Seen::line).collect()
    }
}

fn step(actions: Vec<Action>) -> Step {
    Step {
        kind: StepKind::CreateJobs,
        actions,
        continue_on_error: false,
    }
}

fn create(name: &str) -> Action {
    Action::CreateJob {
        name: name.into(),
        body: json!({"metadata": {"name": name}}).into(),
    }
}

fn delete(name: &str, uid: &str) -> Action {
    Action::DeleteJob {
        name: name.into(),
        uid: uid.into(),
        propagation: Propagation::Foreground,
    }
}

fn exists(name: &str) -> Answer {
    refusal(
        409,
        "AlreadyExists",
        &format!("jobs.batch \"{name}\" already exists"),
    )
}

const JOBS: &str = "/apis/batch/v1/namespaces/ns/jobs";

#[tokio::test(start_paused = true)]
async fn a_creation_is_known_at_once() {
    let bench = bench(|_| Answer::Json(201, job("a", "1", 10, "js", "u1")));
    let execution = bench.run(vec![step(vec![create("a")])]).await;
    assert_eq!(execution.succeeded, [true]);
    assert_eq!(bench.known(), [("1".into(), false)]);
    assert_eq!(bench.executor.stats.creates(), 1);
}

/// spec/reconcile.md §12.5 [B]: a re-sent creation is no failure.
#[tokio::test(start_paused = true)]
async fn d4_b_a_job_that_exists_and_is_ours_counts_as_created() {
    let bench = bench(|seen| match seen.method.as_str() {
        "POST" => exists("a"),
        _ => Answer::Json(200, job("a", "1", 10, "js", "u1")),
    });
    let execution = bench.run(vec![step(vec![create("a")])]).await;
    assert_eq!(execution.succeeded, [true]);
    assert!(execution.warnings.is_empty());
    assert_eq!(bench.known(), [("1".into(), false)]);
    assert_eq!(
        bench.requests(),
        [format!("POST {JOBS}"), format!("GET {JOBS}/a")]
    );
    assert_eq!(bench.executor.stats.duplicate_creates(), 1);
}

#[tokio::test(start_paused = true)]
async fn d4_b_a_foreign_job_of_that_name_is_reported_and_left_alone() {
    let bench = bench(|seen| match seen.method.as_str() {
        "POST" => exists("a"),
        _ => Answer::Json(
            200,
            json!({"metadata": {"name": "a", "uid": "x", "namespace": "ns"}}),
        ),
    });
    let execution = bench.run(vec![step(vec![create("a")])]).await;
    assert_eq!(execution.succeeded, [false]);
    assert_eq!(
        execution.warnings,
        [(
            "JobCreationFailed",
            "job \"a\" creation failed with error: jobs.batch \"a\" already exists \
             (controlled by nobody)"
                .to_owned()
        )]
    );
    assert!(bench.known().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_job_of_a_deleted_namesake_is_waited_for_in_silence() {
    let bench = bench(|seen| match seen.method.as_str() {
        "POST" => exists("a"),
        _ => Answer::Json(200, job("a", "1", 10, "js", "u0")),
    });
    let execution = bench.run(vec![step(vec![create("a")])]).await;
    assert_eq!(execution.succeeded, [false]);
    assert!(execution.unfinished && execution.warnings.is_empty() && execution.errors.is_empty());
}

#[tokio::test(start_paused = true)]
async fn every_action_is_attempted_and_one_warning_tells_all() {
    let bench = bench(|seen| {
        let name = seen.body["metadata"]["name"].as_str().unwrap().to_owned();
        if name.ends_with('7') {
            Answer::Json(201, job(&name, &name, 10, "js", "u1"))
        } else {
            refusal(
                403,
                "Forbidden",
                &format!("quota \"100%s\" exceeded by {name}"),
            )
        }
    });
    let actions = (0..500)
        .map(|index| create(&format!("js-w-{index}")))
        .collect();
    let execution = bench
        .run(vec![step(actions), step(vec![create("js-x-7")])])
        .await;
    assert_eq!(execution.succeeded, [false, false]);
    assert_eq!(
        bench.requests().len(),
        500,
        "the step after a failed one does not run"
    );
    assert_eq!(execution.errors.len(), 450);
    let [(reason, note)] = &execution.warnings[..] else {
        panic!("{:?}", execution.warnings)
    };
    assert_eq!(*reason, "JobCreationFailed");
    assert!(note.len() <= 1024);
    assert!(note.starts_with("job \"js-w-"), "{note}");
    assert!(
        note.contains("creation failed with error: quota \"100%s\" exceeded"),
        "{note}"
    );
    assert!(note.contains(" more"), "{note}");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_nothing_builds_upon_does_not_stop_the_next() {
    let bench = bench(|seen| match seen.method.as_str() {
        "DELETE" => refusal(403, "Forbidden", "no"),
        _ => Answer::Json(201, job("b", "2", 10, "js", "u1")),
    });
    let first = Step {
        kind: StepKind::DeletePrevious,
        actions: vec![delete("a", "1")],
        continue_on_error: true,
    };
    let execution = bench.run(vec![first, step(vec![create("b")])]).await;
    assert_eq!(execution.succeeded, [false, true]);
    assert!(execution.warnings.is_empty());
    assert_eq!(execution.errors, ["job \"a\" not deleted: no"]);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_hits_one_incarnation_and_is_remembered() {
    let bench = bench(|_| Answer::Json(200, json!({"kind": "Status", "status": "Success"})));
    bench
        .executor
        .index
        .apply(serde_json::from_value::<WatchedJob>(job("a", "1", 5, "js", "u1")).unwrap());
    let execution = bench.run(vec![step(vec![delete("a", "1")])]).await;
    assert_eq!(execution.succeeded, [true]);
    assert_eq!(bench.known(), [("1".into(), true)]);
    let log = bench.log.lock().unwrap();
    assert_eq!(log[0].line(), format!("DELETE {JOBS}/a"));
    assert_eq!(log[0].body["preconditions"]["uid"], "1");
    assert_eq!(log[0].body["propagationPolicy"], "Foreground");
}

#[tokio::test(start_paused = true)]
async fn deleting_what_is_gone_or_replaced_is_success() {
    for answer in [(404, "NotFound"), (409, "Conflict")] {
        let bench = bench(move |_| refusal(answer.0, answer.1, "no"));
        bench
            .executor
            .index
            .apply(serde_json::from_value::<WatchedJob>(job("a", "1", 5, "js", "u1")).unwrap());
        let execution = bench.run(vec![step(vec![delete("a", "1")])]).await;
        assert_eq!(execution.succeeded, [true], "{answer:?}");
        assert!(bench.known().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn resuming_clears_the_start_time_first() {
    let bench = bench(|_| Answer::Json(200, job("a", "1", 9, "js", "u1")));
    let resume = Action::ResumeJob {
        name: "a".into(),
        uid: "1".into(),
        clear_start_time: true,
        marked: false,
        resources: false,
        patch: json!({"metadata": {"uid": "1"}, "spec": {"suspend": false}}),
    };
    assert_eq!(bench.run(vec![step(vec![resume])]).await.succeeded, [true]);
    let log = bench.log.lock().unwrap();
    let sent: Vec<_> = log
        .iter()
        .map(|seen| (seen.path.as_str(), seen.content_type.as_str()))
        .collect();
    assert_eq!(
        sent,
        [
            (
                "/apis/batch/v1/namespaces/ns/jobs/a/status",
                "application/merge-patch+json"
            ),
            (
                "/apis/batch/v1/namespaces/ns/jobs/a",
                "application/strategic-merge-patch+json"
            ),
        ]
    );
}

fn resume(clear_start_time: bool, marked: bool) -> Action {
    Action::ResumeJob {
        name: "a".into(),
        uid: "1".into(),
        clear_start_time,
        marked,
        resources: false,
        patch: json!({"metadata": {"uid": "1"}, "spec": {"suspend": false}}),
    }
}

const PATCH: &str = "PATCH /apis/batch/v1/namespaces/ns/jobs/a";
const CLEAR: &str = "PATCH /apis/batch/v1/namespaces/ns/jobs/a/status";

/// A server that wants the start time cleared before it takes new directives.
fn earlier_server() -> impl Fn(&Seen) -> Answer + Send + Sync + 'static {
    let cleared = AtomicBool::new(false);
    move |seen| {
        let status = seen.path.ends_with("/status");
        cleared.fetch_or(status, Ordering::Relaxed);
        if status || cleared.load(Ordering::Relaxed) {
            Answer::Json(200, job("a", "1", 9, "js", "u1"))
        } else {
            refusal(422, "Invalid", "spec.template: field is immutable")
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_marked_job_is_resumed_with_one_write() {
    for clear in [false, true] {
        let bench = bench(|_| Answer::Json(200, job("a", "1", 9, "js", "u1")));
        assert!(
            bench
                .run(vec![step(vec![resume(clear, true)])])
                .await
                .errors
                .is_empty()
        );
        assert_eq!(bench.requests(), [PATCH]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_earlier_server_is_recognised_and_remembered() {
    let bench = bench(earlier_server());
    for _ in 0..2 {
        let execution = bench.run(vec![step(vec![resume(true, true)])]).await;
        assert_eq!(execution.succeeded, [true]);
    }
    assert_eq!(bench.requests(), [PATCH, CLEAR, PATCH, CLEAR, PATCH]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_before_the_job_is_marked_passes_by_itself() {
    let bench = bench(|seen| {
        if seen.path.ends_with("/status") {
            Answer::Json(200, job("a", "1", 9, "js", "u1"))
        } else {
            refusal(422, "Invalid", "spec.template: field is immutable")
        }
    });
    let execution = bench.run(vec![step(vec![resume(false, false)])]).await;
    assert!(execution.unfinished && execution.errors.is_empty());
    assert_eq!(execution.succeeded, [false]);
    // Once it is marked, a refusal has another reason, and that is told.
    let execution = bench.run(vec![step(vec![resume(false, true)])]).await;
    assert_eq!(execution.errors.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn scaling_is_one_merge_patch_with_the_uid() {
    let bench = bench(|_| Answer::Json(200, job("a", "1", 9, "js", "u1")));
    let scale = Action::ScaleJob {
        name: "a".into(),
        uid: "1".into(),
        pods: 8,
    };
    assert_eq!(bench.run(vec![step(vec![scale])]).await.succeeded, [true]);
    let log = bench.log.lock().unwrap();
    assert_eq!(log[0].line(), PATCH);
    assert_eq!(log[0].content_type, "application/merge-patch+json");
    assert_eq!(log[0].body, Action::scale_patch("1", 8));
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_obeyed_and_tried_again() {
    let tries = AtomicUsize::new(0);
    let bench = bench(move |_| match tries.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Answer::Busy(429, 2),
        _ => Answer::Json(201, job("a", "1", 10, "js", "u1")),
    });
    let start = Instant::now();
    let execution = bench.run(vec![step(vec![create("a")])]).await;
    assert_eq!(execution.succeeded, [true]);
    assert_eq!(bench.requests().len(), 3);
    assert!(start.elapsed() >= Duration::from_secs(4));
    assert!(bench.executor.limiter.limit() < 10);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_costs_the_time_limit() {
    let bench = bench(|_| Answer::Never);
    let start = Instant::now();
    let execution = bench.run(vec![step(vec![create("a")])]).await;
    assert_eq!(execution.succeeded, [false]);
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    assert_eq!(execution.warnings.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_existing_service_or_claim_is_success() {
    let bench = bench(|seen| match seen.method.as_str() {
        "POST" => refusal(409, "AlreadyExists", "exists"),
        _ => Answer::Json(
            200,
            json!({"metadata": {"name": "js", "namespace": "ns", "resourceVersion": "3"}}),
        ),
    });
    let steps = vec![
        step(vec![Action::CreateService {
            name: "js".into(),
            body: json!({}),
        }]),
        step(vec![Action::CreateClaim {
            name: "data-js".into(),
            body: json!({}),
        }]),
    ];
    assert_eq!(bench.run(steps).await.succeeded, [true, true]);
    let key = Key::new("ns", "js");
    let snapshot = bench
        .executor
        .index
        .snapshot(&key, Duration::from_secs(10))
        .unwrap();
    assert_eq!(snapshot.service, jobset_core::ServiceState::Exists);
}

/// I14: what a huge JobSet has in line delays a small one by one round trip.
#[tokio::test(start_paused = true)]
async fn a_huge_step_does_not_hold_up_a_small_one() {
    let (requests, stats, log) = requests(|seen| {
        let name = seen.body["metadata"]["name"].as_str().unwrap().to_owned();
        Answer::Json(201, job(&name, &name, 10, "js", "u1"))
    });
    let base = bench(|_| Answer::Never);
    let executor = Arc::new(Executor {
        requests,
        stats,
        ..base.executor
    });
    let huge = {
        let (executor, jobset) = (executor.clone(), base.jobset.clone());
        let actions = (0..2000)
            .map(|index| create(&format!("huge-{index}")))
            .collect();
        tokio::spawn(async move { executor.run(&jobset, vec![step(actions)]).await })
    };
    while log.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    executor
        .run(&base.jobset, vec![step(vec![create("small")])])
        .await;
    let before = log.lock().unwrap().len();
    assert!(before < 300, "{before} requests came first");
    assert_eq!(huge.await.unwrap().succeeded, [true]);
}
