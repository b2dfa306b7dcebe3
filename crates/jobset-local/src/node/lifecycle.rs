//! What happens next in one Pod: a pure state machine.
//!
//! The worker feeds in what it saw (a container started, ended, became ready; the Pod is to stop)
//! and asks [`PodState::decide`] what to do. Nothing here waits, reads a clock or knows processes.
//!
//! Order: init containers one after the other, a restartable one (sidecar) only until it has
//! started; then all main containers at once; when the last of them has ended for good, sidecars
//! are stopped in reverse order and the Pod has its outcome. A container whose restart rules say
//! `RestartAllContainers` for its exit code sends the Pod back to the beginning: the others are
//! killed, and when nothing runs any more, the first init container starts again.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, Pod};
use k8s_openapi::jiff::Timestamp;

use crate::sandbox::protocol::EXIT_KILLED;

/// A container that could not be prepared is tried again after this time, then after twice it, …
const BLOCKED_RETRY: Duration = Duration::from_secs(1);
/// … but at least this often.
const BLOCKED_RETRY_MAX: Duration = Duration::from_secs(10);
/// Restarts of all containers know no back-off, but the kubelet looks at its containers only so
/// often, which bounds the pace of a Pod that always fails.
const RESTART_ALL_PERIOD: Duration = Duration::from_secs(1);
/// What the kubelet says of a container that was restarted with all others.
const RESTARTED_WITH_ALL: &str = "RestartingAllContainers";

/// How long after its end a container is started again.
#[derive(Clone, Copy, Debug)]
pub struct RestartBackoff {
    /// Delay before the second restart; the first is immediate. Doubled with each further one.
    pub initial: Duration,
    /// Longest delay.
    pub max: Duration,
    /// A container that ran this long starts over with the delays.
    pub reset_after: Duration,
}

impl Default for RestartBackoff {
    /// The kubelet's values: 10 s up to 5 min, forgotten after 10 min.
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(10),
            max: Duration::from_mins(5),
            reset_after: Duration::from_mins(10),
        }
    }
}

impl RestartBackoff {
    fn delay(&self, failures: u32) -> Duration {
        match failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => {
                let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
                self.initial.saturating_mul(factor).min(self.max)
            }
        }
    }
}

/// When a container is started again after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    fn parse(text: Option<&str>) -> Self {
        match text {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
        }
    }
}

/// The place of a container in its Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container that keeps running.
    Sidecar,
    /// An ordinary container.
    Main,
}

/// What follows from the end of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// It has ended for good.
    Nothing,
    /// It is started again, after its back-off.
    Restart,
    /// All containers of the Pod begin anew.
    RestartAll,
}

/// A restart rule: what these exit codes (or, negated, all others) lead to.
#[derive(Clone, Debug)]
struct Rule {
    negated: bool,
    codes: Vec<i32>,
    consequence: Consequence,
}

impl Rule {
    fn parse(rule: &ContainerRestartRule) -> Option<Self> {
        let codes = rule.exit_codes.as_ref()?;
        Some(Self {
            negated: codes.operator == "NotIn",
            codes: codes.values.clone().unwrap_or_default(),
            consequence: match rule.action.as_str() {
                "Restart" => Consequence::Restart,
                "RestartAllContainers" => Consequence::RestartAll,
                _ => return None,
            },
        })
    }
}

/// What the state machine has to know of a container.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) name: String,
    pub(crate) role: Role,
    policy: RestartPolicy,
    /// In their order, before the policy; the first that matches decides.
    rules: Vec<Rule>,
    has_startup_probe: bool,
    has_readiness_probe: bool,
}

impl Unit {
    /// Containers in the order of the spec, init containers first.
    pub(crate) fn all(pod: &Pod) -> Vec<Self> {
        let Some(spec) = &pod.spec else {
            return Vec::new();
        };
        let policy = RestartPolicy::parse(spec.restart_policy.as_deref());
        let init = spec.init_containers.iter().flatten().map(|c| {
            if c.restart_policy.as_deref() == Some("Always") {
                Self::new(c, Role::Sidecar, RestartPolicy::Always)
            } else {
                // An init container has to succeed: Always means as often as it fails.
                let policy = match policy {
                    RestartPolicy::Never => RestartPolicy::Never,
                    _ => RestartPolicy::OnFailure,
                };
                Self::new(c, Role::Init, policy)
            }
        });
        init.chain(
            spec.containers
                .iter()
                .map(|c| Self::new(c, Role::Main, policy)),
        )
        .collect()
    }

