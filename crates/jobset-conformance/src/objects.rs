//! JobSets to try things with.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

/// A JobSet of these roles.
pub fn jobset(name: &str, roles: Vec<Value>) -> Value {
    json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
        "metadata": {"name": name},
        "spec": {"replicatedJobs": roles},
    })
}

/// The same with more in its spec.
pub fn with(mut jobset: Value, spec: &Value) -> Value {
    merge(&mut jobset["spec"], spec);
    jobset
}

/// What the label `job-key` of a Job is: the SHA-1 of where it is.
pub fn job_key(namespace: &str, job: &str) -> String {
    let hash = Sha1::digest(format!("{namespace}/{job}"));
    hash.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A role whose Jobs have one Pod, which runs until it is told to end, and no second try.
pub fn role(name: &str, replicas: u32) -> Value {
    json!({
        "name": name, "replicas": replicas,
        "template": {"spec": {
            "completionMode": "Indexed", "parallelism": 1, "completions": 1, "backoffLimit": 0,
            "template": {"spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "main", "image": "example.com/work:1"}],
            }},
        }},
    })
}

/// A role of more than that.
pub fn role_with(name: &str, replicas: u32, more: &Value) -> Value {
    let mut role = role(name, replicas);
    merge(&mut role, more);
    role
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn key_of_a_job() {
        let key = super::job_key("default", "js-rjob-0");
        assert_eq!(key, "594cb5c93756409379daf5f78db3fa5c78663cd1");
    }
}
