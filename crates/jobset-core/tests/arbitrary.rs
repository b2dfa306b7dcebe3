//! Whatever is stored, planning does not panic, hang or contradict itself.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::collections::BTreeSet;
use std::sync::Arc;

use jobset_api::{Feature, FeatureGates, JobSet, defaulting};
use jobset_core::{
    Action, ChildJob, ChildPod, JobOutcome, MAX_CREATIONS, Observed, OutcomeKind, PlanOptions,
    PodPhase, ServiceState, note, plan_counted,
};
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ab]",
        1 => Just(String::new()),
        1 => Just("a-0".to_owned()),
        1 => ".{0,8}",
    ]
}

fn number() -> impl Strategy<Value = i32> {
    prop_oneof![
        6 => 0..5_i32,
        1 => -3..0_i32,
        1 => Just(i32::MAX),
        1 => Just(i32::MIN),
        1 => any::<i32>(),
    ]
}

fn label() -> impl Strategy<Value = Option<String>> {
    proptest::option::weighted(
        0.85,
        prop_oneof![6 => "[0-4]", 1 => number().prop_map(|n| n.to_string()), 1 => ".{0,6}"],
    )
}

/// Any JSON, with the keys that the planner looks for.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number().prop_map(Value::from),
        ".{0,5}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![
            Just("metadata"),
            Just("spec"),
            Just("template"),
            Just("labels"),
            Just("annotations"),
            Just("nodeSelector"),
            Just("tolerations"),
            Just("volumes"),
            Just("containers"),
            Just("name"),
            Just("volumeMounts"),
            Just("schedulingGates"),
            Just("alpha.jobset.sigs.k8s.io/exclusive-topology"),
            Just("alpha.jobset.sigs.k8s.io/node-selector"),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(key.prop_map(str::to_owned), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn role() -> impl Strategy<Value = Value> {
    let depends_on = proptest::collection::vec(
        (
            name(),
            prop_oneof![Just("Ready"), Just("Complete"), Just("Odd")],
        )
            .prop_map(|(name, status)| json!({ "name": name, "status": status })),
        0..3,
    );
    (
        name(),
        proptest::option::of(number()),
        proptest::option::of(name()),
        value(),
        depends_on,
    )
        .prop_map(|(name, replicas, group, template, depends_on)| {
            json!({ "name": name, "replicas": replicas, "groupName": group,
                    "template": template, "dependsOn": depends_on })
        })
}

fn failure_policy() -> impl Strategy<Value = Value> {
    let action = prop_oneof![
        Just("FailJobSet"),
        Just("RestartJobSet"),
        Just("RestartJobSetAndIgnoreMaxRestarts"),
        Just("RestartJob"),
        Just("RestartJobAndIgnoreMaxRestarts"),
        Just("Odd"),
    ];
    let rule = (
        name(),
        action,
        proptest::collection::vec(".{0,12}", 0..3),
        proptest::collection::vec(name(), 0..3),
    )
        .prop_map(|(name, action, patterns, targets)| {
            json!({ "name": name, "action": action, "onJobFailureMessagePatterns": patterns,
                    "targetReplicatedJobs": targets })
        });
    let strategy = prop_oneof![Just("Recreate"), Just("BlockingRecreate"), Just("Odd")];
    (number(), strategy, proptest::collection::vec(rule, 0..4)).prop_map(|(max, strategy, rules)| {
        json!({ "maxRestarts": max, "restartStrategy": strategy, "rules": rules })
    })
}

fn status() -> impl Strategy<Value = Value> {
    let condition = (
        prop_oneof![
            Just("Completed"),
            Just("Failed"),
            Just("Suspended"),
            Just("RestartingJobSet"),
            Just("StartupPolicyInProgress"),
            Just("StartupPolicyCompleted"),
            Just("")
        ],
        prop_oneof![Just("True"), Just("False"), Just("Unknown"), Just("")],
        prop_oneof![
            Just("0001-01-01T00:00:00Z"),
            Just("2026-01-01T00:00:00Z"),
            Just("9999-12-30T00:00:00Z")
        ],
    )
        .prop_map(|(type_, status, time)| {
            json!({ "type": type_, "status": status, "reason": "r", "message": "m",
                    "lastTransitionTime": time })
        });
    let lists = || proptest::collection::vec(number(), 0..5);
    let entry = (name(), number(), lists(), lists()).prop_map(|(name, n, restarts, counted)| {
        json!({ "name": name, "ready": n, "succeeded": n, "failed": n, "active": n,
                "suspended": n, "jobRestarts": restarts, "jobRestartsCountTowardsMax": counted })
    });
    (
        number(),
        number(),
        proptest::collection::vec(condition, 0..3),
        proptest::collection::vec(entry, 0..4),
        proptest::option::of((number(), number(), any::<bool>())),
    )
        .prop_map(|(restarts, counted, conditions, entries, more)| {
            let mut status = json!({ "restarts": restarts, "restartsCountTowardsMax": counted,
                    "conditions": conditions, "replicatedJobsStatus": entries });
            if let Some((one, other, future)) = more {
                let time = if future {
                    "9999-12-30T00:00:00Z"
                } else {
                    "2026-01-01T00:00:00Z"
                };
                status["currentInPlaceRestartAttempt"] = one.into();
                status["previousInPlaceRestartAttempt"] = other.into();
                status["executionAttempts"] = one.into();
                status["startTime"] = time.into();
                status["recovery"] = json!({ "lastRestartTime": time, "healthyRestarts": one,
                                             "forgivenRestarts": other });
            }
            status
        })
}

fn jobset() -> impl Strategy<Value = JobSet> {
    let claims = proptest::collection::vec(
        proptest::collection::vec(value(), 0..3).prop_map(|list| json!({ "templates": list })),
        0..2,
    );
    (
        proptest::collection::vec(role(), 0..5),
        proptest::option::weighted(0.8, failure_policy()),
        proptest::option::of(status()),
        (
            any::<Option<bool>>(),
            any::<Option<bool>>(),
            proptest::option::of(number()),
        ),
        prop_oneof![Just("All"), Just("Any"), Just("Odd")],
        prop_oneof![Just("AnyOrder"), Just("InOrder"), Just("Odd")],
        claims,
        proptest::collection::vec(name(), 0..3),
    )
        .prop_map(
            |(roles, failure, status, (suspend, dns, ttl), operator, order, claims, targets)| {
                let value = json!({
                    "metadata": { "name": "js", "namespace": "ns", "uid": "u", "annotations": {
                        "x.jobset.sigs.k8s.io/restart-backoff": "initial=1h,factor=100",
                        "x.jobset.sigs.k8s.io/restart-budget-refill": "after=1s",
                        "x.jobset.sigs.k8s.io/force-delete-pods": "after=1s",
                    } },
                    "spec": {
                        "replicatedJobs": roles,
                        "failurePolicy": failure,
                        "successPolicy": { "operator": operator, "targetReplicatedJobs": targets },
                        "startupPolicy": { "startupPolicyOrder": order },
                        "network": { "enableDNSHostnames": dns },
                        "coordinator": { "replicatedJob": "a" },
                        "suspend": suspend,
                        "ttlSecondsAfterFinished": ttl,
                        "activeDeadlineSeconds": ttl.map(i64::from).map(|n| n.wrapping_mul(n)),
                        "volumeClaimPolicies": claims,
                    },
                    "status": status,
                });
                serde_json::from_value(value).unwrap()
            },
        )
}

fn job() -> impl Strategy<Value = ChildJob> {
    let outcome = proptest::option::of((any::<bool>(), ".{0,6}", any::<bool>()).prop_map(
        |(failed, message, timed)| JobOutcome {
            kind: if failed {
                OutcomeKind::Failed
            } else {
                OutcomeKind::Complete
            },
            reason: "BackoffLimitExceeded".to_owned(),
            message,
            time: timed.then_some(Timestamp::UNIX_EPOCH),
        },
    ));
    (
        (
            name(),
            label(),
            label(),
            label(),
            proptest::option::weighted(0.9, name()),
        ),
        any::<(bool, bool, bool, bool, bool)>(),
        (
            proptest::option::of(number()),
            proptest::option::of(number()),
        ),
        (number(), number(), number(), number()),
        outcome,
    )
        .prop_map(
            |((role, attempt, single, index, label), flags, wanted, counts, outcome)| ChildJob {
                name: format!("js-{role}-{}", index.as_deref().unwrap_or("0")),
                namespace: "ns".to_owned(),
                uid: "uid".to_owned(),
                resource_version: "1".to_owned(),
                restart_attempt: attempt,
                job_restart_attempt: single,
                replicated_job: label,
                job_index: index,
                deleting: flags.0,
                suspend: flags.1,
                marked_suspended: flags.3,
                failing: flags.4.then(|| JobOutcome {
                    kind: OutcomeKind::Failed,
                    reason: String::new(),
                    message: String::new(),
                    time: None,
                }),
                node_selector: Vec::new(),
                start_time: flags.2.then_some(Timestamp::UNIX_EPOCH),
                parallelism: wanted.0,
                completions: wanted.1,
                active: counts.0,
                ready: counts.1,
                succeeded: counts.2,
                failed: counts.3,
                outcome,
            },
        )
}

fn pod() -> impl Strategy<Value = ChildPod> {
    (label(), number(), 0..3_u8, any::<(bool, bool, bool)>()).prop_map(
        |(attempt, restarts, phase, (owned, deleting, placed))| ChildPod {
            name: "pod".to_owned(),
            uid: "uid".to_owned(),
            job_uid: owned.then(|| "uid".to_owned()),
            node: placed.then(|| "n".to_owned()),
            phase: match phase {
                0 => PodPhase::Unfinished,
                1 => PodPhase::Succeeded,
                _ => PodPhase::Failed,
            },
            deletion: deleting.then_some(Timestamp::UNIX_EPOCH),
            in_place_attempt: attempt,
            restarts,
        },
    )
}

const GATES: [Feature; 6] = [
    Feature::RestartJob,
    Feature::InPlaceRestart,
    Feature::ElasticJobSet,
    Feature::ExecutionAttemptsTracking,
    Feature::MutablePodResourcesForSuspendedJobSets,
    Feature::JobSetActiveDeadlineSeconds,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    /// A JobSet that was stored without defaults, because no webhook ran, means what it would mean
    /// with them.
    #[test]
    fn absent_defaults_make_no_difference(
        jobset in jobset(),
        bare in any::<[bool; 3]>(),
        jobs in proptest::collection::vec(job().prop_map(Arc::new), 0..12),
        gate in any::<bool>(),
    ) {
        let mut jobset = jobset;
        if bare[0] {
            jobset.spec.network = None;
        }
        if bare[1] {
            jobset.spec.success_policy = None;
        }
        if bare[2] {
            jobset.spec.startup_policy = None;
        }
        let mut defaulted = jobset.clone();
        defaulting::default_jobset(&mut defaulted);
        prop_assert!(defaulting::is_defaulted(&defaulted));
        prop_assert_eq!(defaulting::is_defaulted(&jobset), jobset == defaulted);
        let gates = FeatureGates::default().with(Feature::RestartJob, gate);
        let claims = BTreeSet::new();
        let plan = |jobset: &JobSet| {
            let observed = Observed {
                jobset,
                jobs: &jobs,
                service: ServiceState::Missing,
                claims: &claims,
                pods: None,
                dead_nodes: &[],
                pod_webhook: true,
            };
            jobset_core::plan(&observed, &gates.into(), Timestamp::UNIX_EPOCH)
        };
        prop_assert_eq!(plan(&jobset), plan(&defaulted));
    }

    #[test]
    fn never_panics_and_is_deterministic_and_bounded(
        jobset in jobset(),
        jobs in proptest::collection::vec(job().prop_map(Arc::new), 0..12),
        service in any::<bool>(),
        pods in proptest::option::of(
            proptest::collection::vec(pod().prop_map(Arc::new), 0..8)
        ),
        gates in any::<[bool; 6]>(),
        fast in any::<bool>(),
        lean in any::<bool>(),
    ) {
        let claims = BTreeSet::new();
        let dead_nodes = ["n".to_owned()];
        let observed = Observed {
            jobset: &jobset,
            jobs: &jobs,
            service: if service { ServiceState::Exists } else { ServiceState::Missing },
            claims: &claims,
            pods: pods.as_deref(),
            dead_nodes: &dead_nodes,
            pod_webhook: true,
        };
        let options = PlanOptions {
            gates: GATES
                .into_iter()
                .zip(gates)
                .fold(FeatureGates::default(), |all, (gate, on)| all.with(gate, on)),
            fast_failure_detection: fast,
            lean_suspend: lean,
            clean_up_managed_elsewhere: true,
        };
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let (plan, work) = plan_counted(&observed, &options, now);
        prop_assert_eq!(&plan, &plan_counted(&observed, &options, now).0);
        prop_assert!(work.total() < 4 * MAX_CREATIONS as u64, "{:?}", work);

        // No name twice, no change without a uid, nothing but known Jobs touched.
        let mut created = BTreeSet::new();
        let names: BTreeSet<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
        for action in plan.actions() {
            match action {
                Action::CreateJob { name, body } => {
                    prop_assert!(created.insert(name.clone()), "{} twice", name);
                    prop_assert!(!names.contains(name.as_str()));
                    prop_assert_eq!(&body.build()["metadata"]["name"], name);
                }
                Action::DeleteJob { name, uid, .. }
                | Action::SuspendJob { name, uid }
                | Action::ScaleJob { name, uid, .. }
                | Action::ResumeJob { name, uid, .. } => {
                    prop_assert!(names.contains(name.as_str()));
                    prop_assert_eq!(uid, "uid");
                }
                _ => {}
            }
        }
        for event in &plan.events {
            prop_assert!(event.note.len() <= note::MAX_BYTES);
        }
        // Restart counters never fall, whatever is in them.
        if let Some(status) = &plan.status {
            let old = jobset.status.clone().unwrap_or_default();
            prop_assert!(status.restarts >= old.restarts);
            prop_assert!(status.restarts_count_towards_max >= old.restarts_count_towards_max);
        }
        // With no step succeeding there are no more events than with all.
        prop_assert!(plan.settle(|_| false).events.len() <= plan.events.len());
    }
}