    fn new(container: &Container, role: Role, inherited: RestartPolicy) -> Self {
        let own = container
            .restart_policy
            .as_deref()
            .filter(|_| role != Role::Sidecar);
        Self {
            name: container.name.clone(),
            role,
            policy: own.map_or(inherited, |p| RestartPolicy::parse(Some(p))),
            rules: container
                .restart_policy_rules
                .iter()
                .flatten()
                .filter_map(Rule::parse)
                .collect(),
            has_startup_probe: container.startup_probe.is_some(),
            has_readiness_probe: container.readiness_probe.is_some(),
        }
    }

    fn consequence(&self, exit_code: i32) -> Consequence {
        let mut rules = self.rules.iter();
        if let Some(rule) = rules.find(|r| r.codes.contains(&exit_code) != r.negated) {
            return rule.consequence;
        }
        let restarts = match self.policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => exit_code != 0,
            RestartPolicy::Never => false,
        };
        if restarts {
            Consequence::Restart
        } else {
            Consequence::Nothing
        }
    }

    /// Whether its end can send the whole Pod back to the beginning.
    pub(crate) fn can_restart_all(&self) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|r| r.consequence == Consequence::RestartAll)
    }
}

/// How a run of a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) exit_code: i32,
    pub(crate) reason: String,
    pub(crate) message: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Timestamp,
}

/// Where a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// Not started.
    Waiting,
    /// Being prepared.
    Starting,
    Running {
        since: Timestamp,
    },
    Ended(Ended),
}

/// One container.
#[derive(Clone, Debug)]
pub(crate) struct ContainerState {
    pub(crate) run: Run,
    pub(crate) restarts: i32,
    pub(crate) last: Option<Ended>,
    /// Passed its startup probe, or has none.
    pub(crate) started: bool,
    pub(crate) ready: bool,
    /// Asked to stop.
    pub(crate) stopping: bool,
    pub(crate) retry_at: Option<Timestamp>,
    /// What was in the way of the last attempt to start it.
    pub(crate) blocked: Option<Blocked>,
    failures: u32,
}

/// Why a container could not be prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    attempts: u32,
}

impl ContainerState {
    fn new() -> Self {
        Self {
            run: Run::Waiting,
            restarts: 0,
            last: None,
            started: false,
            ready: false,
            stopping: false,
            retry_at: None,
            blocked: None,
            failures: 0,
        }
    }

    /// Whether there is, or is about to be, a process.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.run, Run::Starting | Run::Running { .. })
    }

    /// The back-off that is being waited for, from the number of ends so far.
    pub(crate) fn backoff(&self, backoff: &RestartBackoff) -> Duration {
        backoff.delay(self.failures.saturating_sub(1))
    }
}

/// Why a Pod is stopped before its containers ended by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    /// Status reason and message, unless the Pod is merely being deleted.
    pub(crate) failure: Option<(&'static str, String)>,
}

/// How a Pod ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Succeeded,
    Failed {
        reason: Option<&'static str>,
        message: Option<String>,
    },
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Containers to start.
    pub(crate) start: Vec<usize>,
    /// Containers to stop.
    pub(crate) stop: Vec<usize>,
    /// Containers to kill, without a grace period.
    pub(crate) kill: Vec<usize>,
    /// Ask again then at the latest.
    pub(crate) wake_at: Option<Timestamp>,
    /// Nothing runs any more and nothing will.
    pub(crate) outcome: Option<Outcome>,
}

