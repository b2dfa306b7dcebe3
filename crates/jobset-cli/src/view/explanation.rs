//! Why a JobSet is as it is: its state, what failed first, what is waited for, and what has
//! happened, from its conditions, its events and its Pods.

use std::collections::BTreeMap;

use jobset_api::conditions;
use jobset_api::constants::{self as keys, messages};
use jobset_core::why;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::attempts::Attempts;
use super::events::{Happening, happenings};
use super::failure::{self, Failure};
use super::job::{JobView, condition};
use super::set::SetView;
use super::snapshot::Snapshot;
use super::{age, count, one_line, table};
use crate::style;

/// Entries of the history that are shown as text; the newest are.
const SHOWN: usize = 100;
/// Failures that are listed as text.
const LISTED: usize = 10;

/// The explanation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explanation {
    #[serde(flatten)]
    pub(crate) set: SetView,
    /// Place in `failures` of the one that decided.
    pub(crate) first_failure: Option<usize>,
    /// Containers that failed, as far as their Pods are still there, oldest first.
    pub(crate) failures: Vec<Failure>,
    /// What Pods and roles wait for.
    pub(crate) waiting: Vec<Waiting>,
    /// Oldest first.
    pub(crate) history: Vec<Entry>,
    /// What could not be found out.
    pub(crate) notes: Vec<String>,
    #[serde(skip)]
    now: Timestamp,
}

/// Pods that wait for the same, or a role that waits for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Waiting {
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    pub(crate) pods: Vec<String>,
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    #[serde(skip)]
    order: (i64, i32, Rank, Timestamp),
    pub(crate) time: Time,
    /// The attempt of the whole JobSet in which it happened.
    pub(crate) attempt: i32,
    /// `JobSet`, `Job` or `Pod`.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) warning: bool,
    pub(crate) count: i32,
}

/// What comes first within a second, the resolution of most times: causes before effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Created,
    Container,
    Pod,
    Job,
    JobSet,
}

