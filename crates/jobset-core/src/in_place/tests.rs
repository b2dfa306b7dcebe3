use jobset_api::Feature;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{
    JobExt, World, conditions, job, kinds, names, now, reasons as event_reasons, rjob, triples,
};
use crate::model::Plan;

/// A replicated job with Pods in every Job.
fn role(name: &str, replicas: i32, pods: impl Into<Value>) -> Value {
    let mut role = rjob(name, replicas);
    let pods = pods.into();
    role["template"]["spec"]["parallelism"] = pods.clone();
    role["template"]["spec"]["completions"] = pods;
    role
}

/// The same with the agent as a sidecar.
fn sidecar(name: &str, replicas: i32) -> Value {
    let mut role = role(name, replicas, 1);
    role["template"]["spec"]["template"]["spec"]["initContainers"] =
        json!([{ "name": "agent", "restartPolicy": "Always", "startupProbe": { "httpGet": {} } }]);
    role
}

fn after(mut role: Value, on: &str, status: &str) -> Value {
    role["dependsOn"] = json!([{ "name": on, "status": status }]);
    role
}

/// One Pod of one Job, at this attempt; -1 for one that has not reported.
fn pod(job: &str, attempt: i32) -> ChildPod {
    ChildPod {
        name: format!("{job}-pod"),
        uid: format!("{job}-pod-{attempt}"),
        job_uid: Some(format!("test-jobset-{job}-uid")),
        in_place_attempt: (attempt >= 0).then(|| attempt.to_string()),
        ..ChildPod::default()
    }
}

/// In-place restarts with this budget.
fn group(max: i32, roles: &[Value]) -> World {
    let mut world = World::new(json!({
        "failurePolicy": { "maxRestarts": max, "restartStrategy": "InPlaceRestart" },
        "replicatedJobs": roles,
    }));
    world.options.gates = world.options.gates.with(Feature::InPlaceRestart, true);
    world.pods(Vec::new())
}

/// Two Jobs of one Pod each, at these attempts.
fn pair(max: i32, attempts: &[i32]) -> World {
    let pods = attempts.iter().enumerate();
    let pods: Vec<_> = pods.map(|(i, n)| pod(&format!("a-{i}"), *n)).collect();
    group(max, &[role("a", 2, 1)])
        .jobs([job("a", 0).ready(), job("a", 1).ready()])
        .pods(pods)
}

fn at(world: World, current: Option<i32>, previous: Option<i32>) -> World {
    world.with_status(|status| {
        status.current_in_place_restart_attempt = current;
        status.previous_in_place_restart_attempt = previous;
    })
}

/// Current and previous attempt after the plan, and whether the JobSet failed.
fn outcome(world: &World) -> (Option<i32>, Option<i32>, bool) {
    let plan = world.plan();
    let status = plan
        .status
        .clone()
        .unwrap_or_else(|| world.jobset.status.clone().unwrap());
    (
        status.current_in_place_restart_attempt,
        status.previous_in_place_restart_attempt,
        !status.terminal_state.is_empty(),
    )
}

fn restarted(mut pod: ChildPod, times: i32) -> ChildPod {
    pod.restarts = times;
    pod
}

#[test]
fn is1_is2_the_strategy_decides() {
    for (strategy, wanted) in [("InPlaceRestart", true), ("Recreate", false)] {
        let mut world = group(1, &[]);
        world.jobset.spec.failure_policy =
            serde_json::from_value(json!({ "restartStrategy": strategy })).unwrap();
        assert_eq!(is_wanted(&world.jobset), wanted);
    }
}

#[test]
fn ic4_no_pods_have_not_restarted() {
    assert_eq!(outcome(&pair(0, &[])), (None, None, false));
}

/// What the planner takes from these annotations: attempts, and warnings.
fn reported(annotations: &[Option<&str>]) -> (Vec<i64>, usize) {
    let mut draft = Draft::default();
    let mut seen = Vec::new();
    for text in annotations {
        let pod = ChildPod {
            in_place_attempt: text.map(str::to_owned),
            ..ChildPod::default()
        };
        seen.extend(reported_attempt(&pod, &mut draft));
    }
    (seen, draft.finish().0.warnings.len())
}