/// One Pod.
#[derive(Clone, Debug)]
pub(crate) struct PodState {
    pub(crate) units: Vec<Unit>,
    pub(crate) containers: Vec<ContainerState>,
    /// All init containers are through; stays so until all containers are restarted.
    pub(crate) initialized: bool,
    /// They have been through at least once.
    pub(crate) once_initialized: bool,
    /// What still runs is being killed, so that all containers can begin anew.
    pub(crate) restarting_all: bool,
    restarted_all_at: Option<Timestamp>,
    pub(crate) stop: Option<Stop>,
    pub(crate) outcome: Option<Outcome>,
    backoff: RestartBackoff,
}

impl PodState {
    pub(crate) fn new(units: Vec<Unit>, backoff: RestartBackoff) -> Self {
        let containers = units.iter().map(|_| ContainerState::new()).collect();
        let initialized = !units.iter().any(|u| u.role != Role::Main);
        Self {
            units,
            containers,
            initialized,
            once_initialized: initialized,
            restarting_all: false,
            restarted_all_at: None,
            stop: None,
            outcome: None,
            backoff,
        }
    }

    /// A container's preparation began.
    pub(crate) fn on_starting(&mut self, i: usize) {
        let Some(c) = self.containers.get_mut(i) else {
            return;
        };
        if let Run::Ended(ended) = &c.run {
            c.last = Some(ended.clone());
            c.restarts += 1;
        }
        c.run = Run::Starting;
        c.retry_at = None;
        c.stopping = false;
    }

    /// A container's command runs.
    pub(crate) fn on_started(&mut self, i: usize, now: Timestamp) {
        let (Some(c), Some(u)) = (self.containers.get_mut(i), self.units.get(i)) else {
            return;
        };
        c.run = Run::Running { since: now };
        c.blocked = None;
        c.started = !u.has_startup_probe;
        c.ready = c.started && !u.has_readiness_probe;
    }

    /// A container passed its startup probe.
    pub(crate) fn on_startup_passed(&mut self, i: usize) {
        let (Some(c), Some(u)) = (self.containers.get_mut(i), self.units.get(i)) else {
            return;
        };
        c.started = true;
        c.ready = !u.has_readiness_probe;
    }

    /// A readiness probe changed its mind.
    pub(crate) fn on_readiness(&mut self, i: usize, ready: bool) {
        if let Some(c) = self.containers.get_mut(i) {
            c.ready = ready && matches!(c.run, Run::Running { .. });
        }
    }

    /// A container could not be prepared; it is tried again, at growing intervals. Says whether
    /// the reason is another one than before.
    pub(crate) fn on_blocked(
        &mut self,
        i: usize,
        reason: &'static str,
        message: String,
        now: Timestamp,
    ) -> bool {
        let Some(c) = self.containers.get_mut(i) else {
            return false;
        };
        let before = c.blocked.take();
        let news = before.as_ref().is_none_or(|b| b.message != message);
        let attempts = before.map_or(0, |b| b.attempts).saturating_add(1);
        let delay = BLOCKED_RETRY.saturating_mul(1 << attempts.min(8) >> 1);
        c.retry_at = now.checked_add(delay.min(BLOCKED_RETRY_MAX)).ok();
        c.run = Run::Waiting;
        c.blocked = Some(Blocked {
            reason,
            message,
            attempts,
        });
        news
    }

    /// A container is to be started once more, at once, as if nothing had happened.
    pub(crate) fn on_try_again(&mut self, i: usize) {
        if let Some(c) = self.containers.get_mut(i) {
            c.run = Run::Waiting;
            c.retry_at = None;
        }
    }

    /// A container ended.
    pub(crate) fn on_ended(&mut self, i: usize, ended: Ended) {
        let Some(c) = self.containers.get_mut(i) else {
            return;
        };
        if let Some(started) = ended.started_at {
            let ran = Duration::try_from(ended.finished_at.duration_since(started));
            if ran.is_ok_and(|ran| ran >= self.backoff.reset_after) {
                c.failures = 0;
            }
        }
        c.retry_at = ended
            .finished_at
            .checked_add(self.backoff.delay(c.failures))
            .ok();
        c.failures = c.failures.saturating_add(1);
        c.ready = false;
        c.started = false;
        c.stopping = false;
        c.run = Run::Ended(ended);
        c.blocked = None;
    }

