//! Where a JobSet stands in a queue of Kueue, which suspends what it has not admitted.

use jobset_api::JobSet;
use serde::Serialize;
use serde_json::Value;

/// The label by which a JobSet names its queue.
const QUEUE_KEY: &str = "kueue.x-k8s.io/queue-name";

/// Conditions of a Workload that say where it stands; the first true one decides.
const STATES: [(&str, &str); 4] = [
    ("Finished", "finished"),
    ("Admitted", "admitted"),
    ("QuotaReserved", "quota reserved"),
    ("Evicted", "evicted"),
];

/// A place in a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct QueueState {
    pub(crate) queue: String,
    /// `pending`, `quota reserved`, `admitted`, `evicted` or `finished`; absent if the queueing
    /// system was not asked or does not know the JobSet.
    pub(crate) state: Option<&'static str>,
    /// Why it waits, in the words of the queueing system.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
}

impl QueueState {
    /// The queue that a JobSet names, if it does.
    pub(crate) fn of(jobset: &JobSet) -> Option<Self> {
        let queue = jobset.metadata.labels.as_ref()?.get(QUEUE_KEY)?;
        Some(Self {
            queue: queue.clone(),
            state: None,
            message: String::new(),
        })
    }

    /// Takes in what a list of Workloads says about the JobSet of this uid.
    pub(crate) fn look_up(&mut self, uid: &str, workloads: &[Value]) {
        let mine = |workload: &&Value| {
            let owners = workload["metadata"]["ownerReferences"].as_array();
            owners
                .into_iter()
                .flatten()
                .any(|owner| owner["uid"] == uid)
        };
        let Some(workload) = workloads.iter().find(mine) else {
            return;
        };
        let conditions = workload["status"]["conditions"].as_array();
        let conditions: Vec<&Value> = conditions.into_iter().flatten().collect();
        let find = |type_: &str| {
            conditions
                .iter()
                .find(|condition| condition["type"] == type_)
        };
        let message = |type_: &str| {
            let text = find(type_).and_then(|condition| condition["message"].as_str());
            text.unwrap_or_default().to_owned()
        };
        let decided = STATES
            .into_iter()
            .find(|(type_, _)| find(type_).is_some_and(|condition| condition["status"] == "True"));
        match decided {
            Some((type_, word)) => {
                self.state = Some(word);
                self.message = message(type_);
            }
            None => {
                self.state = Some("pending");
                self.message = message("QuotaReserved");
            }
        }
    }

    /// In a few words: `queue (pending)`.
    pub(crate) fn brief(&self) -> String {
        match self.state {
            Some(state) => format!("{} ({state})", self.queue),
            None => self.queue.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::jobset;
    use super::*;

    #[test]
    fn the_workload_of_the_jobset_tells_its_state() {
        let mut set = jobset(&json!({}));
        assert_eq!(QueueState::of(&set), None);
        let label = (QUEUE_KEY.to_owned(), "gpus".to_owned());
        set.metadata.labels = Some([label].into());
        let told = |conditions: Value| {
            let mut queue = QueueState::of(&set).unwrap();
            let workload = |uid, conditions| {
                json!({"metadata": {"ownerReferences": [{"uid": uid}]},
                "status": {"conditions": conditions}})
            };
            let other = workload("other", json!([{"type": "Admitted", "status": "True"}]));
            queue.look_up("u", &[other, workload("u", conditions)]);
            (queue.brief(), queue.message)
        };
        let waits = json!([{"type": "QuotaReserved", "status": "False", "message": "no room"}]);
        assert_eq!(told(waits), ("gpus (pending)".into(), "no room".into()));
        assert_eq!(told(json!([])).0, "gpus (pending)");
        let reserved = json!([{"type": "QuotaReserved", "status": "True"}]);
        assert_eq!(told(reserved).0, "gpus (quota reserved)");
        let admitted = json!([{"type": "QuotaReserved", "status": "True"}, {"type": "Admitted", "status": "True"}]);
        assert_eq!(told(admitted).0, "gpus (admitted)");
        let mut unknown = QueueState::of(&set).unwrap();
        unknown.look_up("u", &[]);
        assert_eq!(unknown.brief(), "gpus");
    }
}