#[test]
fn ia1_ia2_ia6_annotations_are_numbers_or_absent() {
    assert_eq!(reported(&[Some("0"), Some("1")]), (vec![0, 1], 0));
    assert_eq!(reported(&[None, Some("1")]), (vec![1], 0));
    assert_eq!(reported(&[]), (vec![], 0));
}

#[test]
fn ia3_ia4_b_a_malformed_annotation_counts_as_none_and_is_told() {
    for text in ["x", "-1", "", "1.5", "99999999999"] {
        assert_eq!(reported(&[Some(text), Some("1")]), (vec![1], 1), "{text}");
    }
}

#[test]
fn d16_b_a_malformed_annotation_does_not_block_the_status() {
    let mut bad = pod("a-0", 0);
    bad.in_place_attempt = Some("x".to_owned());
    let world = pair(1, &[]).pods([bad, pod("a-1", 1)]);
    let plan = world.plan();
    assert_eq!(plan.warnings.len(), 1);
    assert!(plan.error.is_none());
    let status = plan.status.unwrap();
    assert_eq!(status.replicated_jobs_status[0].ready, 2);
    assert_eq!(status.previous_in_place_restart_attempt, Some(0));
}

#[test]
fn ia5_failed_pods_do_not_report_and_neither_do_terminating_ones() {
    let failed = ChildPod {
        phase: PodPhase::Failed,
        ..pod("a-0", 5)
    };
    let ending = ChildPod {
        deletion: Some(now()),
        ..pod("a-0", 5)
    };
    for old in [failed, ending] {
        let world = pair(1, &[]).pods([old, pod("a-0", 0), pod("a-1", 0)]);
        assert_eq!(outcome(&world), (Some(0), None, false));
    }
}

#[test]
fn ie1_to_ie6_the_budget_of_attempts() {
    let table = [
        (1, 0, 0, 2, true),
        (2, 0, 0, 2, false),
        (1, 1, 1, 2, true),
        (2, 1, 1, 2, false),
        (1, 2, 1, 3, true),
        (1, 2, 1, 2, false),
    ];
    for (max, restarts, counted, highest, exceeded) in table {
        let status = JobSetStatus {
            restarts,
            restarts_count_towards_max: counted,
            ..JobSetStatus::default()
        };
        let used = restarts_of(highest, 0, &status);
        assert_eq!(used > max, exceeded, "{max} {restarts} {counted} {highest}");
    }
}

#[test]
fn b_uncounted_restarts_of_single_jobs_are_subtracted() {
    let world = pair(1, &[2, 2]).status(json!({
        "restarts": 0,
        "replicatedJobsStatus": [{ "name": "a", "jobRestarts": [1, 1],
                                   "jobRestartsCountTowardsMax": [1, 0] }],
    }));
    assert!(!outcome(&world).2);
}

/// Pods expected of these replicated jobs when all their Jobs are there, and the error if there
/// is one.
fn expected(roles: &[Value]) -> (Option<i64>, Option<String>) {
    let world = group(1, roles);
    let mut draft = Draft::default();
    let roles = Roles::of(&world.jobset);
    let group = Group::new(&world.jobset, &roles, &Buckets::default(), &mut draft);
    let total = group.expected(&roles, &mut draft);
    (total, draft.finish().0.error)
}

#[test]
fn it1_to_it3_expected_pods() {
    assert_eq!(
        expected(&[role("a", 2, 2), role("b", 1, 3)]),
        (Some(7), None)
    );
    let mut unequal = role("a", 2, 2);
    unequal["template"]["spec"]["completions"] = 3.into();
    let error = "a: in-place restart requires jobTemplate.spec.completions == \
                 jobTemplate.spec.parallelism != nil";
    assert_eq!(expected(&[unequal]), (None, Some(error.to_owned())));
    assert_eq!(
        expected(&[role("a", 2, Value::Null)]),
        (None, Some(error.to_owned()))
    );
}

#[test]
fn it_error_does_not_block_the_status() {
    let mut world = pair(1, &[0, 0]);
    let template = world.jobset.spec.replicated_jobs[0].template.as_value_mut();
    template["spec"]["completions"] = Value::Null;
    let plan = world.plan();
    assert!(plan.error.is_some());
    assert!(plan.status.is_some());
}