impl Explanation {
    /// Explains what was read.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let set = SetView::with_children(snapshot);
        let failures = failure::failures(&snapshot.pods);
        let jobset = &snapshot.jobset;
        let named = |type_: &str| {
            let condition = conditions::find(jobset, type_).filter(|c| c.status == "True")?;
            messages::first_failed_job(&condition.message)
        };
        let job = named(keys::FAILED).or_else(|| named(keys::RESTARTING_JOBSET));
        let told = happenings(snapshot.events(), jobset);
        let mut notes = Vec::new();
        if set.restarts > 0 && !told.iter().any(|event| event.kind == "JobSet") {
            notes.push(
                "no event of the JobSet is left: a cluster forgets them after an hour, unless \
                 it is told otherwise"
                    .to_owned(),
            );
        }
        Self {
            first_failure: failure::first(&failures, job, set.restarts),
            history: history(snapshot, &told, &failures),
            waiting: waiting(&set, &told),
            failures,
            notes,
            set,
            now: snapshot.now,
        }
    }

    /// The failures whose logs are worth a look: the one that decided, and the first one of each
    /// of some other Jobs.
    pub(crate) fn logs_wanted(&self, most: usize) -> Vec<usize> {
        let mut wanted: Vec<usize> = self.first_failure.into_iter().collect();
        for (at, failure) in self.failures.iter().enumerate() {
            let seen = wanted
                .iter()
                .any(|&other| self.failures[other].job == failure.job);
            if !seen && failure.container.is_some() {
                wanted.push(at);
            }
        }
        wanted.truncate(most);
        wanted
    }

    /// The explanation for people.
    pub(crate) fn text(&self, colored: bool) -> String {
        let mut text = self.head(colored);
        let title = |name: &str| format!("\n{}\n", style::paint(name, "1", colored));
        text.push('\n');
        text.push_str(&self.roles(colored));
        if let Some(first) = self.first_failure {
            text.push_str(&title("First failure"));
            text.push_str(&self.failures[first].text());
        }
        let others: Vec<&Failure> = self
            .failures
            .iter()
            .enumerate()
            .filter(|(at, _)| Some(*at) != self.first_failure)
            .map(|(_, failure)| failure)
            .collect();
        if !others.is_empty() {
            text.push_str(&title("Other failures"));
            for failure in others.iter().take(LISTED) {
                text.push_str(&format!("  {}\n", failure.line()));
                for line in failure.last_lines.iter().flatten() {
                    text.push_str(&format!("    {line}\n"));
                }
            }
            if others.len() > LISTED {
                text.push_str(&format!("  … and {} more\n", others.len() - LISTED));
            }
        }
        let leaving: Vec<&JobView> = self.terminating().collect();
        if !leaving.is_empty() {
            text.push_str(&title("Terminating"));
            for job in leaving.iter().take(LISTED) {
                let since = job.terminating_since.as_ref().map(|time| time.0);
                text.push_str(&format!(
                    "  Job {} of attempt {} for {}, {} left\n",
                    job.name,
                    job.attempt,
                    age(since, self.now),
                    count(job.pods.len() as i64, "Pod"),
                ));
            }
            if leaving.len() > LISTED {
                text.push_str(&format!("  … and {} more Jobs\n", leaving.len() - LISTED));
            }
        }
        if !self.waiting.is_empty() {
            text.push_str(&title("Waiting"));
            for waiting in self.waiting.iter().take(LISTED) {
                let first = match &waiting.role {
                    Some(role) => role,
                    None => waiting.pods.first().map_or("", String::as_str),
                };
                let more = match waiting.pods.len() {
                    0 | 1 => String::new(),
                    many => format!(" and {} more", many - 1),
                };
                text.push_str(&format!("  {first}{more}: {}\n", waiting.reason));
            }
            if self.waiting.len() > LISTED {
                text.push_str(&format!("  … and {} more\n", self.waiting.len() - LISTED));
            }
        }
        text.push_str(&title("What happened"));
        text.push_str(&self.happened(colored));
        for note in &self.notes {
            text.push_str(&format!("  ({note})\n"));
        }
        text
    }

    /// Jobs that are being deleted, or of which only Pods are left.
    fn terminating(&self) -> impl Iterator<Item = &JobView> {
        let jobs = self.set.roles.iter().flat_map(|role| &role.jobs);
        jobs.filter(|job| job.terminating_since.is_some())
    }

    fn head(&self, colored: bool) -> String {
        let set = &self.set;
        let state = match style::state_color(set.state) {
            Some(code) => style::paint(set.state, code, colored),
            None => set.state.to_owned(),
        };
        let mut text = format!("JobSet {}/{}: {state}\n", set.namespace, set.name);
        if !set.reason.is_empty() {
            text.push_str(&format!("  {}: {}\n", set.reason, one_line(&set.message)));
        }
        let created = set.created.as_ref().map(|time| time.0);
        let mut facts = vec![format!("created {} ago", age(created, self.now))];
        if let Some(finished) = &set.finished {
            facts.push(format!("finished {} ago", age(Some(finished.0), self.now)));
        }
        facts.push(match set.max_restarts {
            None => count(set.restarts, "restart"),
            Some(most) => format!(
                "{} ({} counted of at most {most})",
                count(set.restarts, "restart"),
                set.counted_restarts
            ),
        });
        text.push_str(&format!("  {}\n", facts.join(", ")));
        if let Some(other) = &set.managed_by {
            text.push_str(&format!("  managed by {other}\n"));
        }
        if let Some(queue) = &set.queue {
            text.push_str(&format!("  queue {}\n", queue.brief()));
            if !queue.message.is_empty() {
                text.push_str(&format!("    {}\n", one_line(&queue.message)));
            }
        }
        text
    }

    fn roles(&self, colored: bool) -> String {
        let head = "ROLE JOBS READY ACTIVE SUCCEEDED FAILED SUSPENDED TERMINATING";
        let mut rows: Vec<Vec<String>> = vec![head.split(' ').map(str::to_owned).collect()];
        for role in &self.set.roles {
            let mut row = vec![role.name.clone()];
            let counts = [
                role.replicas,
                role.ready,
                role.active,
                role.succeeded,
                role.failed,
                role.suspended,
                role.terminating,
            ];
            row.extend(counts.map(|number| number.to_string()));
            rows.push(row);
        }
        table(&rows, colored)
    }

    fn happened(&self, colored: bool) -> String {
        let hidden = self.history.len().saturating_sub(SHOWN);
        let start = self.set.created.as_ref().map(|time| time.0);
        let mut text = String::new();
        if hidden > 0 {
            text.push_str(&format!("  … {hidden} earlier entries\n"));
        }
        let rows: Vec<Vec<String>> = self.history[hidden..]
            .iter()
            .map(|entry| {
                let after = entry.time.0.as_second() - start.unwrap_or_default().as_second();
                let times = if entry.count > 1 {
                    format!(" ({} times)", entry.count)
                } else {
                    String::new()
                };
                let reason = if entry.warning {
                    style::paint(&entry.reason, "33", colored)
                } else {
                    entry.reason.clone()
                };
                let separator = if entry.message.is_empty() { "" } else { ": " };
                let message = one_line(&entry.message);
                vec![
                    format!("  +{}", embedded_apiserver::table::human_duration(after)),
                    format!("{} {}", entry.kind, entry.name),
                    format!("{reason}{separator}{message}{times}"),
                ]
            })
            .collect();
        text.push_str(&table(&rows, false));
        text
    }
}

