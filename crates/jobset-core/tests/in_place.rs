//! In-place restarts with agents that play their part: whatever crashes, succeeds or is suspended
//! when, nobody waits for ever, and what did not restart consumes no budget.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jobset_api::{Feature, FeatureGates, JobSet, conditions};
use jobset_core::{
    Action, ChildJob, ChildPod, JobOutcome, Observed, OutcomeKind, PlanOptions, PodPhase,
    ServiceState, plan,
};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Pods of each Job.
const PODS: usize = 2;

#[derive(Clone, Debug)]
enum Op {
    /// The n-th Job gets the Pods it lacks.
    Start(usize),
    /// The n-th agent looks at the status.
    Agent(usize),
    Crash(usize),
    /// The n-th Pod is lost with its node.
    Lose(usize),
    Succeed(usize),
    Suspend(bool),
    Reconcile,
}

fn ops(crashes: bool) -> impl Strategy<Value = Vec<Op>> {
    let bad = u32::from(crashes);
    let n = || 0..12_usize;
    let op = prop_oneof![
        8 => n().prop_map(Op::Start),
        16 => n().prop_map(Op::Agent),
        1 + bad => n().prop_map(Op::Succeed),
        bad => n().prop_map(Op::Crash),
        bad => n().prop_map(Op::Lose),
        1 => any::<bool>().prop_map(Op::Suspend),
        12 => Just(Op::Reconcile),
    ];
    proptest::collection::vec(op, 0..150)
}

/// A Pod, and what its agent keeps in memory.
#[derive(Clone, Debug)]
struct SimPod {
    view: ChildPod,
    mine: Option<i32>,
    lifted: bool,
}

struct World {
    jobset: JobSet,
    jobs: BTreeMap<String, ChildJob>,
    pods: BTreeMap<String, SimPod>,
    sidecar: bool,
    names: u64,
}

impl World {
    fn new(max: i32, sidecar: bool, depends_on: Option<&str>) -> Self {
        let role = |name: &str| {
            let mut pod = json!({ "containers": [{ "name": "c" }] });
            if sidecar {
                pod["initContainers"] =
                    json!([{ "name": "agent", "restartPolicy": "Always", "startupProbe": {} }]);
            }
            json!({ "name": name, "replicas": 2, "template": { "spec": {
                "parallelism": PODS, "completions": PODS, "template": { "spec": pod } } } })
        };
        let mut roles = [role("a"), role("b")];
        if let Some(status) = depends_on {
            roles[1]["dependsOn"] = json!([{ "name": "a", "status": status }]);
        }
        let jobset: Value = json!({
            "metadata": { "name": "js", "namespace": "ns", "uid": "js-uid" },
            "spec": {
                "failurePolicy": { "maxRestarts": max, "restartStrategy": "InPlaceRestart" },
                "replicatedJobs": roles,
            },
        });
        Self {
            jobset: serde_json::from_value(jobset).unwrap(),
            jobs: BTreeMap::new(),
            pods: BTreeMap::new(),
            sidecar,
            names: 0,
        }
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    fn reconcile(&mut self) -> bool {
        self.count();
        let jobs: Vec<_> = self.jobs.values().cloned().map(Arc::new).collect();
        let pods: Vec<_> = self
            .pods
            .values()
            .map(|pod| Arc::new(pod.view.clone()))
            .collect();
        let claims = BTreeSet::new();
        let observed = Observed {
            jobset: &self.jobset,
            jobs: &jobs,
            service: ServiceState::Exists,
            claims: &claims,
            pods: Some(&pods),
            dead_nodes: &[],
            pod_webhook: true,
        };
        let gates = FeatureGates::default().with(Feature::InPlaceRestart, true);
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let plan = plan(&observed, &PlanOptions::from(gates), now);
        assert_eq!(plan.error, None);
        for action in plan.actions() {
            self.apply(action);
        }
        let (old, new) = (
            self.jobset.status.clone().unwrap_or_default(),
            plan.status.clone(),
        );
        if let Some(new) = &new {
            assert!(
                new.previous_in_place_restart_attempt >= old.previous_in_place_restart_attempt,
                "previous only grows"
            );
            self.jobset.status = Some(new.clone());
        }
        plan.steps.is_empty() && new.is_none()
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::CreateJob { name, body } => {
                let job: Job = serde_json::from_value(body.build()).unwrap();
                let mut view = ChildJob::from_job(&job);
                view.uid = self.name();
                assert!(self.jobs.insert(name.clone(), view).is_none());
            }
            Action::DeleteJob { name, .. } => {
                // Its Pods go with it.
                let job = self.jobs.remove(name).unwrap();
                self.pods
                    .retain(|_, pod| pod.view.job_uid.as_ref() != Some(&job.uid));
            }
            Action::SuspendJob { name, .. } => self.jobs.get_mut(name).unwrap().suspend = true,
            Action::ResumeJob { name, .. } => self.jobs.get_mut(name).unwrap().suspend = false,
            other => panic!("{other:?}"),
        }
    }