    /// What follows from the end of a container, if it has ended.
    fn consequence(unit: &Unit, c: &ContainerState) -> Option<Consequence> {
        match &c.run {
            Run::Ended(ended) => Some(unit.consequence(ended.exit_code)),
            _ => None,
        }
    }

    /// Whether a container that has ended will be started again, by itself.
    pub(crate) fn will_restart(&self, unit: &Unit, c: &ContainerState) -> bool {
        let init_is_over = unit.role == Role::Init && self.initialized;
        let open = self.outcome.is_none() && self.stop.is_none() && !init_is_over;
        open && !self.restarting_all && Self::consequence(unit, c) == Some(Consequence::Restart)
    }

    /// What to do at `now`. Idempotent: the caller reports back what it did.
    pub(crate) fn decide(&mut self, now: Timestamp) -> Decision {
        if self.outcome.is_some() {
            return Decision {
                outcome: self.outcome.clone(),
                ..Decision::default()
            };
        }
        if self.stop.is_some() {
            self.restarting_all = false;
        } else if let Some(decision) = self.restart_all(now) {
            return decision;
        }
        let mut decision = Decision::default();
        let verdict = match &self.stop {
            Some(stop) => Some(self.stopped_outcome(stop)),
            None => self.advance(now, &mut decision),
        };
        if let Some(outcome) = verdict {
            // Nothing may start once the Pod's fate is known.
            decision.start.clear();
            decision.wake_at = None;
            self.wind_down(&mut decision);
            if !self.containers.iter().any(ContainerState::is_live) {
                self.outcome = Some(outcome.clone());
                decision.outcome = Some(outcome);
            }
        }
        decision
    }

    /// Restarts all containers if an end asks for it: first the rest is killed, then everything is
    /// as at the beginning. Nothing, once that is done or if nobody asks.
    fn restart_all(&mut self, now: Timestamp) -> Option<Decision> {
        if !self.restarting_all {
            if !self.wants_restart_of_all() {
                return None;
            }
            self.restarting_all = true;
            let live = self.containers.iter().enumerate();
            return Some(Decision {
                kill: live.filter(|(_, c)| c.is_live()).map(|(i, _)| i).collect(),
                // Even if nothing is left to kill: what happens is to be told before it is over.
                wake_at: Some(now),
                ..Decision::default()
            });
        }
        if self.containers.iter().any(ContainerState::is_live) {
            return Some(Decision::default());
        }
        self.begin_anew(now);
        None
    }

    /// Whether a container ended in a way that restarts all, while the Pod's fate is still open:
    /// what ends because the Pod ends must not bring it back to life.
    fn wants_restart_of_all(&self) -> bool {
        let ends = || self.units.iter().zip(&self.containers);
        let over =
            |u: &Unit, c: &ContainerState| Self::consequence(u, c) == Some(Consequence::Nothing);
        let mut mains = ends().filter(|(u, _)| u.role == Role::Main);
        let mut inits = ends().filter(|(u, _)| u.role == Role::Init);
        let init_failed = !self.initialized
            && inits
                .any(|(u, c)| over(u, c) && !matches!(&c.run, Run::Ended(e) if e.exit_code == 0));
        !init_failed
            && !mains.all(|(u, c)| over(u, c))
            && ends().any(|(u, c)| Self::consequence(u, c) == Some(Consequence::RestartAll))
    }

    fn begin_anew(&mut self, now: Timestamp) {
        let earliest = self
            .restarted_all_at
            .and_then(|at| at.checked_add(RESTART_ALL_PERIOD).ok())
            .filter(|at| *at > now);
        self.restarted_all_at = Some(earliest.unwrap_or(now));
        self.restarting_all = false;
        self.initialized = !self.units.iter().any(|u| u.role != Role::Main);
        for c in &mut self.containers {
            if let Run::Ended(ended) = &c.run {
                // As the kubelet, which removes the containers and with them how they ended.
                c.last = Some(Ended {
                    exit_code: EXIT_KILLED,
                    reason: RESTARTED_WITH_ALL.to_owned(),
                    message: Some(
                        "The container is removed because RestartAllContainers in place".to_owned(),
                    ),
                    ..ended.clone()
                });
                c.restarts += 1;
                // Only restarts of a container by itself lead to a back-off.
                c.failures = c.failures.saturating_sub(1);
            }
            c.run = Run::Waiting;
            c.retry_at = earliest;
            c.blocked = None;
        }
    }

