//! `spec.ttlSecondsAfterFinished`: deletes finished Jobs after their time.
//!
//! A controller of its own beside the Job controller; it also serves Jobs that another
//! controller manages.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;

use super::cache::Cache;
use super::conditions;
use super::view::JobView;
use super::writes::{self, WriteError};
use crate::shell::clock::Clock;
use crate::shell::queue::{KeyedQueue, Outcome};

/// How long `job` may still stay, if it is finished and has a limit.
fn remaining(job: &JobView, now: Timestamp) -> Option<Duration> {
    if job.deleting() {
        return None;
    }
    let limit = job.spec.ttl_seconds_after_finished?.max(0).unsigned_abs();
    let finished = conditions::finished_at(&job.status)?;
    let passed = Duration::try_from(now.duration_since(finished)).unwrap_or_default();
    Some(Duration::from_secs(limit.into()).saturating_sub(passed))
}

/// Deletes Jobs whose time has come.
#[derive(Clone)]
pub struct TtlController {
    /// Where requests go.
    pub client: Client,
    /// What is known.
    pub cache: Arc<Cache>,
    /// What time it is.
    pub clock: Clock,
    /// Jobs to look at, by uid.
    pub queue: KeyedQueue<Arc<str>>,
}

impl TtlController {
    /// Takes note of a Job that is new or has changed.
    pub fn consider(&self, job: &JobView) {
        if let Some(delay) = remaining(job, self.clock.now()) {
            self.queue.add_after(job.uid().into(), delay);
        }
    }

    /// Deletes the Job with this uid if its time has come.
    pub async fn sync(&self, uid: Arc<str>) -> Outcome {
        let Some(cached) = self.cache.job(&uid) else {
            return Outcome::Done;
        };
        match remaining(&cached, self.clock.now()) {
            None => return Outcome::Done,
            Some(Duration::ZERO) => {}
            Some(left) => return Outcome::After(left),
        }
        // A deletion cannot be taken back: look at the Job as it is now.
        let job = match writes::get_job(&self.client, cached.namespace(), cached.name()).await {
            Ok(job) if job.uid() == &*uid => job,
            Ok(_) | Err(WriteError::Gone) => return Outcome::Done,
            Err(_) => return Outcome::Retry,
        };
        match remaining(&job, self.clock.now()) {
            None => return Outcome::Done,
            Some(Duration::ZERO) => {}
            Some(left) => return Outcome::After(left),
        }
        match writes::delete_job(&self.client, &job).await {
            Ok(()) | Err(WriteError::Gone) => Outcome::Done,
            Err(error) => {
                tracing::debug!(job = job.name(), %error, "expired Job not deleted");
                Outcome::Retry
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_finished_jobs_with_a_limit_expire() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let job = |ttl: Option<i32>, condition: Option<&str>, age: i64| -> JobView {
            let time = Timestamp::from_second(1_000_000 - age).unwrap().to_string();
            serde_json::from_value(json!({
                "metadata": {"name": "j"},
                "spec": {"ttlSecondsAfterFinished": ttl},
                "status": {"conditions": condition.map(|kind| vec![json!({
                    "type": kind, "status": "True", "lastTransitionTime": time,
                })])},
            }))
            .unwrap()
        };
        for (ttl, condition, age, expected) in [
            (None, Some("Complete"), 99, None),
            (Some(10), None, 99, None),
            (Some(10), Some("FailureTarget"), 99, None),
            (Some(10), Some("Complete"), 4, Some(6)),
            (Some(10), Some("Failed"), 10, Some(0)),
            (Some(0), Some("Failed"), 0, Some(0)),
        ] {
            let left = remaining(&job(ttl, condition, age), now).map(|left| left.as_secs());
            assert_eq!(left, expected, "{ttl:?} {condition:?} {age}");
        }
    }
}