#[test]
fn iq1_to_iq4_equal_attempts() {
    let table: [(&[i32], Option<i32>); 4] = [
        (&[], None),
        (&[4], Some(4)),
        (&[1, 1, 1], Some(1)),
        (&[1, 2, 1], None),
    ];
    for (attempts, current) in table {
        let n = attempts.len();
        let jobs = (0..n).map(|i| job("a", i).ready());
        let pods = attempts.iter().enumerate();
        let world = group(9, &[role("a", i32::try_from(n).unwrap(), 1)])
            .jobs(jobs)
            .pods(pods.map(|(i, n)| pod(&format!("a-{i}"), *n)));
        assert_eq!(outcome(&world).0, current, "{attempts:?}");
    }
}

#[test]
fn iu1_to_iu3_current_is_what_all_report() {
    assert_eq!(outcome(&at(pair(9, &[1, 1]), Some(0), None)).0, Some(1));
    assert_eq!(outcome(&at(pair(9, &[0, 0]), None, None)).0, Some(0));
    // Known already: nothing to write.
    let world = at(pair(9, &[1, 1]), Some(1), None);
    let written = world.plan().status.unwrap();
    let again = world.with_status(|status| *status = written);
    assert!(again.plan().is_empty());
}

#[test]
fn ip1_to_ip5_previous_only_grows() {
    let table: [(Option<i32>, &[i32], Option<i32>); 5] = [
        (Some(0), &[2, 1], Some(1)),
        (Some(1), &[2, 1], Some(1)),
        (Some(1), &[1, -1], Some(1)),
        (None, &[], None),
        (None, &[0, 1], Some(0)),
    ];
    for (before, attempts, after) in table {
        let world = at(pair(9, attempts), Some(0), before);
        assert_eq!(outcome(&world).1, after, "{before:?} {attempts:?}");
    }
}

#[test]
fn il1_to_il3_b_only_pods_of_present_jobs_count() {
    // Whatever its labels say: owned by nobody, by a Job of another JobSet, by an outdated Job.
    let nobody = ChildPod {
        job_uid: None,
        ..restarted(pod("a-0", 7), 9)
    };
    let stranger = ChildPod {
        job_uid: Some("other".to_owned()),
        ..nobody.clone()
    };
    let world = group(1, &[role("a", 1, 1)])
        .status(json!({ "restarts": 1, "restartsCountTowardsMax": 1 }))
        .jobs([
            job("a", 0).attempt(1).ready(),
            ChildJob {
                name: "test-jobset-a-9".to_owned(),
                uid: "test-jobset-a-9-uid".to_owned(),
                ..job("a", 0).deleting()
            },
        ])
        .pods([nobody, stranger, restarted(pod("a-9", 5), 9), pod("a-0", 1)]);
    assert_eq!(outcome(&world), (Some(1), None, false));
}

#[test]
fn ir1_a_container_that_restarts_too_often_fails_the_jobset() {
    let world = pair(1, &[]).pods([restarted(pod("a-0", 0), 2), pod("a-1", 0)]);
    let plan = world.plan();
    assert_eq!(
        conditions(&plan),
        triples(&[("Failed", "True", "ReachedMaxRestarts")])
    );
    let status = plan.status.as_ref().unwrap();
    assert_eq!(
        status.conditions[0].message,
        "jobset failed due to reaching max number of restarts"
    );
    assert_eq!(status.terminal_state, "Failed");
    assert_eq!(event_reasons(&plan), ["ReachedMaxRestarts"]);
    assert!(!outcome(&pair(1, &[]).pods([restarted(pod("a-0", 0), 1)])).2);
}

#[test]
fn ir2_an_attempt_over_the_budget_fails_the_jobset() {
    assert!(outcome(&pair(1, &[2, 1])).2);
    assert!(!outcome(&pair(1, &[1, 0])).2);
}

#[test]
fn ir3_to_ir8_starting_up() {
    assert_eq!(outcome(&pair(1, &[0, 0])), (Some(0), None, false));
    assert_eq!(
        outcome(&at(pair(1, &[1, 1]), Some(0), Some(0))),
        (Some(1), Some(0), false)
    );
    for attempts in [&[] as &[i32], &[-1], &[0, -1], &[-1, -1]] {
        assert_eq!(
            outcome(&pair(1, attempts)),
            (None, None, false),
            "{attempts:?}"
        );
    }
}

