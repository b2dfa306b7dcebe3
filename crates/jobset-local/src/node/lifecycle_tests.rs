use super::*;
use proptest::prelude::*;
use serde_json::json;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn pod(spec: serde_json::Value) -> PodState {
    let pod: Pod =
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
    PodState::new(Unit::all(&pod), RestartBackoff::default())
}

fn ended(code: i32, start: i64, end: i64) -> Ended {
    Ended {
        exit_code: code,
        reason: "x".to_owned(),
        message: None,
        started_at: Some(at(start)),
        finished_at: at(end),
    }
}

/// Starts everything that is due, at once successfully.
fn start(state: &mut PodState, second: i64) -> Vec<usize> {
    let decision = state.decide(at(second));
    for &i in &decision.start {
        state.on_starting(i);
        state.on_started(i, at(second));
    }
    decision.start
}

#[test]
fn a_single_container_runs_once() {
    let mut p = pod(json!({"restartPolicy": "Never", "containers": [{"name": "a"}]}));
    assert_eq!(start(&mut p, 0), [0]);
    assert_eq!(p.decide(at(1)), Decision::default());
    p.on_ended(0, ended(0, 0, 2));
    assert_eq!(p.decide(at(2)).outcome, Some(Outcome::Succeeded));
}

#[test]
fn one_failed_container_fails_the_pod_when_all_have_ended() {
    let mut p =
        pod(json!({"restartPolicy": "Never", "containers": [{"name": "a"}, {"name": "b"}]}));
    assert_eq!(start(&mut p, 0), [0, 1]);
    p.on_ended(0, ended(3, 0, 1));
    assert_eq!(p.decide(at(1)), Decision::default());
    p.on_ended(1, ended(0, 0, 2));
    assert_eq!(
        p.decide(at(2)).outcome,
        Some(Outcome::Failed {
            reason: None,
            message: None
        })
    );
}

#[test]
fn restarts_back_off_as_the_kubelet_does() {
    let mut p = pod(json!({"restartPolicy": "OnFailure", "containers": [{"name": "a"}]}));
    let mut now = 0;
    start(&mut p, now);
    for delay in [0, 10, 20, 40, 80, 160, 300, 300] {
        p.on_ended(0, ended(1, now, now));
        if delay > 0 {
            let waiting = p.decide(at(now + delay - 1));
            assert!(waiting.start.is_empty());
            assert_eq!(waiting.wake_at, Some(at(now + delay)));
        }
        now += delay;
        assert_eq!(start(&mut p, now), [0]);
    }
    assert_eq!(p.containers[0].restarts, 8);
    // A long run forgets the failures.
    p.on_ended(0, ended(1, now, now + 600));
    assert_eq!(start(&mut p, now + 600), [0]);
    p.on_ended(0, ended(0, now + 600, now + 601));
    assert_eq!(p.decide(at(now + 601)).outcome, Some(Outcome::Succeeded));
}

#[test]
fn always_restarts_successes_too() {
    let mut p = pod(json!({"containers": [{"name": "a"}]}));
    start(&mut p, 0);
    p.on_ended(0, ended(0, 0, 1));
    assert_eq!(start(&mut p, 1), [0]);
}

