use proptest::prelude::*;

use super::*;

const RESTART: u8 = 123;

fn follow(current: impl Into<Option<i64>>, previous: impl Into<Option<i64>>) -> Input {
    Input::Orders(Orders::Follow {
        current: current.into(),
        previous: previous.into(),
    })
}

const BYPASS: Input = Input::Orders(Orders::Bypass);

fn report(attempt: i64) -> Effect {
    Effect::Report {
        attempt,
        failures: 0,
    }
}

fn exit(code: u8, why: Why) -> Effect {
    Effect::Exit { code, why }
}

fn outdated(own: i64, previous: i64) -> Effect {
    exit(RESTART, Why::Outdated { own, previous })
}

fn fresh(behind: Behind) -> Machine {
    Machine::new(behind, RESTART)
}

/// A machine at this attempt, with its barrier up or down.
fn at(behind: Behind, own: i64, lifted: bool) -> Machine {
    let mut machine = fresh(behind);
    let before = (own > 0).then(|| own - 1);
    assert_eq!(machine.handle(follow(before, None)), [report(own)]);
    assert_eq!(machine.handle(Input::Reported), []);
    if lifted {
        assert_eq!(machine.handle(follow(own, before)).len(), 1);
    }
    machine
}

#[test]
fn ag1_to_ag4_a_fresh_process_is_one_attempt_further() {
    for (current, previous, own) in [
        (None, None, 0),
        (Some(0), None, 1),
        (Some(1), Some(0), 2),
        (Some(0), Some(0), 1),
    ] {
        let mut machine = fresh(Behind::Worker);
        assert_eq!(machine.handle(follow(current, previous)), [report(own)]);
        assert_eq!(machine.handle(Input::Reported), []);
    }
}

#[test]
fn ag5_an_outdated_attempt_ends_the_process() {
    for behind in [Behind::Worker, Behind::Containers] {
        let mut machine = at(behind, 0, false);
        assert_eq!(machine.handle(follow(0, 0)), [outdated(0, 0)]);
        assert_eq!(machine.handle(follow(0, 0)), [], "it is over");
    }
}

#[test]
fn ag6_to_ag9_the_barrier_is_lifted_once_at_the_current_attempt() {
    for (own, orders) in [(0, follow(0, None)), (1, follow(1, 0))] {
        let mut machine = at(Behind::Worker, own, false);
        assert_eq!(machine.handle(orders), [Effect::StartWorker]);
        assert_eq!(machine.handle(orders), []);
    }
}

#[test]
fn ag10_to_ag12_bypassed_agents_write_nothing() {
    let mut machine = fresh(Behind::Worker);
    assert_eq!(machine.handle(BYPASS), [Effect::StartWorker]);
    assert_eq!(machine.handle(BYPASS), []);
}

#[test]
fn ag13_ag14_a_sidecar_opens_its_barrier() {
    let mut machine = at(Behind::Containers, 0, false);
    assert_eq!(machine.handle(follow(0, None)), [Effect::OpenBarrier]);
    let mut machine = fresh(Behind::Containers);
    assert_eq!(machine.handle(BYPASS), [Effect::OpenBarrier]);
}

#[test]
fn only_equality_lifts() {
    let mut machine = at(Behind::Worker, 1, false);
    for orders in [follow(None, None), follow(0, None), follow(2, 0)] {
        assert_eq!(machine.handle(orders), []);
    }
}

#[test]
fn the_barrier_waits_for_the_report() {
    let mut machine = fresh(Behind::Worker);
    machine.handle(follow(None, None));
    assert_eq!(
        machine.handle(follow(0, None)),
        [],
        "not known to have arrived"
    );
    assert_eq!(machine.handle(Input::Reported), [Effect::StartWorker]);
    assert_eq!(machine.handle(Input::Reported), []);
}

#[test]
fn a_failed_report_is_repeated_with_the_same_number() {
    let mut machine = fresh(Behind::Worker);
    machine.handle(follow(None, None));
    // The write arrived, the answer did not, and everybody else was there already.
    for failures in 1..4 {
        machine.handle(follow(0, None));
        let again = Effect::Report {
            attempt: 0,
            failures,
        };
        assert_eq!(machine.handle(Input::ReportFailed), [again]);
    }
    assert_eq!(machine.handle(Input::Reported), [Effect::StartWorker]);
}

