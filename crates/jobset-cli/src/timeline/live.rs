//! A timeline from what a cluster still knows: Jobs and Pods that are there, and events about those that
//! are gone. Most of their times are whole seconds.

use std::collections::{BTreeMap, HashMap, HashSet};

use jobset_api::constants as keys;
use jobset_api::{JobSet, conditions};
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::build::{Head, Steps, timeline};
use super::{Mark, MarkKind, Millis, Phase, Row, Timeline};
use crate::view::{Attempts, Happening, JobView, PodPlace, SetView, Snapshot, happenings, label};

/// The timeline of what was read.
pub(crate) fn of_snapshot(snapshot: &Snapshot) -> Timeline {
    let jobset = &snapshot.jobset;
    let set = SetView::of(jobset);
    let created = jobset.metadata.creation_timestamp.as_ref();
    let start = created.map_or(snapshot.now, |created| created.0);
    let clock = Clock { start };
    let told = happenings(snapshot.events(), jobset);
    let attempts = Attempts::of(jobset, &told);
    let mut pods: HashMap<String, Vec<&Pod>> = HashMap::new();
    for pod in &snapshot.pods {
        pods.entry(PodPlace::of(pod.as_ref()).job)
            .or_default()
            .push(pod);
    }
    let marks = marks(jobset, &told, &attempts, clock);
    // What goes on after the end, such as the deletion of Jobs, is not drawn.
    let end = match &set.finished {
        Some(finished) => {
            let last = marks.iter().map(|mark| mark.at).max().unwrap_or(0);
            clock.at(finished.0).max(last)
        }
        None => clock.at(snapshot.now),
    };
    let mut rows: Vec<Row> = snapshot
        .jobs
        .iter()
        .map(|job| {
            let name = job.name_any();
            let own = pods.get(&name).map_or(&[][..], Vec::as_slice);
            row(job, own, &attempts, clock, end)
        })
        .collect();
    let gone = gone(snapshot, &told, &attempts, clock, end);
    let known = attempts.known();
    let mut notes = Vec::new();
    let unknown = set.restarts - known.len() as i32;
    if unknown > 0 {
        notes.push(format!(
            "{} not known any more, nor what they have cost",
            if unknown == 1 {
                "1 restart is".to_owned()
            } else {
                format!("{unknown} restarts are")
            }
        ));
    }
    if set.restarts > 0 && gone.is_empty() {
        notes.push("nothing is known any more of the Jobs of earlier attempts".to_owned());
    }
    rows.extend(gone);
    let head = Head {
        namespace: set.namespace.clone(),
        name: set.name.clone(),
        state: set.state.to_owned(),
        restarts: set.restarts,
        start,
        end,
        roles: set.roles.iter().map(|role| role.name.clone()).collect(),
    };
    timeline(head, rows, marks, notes)
}

/// Times as the timeline counts them.
#[derive(Clone, Copy)]
struct Clock {
    start: Timestamp,
}

impl Clock {
    fn at(self, time: Timestamp) -> Millis {
        let since = time.as_millisecond() - self.start.as_millisecond();
        since.max(0)
    }

    /// Steps of a Job of an attempt that began then. Whole seconds may seem to be before.
    fn steps(
        self,
        steps: Vec<(Phase, Timestamp)>,
        began: Option<Timestamp>,
    ) -> Vec<(Phase, Millis)> {
        let began = began.map_or(0, |began| self.at(began));
        let steps = steps.into_iter();
        steps
            .map(|(phase, time)| (phase, self.at(time).max(began)))
            .collect()
    }
}

/// The row of a Job that is there.
fn row(job: &Job, pods: &[&Pod], attempts: &Attempts, clock: Clock, end: Millis) -> Row {
    let view = JobView::of(job);
    let began = attempts.began(view.attempt);
    let steps = Steps {
        steps: clock.steps(steps(job, &view, pods), began),
        gone: None,
    };
    Row {
        role: label(job, keys::REPLICATED_JOB_NAME_KEY).to_owned(),
        job: view.name,
        index: view.index,
        attempt: view.attempt,
        own_attempt: view.own_attempt,
        spans: steps.spans(end),
    }
}