#[test]
fn init_containers_run_one_after_the_other() {
    let mut p = pod(json!({"restartPolicy": "Never",
        "initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "a"}]}));
    assert_eq!(start(&mut p, 0), [0]);
    assert_eq!(start(&mut p, 0), [0; 0]);
    p.on_ended(0, ended(0, 0, 1));
    assert_eq!(start(&mut p, 1), [1]);
    assert!(!p.initialized);
    p.on_ended(1, ended(0, 1, 2));
    assert_eq!(start(&mut p, 2), [2]);
    assert!(p.initialized);
}

#[test]
fn a_failed_init_container_fails_the_pod_or_is_repeated() {
    let spec = |policy| json!({"restartPolicy": policy, "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]});
    let mut p = pod(spec("Never"));
    start(&mut p, 0);
    p.on_ended(0, ended(1, 0, 1));
    assert!(matches!(
        p.decide(at(1)).outcome,
        Some(Outcome::Failed { .. })
    ));
    for policy in ["Always", "OnFailure"] {
        let mut p = pod(spec(policy));
        start(&mut p, 0);
        p.on_ended(0, ended(1, 0, 1));
        assert_eq!(start(&mut p, 1), [0]);
        p.on_ended(0, ended(0, 1, 2));
        assert_eq!(start(&mut p, 2), [1]);
    }
}

#[test]
fn sidecars_start_first_and_are_stopped_last_in_reverse() {
    let mut p = pod(json!({"restartPolicy": "Never",
        "initContainers": [{"name": "s", "restartPolicy": "Always"},
                           {"name": "t", "restartPolicy": "Always"}],
        "containers": [{"name": "a"}]}));
    assert_eq!(start(&mut p, 0), [0]);
    assert_eq!(start(&mut p, 0), [1]);
    assert_eq!(start(&mut p, 0), [2]);
    // A sidecar that ends comes back, and nothing else waits for it.
    p.on_ended(0, ended(1, 0, 1));
    assert_eq!(start(&mut p, 1), [0]);
    p.on_ended(2, ended(0, 0, 2));
    for sidecar in [1, 0] {
        let decision = p.decide(at(3));
        assert_eq!((decision.stop, decision.outcome), (vec![sidecar], None));
        p.containers[sidecar].stopping = true;
        assert!(p.decide(at(3)).stop.is_empty());
        p.on_ended(sidecar, ended(143, 0, 3));
    }
    assert_eq!(p.decide(at(3)).outcome, Some(Outcome::Succeeded));
}

#[test]
fn a_sidecar_with_a_startup_probe_holds_back_the_others() {
    let mut p = pod(json!({"restartPolicy": "Never",
        "initContainers": [{"name": "s", "restartPolicy": "Always", "startupProbe": {"exec": {}}}],
        "containers": [{"name": "a", "readinessProbe": {"exec": {}}}]}));
    assert_eq!(start(&mut p, 0), [0]);
    assert_eq!(start(&mut p, 1), [0; 0]);
    p.on_startup_passed(0);
    assert_eq!(start(&mut p, 2), [1]);
    assert!(p.containers[0].ready && !p.containers[1].ready);
    p.on_readiness(1, true);
    assert!(p.containers[1].ready);
}

#[test]
fn stopping_stops_and_starts_nothing() {
    let mut p =
        pod(json!({"restartPolicy": "Always", "containers": [{"name": "a"}, {"name": "b"}]}));
    start(&mut p, 0);
    p.on_ended(1, ended(1, 0, 1));
    p.stop = Some(Stop {
        failure: Some(("DeadlineExceeded", "late".to_owned())),
    });
    let decision = p.decide(at(1));
    assert_eq!((decision.start, decision.stop), (vec![], vec![0]));
    p.containers[0].stopping = true;
    p.on_ended(0, ended(143, 0, 2));
    let expected = Outcome::Failed {
        reason: Some("DeadlineExceeded"),
        message: Some("late".to_owned()),
    };
    assert_eq!(p.decide(at(2)).outcome, Some(expected));
}

#[test]
fn a_blocked_container_is_tried_again_without_counting_as_a_restart() {
    let mut p = pod(json!({"restartPolicy": "Never", "containers": [{"name": "a"}]}));
    assert_eq!(p.decide(at(0)).start, [0]);
    p.on_starting(0);
    let reason = "CreateContainerConfigError";
    assert!(p.on_blocked(0, reason, "x".to_owned(), at(0)));
    assert_eq!(p.decide(at(0)).wake_at, Some(at(1)));
    for (now, next) in [(1, 3), (3, 7), (7, 15), (15, 25), (25, 35)] {
        assert_eq!(p.decide(at(now)).start, [0]);
        p.on_starting(0);
        assert!(!p.on_blocked(0, reason, "x".to_owned(), at(now)));
        assert_eq!(p.decide(at(now)).wake_at, Some(at(next)));
    }
    assert_eq!(start(&mut p, 35), [0]);
    assert_eq!(p.containers[0].blocked, None);
    assert_eq!(p.containers[0].restarts, 0);
}

#[test]
fn restart_rules_overrule_the_policy() {
    let mut p = pod(
        json!({"restartPolicy": "Never", "containers": [{"name": "a", "restartPolicy": "Never",
        "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]}]}),
    );
    start(&mut p, 0);
    p.on_ended(0, ended(42, 0, 1));
    assert_eq!(start(&mut p, 1), [0]);
    p.on_ended(0, ended(41, 1, 2));
    assert!(matches!(
        p.decide(at(2)).outcome,
        Some(Outcome::Failed { .. })
    ));
}

#[test]
fn the_first_matching_rule_decides_and_then_the_policies() {
    let rule = |action: &str, operator: &str, values: &[i32]| json!({"action": action, "exitCodes": {"operator": operator, "values": values}});
    let first = rule("Restart", "In", &[1, 2]);
    let second = rule("RestartAllContainers", "NotIn", &[0, 3]);
    let rules = json!([first, second]);
    let expected = |policy: &str, own: Option<&str>| {
        let mut container = json!({"name": "a", "restartPolicyRules": rules});
        if let Some(own) = own {
            container["restartPolicy"] = json!(own);
        }
        let p = pod(json!({"restartPolicy": policy, "containers": [container]}));
        [0, 1, 2, 3, 4].map(|code| p.units[0].consequence(code))
    };
    use Consequence::{Nothing, Restart, RestartAll};
    for (policy, own, zero, three) in [
        ("Never", None, Nothing, Nothing),
        ("OnFailure", None, Nothing, Restart),
        ("Never", Some("OnFailure"), Nothing, Restart),
        ("Never", Some("Always"), Restart, Restart),
        ("Always", Some("Never"), Nothing, Nothing),
    ] {
        let all = [zero, Restart, Restart, three, RestartAll];
        assert_eq!(expected(policy, own), all, "{policy} {own:?}");
    }
}

/// A Pod with an init container, a sidecar that restarts all when it fails, and two main
/// containers, the first of which restarts all with 42.
fn restartable() -> PodState {
    let on = |operator: &str, code: i32| json!([{"action": "RestartAllContainers", "exitCodes": {"operator": operator, "values": [code]}}]);
    pod(json!({"restartPolicy": "Never",
        "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always",
            "restartPolicyRules": on("NotIn", 0)}],
        "containers": [{"name": "a", "restartPolicy": "Never", "restartPolicyRules": on("In", 42)},
                       {"name": "b"}]}))
}

const I: usize = 0;
const S: usize = 1;
const A: usize = 2;
const B: usize = 3;

/// Runs the init container and starts the rest.
fn bring_up(p: &mut PodState, now: i64) {
    assert_eq!(start(p, now), [I]);
    p.on_ended(I, ended(0, now, now));
    assert_eq!(start(p, now), [S]);
    assert_eq!(start(p, now), [A, B]);
}

#[test]
fn all_containers_begin_anew() {
    for source in [A, S] {
        let mut p = restartable();
        bring_up(&mut p, 0);
        p.on_ended(source, ended(42, 0, 10));
        let others: Vec<_> = [S, A, B].into_iter().filter(|i| *i != source).collect();
        let decision = p.decide(at(10));
        assert_eq!((decision.kill, decision.stop), (others.clone(), vec![]));
        assert!(p.restarting_all);
        for &i in &others {
            assert_eq!(p.decide(at(10)), Decision::default());
            p.on_ended(i, ended(137, 0, 10));
        }
        // Sidecars and init containers too, in their order, and without any delay.
        bring_up(&mut p, 10);
        assert!(!p.restarting_all);
        for c in &p.containers {
            assert_eq!(c.restarts, 1);
            assert_eq!(c.last.as_ref().unwrap().reason, "RestartingAllContainers");
            assert_eq!(c.last.as_ref().unwrap().exit_code, 137);
        }
        p.on_ended(A, ended(0, 10, 11));
        p.on_ended(B, ended(0, 10, 11));
        assert_eq!(p.decide(at(11)).stop, [S]);
    }
}

#[test]
fn a_container_that_had_ended_for_good_runs_again_with_the_others() {
    let mut p = restartable();
    bring_up(&mut p, 0);
    p.on_ended(B, ended(0, 0, 1));
    assert_eq!(p.decide(at(1)), Decision::default());
    p.on_ended(A, ended(42, 0, 2));
    assert_eq!(p.decide(at(2)).kill, [S]);
    p.on_ended(S, ended(137, 0, 2));
    bring_up(&mut p, 2);
}

#[test]
fn an_init_container_can_send_the_pod_back_to_its_beginning() {
    let rules =
        json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [5]}}]);
    let mut p = pod(json!({"restartPolicy": "Never",
        "initContainers": [{"name": "i"}, {"name": "j", "restartPolicy": "Never", "restartPolicyRules": rules}],
        "containers": [{"name": "a"}]}));
    assert_eq!(start(&mut p, 0), [0]);
    p.on_ended(0, ended(0, 0, 0));
    assert_eq!(start(&mut p, 0), [1]);
    p.on_ended(1, ended(5, 0, 0));
    // Nothing else runs; still it is to be seen that all is restarted.
    let decision = p.decide(at(0));
    assert_eq!((decision.kill, decision.wake_at), (vec![], Some(at(0))));
    assert_eq!(start(&mut p, 0), [0]);
    p.on_ended(0, ended(0, 0, 1));
    assert_eq!(start(&mut p, 1), [1]);
    p.on_ended(1, ended(6, 1, 1));
    assert!(matches!(
        p.decide(at(1)).outcome,
        Some(Outcome::Failed { .. })
    ));
}

#[test]
fn restarts_of_all_containers_have_a_pace_but_no_back_off() {
    let rules = json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "NotIn", "values": [0]}}]);
    let mut p = pod(json!({"restartPolicy": "Never",
        "containers": [{"name": "a", "restartPolicy": "Never", "restartPolicyRules": rules}]}));
    start(&mut p, 0);
    // (ends at, starts again at)
    for (end, again) in [(5, 5), (5, 6), (6, 7), (9, 9), (100, 100), (102, 102)] {
        p.on_ended(0, ended(1, 0, end));
        p.decide(at(end));
        if again > end {
            let decision = p.decide(at(end));
            assert_eq!(
                (decision.start, decision.wake_at),
                (vec![], Some(at(again)))
            );
        }
        assert_eq!(start(&mut p, again), [0], "{end}");
    }
    assert_eq!(p.containers[0].restarts, 6);
}

