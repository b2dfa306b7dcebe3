//! Why a JobSet restarts or fails: every decision of the failure policy in one line for people.

use std::fmt;

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;

/// Reason of the event that tells of a decision.
pub const EVENT_REASON: &str = "FailurePolicyDecision";

/// A decision about a failed Job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Restarts of the JobSet before the decision.
    pub attempt: i32,
    /// The rule that matched, if one did.
    pub rule: Option<String>,
    /// What is done.
    pub action: String,
    /// The failed Job that decided.
    pub job: String,
    /// Its uid.
    pub job_uid: String,
    /// Reason of the Job's failure.
    pub reason: String,
    /// Message of the Job's failure.
    pub message: String,
}

impl Decision {
    /// The line that tells of it, with the container that failed, if that is known.
    #[must_use]
    pub fn tell(&self, culprit: Option<&Culprit>) -> String {
        let rule = self.rule.as_deref().unwrap_or("none matched");
        let mut text = format!(
            "attempt {}, rule: {rule}, action: {}, first failed job: {}",
            self.attempt, self.action, self.job
        );
        if let Some(culprit) = culprit {
            text.push_str(&format!(", {culprit}"));
        }
        text.push_str(&format!(" ({}: {})", self.reason, self.message));
        crate::note::truncated(&text)
    }
}

/// The container whose failure came first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Culprit {
    /// Its Pod.
    pub pod: String,
    /// The Pod's node, if it had one.
    pub node: Option<String>,
    /// The container; `None` if the Pod failed as a whole, as in an eviction.
    pub container: Option<String>,
    /// How it ended.
    pub ending: String,
    /// When it ended, if that is known.
    pub time: Option<Timestamp>,
    /// The container's exit code.
    pub exit_code: Option<i32>,
    /// Whether the container has been started again since: its log is that of the run before.
    pub restarted: bool,
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}", self.pod)?;
        if let Some(node) = &self.node {
            write!(f, " on node {node}")?;
        }
        if let Some(container) = &self.container {
            write!(f, ", container {container}")?;
        }
        write!(f, ", {}", self.ending)
    }
}

impl Culprit {
    /// The first container that failed in any of a Job's Pods, or the first Pod that did without
    /// one.
    #[must_use]
    pub fn first_of(pods: &[Pod]) -> Option<Self> {
        let containers = pods.iter().flat_map(failures);
        let first = containers.min_by(|x, y| {
            let order = |culprit: &Self| (culprit.time.is_none(), culprit.time);
            order(x).cmp(&order(y)).then_with(|| x.pod.cmp(&y.pod))
        });
        first.or_else(|| {
            let mut failed: Vec<_> = pods.iter().filter_map(failed_as_a_whole).collect();
            failed.sort_by(|a, b| a.pod.cmp(&b.pod));
            failed.into_iter().next()
        })
    }

    /// Every container of a Pod that failed, or else the Pod if it failed as a whole.
    #[must_use]
    pub fn all_of(pod: &Pod) -> Vec<Self> {
        let mut all: Vec<Self> = failures(pod).collect();
        if all.is_empty() {
            all.extend(failed_as_a_whole(pod));
        }
        all
    }
}

/// Containers of a Pod that ended badly.
fn failures(pod: &Pod) -> impl Iterator<Item = Culprit> + '_ {
    let status = pod.status.iter();
    let containers = status.flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    });
    containers.filter_map(move |container| {
        let (restarted, end) = bad_end(container)?;
        Some(Culprit {
            container: Some(container.name.clone()),
            ending: ending(end),
            time: end.finished_at.as_ref().map(|time| time.0),
            exit_code: Some(end.exit_code),
            restarted,
            ..of(pod)
        })
    })
}

/// How the container failed, before its last restart (`true`) or now.
fn bad_end(container: &ContainerStatus) -> Option<(bool, &ContainerStateTerminated)> {
    let ends = [(true, &container.last_state), (false, &container.state)];
    ends.into_iter()
        .filter_map(|(restarted, state)| Some((restarted, state.as_ref()?.terminated.as_ref()?)))
        .find(|(_, end)| end.exit_code != 0 || end.signal.is_some_and(|signal| signal != 0))
}

fn ending(end: &ContainerStateTerminated) -> String {
    let signal = end
        .signal
        .filter(|signal| *signal != 0)
        .or_else(|| Some(end.exit_code - 128).filter(|signal| (1..=64).contains(signal)));
    let mut text = format!("exit code {}", end.exit_code);
    if let Some(signal) = signal {
        match signal_name(signal) {
            Some(name) => text.push_str(&format!(", signal {name}")),
            None => text.push_str(&format!(", signal {signal}")),
        }
    }
    // Kubernetes says "Error" of every bad end; others, such as OOMKilled, say something.
    if let Some(reason) = end.reason.as_deref().filter(|reason| *reason != "Error") {
        text.push_str(&format!(", {reason}"));
    }
    text
}

fn failed_as_a_whole(pod: &Pod) -> Option<Culprit> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Failed") {
        return None;
    }
    let reason = status.reason.as_deref().unwrap_or("failed");
    Some(Culprit {
        ending: reason.to_owned(),
        ..of(pod)
    })
}

fn of(pod: &Pod) -> Culprit {
    Culprit {
        pod: pod.metadata.name.clone().unwrap_or_default(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        ..Culprit::default()
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