impl Failure {
    /// Everything about one failure.
    fn text(&self) -> String {
        let mut text = String::new();
        let mut fact = |name: &str, value: &str| {
            text.push_str(&format!("  {name:10}  {value}\n"));
        };
        fact("attempt", &self.attempt.to_string());
        fact("job", &self.job);
        fact("pod", &self.pod);
        fact("node", self.node.as_deref().unwrap_or("none"));
        if let Some(container) = &self.container {
            fact("container", container);
        }
        fact("ended with", &self.ending);
        if let Some(why) = &self.no_log {
            fact("log", &format!("not to be had: {why}"));
        }
        match self.last_lines.as_deref() {
            None => {}
            Some([]) => fact("log", "empty"),
            Some(lines) => {
                text.push_str("  last log lines\n");
                for line in lines {
                    text.push_str(&format!("    {line}\n"));
                }
            }
        }
        text
    }

    /// In one line.
    fn line(&self) -> String {
        let node = self.node.as_ref().map(|node| format!(" on node {node}"));
        let container = self.container.as_ref();
        let container = container.map(|name| format!(", container {name}"));
        format!(
            "attempt {}: pod {}{}{}, {}",
            self.attempt,
            self.pod,
            node.unwrap_or_default(),
            container.unwrap_or_default(),
            self.ending
        )
    }
}

/// What is waited for: first by roles, for whom somebody else is to blame, then by Pods.
fn waiting(set: &SetView, told: &[Happening]) -> Vec<Waiting> {
    let unhealthy: BTreeMap<&str, &str> = told
        .iter()
        .filter(|event| event.kind == "Pod" && event.reason == "Unhealthy")
        .map(|event| (event.name.as_str(), event.note.as_str()))
        .collect();
    let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let jobs = set.roles.iter().flat_map(|role| &role.jobs);
    for pod in jobs.flat_map(|job| &job.pods) {
        if pod.is_over() || pod.terminating_since.is_some() {
            continue;
        }
        // A Pod that runs says nothing about why it is not ready; the event of its probe does.
        let probe = unhealthy.get(pod.name.as_str()).filter(|_| !pod.is_ready());
        let reason = match probe {
            _ if !pod.reason.is_empty() => pod.reason.clone(),
            Some(note) => format!("not ready: {}", one_line(note)),
            None => continue,
        };
        by_reason.entry(reason).or_default().push(pod.name.clone());
    }
    let mut all: Vec<Waiting> = by_reason
        .into_iter()
        .map(|(reason, pods)| Waiting {
            reason,
            role: None,
            pods,
        })
        .collect();
    all.sort_by_key(|waiting| std::cmp::Reverse(waiting.pods.len()));
    if matches!(set.state, "Starting" | "Restarting") {
        let held_up = set.roles.iter().filter(|role| {
            !role.after.is_empty() && role.jobs.is_empty() && role.succeeded < role.replicas
        });
        let held_up = held_up.map(|role| Waiting {
            reason: format!("starts after {}", role.after.join(", ")),
            role: Some(role.name.clone()),
            pods: Vec::new(),
        });
        all.splice(0..0, held_up);
    }
    all
}

/// The attempt that the note of a decision names.
fn decided_in(event: &Happening) -> Option<i32> {
    if event.kind != "JobSet" || event.reason != why::EVENT_REASON {
        return None;
    }
    let rest = event.note.strip_prefix("attempt ")?;
    rest.split(',').next()?.parse().ok()
}