#[test]
fn what_ends_with_the_pod_does_not_bring_it_back() {
    // The main containers have ended for good: the sidecar is stopped, and fails.
    let mut p = restartable();
    bring_up(&mut p, 0);
    for i in [A, B] {
        p.on_ended(i, ended(0, 0, 1));
    }
    assert_eq!(p.decide(at(1)).stop, [S]);
    p.on_ended(S, ended(143, 0, 1));
    assert_eq!(p.decide(at(1)).outcome, Some(Outcome::Succeeded));
    // Both at once.
    let mut p = restartable();
    bring_up(&mut p, 0);
    for (i, code) in [(A, 0), (B, 1), (S, 1)] {
        p.on_ended(i, ended(code, 0, 1));
    }
    assert!(matches!(
        p.decide(at(1)).outcome,
        Some(Outcome::Failed { .. })
    ));
    // The Pod is to stop while all is restarted.
    let mut p = restartable();
    bring_up(&mut p, 0);
    p.on_ended(A, ended(42, 0, 1));
    p.decide(at(1));
    p.stop = Some(Stop { failure: None });
    assert_eq!(p.decide(at(1)).stop, [B]);
    assert!(!p.restarting_all);
    for i in [B, S] {
        p.on_ended(i, ended(137, 0, 1));
        p.decide(at(1));
    }
    assert!(matches!(p.outcome, Some(Outcome::Failed { .. })));
}