#[test]
fn ir9_ir10_restarting() {
    assert_eq!(
        outcome(&at(pair(9, &[0, 1]), Some(0), None)),
        (Some(0), Some(0), false)
    );
    assert_eq!(
        outcome(&at(pair(9, &[1, 2]), Some(1), Some(0))),
        (Some(1), Some(1), false)
    );
}

#[test]
fn a_missing_report_blocks_the_lift_but_not_the_restart() {
    let world = at(pair(9, &[1, -1]), Some(0), None);
    assert_eq!(outcome(&world), (Some(0), Some(0), false));
}

#[test]
fn failing_ends_the_plan() {
    let plan = pair(0, &[1, 0]).plan();
    assert!(plan.steps.is_empty());
    let missing = group(0, &[role("a", 3, 1)])
        .jobs([job("a", 0).ready()])
        .pods([pod("a-0", 1)])
        .plan();
    assert!(
        kinds(&missing).is_empty(),
        "nothing is created for a JobSet that fails"
    );
}

#[test]
fn gate_off_disabled_or_pods_unknown_leave_the_attempts_alone() {
    let mut off = pair(0, &[5, 6]);
    off.options.gates = off.options.gates.with(Feature::InPlaceRestart, false);
    assert_eq!(outcome(&off), (None, None, false));
    assert_eq!(off.plan().warnings.len(), 1);

    let disabled = pair(0, &[5, 6]).annotated(DISABLE_IN_PLACE_RESTART_KEY, "");
    assert_eq!(outcome(&disabled), (None, None, false));

    let mut unknown = pair(0, &[5, 6]);
    unknown.pods = None;
    assert_eq!(outcome(&unknown), (None, None, false));
}

// --- Suspension --------------------------------------------------------------------------------

/// Suspended, settled, and without Pods.
fn rested(world: World, replicas: usize) -> World {
    let mut world = world
        .jobs((0..replicas).map(|i| job("a", i).suspended()))
        .pods([]);
    world.jobset.spec.suspend = Some(true);
    world
}

#[test]
fn d15_b_resumption_does_not_consume_the_budget() {
    let running = at(pair(0, &[0, 0]), Some(0), None);
    let resting = rested(running, 2);
    let (current, previous, failed) = outcome(&resting);
    assert_eq!((current, previous, failed), (None, None, false));
    // The agents of the new Pods start at 0 again.
    assert_eq!(
        outcome(&at(pair(0, &[0, 0]), current, previous)),
        (Some(0), None, false)
    );
}

#[test]
fn b_restarts_before_the_suspension_stay_counted() {
    // Two restarts of three have happened.
    let (current, previous, _) = outcome(&rested(at(pair(3, &[]), Some(2), Some(1)), 2));
    assert_eq!((current, previous), (Some(1), Some(1)));
    // Only once, however often it is looked at.
    let again = rested(at(pair(3, &[]), current, previous), 2);
    assert_eq!(outcome(&again), (current, previous, false));
    // The new Pods come up at current + 1, which is where the others ended, and above previous.
    let resumed = at(pair(3, &[2, 2]), current, previous);
    assert_eq!(outcome(&resumed), (Some(2), Some(1), false));
    // A suspension in the middle of a restart: that one counts.
    assert_eq!(
        outcome(&rested(at(pair(3, &[]), Some(0), Some(0)), 2)).0,
        Some(0)
    );
    // Restarted by recreation, so that previous lags behind.
    let (current, previous, _) = outcome(&rested(at(pair(9, &[]), Some(5), Some(1)), 2));
    assert_eq!((current, previous), (Some(4), Some(4)));
}

#[test]
fn a_jobset_resumed_too_soon_stores_the_step_back_first() {
    let mut world = rested(at(pair(0, &[]), Some(0), None), 2);
    world.jobset.spec.suspend = Some(false);
    let plan = world.plan();
    assert!(kinds(&plan).is_empty(), "no Job is resumed yet");
    assert_eq!(plan.status.unwrap().current_in_place_restart_attempt, None);
    let world = at(world, None, None);
    assert_eq!(kinds(&world.plan()), [StepKind::Resume]);
}

#[test]
fn pods_that_succeeded_do_not_keep_a_jobset_from_resting() {
    let world = rested(at(pair(0, &[]), Some(0), None), 2).pods([done("a-0", 0)]);
    assert_eq!(outcome(&world), (None, None, false));
}