fn steps(job: &Job, view: &JobView, pods: &[&Pod]) -> Vec<(Phase, Timestamp)> {
    let Some(created) = &job.metadata.creation_timestamp else {
        return Vec::new();
    };
    let created = created.0;
    let status = job.status.as_ref();
    let conditions = || {
        status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten())
    };
    let since = |condition: &JobCondition| condition.last_transition_time.as_ref().map(|t| t.0);
    let suspension = conditions().find(|condition| condition.type_ == "Suspended");
    let mut steps = Vec::new();
    match suspension.map(|condition| (condition.status == "True", since(condition))) {
        Some((true, time)) => {
            // What was before is not known: its Pods are gone.
            steps.push((Phase::Suspended, time.unwrap_or(created)));
        }
        Some((false, Some(resumed))) => {
            steps.push((Phase::Suspended, created));
            steps.push((Phase::Pending, resumed));
        }
        _ if view.state == "Suspended" => steps.push((Phase::Suspended, created)),
        _ => steps.push((Phase::Pending, created)),
    }
    let created_pods = pods
        .iter()
        .filter_map(|pod| pod.metadata.creation_timestamp.as_ref());
    let first_pod = created_pods.map(|time| time.0).min();
    let over = |types: [&str; 2]| {
        let true_ones = conditions()
            .filter(|condition| types.contains(&condition.type_.as_str()))
            .filter(|condition| condition.status == "True");
        true_ones.filter_map(since).min()
    };
    let failed = over(["Failed", "FailureTarget"]);
    let succeeded = over(["Complete", "SuccessCriteriaMet"]);
    let began = status.and_then(|status| status.start_time.as_ref());
    let began = began.map(|time| time.0.max(created));
    if suspension.is_none_or(|condition| condition.status != "True") {
        let is_over = failed.is_some() || succeeded.is_some();
        let starting = first_pod.or(began.filter(|_| is_over || view.state == "Running"));
        if let Some(starting) = starting {
            steps.push((Phase::Starting, starting));
            // One that is not ready now may have been, but nothing says when it was not any more.
            if (is_over || view.state == "Running" || view.terminating_since.is_some())
                && let Some(ready) = all_up(job, pods)
            {
                steps.push((Phase::Ready, ready.max(starting)));
            } else if view.state == "Running" {
                steps.push((Phase::Ready, starting));
            }
        }
    }
    steps.extend(failed.map(|time| (Phase::Failed, time)));
    steps.extend(succeeded.map(|time| (Phase::Succeeded, time)));
    if let Some(since) = &view.terminating_since {
        steps.push((Phase::Deleting, since.0));
    }
    steps
}

/// When as many Pods of a Job as it wants at once were up.
fn all_up(job: &Job, pods: &[&Pod]) -> Option<Timestamp> {
    let wanted = usize::try_from(crate::view::wanted_pods(job)).ok()?;
    let mut times: Vec<Timestamp> = pods.iter().filter_map(|pod| up(pod)).collect();
    times.sort_unstable();
    times.get(wanted.checked_sub(1)?).copied()
}

/// When a Pod was up: when it became ready, or if it is not any more, when its containers had started.
fn up(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let ready = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready" && condition.status == "True");
    if let Some(time) = ready.and_then(|ready| ready.last_transition_time.as_ref()) {
        return Some(time.0);
    }
    let started = status.container_statuses.iter().flatten().map(|container| {
        let state = container.state.as_ref()?;
        let running = state
            .running
            .as_ref()
            .and_then(|state| state.started_at.as_ref());
        let ended = state.terminated.as_ref();
        let ended = ended.and_then(|state| state.started_at.as_ref());
        running.or(ended).map(|time| time.0)
    });
    // One that has never started keeps the Pod from having been up.
    started.collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// Rows of Jobs that are gone, as far as events tell of them.
fn gone(
    snapshot: &Snapshot,
    told: &[Happening],
    attempts: &Attempts,
    clock: Clock,
    end: Millis,
) -> Vec<Row> {
    let present: HashSet<&str> = snapshot
        .jobs
        .iter()
        .filter_map(|job| job.metadata.uid.as_deref())
        .collect();
    let mut by_job: BTreeMap<(&str, &str), Vec<&Happening>> = BTreeMap::new();
    for event in told.iter().filter(|event| event.kind == "Job") {
        if !event.uid.is_empty() && !present.contains(event.uid.as_str()) {
            let key = (event.name.as_str(), event.uid.as_str());
            by_job.entry(key).or_default().push(event);
        }
    }
    // By name, in the order of time; what is there now comes last.
    let mut lives: BTreeMap<&str, Vec<Life<'_>>> = BTreeMap::new();
    for ((name, _), events) in &by_job {
        if let Some(first) = events.first() {
            lives.entry(name).or_default().push(Life {
                from: first.at,
                events,
                attempt: None,
            });
        }
    }
    for job in &snapshot.jobs {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        if let (Some(lives), Some(created)) =
            (lives.get_mut(name), &job.metadata.creation_timestamp)
        {
            lives.push(Life {
                from: created.0,
                events: &[],
                attempt: Some(JobView::of(job).attempt),
            });
        }
    }
    let mut rows = Vec::new();
    for (name, mut lives) in lives {
        let Some((role, index)) = place(&snapshot.jobset, name) else {
            continue;
        };
        // A Job that is there is the last one, even if its time is cut to the second.
        lives.sort_by_key(|life| (life.attempt.is_some(), life.from));
        let mut later: Option<(i32, Timestamp)> = None;
        for life in lives.iter().rev() {
            let (least, most) = attempts.within(life.from);
            let attempt = life.attempt.unwrap_or_else(|| {
                let before = later.map_or(most, |(later, _)| later - 1);
                before.clamp(least, most)
            });
            if life.attempt.is_none() {
                let next = later.map(|(_, from)| from);
                rows.push(Row {
                    job: name.to_owned(),
                    role: role.clone(),
                    index: Some(index),
                    attempt,
                    own_attempt: 0,
                    spans: life.steps(attempt, next, attempts, clock).spans(end),
                });
            }
            later = Some((attempt, life.from));
        }
    }
    rows
}

/// A Job of which only events are left, or one that is there and comes after such.
struct Life<'a> {
    from: Timestamp,
    events: &'a [&'a Happening],
    /// Of one that is there.
    attempt: Option<i32>,
}