proptest! {
    /// Whatever ends with whatever code, the order of starts holds: no main container runs before
    /// the init container has succeeded since the last beginning.
    #[test]
    fn restarts_of_all_keep_the_order(
        events in prop::collection::vec((0_usize..4, prop::sample::select(vec![0, 1, 42])), 0..60),
    ) {
        let mut p = restartable();
        let mut initialized = false;
        for (now, (i, code)) in (0_i64..).step_by(2).zip(events) {
            for _ in 0..8 {
                let decision = p.decide(at(now));
                for &i in &decision.start {
                    if i == I { initialized = false; } else { prop_assert!(initialized); }
                    p.on_starting(i);
                    p.on_started(i, at(now));
                }
                for i in decision.kill.into_iter().chain(decision.stop) {
                    p.on_ended(i, ended(137, now, now));
                }
            }
            prop_assert!(!p.restarting_all);
            if p.containers[i].is_live() {
                p.on_ended(i, ended(code, now, now));
                initialized |= i == I && code == 0;
            }
            let restarts = p.containers.iter().map(|c| c.restarts);
            prop_assert!(restarts.clone().all(|n| n >= 0));
        }
    }
}

proptest! {
    /// Whatever happens, a Pod that is stopped and whose containers end has an outcome, and
    /// nothing is started after it.
    #[test]
    fn a_stopped_pod_comes_to_an_end(
        policy in prop::sample::select(vec!["Always", "OnFailure", "Never"]),
        inits in 0_usize..3, sidecars in 0_usize..3, mains in 1_usize..3,
        events in prop::collection::vec((0_usize..8, 0_i32..3, 0_i64..30), 0..40),
    ) {
        let list = |prefix: &str, n: usize, extra: Option<&str>| -> Vec<_> {
            (0..n).map(|i| {
                let mut c = json!({"name": format!("{prefix}{i}")});
                if let Some(policy) = extra { c["restartPolicy"] = json!(policy); }
                c
            }).collect()
        };
        let mut init = list("i", inits, None);
        init.extend(list("s", sidecars, Some("Always")));
        let mut p = pod(json!({"restartPolicy": policy, "initContainers": init,
            "containers": list("m", mains, None)}));
        let mut now = 0;
        for (i, code, step) in events {
            now += step;
            start(&mut p, now);
            if p.containers.get(i).is_some_and(ContainerState::is_live) {
                p.on_ended(i, ended(code, now, now));
            }
        }
        p.stop = Some(Stop { failure: None });
        for _ in 0..16 {
            let decision = p.decide(at(now));
            prop_assert!(decision.start.is_empty());
            for i in decision.stop {
                p.on_ended(i, ended(137, now, now));
            }
        }
        prop_assert!(p.outcome.is_some());
        prop_assert!(!p.containers.iter().any(ContainerState::is_live));
    }
}