    /// Starts what is due; the outcome once every main container has ended for good.
    fn advance(&mut self, now: Timestamp, decision: &mut Decision) -> Option<Outcome> {
        let mut may_continue = true;
        let mut mains_done = true;
        for (i, (unit, c)) in self.units.iter().zip(&self.containers).enumerate() {
            let due = c.retry_at.is_none_or(|at| at <= now);
            let wake = if due { None } else { c.retry_at };
            let mut start_or_wait = || {
                if due {
                    decision.start.push(i);
                } else {
                    decision.wake_at = decision.wake_at.into_iter().chain(wake).min();
                }
            };
            match (unit.role, &c.run) {
                (Role::Init | Role::Sidecar, _) if !may_continue => {}
                // Once through, init containers are not looked at again.
                (Role::Init, _) if self.initialized => {}
                (Role::Init, Run::Ended(e)) if e.exit_code == 0 => {}
                (Role::Init, Run::Ended(e)) => {
                    may_continue = false;
                    if unit.consequence(e.exit_code) == Consequence::Nothing {
                        return Some(Outcome::Failed {
                            reason: None,
                            message: None,
                        });
                    }
                    start_or_wait();
                }
                (Role::Init, run) => {
                    may_continue = false;
                    if matches!(run, Run::Waiting) {
                        start_or_wait();
                    }
                }
                (Role::Sidecar, run) => {
                    if matches!(run, Run::Waiting | Run::Ended(_)) {
                        start_or_wait();
                    }
                    may_continue &= c.started || self.initialized;
                }
                (Role::Main, _) if !may_continue => mains_done = false,
                (Role::Main, Run::Ended(e)) => {
                    if unit.consequence(e.exit_code) != Consequence::Nothing {
                        mains_done = false;
                        start_or_wait();
                    }
                }
                (Role::Main, run) => {
                    mains_done = false;
                    if matches!(run, Run::Waiting) {
                        start_or_wait();
                    }
                }
            }
        }
        self.initialized |= may_continue;
        self.once_initialized |= may_continue;
        (may_continue && mains_done).then(|| self.natural_outcome())
    }

    fn natural_outcome(&self) -> Outcome {
        let failed = self.units.iter().zip(&self.containers).any(|(u, c)| {
            u.role == Role::Main && !matches!(&c.run, Run::Ended(e) if e.exit_code == 0)
        });
        if failed {
            Outcome::Failed {
                reason: None,
                message: None,
            }
        } else {
            Outcome::Succeeded
        }
    }

    fn stopped_outcome(&self, stop: &Stop) -> Outcome {
        match &stop.failure {
            Some((reason, message)) => Outcome::Failed {
                reason: Some(reason),
                message: Some(message.clone()),
            },
            None => self.natural_outcome(),
        }
    }

    /// Main and init containers first, then sidecars one by one from the last.
    fn wind_down(&self, decision: &mut Decision) {
        let live = |role_is_sidecar: bool| {
            let pairs = self.units.iter().zip(&self.containers).enumerate();
            pairs.filter(move |(_, (u, c))| {
                (u.role == Role::Sidecar) == role_is_sidecar && c.is_live()
            })
        };
        let mains: Vec<_> = live(false).collect();
        if mains.is_empty() {
            let last = live(true).next_back();
            decision
                .stop
                .extend(last.filter(|(_, (_, c))| !c.stopping).map(|(i, _)| i));
        } else {
            decision.stop.extend(
                mains
                    .iter()
                    .filter(|(_, (_, c))| !c.stopping)
                    .map(|(i, _)| *i),
            );
        }
    }
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