#[test]
fn nothing_steps_back_while_pods_are_there_or_the_jobset_runs() {
    let mut ending = at(pair(9, &[1, 1]), Some(1), Some(0));
    ending.jobset.spec.suspend = Some(true);
    assert_eq!(outcome(&ending), (Some(1), Some(0), false));
    let running = at(pair(9, &[]), Some(1), Some(0));
    assert_eq!(outcome(&running), (Some(1), Some(0), false));
    let mut active = at(pair(9, &[]), Some(1), Some(0));
    active.jobset.spec.suspend = Some(true);
    assert_eq!(
        outcome(&active),
        (Some(1), Some(0), false),
        "Jobs have active Pods"
    );
}

// --- Replicated jobs that come later -----------------------------------------------------------

#[test]
fn b_ready_dependency_with_a_sidecar_does_not_deadlock() {
    let roles = [sidecar("a", 1), after(sidecar("b", 2), "a", "Ready")];
    // The barrier of the first is lifted although the second is not there.
    let first = group(0, &roles).jobs([job("a", 0)]).pods([pod("a-0", 0)]);
    assert_eq!(outcome(&first), (Some(0), None, false));
    // The second comes up one higher. It is waited for, and nobody restarts.
    let jobs = || {
        [
            job("a", 0).ready(),
            job("b", 0).ready(),
            job("b", 1).ready(),
        ]
    };
    let half = at(group(0, &roles), Some(0), None)
        .jobs(jobs())
        .pods([pod("a-0", 0), pod("b-0", 1)]);
    assert_eq!(outcome(&half), (Some(0), None, false));
    let all = at(group(0, &roles), Some(0), None).jobs(jobs()).pods([
        pod("a-0", 0),
        pod("b-0", 1),
        pod("b-1", 1),
    ]);
    assert_eq!(
        outcome(&all),
        (Some(1), None, false),
        "joined, within a budget of 0"
    );
}

#[test]
fn b_dependants_that_wait_to_be_resumed_are_not_waited_for() {
    let roles = [sidecar("a", 1), after(sidecar("b", 1), "a", "Ready")];
    let world = group(0, &roles)
        .jobs([job("a", 0), job("b", 0).suspended()])
        .pods([pod("a-0", 0)]);
    assert_eq!(outcome(&world), (Some(0), None, false));
}

#[test]
fn a_restart_after_joining_concerns_all() {
    let roles = [sidecar("a", 1), after(sidecar("b", 1), "a", "Ready")];
    let jobs = || [job("a", 0).ready(), job("b", 0).ready()];
    for (a, b) in [
        (restarted(pod("a-0", 2), 1), pod("b-0", 1)),
        (pod("a-0", 0), restarted(pod("b-0", 2), 1)),
    ] {
        let world = at(group(1, &roles), Some(1), None)
            .jobs(jobs())
            .pods([a, b]);
        assert_eq!(outcome(&world), (Some(1), Some(1), false));
    }
    // One more than the budget.
    let world = at(group(0, &roles), Some(1), None)
        .jobs(jobs())
        .pods([pod("a-0", 2), pod("b-0", 1)]);
    assert!(outcome(&world).2);
}

#[test]
fn main_container_mode_waits_for_ready_dependants_at_one_barrier() {
    // Without a sidecar, Pods are ready before their barrier is lifted: all wait together.
    let roles = [role("a", 1, 1), after(role("b", 1, 1), "a", "Ready")];
    let first = group(0, &roles)
        .jobs([job("a", 0).ready()])
        .pods([pod("a-0", 0)]);
    assert_eq!(outcome(&first), (None, None, false));
    let both = group(0, &roles)
        .jobs([job("a", 0).ready(), job("b", 0).ready()])
        .pods([pod("a-0", 0), pod("b-0", 0)]);
    assert_eq!(outcome(&both), (Some(0), None, false));
}

#[test]
fn b_in_order_startup_with_a_sidecar_does_not_deadlock() {
    let mut world = group(0, &[sidecar("a", 1), sidecar("b", 1)])
        .jobs([job("a", 0)])
        .pods([pod("a-0", 0)]);
    world.jobset.spec.startup_policy =
        serde_json::from_value(json!({ "startupPolicyOrder": "InOrder" })).unwrap();
    assert_eq!(outcome(&world), (Some(0), None, false));
}