    /// What the Job controller does: Pods of suspended Jobs go, Jobs complete, and all is counted.
    fn count(&mut self) {
        for job in self.jobs.values_mut() {
            let own = |pod: &SimPod| pod.view.job_uid.as_ref() == Some(&job.uid);
            if job.suspend && job.outcome.is_none() {
                let unfinished = |pod: &SimPod| pod.view.phase == PodPhase::Unfinished;
                self.pods.retain(|_, pod| !(own(pod) && unfinished(pod)));
            }
            let pods: Vec<_> = self.pods.values().filter(|pod| own(pod)).collect();
            let count = |what: &dyn Fn(&SimPod) -> bool| {
                i32::try_from(pods.iter().filter(|pod| what(pod)).count()).unwrap()
            };
            let succeeded = count(&|pod| pod.view.phase == PodPhase::Succeeded);
            let active = count(&|pod| pod.view.phase == PodPhase::Unfinished);
            let ready = count(&|pod| {
                pod.view.phase == PodPhase::Unfinished && (pod.lifted || !self.sidecar)
            });
            (job.succeeded, job.active, job.ready) = (succeeded, active, ready);
            if succeeded as usize == PODS && job.outcome.is_none() {
                job.outcome = Some(JobOutcome {
                    kind: OutcomeKind::Complete,
                    reason: String::new(),
                    message: String::new(),
                    time: None,
                });
            }
        }
    }

    fn start(&mut self, nth: usize) {
        let Some(job) = self.jobs.values().nth(nth).cloned() else {
            return;
        };
        if job.suspend || job.outcome.is_some() {
            return;
        }
        let own = self.pods.values().filter(|pod| {
            pod.view.job_uid.as_ref() == Some(&job.uid) && pod.view.phase != PodPhase::Failed
        });
        for _ in own.count()..PODS {
            let name = self.name();
            let view = ChildPod {
                name: name.clone(),
                uid: name.clone(),
                job_uid: Some(job.uid.clone()),
                ..ChildPod::default()
            };
            let pod = SimPod {
                view,
                mine: None,
                lifted: false,
            };
            self.pods.insert(name, pod);
        }
    }

    fn running(&mut self, nth: usize) -> Option<&mut SimPod> {
        let pod = self.pods.values_mut().nth(nth)?;
        (pod.view.phase == PodPhase::Unfinished).then_some(pod)
    }

    /// What the agent does on every event of the JobSet.
    fn agent(&mut self, nth: usize) {
        let status = self.jobset.status.clone().unwrap_or_default();
        let Some(pod) = self.running(nth) else { return };
        let current = status.current_in_place_restart_attempt;
        if pod.mine.is_none() {
            pod.mine = Some(current.map_or(0, |current| current + 1));
            pod.view.in_place_attempt = pod.mine.map(|attempt| attempt.to_string());
        }
        let previous = status.previous_in_place_restart_attempt;
        if previous.is_some_and(|previous| pod.mine <= Some(previous)) {
            self.crash(nth);
        } else if current.is_some() && pod.mine == current {
            pod.lifted = true;
        }
    }

    fn crash(&mut self, nth: usize) {
        if let Some(pod) = self.running(nth) {
            (pod.mine, pod.lifted) = (None, false);
            pod.view.restarts += 1;
        }
    }

    fn lose(&mut self, nth: usize) {
        let Some(pod) = self.running(nth) else { return };
        pod.view.phase = PodPhase::Failed;
        let owner = pod.view.job_uid.clone();
        let job = self
            .jobs
            .values_mut()
            .find(|job| Some(&job.uid) == owner.as_ref());
        job.unwrap().failed += 1;
    }

    fn succeed(&mut self, nth: usize) {
        if let Some(pod) = self.running(nth).filter(|pod| pod.lifted) {
            pod.view.phase = PodPhase::Succeeded;
        }
    }

    fn finished(&self) -> bool {
        conditions::is_finished(&self.jobset)
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Start(nth) => self.start(nth),
            Op::Agent(nth) => self.agent(nth),
            Op::Crash(nth) => self.crash(nth),
            Op::Lose(nth) => self.lose(nth),
            Op::Succeed(nth) => self.succeed(nth),
            Op::Suspend(on) => self.jobset.spec.suspend = Some(on),
            Op::Reconcile => {
                self.reconcile();
            }
        }
    }

    /// Nothing goes wrong any more, and whoever may run succeeds once all do.
    fn settle(&mut self) {
        self.jobset.spec.suspend = Some(false);
        for _ in 0..200 {
            let quiet = self.reconcile();
            if self.finished() && quiet {
                return;
            }
            (0..self.jobs.len()).for_each(|nth| self.start(nth));
            (0..self.pods.len()).for_each(|nth| self.agent(nth));
            let mut running = self
                .pods
                .values()
                .filter(|p| p.view.phase == PodPhase::Unfinished);
            if quiet && running.all(|pod| pod.lifted) {
                (0..self.pods.len()).for_each(|nth| self.succeed(nth));
            }
        }
        panic!("stuck: {:#?} {:#?}", self.jobset.status, self.pods);
    }
}

fn play(max: i32, sidecar: bool, depends_on: Option<&str>, ops: &[Op]) -> World {
    let mut world = World::new(max, sidecar, depends_on);
    for op in ops {
        world.step(op);
    }
    world.settle();
    world
}

fn dependency() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![Just(None), Just(Some("Ready")), Just(Some("Complete"))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nobody_waits_for_ever(
        max in 0..6,
        sidecar in any::<bool>(),
        depends_on in dependency(),
        ops in ops(true),
    ) {
        play(max, sidecar, depends_on, &ops);
    }

    #[test]
    fn without_crashes_a_budget_of_none_suffices(
        sidecar in any::<bool>(),
        depends_on in dependency(),
        ops in ops(false),
    ) {
        let world = play(0, sidecar, depends_on, &ops);
        prop_assert!(conditions::is_true(&world.jobset, "Completed"), "{:?}", world.jobset.status);
    }
}