fn history(snapshot: &Snapshot, told: &[Happening], failures: &[Failure]) -> Vec<Entry> {
    let jobset = &snapshot.jobset;
    let attempts = Attempts::of(jobset, told);
    let mut all = Vec::new();
    let mut add = |rank: Rank, attempt: i32, at: Timestamp, entry: Told<'_>| {
        all.push(Entry {
            order: (at.as_second(), attempt, rank, at),
            time: Time(at),
            attempt,
            kind: entry.kind,
            name: entry.name.to_owned(),
            reason: entry.reason.to_owned(),
            message: entry.message.to_owned(),
            warning: entry.warning,
            count: entry.count,
        });
    };
    let plain = Told::default();
    if let Some(created) = &jobset.metadata.creation_timestamp {
        let created_entry = Told {
            kind: "JobSet",
            name: jobset.name(),
            reason: "Created",
            ..plain
        };
        add(Rank::Created, 0, created.0, created_entry);
    }
    for event in told.iter().filter(|event| is_worth_telling(event, told)) {
        let (rank, kind) = match event.kind.as_str() {
            "JobSet" => (Rank::JobSet, "JobSet"),
            "Job" => (Rank::Job, "Job"),
            _ => (Rank::Pod, "Pod"),
        };
        let attempt = decided_in(event).unwrap_or_else(|| attempts.at(event.at));
        add(
            rank,
            attempt,
            event.at,
            Told {
                kind,
                name: &event.name,
                reason: &event.reason,
                message: &event.note,
                warning: event.is_warning(),
                count: event.count,
            },
        );
    }
    let is_told = |name: &str, reason: &str, message: Option<&str>| {
        told.iter().any(|event| {
            event.name == name
                && event.reason == reason
                && message.is_none_or(|message| event.note == message)
        })
    };
    for condition in jobset.status.iter().flat_map(|status| &status.conditions) {
        if !is_told(jobset.name(), &condition.reason, Some(&condition.message)) {
            let at = condition.last_transition_time.0;
            add(
                Rank::JobSet,
                attempts.at(at),
                at,
                Told {
                    kind: "JobSet",
                    name: jobset.name(),
                    reason: &condition.reason,
                    message: &condition.message,
                    warning: condition.type_ == keys::FAILED,
                    ..plain
                },
            );
        }
    }
    for job in &snapshot.jobs {
        let Some(failed) = condition(job, "Failed") else {
            continue;
        };
        let view = JobView::of(job);
        let reason = failed.reason.as_deref().unwrap_or("Failed");
        if !is_told(&view.name, reason, None)
            && let Some(time) = &failed.last_transition_time
        {
            add(
                Rank::Job,
                view.attempt,
                time.0,
                Told {
                    kind: "Job",
                    name: &view.name,
                    reason,
                    message: failed.message.as_deref().unwrap_or_default(),
                    warning: true,
                    ..plain
                },
            );
        }
    }
    for failure in failures {
        if let Some(time) = &failure.time {
            let container = failure.container.as_deref().unwrap_or_default();
            let node = failure.node.as_ref().map(|node| format!(" on node {node}"));
            let message = format!(
                "container {container}{}, {}",
                node.unwrap_or_default(),
                failure.ending
            );
            add(
                Rank::Container,
                failure.attempt,
                time.0,
                Told {
                    kind: "Pod",
                    name: &failure.pod,
                    reason: "ContainerFailed",
                    message: &message,
                    warning: true,
                    ..plain
                },
            );
        }
    }
    all.sort_by_key(|entry| entry.order);
    all
}

/// What an entry says.
#[derive(Clone, Copy)]
struct Told<'a> {
    kind: &'static str,
    name: &'a str,
    reason: &'a str,
    message: &'a str,
    warning: bool,
    count: i32,
}

impl Default for Told<'_> {
    fn default() -> Self {
        Self {
            kind: "",
            name: "",
            reason: "",
            message: "",
            warning: false,
            count: 1,
        }
    }
}

/// Whether an event belongs into the history: what a JobSet tells, and of its Jobs and Pods what
/// warns. A restart is told by up to three events, of which the one that says most is enough.
fn is_worth_telling(event: &Happening, told: &[Happening]) -> bool {
    if event.kind != "JobSet" {
        return event.is_warning();
    }
    let Some(job) = messages::first_failed_job(&event.note) else {
        return true;
    };
    let condition = event.reason == keys::reasons::DEFAULT_FAILURE_POLICY
        || event
            .reason
            .starts_with(&keys::reasons::failure_policy_rule(""));
    if !condition && !Attempts::is_restart(event) {
        return true;
    }
    let close = |other: &Happening| (other.at.as_second() - event.at.as_second()).abs() <= 1;
    let decision = format!("first failed job: {job}");
    let better = |other: &Happening| {
        let decided = decided_in(other).is_some() && names_job(&other.note, &decision);
        decided || (condition && Attempts::is_restart(other) && other.note == event.note)
    };
    !told.iter().any(|other| close(other) && better(other))
}

/// Whether a note holds a text that does not go on as a longer name.
fn names_job(note: &str, text: &str) -> bool {
    note.match_indices(text).any(|(at, _)| {
        let next = note[at + text.len()..].chars().next();
        !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-')
    })
}

#[cfg(test)]
mod tests;