#[test]
fn b_complete_dependency_does_not_deadlock() {
    let roles = [role("a", 1, 1), after(role("b", 1, 1), "a", "Complete")];
    let first = group(0, &roles)
        .jobs([job("a", 0).ready()])
        .pods([pod("a-0", 0)]);
    assert_eq!(outcome(&first), (Some(0), None, false));
    let done = ChildPod {
        phase: PodPhase::Succeeded,
        ..pod("a-0", 0)
    };
    let second = at(group(0, &roles), Some(0), None)
        .jobs([job("a", 0).succeeded(), job("b", 0).ready()])
        .pods([done.clone(), pod("b-0", 1)]);
    assert_eq!(outcome(&second), (Some(1), None, false));
    assert!(kinds(&second.plan()).is_empty(), "what is done stays done");
    // The second restarts; the first is over.
    let restart = at(group(1, &roles), Some(1), None)
        .jobs([job("a", 0).succeeded(), job("b", 0).ready()])
        .pods([done, restarted(pod("b-0", 2), 1)]);
    assert_eq!(outcome(&restart), (Some(2), None, false));
    assert!(kinds(&restart.plan()).is_empty());
}

// --- Partial completion ------------------------------------------------------------------------

fn done(job: &str, attempt: i32) -> ChildPod {
    ChildPod {
        phase: PodPhase::Succeeded,
        ..pod(job, attempt)
    }
}

fn deleted(plan: &Plan) -> Vec<&str> {
    names(plan, StepKind::DeletePrevious)
}

#[test]
fn b_partial_completion_recreates_what_cannot_restart() {
    let world = at(pair(9, &[]), Some(0), None)
        .jobs([job("a", 0).succeeded(), job("a", 1).ready()])
        .pods([done("a-0", 0), pod("a-1", 1)]);
    let plan = world.plan();
    assert_eq!(deleted(&plan), ["test-jobset-a-0"]);
    assert_eq!(
        plan.status.unwrap().previous_in_place_restart_attempt,
        Some(0)
    );
    // The same within one Job, once.
    let world = at(group(9, &[role("a", 1, 3)]), Some(0), None)
        .jobs([job("a", 0)])
        .pods([done("a-0", 0), done("a-0", 0), pod("a-0", 1)]);
    assert_eq!(deleted(&world.plan()), ["test-jobset-a-0"]);
    // While it is being deleted, there is nothing more to do.
    let world = at(pair(9, &[]), Some(0), Some(0))
        .jobs([job("a", 0).succeeded().deleting(), job("a", 1).ready()])
        .pods([done("a-0", 0), pod("a-1", 1)]);
    assert!(deleted(&world.plan()).is_empty());
}

/// Otherwise the others would run without it, and restart again when it comes up.
#[test]
fn a_completed_job_that_is_being_recreated_is_waited_for() {
    let going = ChildPod {
        deletion: Some(now()),
        ..done("a-0", 0)
    };
    for pods in [
        vec![done("a-0", 0), pod("a-1", 1)],
        vec![going, pod("a-1", 1)],
        vec![pod("a-1", 1)],
    ] {
        let world = at(pair(9, &[]), Some(0), Some(0))
            .jobs([job("a", 0).succeeded().deleting(), job("a", 1).ready()])
            .pods(pods);
        assert_eq!(outcome(&world), (Some(0), Some(0), false));
    }
    // Gone, and there again.
    let world = at(pair(9, &[]), Some(0), Some(0))
        .jobs([job("a", 1).ready()])
        .pods([pod("a-1", 1)]);
    assert_eq!(outcome(&world), (Some(0), Some(0), false));
    let world = at(pair(9, &[]), Some(0), Some(0)).pods([pod("a-0", 1), pod("a-1", 1)]);
    assert_eq!(outcome(&world), (Some(1), Some(0), false));
}

#[test]
fn completion_without_a_restart_recreates_nothing() {
    for first in [0, 1] {
        let world = at(pair(9, &[]), Some(first), None)
            .jobs([job("a", 0).succeeded(), job("a", 1).ready()])
            .pods([done("a-0", first), pod("a-1", first)]);
        assert!(deleted(&world.plan()).is_empty());
    }
    // The Pods of a completed Job may have been collected.
    let world = at(pair(9, &[]), Some(0), None)
        .jobs([job("a", 0).succeeded(), job("a", 1).ready()])
        .pods([pod("a-1", 1)]);
    assert_eq!(outcome(&world), (Some(1), None, false));
}