#[test]
fn an_attempt_that_others_have_left_behind_need_not_be_reported_first() {
    let mut machine = fresh(Behind::Worker);
    machine.handle(follow(0, None));
    assert_eq!(machine.handle(follow(0, 1)), [outdated(1, 1)]);
}

#[test]
fn disabling_releases_who_waits_and_holds_nobody() {
    let mut machine = at(Behind::Worker, 1, false);
    assert_eq!(machine.handle(BYPASS), [Effect::StartWorker]);
    let mut machine = at(Behind::Worker, 1, true);
    assert_eq!(machine.handle(BYPASS), []);
}

/// Spec, "Limits and defects": removing the annotation must not restart the group.
#[test]
fn who_started_bypassed_joins_where_the_others_are() {
    for (current, own) in [(None, 0), (Some(0), 0), (Some(3), 3)] {
        let mut machine = fresh(Behind::Worker);
        assert_eq!(machine.handle(BYPASS), [Effect::StartWorker]);
        assert_eq!(machine.handle(follow(current, None)), [report(own)]);
        assert_eq!(machine.handle(Input::Reported), []);
        assert_eq!(machine.handle(follow(own, None)), []);
        // From now on it restarts with them.
        let stop = [Effect::SignalWorker(Signal::SIGTERM), Effect::StartGrace];
        assert_eq!(machine.handle(follow(own, own)), stop);
    }
}

#[test]
fn the_workers_exit_code_is_the_agents() {
    for (end, code) in [
        (WorkerEnd::Exited(0), 0),
        (WorkerEnd::Exited(7), 7),
        (WorkerEnd::Killed(9), 137),
        (WorkerEnd::Killed(64), 192),
    ] {
        let mut machine = at(Behind::Worker, 0, true);
        let ended = machine.handle(Input::WorkerEnded(end));
        assert_eq!(ended, [exit(code, Why::Worker(end))]);
    }
    let mut machine = at(Behind::Worker, 0, true);
    let ended = machine.handle(Input::WorkerNotStarted);
    assert_eq!(ended, [exit(1, Why::WorkerNotStarted)]);
    let mut machine = at(Behind::Containers, 0, true);
    let ended = machine.handle(Input::BarrierBroken);
    assert_eq!(ended, [exit(1, Why::BarrierBroken)]);
}

#[test]
fn a_restart_ends_the_worker_first() {
    for end in [WorkerEnd::Exited(0), WorkerEnd::Killed(15)] {
        let mut machine = at(Behind::Worker, 0, true);
        let stop = [Effect::SignalWorker(Signal::SIGTERM), Effect::StartGrace];
        assert_eq!(machine.handle(follow(0, 0)), stop);
        assert_eq!(machine.handle(follow(0, 0)), [], "once");
        assert_eq!(machine.handle(BYPASS), [], "too late");
        let kill = [Effect::SignalWorker(Signal::SIGKILL)];
        assert_eq!(machine.handle(Input::GraceOver), kill);
        // Even if it succeeds now: it is not done before all are.
        assert_eq!(machine.handle(Input::WorkerEnded(end)), [outdated(0, 0)]);
    }
}

#[test]
fn d17_signals_are_passed_on_and_decide_the_exit_code() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        for end in [
            WorkerEnd::Exited(0),
            WorkerEnd::Exited(3),
            WorkerEnd::Killed(9),
        ] {
            let mut machine = at(Behind::Worker, 0, true);
            let pass = [Effect::SignalWorker(signal)];
            assert_eq!(machine.handle(Input::Signal(signal)), pass);
            assert_eq!(
                machine.handle(Input::Signal(signal)),
                pass,
                "as often as it comes"
            );
            assert_eq!(
                machine.handle(Input::GraceOver),
                [],
                "the Pod's own grace counts"
            );
            let ended = machine.handle(Input::WorkerEnded(end));
            assert_eq!(ended, [exit(code, Why::Signal(signal))]);
        }
        // Nobody to wait for.
        for mut machine in [
            fresh(Behind::Worker),
            at(Behind::Worker, 0, false),
            fresh(Behind::Containers),
            at(Behind::Containers, 0, true),
        ] {
            let ended = machine.handle(Input::Signal(signal));
            assert_eq!(ended, [exit(code, Why::Signal(signal))]);
        }
    }
}

