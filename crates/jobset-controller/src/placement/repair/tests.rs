use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::super::cache::tests::{bound, node, on, pod, watched};
use super::*;
use crate::index::Cache as _;
use crate::options::ControllerOptions;
use crate::testing::{self, Answer, Log, Seen, refusal};

const FOLLOWER: &str = "js-w-0-1-aaaaa";
const PATCH: &str = "PATCH /api/v1/namespaces/ns/pods/js-w-0-1-aaaaa/status";
const DELETE: &str = "DELETE /api/v1/namespaces/ns/pods/js-w-0-1-aaaaa";

struct Bench {
    repairs: Repairs,
    log: Log,
}

/// A leader on n1, which is in domain a, with `followers`.
fn bench(followers: Vec<Value>, answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Bench {
    let (client, log) = testing::client(answer);
    let stats = Arc::<Stats>::default();
    let placement = Placement::new(client.clone(), &ControllerOptions::default());
    let cache = &placement.shared.cache;
    cache.replace(vec![node("n1", json!({"rack": "a"}))]);
    cache.apply(watched(on(pod("js-w-0-0-aaaaa", 1, "j0"), "n1")));
    for follower in followers {
        cache.apply(watched(follower));
    }
    let repairs = Repairs {
        placement,
        queue: Arc::new(Queue::new(1)),
        requests: Arc::new(Requests::new(client, stats.clone(), Duration::from_secs(2))),
        limiter: Limiter::new(50),
        stats,
        clock: Clock::from_fn(|| Timestamp::from_second(1_700_000_000).unwrap()),
    };
    Bench { repairs, log }
}

impl Bench {
    async fn repair(&self) -> bool {
        self.repairs.repair(&Key::new("ns", "j0")).await
    }

    fn sent(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    fn lines(&self) -> Vec<String> {
        self.sent().iter().map(Seen::line).collect()
    }
}

fn misplaced() -> Value {
    bound(pod(FOLLOWER, 7, "j0"), "b")
}

/// Accepts everything.
fn accept(seen: &Seen) -> Answer {
    let mut answer = bound(pod(FOLLOWER, 8, "j0"), "b");
    answer["status"] = seen.body["status"].clone();
    Answer::Json(200, answer)
}

/// PD1, PF1, PF2.
#[tokio::test(start_paused = true)]
async fn a_misplaced_follower_is_marked_then_deleted() {
    let right = bound(pod("js-w-0-2-aaaaa", 3, "j0"), "a");
    let bench = bench(vec![misplaced(), right], accept);
    assert!(bench.repair().await);
    let sent = bench.sent();
    assert_eq!(
        sent.iter().map(Seen::line).collect::<Vec<_>>(),
        [PATCH, DELETE]
    );
    assert_eq!(
        sent[0].content_type,
        "application/strategic-merge-patch+json"
    );
    assert_eq!(
        sent[0].body,
        json!({
            "metadata": {"uid": format!("uid-{FOLLOWER}"), "resourceVersion": "7"},
            "status": {"conditions": [{
                "type": "DisruptionTarget", "status": "True",
                "reason": "ExclusivePlacementViolation",
                "message": "Pod violated JobSet exclusive placement policy",
                "lastTransitionTime": "2023-11-14T22:13:20Z",
            }]},
        })
    );
    assert_eq!(sent[1].body["propagationPolicy"], "Background");
    assert_eq!(
        sent[1].body["preconditions"]["uid"],
        format!("uid-{FOLLOWER}")
    );
    assert_eq!(bench.repairs.stats.placement_repairs(), 1);
    // Before the watch shows it, it is known to be on its way out.
    assert!(bench.repair().await);
    assert_eq!(bench.lines(), [""; 0]);
}

/// PF4, and of PF2 that a mark of False is none.
#[tokio::test(start_paused = true)]
async fn a_pod_that_is_marked_already_is_only_deleted() {
    let mut marked = misplaced();
    marked["status"]["conditions"] = json!([{"type": "DisruptionTarget", "status": "True"}]);
    let first = bench(vec![marked.clone()], accept);
    assert!(first.repair().await);
    assert_eq!(first.lines(), [DELETE]);
    marked["status"]["conditions"][0]["status"] = "False".into();
    let second = bench(vec![marked], accept);
    assert!(second.repair().await);
    assert_eq!(second.lines(), [PATCH, DELETE]);
}

/// PF3.
#[tokio::test(start_paused = true)]
async fn without_the_mark_nothing_is_deleted() {
    for (code, reason) in [
        (403, "Forbidden"),
        (409, "Conflict"),
        (500, "InternalError"),
    ] {
        let bench = bench(vec![misplaced()], move |_| refusal(code, reason, "no"));
        assert!(!bench.repair().await, "{reason}");
        assert_eq!(bench.lines(), [PATCH], "{reason}");
        assert_eq!(bench.repairs.stats.placement_repairs(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_gone_is_no_error() {
    let first = bench(vec![misplaced()], |_| refusal(404, "NotFound", "no"));
    assert!(first.repair().await);
    assert_eq!(first.lines(), [PATCH]);
    let second = bench(vec![misplaced()], |seen| match seen.method.as_str() {
        "DELETE" => refusal(404, "NotFound", "no"),
        _ => accept(seen),
    });
    assert!(second.repair().await);
    assert_eq!(second.lines(), [PATCH, DELETE]);
    assert_eq!(second.repairs.stats.placement_repairs(), 0);
}

/// PF4.
#[tokio::test(start_paused = true)]
async fn a_failed_deletion_is_repeated_without_a_second_mark() {
    let bench = bench(vec![misplaced()], |seen| match seen.method.as_str() {
        "DELETE" => refusal(500, "InternalError", "no"),
        _ => accept(seen),
    });
    assert!(!bench.repair().await);
    assert!(!bench.repair().await);
    assert_eq!(bench.lines(), [PATCH, DELETE, DELETE]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_domain_deletes_nothing() {
    let bench = bench(vec![misplaced()], accept);
    bench
        .repairs
        .placement
        .shared
        .cache
        .delete(node("n1", json!({})));
    assert!(!bench.repair().await);
    assert_eq!(bench.lines(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_leader_waits_is_looked_at_again() {
    let bench = bench(vec![misplaced()], accept);
    let cache = &bench.repairs.placement.shared.cache;
    let mut waiting = pod("js-w-0-0-bbbbb", 9, "j0");
    waiting["metadata"]["uid"] = "new".into();
    cache.apply(watched(waiting));
    cache.delete(watched(on(pod("js-w-0-0-aaaaa", 1, "j0"), "n1")));
    assert!(bench.repair().await);
    assert_eq!(bench.lines(), [""; 0]);
    let start = tokio::time::Instant::now();
    assert_eq!(bench.repairs.queue.next().await, Some(Key::new("ns", "j0")));
    assert_eq!(start.elapsed(), WAITING);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_watched_before_it_is_needed() {
    use jobset_core::placement::PlacementView as _;

    let (client, log) = testing::client(|_| {
        Answer::Json(
            200,
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
                   "items": []}),
        )
    });
    let placement = Placement::new(client, &ControllerOptions::default());
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(log.lock().unwrap().len(), 0);
    assert!(!placement.ready(), "the first question is the first need");
    while !placement.ready() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let requests = placement.stats().requests();
    assert_eq!(requests.get(&("list", "pods")), Some(&1), "{requests:?}");
    assert_eq!(requests.get(&("list", "nodes")), Some(&1), "{requests:?}");
}
