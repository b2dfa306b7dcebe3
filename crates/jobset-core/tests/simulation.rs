//! The planner in a world that changes, lags and fails: invariants at every step, and in the end
//! nothing left to do.
//!
//! The numbers (I2, I3, ...) are those of the project's list of invariants.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod world;

use jobset_api::{Feature, FeatureGates, ReplicatedJob, conditions};
use jobset_core::PlanOptions;
use proptest::prelude::*;
use serde_json::{Value, json};
use world::{Faults, Tick, World};

/// Something that happens.
#[derive(Clone, Debug)]
enum Op {
    SyncJobSet,
    SyncJobs,
    Reconcile(Faults),
    /// Both caches catch up, then a reconcile without faults.
    Round,
    Tick(usize, Tick),
    /// The same happens to every Job.
    TickAll(Tick),
    Suspend(bool),
    DeleteByUser(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let faults = (
        proptest::option::weighted(0.3, 0..20_usize),
        any::<bool>(),
        0..10_u8,
    )
        .prop_map(|(action, reply_lost, crash)| Faults {
            action,
            reply_lost,
            crash: crash == 0,
        });
    let tick = prop_oneof![
        3 => Just(Tick::Start),
        3 => Just(Tick::Ready),
        2 => Just(Tick::Succeed),
        1 => Just(Tick::Fail),
        1 => Just(Tick::Doom),
        3 => Just(Tick::Quiesce),
    ];
    let op = prop_oneof![
        3 => Just(Op::SyncJobSet),
        3 => Just(Op::SyncJobs),
        8 => faults.prop_map(Op::Reconcile),
        10 => Just(Op::Round),
        16 => (0..20_usize, tick).prop_map(|(n, t)| Op::Tick(n, t)),
        4 => Just(Op::TickAll(Tick::Start)),
        1 => any::<bool>().prop_map(Op::Suspend),
        1 => (0..20_usize).prop_map(Op::DeleteByUser),
    ];
    proptest::collection::vec(op, 0..120)
}

fn role(name: &str, replicas: i32, pods: i32, depends_on: Option<Value>) -> Value {
    let mut role = json!({ "name": name, "replicas": replicas, "template": { "spec": {
        "parallelism": pods, "completions": pods,
        "template": { "spec": { "containers": [{ "name": "c", "image": "i",
            "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }] } } } } });
    if let Some(items) = depends_on {
        role["dependsOn"] = items;
    }
    role
}

/// Three roles, in one of the ways the API admits.
fn spec() -> impl Strategy<Value = Value> {
    let state = || prop_oneof![Just("Ready"), Just("Complete")];
    let start = prop_oneof![
        Just((None, None, "AnyOrder")),
        Just((None, None, "InOrder")),
        (state(), state()).prop_map(|(b, c)| {
            let on = |name: &str, status: &str| json!([{ "name": name, "status": status }]);
            (Some(on("a", b)), Some(on("b", c)), "AnyOrder")
        }),
    ];
    let success = prop_oneof![
        2 => Just(Value::Null),
        1 => Just(json!({ "operator": "All" })),
        1 => Just(json!({ "operator": "All", "targetReplicatedJobs": ["b"] })),
        1 => Just(json!({ "operator": "Any", "targetReplicatedJobs": ["c"] })),
        1 => Just(json!({ "operator": "Any" })),
    ];
    let action = prop_oneof![
        Just("FailJobSet"),
        Just("RestartJobSet"),
        Just("RestartJobSetAndIgnoreMaxRestarts"),
        Just("RestartJob"),
        Just("RestartJobAndIgnoreMaxRestarts"),
    ];
    let rule = (
        action,
        prop_oneof![Just(json!([])), Just(json!(["a"])), Just(json!(["b", "c"]))],
    );
    let strategy = prop_oneof![
        Just("Recreate"),
        Just("BlockingRecreate"),
        Just("InPlaceRestart")
    ];
    let failure = proptest::option::weighted(
        0.85,
        (0..4_i32, strategy, proptest::collection::vec(rule, 0..3)).prop_map(
            |(max, strategy, rules)| {
                let rules: Vec<Value> = rules
                    .into_iter()
                    .enumerate()
                    .map(|(i, (action, targets))| {
                        json!({ "name": format!("r{i}"), "action": action,
                                "targetReplicatedJobs": targets })
                    })
                    .collect();
                json!({ "maxRestarts": max, "restartStrategy": strategy, "rules": rules })
            },
        ),
    );
    let sizes = (0..4_i32, 0..4_i32, 0..3_i32, 1..3_i32);
    (sizes, start, success, failure, any::<bool>(), any::<bool>()).prop_map(
        |((a, b, c, pods), (on_b, on_c, order), success, failure, suspend, dns)| {
            json!({
                "suspend": suspend,
                "network": { "enableDNSHostnames": dns },
                "successPolicy": success,
                "failurePolicy": failure,
                "startupPolicy": { "startupPolicyOrder": order },
                "volumeClaimPolicies": [{ "templates": [{ "metadata": { "name": "v" } }] }],
                "replicatedJobs": [
                    role("a", a, pods, None), role("b", b, 1, on_b), role("c", c, pods, on_c),
                ],
            })
        },
    )
}

/// Every gate and option, on or off.
fn options() -> impl Strategy<Value = PlanOptions> {
    let gates = [
        Feature::RestartJob,
        Feature::InPlaceRestart,
        Feature::ElasticJobSet,
        Feature::ExecutionAttemptsTracking,
        Feature::MutablePodResourcesForSuspendedJobSets,
        Feature::JobSetActiveDeadlineSeconds,
    ];
    (any::<[bool; 6]>(), any::<[bool; 3]>()).prop_map(move |(on, [fast, lean, clean_up])| {
        PlanOptions {
            gates: gates
                .into_iter()
                .zip(on)
                .fold(FeatureGates::default(), |all, (gate, on)| {
                    all.with(gate, on)
                }),
            fast_failure_detection: fast,
            lean_suspend: lean,
            clean_up_managed_elsewhere: clean_up,
        }
    })
}

fn annotations() -> impl Strategy<Value = Value> {
    (any::<bool>(), any::<bool>()).prop_map(|(backoff, refill)| {
        let mut map = serde_json::Map::new();
        if backoff {
            let value = "initial=1s,factor=3,max=20s".into();
            map.insert("x.jobset.sigs.k8s.io/restart-backoff".to_owned(), value);
        }
        if refill {
            let value = "after=4s".into();
            map.insert(
                "x.jobset.sigs.k8s.io/restart-budget-refill".to_owned(),
                value,
            );
        }
        map.into()
    })
}

/// Whether the JobSet can complete at all when every Job succeeds.
fn can_complete(world: &World) -> bool {
    let spec = &world.jobset.spec;
    let replicas = |name: &str| {
        world
            .jobset
            .replicated_job(name)
            .map_or(0, ReplicatedJob::replicas)
    };
    let total: i32 = ["a", "b", "c"].into_iter().map(replicas).sum();
    let any_of_none = spec.success_policy.as_ref().is_some_and(|policy| {
        policy.operator.as_str() == "Any"
            && policy
                .target_replicated_jobs
                .first()
                .is_some_and(|name| replicas(name) == 0)
    });
    total > 0 && !any_of_none
}

/// I1, I4, I8 and I13 at rest.
fn check_at_rest(world: &World) {
    assert!(world.plan().is_empty());
    let status = world.jobset.status.clone().unwrap_or_default();
    let finished = conditions::is_finished(&world.jobset);
    assert!(world.terminal.len() <= 1, "I4: {:?}", world.terminal);
    assert_eq!(finished, !status.terminal_state.is_empty());
    let unfinished = || world.jobs.values().filter(|job| job.view.outcome.is_none());
    if finished {
        assert_eq!(unfinished().count(), 0, "I4: active Jobs after the end");
    } else if world.jobset.is_suspended() {
        assert!(world.jobs.values().all(|job| job.pods == 0), "I8");
        assert!(unfinished().all(|job| job.view.suspend), "I8");
        assert!(conditions::is_true(&world.jobset, "Suspended"), "I8");
    } else {
        assert!(!can_complete(world), "I1: nothing to do, yet not completed");
    }
    for entry in &status.replicated_jobs_status {
        let own = || {
            let jobs = world.jobs.values();
            jobs.filter(|job| job.view.replicated_job.as_deref() == Some(&entry.name))
        };
        let active = own().filter(|job| job.view.active > 0).count();
        assert_eq!(entry.active as usize, active, "I13: {entry:?}");
        assert!(entry.active != 0 || own().all(|job| job.pods == 0), "I13");
    }
}

fn run(spec: Value, annotations: Value, options: PlanOptions, ops: Vec<Op>) {
    let mut world = World::annotated(spec, annotations, options);
    for op in ops {
        match op {
            Op::SyncJobSet => world.sync_jobset(),
            Op::SyncJobs => world.sync_jobs(),
            Op::Reconcile(faults) => {
                world.reconcile(faults);
            }
            Op::Round => {
                world.sync_jobset();
                world.sync_jobs();
                world.reconcile(Faults::default());
            }
            Op::Tick(nth, tick) => world.tick(nth, tick),
            Op::TickAll(tick) => (0..world.jobs.len()).for_each(|nth| world.tick(nth, tick)),
            Op::Suspend(on) => world.set_suspend(on),
            Op::DeleteByUser(nth) => world.delete_by_user(nth),
        }
    }
    world.settle();
    check_at_rest(&world);

    // A suspended JobSet goes on where it was.
    if world.jobset.is_suspended() {
        world.set_suspend(false);
        world.settle();
        check_at_rest(&world);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn invariants_hold_and_the_world_settles(
        spec in spec(),
        annotations in annotations(),
        options in options(),
        deadline in proptest::option::weighted(0.3, 1..2000_i64),
        ops in ops(),
    ) {
        let mut spec = spec;
        spec["activeDeadlineSeconds"] = deadline.into();
        run(spec, annotations, options, ops);
    }
}

#[test]
fn a_calm_life_takes_few_rounds() {
    let spec = json!({
        "startupPolicy": { "startupPolicyOrder": "InOrder" },
        "replicatedJobs": [role("a", 2, 1, None), role("b", 2, 1, None)],
    });
    let mut world = World::new(spec, PlanOptions::default());
    let rounds = world.settle();
    assert!(conditions::is_true(&world.jobset, "Completed"));
    assert!(rounds < 12, "{rounds}");
}