impl Life<'_> {
    fn steps(
        &self,
        attempt: i32,
        next: Option<Timestamp>,
        attempts: &Attempts,
        clock: Clock,
    ) -> Steps {
        let mut steps: Vec<(Phase, Timestamp)> = self
            .events
            .iter()
            .filter_map(|event| Some((phase(&event.reason)?, event.at)))
            .collect();
        // Within a second, the resolution of these times, it began before it ended.
        steps.sort_by_key(|(phase, time)| (*time, *phase));
        if steps.is_empty() {
            steps.push((Phase::Active, self.from));
        }
        let deleted = attempts.began(attempt + 1).or(next);
        steps.extend(deleted.map(|time| (Phase::Deleting, time)));
        // Nobody knows when it was gone: by the time of the next one at the latest.
        let gone = next.max(deleted);
        Steps {
            steps: clock.steps(steps, attempts.began(attempt)),
            gone: gone.map(|time| clock.at(time)),
        }
    }
}

/// The role and the index of a Job by its name.
fn place(jobset: &JobSet, job: &str) -> Option<(String, i64)> {
    let rest = job.strip_prefix(jobset.name())?.strip_prefix('-')?;
    let (role, index) = rest.rsplit_once('-')?;
    let is_role = |one: &jobset_api::ReplicatedJob| one.name == role;
    jobset
        .spec
        .replicated_jobs
        .iter()
        .find(|one| is_role(one))?;
    Some((role.to_owned(), index.parse().ok()?))
}

/// What a Job does from an event on.
fn phase(reason: &str) -> Option<Phase> {
    Some(match reason {
        "SuccessfulCreate" | "Resumed" => Phase::Active,
        "Suspended" => Phase::Suspended,
        "Completed" => Phase::Succeeded,
        reason if keys::JOB_FAILURE_REASONS.contains(&reason) => Phase::Failed,
        _ => return None,
    })
}

fn marks(jobset: &JobSet, told: &[Happening], attempts: &Attempts, clock: Clock) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut add = |time: Timestamp, kind: MarkKind, message: &str| {
        marks.push(Mark {
            at: clock.at(time),
            kind,
            message: crate::view::one_line(message),
        });
    };
    for event in told {
        if Attempts::is_restart(event) {
            // Those before may have been forgotten.
            let attempt = attempts.at(event.at) + 1;
            add(event.at, MarkKind::Restart { attempt }, &event.note);
        } else if event.kind == "JobSet" {
            match event.reason.as_str() {
                keys::events::RESTART_JOB | keys::events::RESTART_JOB_AND_IGNORE_MAX_RESTARTS => {
                    add(event.at, MarkKind::JobRestart, &event.note);
                }
                keys::reasons::SUSPENDED_JOBS => add(event.at, MarkKind::Suspended, ""),
                keys::reasons::RESUME_JOBS => add(event.at, MarkKind::Resumed, ""),
                _ => {}
            }
        }
    }
    for (type_, kind) in [
        (keys::COMPLETED, MarkKind::Completed),
        (keys::FAILED, MarkKind::Failed),
    ] {
        if let Some(condition) = conditions::find(jobset, type_).filter(|c| c.status == "True") {
            // The event tells the time to more digits than the condition.
            let told = told.iter().find(|event| {
                event.kind == "JobSet"
                    && event.reason == condition.reason
                    && event.note == condition.message
            });
            let time = condition.last_transition_time.0;
            let time = told.map_or(time, |event| event.at.max(time));
            add(time, kind, &condition.message);
        }
    }
    marks
}
