//! The views of JobSets as parts for the page. Pure.

use serde::Serialize;
use serde_json::json;

use super::store::Parts;
use crate::timeline::Phase;
use crate::view::{Explanation, Failure, Happening, JobView, SetView};

/// Events that the page is told; the newest are.
const EVENTS: usize = 200;
/// Other failures, waiting Pods and decisions that are told.
const TOLD: usize = 5;

/// Key of the part that says whether the rest is up to date.
pub(super) const LINK: &str = "link";

/// How things stand between the dashboard and what it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "message", rename_all = "camelCase")]
pub(super) enum Link {
    /// What is shown is up to date.
    Live,
    /// The JobSet is not there.
    Gone(String),
    /// The cluster does not answer; it is being tried again.
    Lost(String),
}

/// A document as JSON. What is serialised here has no keys but text, so it does not fail; an empty
/// document would be shown as such.
pub(super) fn to_json(document: &impl Serialize) -> String {
    serde_json::to_string(document).unwrap_or_else(|_| "null".to_owned())
}

/// A Job in the grid.
#[derive(Serialize)]
struct Cell<'a> {
    role: &'a str,
    /// As the timeline names and colours it.
    phase: &'static str,
    #[serde(flatten)]
    job: &'a JobView,
}

/// A JobSet in the list.
pub(super) fn of_list<'a>(sets: impl IntoIterator<Item = &'a SetView>) -> Parts {
    sets.into_iter()
        .map(|set| (format!("set/{}/{}", set.namespace, set.name), to_json(set)))
        .collect()
}

/// One JobSet: `set` with its roles, `why` it is as it is, `job/NAME` for each Job, and the newest
/// events as `event/NUMBER`.
pub(super) fn of_set(explanation: &Explanation, told: &[Happening]) -> Parts {
    let mut parts = Parts::new();
    let mut set = explanation.set.clone();
    for role in &mut set.roles {
        for job in std::mem::take(&mut role.jobs) {
            let cell = Cell {
                role: &role.name,
                phase: Phase::of_state(job.state).name(),
                job: &job,
            };
            parts.insert(format!("job/{}", job.name), to_json(&cell));
        }
    }
    parts.insert("set".to_owned(), to_json(&set));
    parts.insert("why".to_owned(), to_json(&why(explanation)));
    for one in &told[told.len().saturating_sub(EVENTS)..] {
        // What counts up stays the same event.
        let key = format!(
            "event/{}/{}/{}",
            one.at.as_microsecond(),
            one.name,
            one.reason
        );
        parts.insert(key, to_json(one));
    }
    parts
}

fn why(explanation: &Explanation) -> serde_json::Value {
    let first = explanation.first_failure;
    let others: Vec<&Failure> = explanation
        .failures
        .iter()
        .enumerate()
        .filter(|(at, _)| Some(*at) != first)
        .map(|(_, failure)| failure)
        .collect();
    let waiting: Vec<_> = explanation
        .waiting
        .iter()
        .take(TOLD)
        .map(|waiting| {
            json!({"reason": waiting.reason, "pods": waiting.pods.len(), "first": waiting.pods.first()})
        })
        .collect();
    let decisions: Vec<&str> = explanation
        .history
        .iter()
        .filter(|entry| entry.reason == jobset_core::why::EVENT_REASON)
        .map(|entry| entry.message.as_str())
        .collect();
    json!({
        "first": first.map(|at| &explanation.failures[at]),
        "others": others.iter().take(TOLD).collect::<Vec<_>>(),
        "moreOthers": others.len().saturating_sub(TOLD),
        "waiting": waiting,
        "moreWaiting": explanation.waiting.len().saturating_sub(TOLD),
        "decisions": &decisions[decisions.len().saturating_sub(TOLD)..],
        "notes": explanation.notes,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::view::{happenings, testing};

    fn parts(jobs: i64, failed: Option<i64>) -> Parts {
        let job = |index| {
            let status = if failed == Some(index) {
                json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]})
            } else {
                json!({"active": 1, "ready": 1})
            };
            testing::job("workers", index, &status)
        };
        let pod = |index| testing::pod("workers", index, 0, &json!({"phase": "Running"}));
        let events: Vec<_> = (0..3)
            .map(|second| testing::event(second, ("Job", "js-workers-0"), "Normal", "Created", "x"))
            .collect();
        let snapshot = testing::snapshot(
            testing::jobset(&json!({})),
            (0..jobs).map(job).collect(),
            (0..jobs).map(pod).collect(),
            events,
        );
        let told = happenings(snapshot.events(), &snapshot.jobset);
        of_set(&Explanation::of(&snapshot), &told)
    }

    fn read(parts: &Parts, key: &str) -> Value {
        serde_json::from_str(&parts[key]).unwrap()
    }

    #[test]
    fn a_jobset_is_taken_apart() {
        let parts = parts(2, Some(1));
        let job = read(&parts, "job/js-workers-1");
        assert_eq!(
            (&job["role"], &job["phase"]),
            (&json!("workers"), &json!("failed"))
        );
        assert_eq!(job["reason"], "BackoffLimitExceeded");
        assert_eq!(job["pods"][0]["node"], "node-0");
        let set = read(&parts, "set");
        assert_eq!(set["roles"][1]["name"], "workers");
        assert_eq!(
            set["roles"][1]["jobs"],
            Value::Null,
            "they are parts of their own"
        );
        assert_eq!(read(&parts, "why")["first"], Value::Null);
        let events = parts.keys().filter(|key| key.starts_with("event/"));
        assert_eq!(events.count(), 3);
    }

    /// One of 1,000 Jobs changes: that Job is told, and nothing of the others.
    #[test]
    fn what_one_job_costs_does_not_depend_on_the_others() {
        let mut store = super::super::store::Store::new();
        store.replace(parts(1000, None));
        let all = store.since(None).unwrap();
        store.replace(parts(1000, Some(7)));
        let delta = store.since(Some(all.version)).unwrap();
        let document: Value = serde_json::from_str(&delta.json).unwrap();
        let keys: Vec<&String> = document["set"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["job/js-workers-7"]);
        assert!(delta.json.len() < 600, "{}", delta.json);
        assert!(all.json.len() > 200_000, "{}", all.json.len());
    }

    #[test]
    fn the_link_is_one_word_and_why() {
        assert_eq!(to_json(&Link::Live), r#"{"state":"live"}"#);
        let gone = Link::Gone("there is no \"x\"".to_owned());
        assert_eq!(
            to_json(&gone),
            r#"{"state":"gone","message":"there is no \"x\""}"#
        );
    }
}