#[test]
fn a_signal_decides_over_a_restart_that_is_under_way() {
    let mut machine = at(Behind::Worker, 0, true);
    machine.handle(follow(0, 0));
    let pass = [Effect::SignalWorker(Signal::SIGTERM)];
    assert_eq!(machine.handle(Input::Signal(Signal::SIGTERM)), pass);
    assert_eq!(machine.handle(Input::GraceOver), []);
    let ended = machine.handle(Input::WorkerEnded(WorkerEnd::Killed(15)));
    assert_eq!(ended, [exit(143, Why::Signal(Signal::SIGTERM))]);
}

#[test]
fn other_signals_are_the_workers() {
    let mut machine = at(Behind::Worker, 0, true);
    let pass = [Effect::SignalWorker(Signal::SIGUSR1)];
    assert_eq!(machine.handle(Input::Signal(Signal::SIGUSR1)), pass);
    for mut machine in [fresh(Behind::Worker), at(Behind::Containers, 0, true)] {
        assert_eq!(machine.handle(Input::Signal(Signal::SIGHUP)), []);
    }
}

fn attempts() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        1 => Just(None),
        8 => (0..4_i64).prop_map(Some),
        1 => Just(Some(i64::MAX)),
    ]
}

fn inputs() -> impl Strategy<Value = Input> {
    prop_oneof![
        2 => Just(BYPASS),
        12 => (attempts(), attempts()).prop_map(|(current, previous)| follow(current, previous)),
        4 => Just(Input::Reported),
        3 => Just(Input::ReportFailed),
        1 => Just(Input::Signal(Signal::SIGTERM)),
        1 => Just(Input::Signal(Signal::SIGUSR2)),
        1 => any::<u8>().prop_map(|code| Input::WorkerEnded(WorkerEnd::Exited(code))),
        1 => Just(Input::GraceOver),
    ]
}

proptest! {
    /// Whatever happens in whatever order, the invariants hold.
    #[test]
    fn invariants(
        worker in any::<bool>(),
        history in proptest::collection::vec(inputs(), 0..40),
    ) {
        let behind = if worker { Behind::Worker } else { Behind::Containers };
        let mut machine = fresh(behind);
        let (mut own, mut confirmed, mut lifted, mut over) = (None, false, false, false);
        let mut orders = None;
        for input in history {
            // A worker that does not run cannot end.
            if matches!(input, Input::WorkerEnded(_)) && !(worker && lifted) {
                continue;
            }
            confirmed |= input == Input::Reported && own.is_some();
            if let Input::Orders(new) = input {
                orders = Some(new);
            }
            for effect in machine.handle(input) {
                prop_assert!(!over, "nothing follows the end: {effect:?}");
                match effect {
                    Effect::Report { attempt, .. } => {
                        prop_assert!(attempt >= 0);
                        prop_assert_eq!(*own.get_or_insert(attempt), attempt, "never changes");
                    }
                    Effect::OpenBarrier | Effect::StartWorker => {
                        prop_assert_eq!(effect == Effect::StartWorker, worker);
                        prop_assert!(!lifted, "once");
                        lifted = true;
                        let allowed = match orders {
                            Some(Orders::Bypass) => true,
                            Some(Orders::Follow { current, .. }) => confirmed && current == own,
                            None => false,
                        };
                        prop_assert!(allowed, "{orders:?} {own:?}");
                    }
                    Effect::SignalWorker(_) | Effect::StartGrace => {
                        prop_assert!(worker && lifted);
                    }
                    Effect::Exit { code, why } => {
                        over = true;
                        match why {
                            Why::Outdated { own: at, previous } => {
                                prop_assert_eq!(code, RESTART);
                                prop_assert!(Some(at) == own && at <= previous);
                            }
                            Why::Signal(_) => prop_assert_eq!(code, 143),
                            Why::Worker(end) => prop_assert_eq!(WorkerEnd::Exited(code), end),
                            Why::WorkerNotStarted | Why::BarrierBroken => {
                                prop_assert!(false, "did not happen");
                            }
                        }
                    }
                }
            }
        }
    }
}
