//! The body of a Pod, built from the raw template.
//!
//! Works on JSON so that no field of the template is lost because our types do not know it.

use serde_json::{Map, Value, json};

use super::view::{
    COMPLETION_INDEX, INDEX_FAILURE_COUNT, INDEX_IGNORED_FAILURE_COUNT, JobView, TRACKING_FINALIZER,
};

/// Environment variable with the completion index.
const INDEX_ENV: &str = "JOB_COMPLETION_INDEX";
/// Longest prefix to which the API server appends five random characters.
const MAX_PREFIX: usize = 58;

/// A Pod to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewPod {
    /// Its completion index, in an indexed Job.
    pub index: Option<u32>,
    /// Counted and ignored failures of the index so far, in a Job with a limit per index.
    pub failures: Option<(i32, i32)>,
}

fn object<'a>(parent: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let slot = parent.entry(key).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(map) => map,
        _ => unreachable!("made an object just above"),
    }
}

/// The Pod's name up to its random part.
fn name_prefix(job: &str, index: Option<u32>) -> String {
    let end = index.map_or_else(|| "-".to_owned(), |index| format!("-{index}-"));
    let room = MAX_PREFIX.saturating_sub(end.len());
    let mut cut = room.min(job.len());
    while !job.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{end}", &job[..cut])
}

/// The body of `pod` as `job` wants it.
///
/// # Errors
/// If the Job's template is not a JSON object.
pub fn build(job: &JobView, pod: NewPod) -> Result<Value, serde_json::Error> {
    let mut template: Map<String, Value> = serde_json::from_str(&job.spec.template.json)?;
    let metadata = object(&mut template, "metadata");
    // Pods are named by the controller whatever a template says.
    metadata.remove("name");
    metadata.insert(
        "generateName".to_owned(),
        name_prefix(job.name(), pod.index).into(),
    );
    metadata.insert("namespace".to_owned(), job.namespace().into());
    metadata.insert(
        "ownerReferences".to_owned(),
        json!([{
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": job.name(),
            "uid": job.uid(),
            "controller": true,
            "blockOwnerDeletion": true,
        }]),
    );
    let finalizers = metadata.entry("finalizers").or_insert_with(|| json!([]));
    match finalizers {
        Value::Array(list) => {
            if !list.iter().any(|name| name == TRACKING_FINALIZER) {
                list.push(TRACKING_FINALIZER.into());
            }
        }
        other => *other = json!([TRACKING_FINALIZER]),
    }

    if !job.spec.manual_selector() {
        let labels = object(metadata, "labels");
        for (key, value) in [
            ("batch.kubernetes.io/controller-uid", job.uid()),
            ("batch.kubernetes.io/job-name", job.name()),
            ("controller-uid", job.uid()),
            ("job-name", job.name()),
        ] {
            labels.entry(key).or_insert_with(|| value.into());
        }
    }
    if let Some(index) = pod.index {
        object(metadata, "labels").insert(COMPLETION_INDEX.to_owned(), index.to_string().into());
        object(metadata, "annotations")
            .insert(COMPLETION_INDEX.to_owned(), index.to_string().into());
    }
    if let Some((counted, ignored)) = pod.failures {
        let annotations = object(metadata, "annotations");
        annotations.insert(INDEX_FAILURE_COUNT.to_owned(), counted.to_string().into());
        if ignored > 0 {
            annotations.insert(
                INDEX_IGNORED_FAILURE_COUNT.to_owned(),
                ignored.to_string().into(),
            );
        }
    }

    if let Some(index) = pod.index {
        let spec = object(&mut template, "spec");
        spec.insert(
            "hostname".to_owned(),
            format!("{}-{index}", job.name()).into(),
        );
        for list in ["initContainers", "containers"] {
            for container in spec
                .get_mut(list)
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                add_index_variable(container);
            }
        }
    }
    template.insert("apiVersion".to_owned(), "v1".into());
    template.insert("kind".to_owned(), "Pod".into());
    Ok(Value::Object(template))
}

/// Adds the index variable unless the user has one of that name.
fn add_index_variable(container: &mut Value) {
    let Value::Object(container) = container else {
        return;
    };
    let slot = container.entry("env").or_insert(Value::Null);
    if slot.is_null() {
        *slot = json!([]);
    }
    let Value::Array(variables) = slot else {
        return;
    };
    if variables
        .iter()
        .any(|variable| variable.get("name") == Some(&INDEX_ENV.into()))
    {
        return;
    }
    let path = format!("metadata.labels['{COMPLETION_INDEX}']");
    variables.push(json!({"name": INDEX_ENV, "valueFrom": {"fieldRef": {"fieldPath": path}}}));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(spec: Value) -> JobView {
        serde_json::from_value(json!({
            "metadata": {"name": "train", "namespace": "ns", "uid": "u1"},
            "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn an_indexed_pod_has_all_its_marks() {
        let job = job(json!({"template": {
            "metadata": {
                "labels": {"app": "x"}, "annotations": {"a": "b"}, "finalizers": ["mine"]
            },
            "spec": {
                "futureField": {"deep": [1]},
                "initContainers": [{"name": "i"}],
                "containers": [
                    {"name": "a", "env": [{"name": "X", "value": "1"}]},
                    {"name": "b", "env": [{"name": "JOB_COMPLETION_INDEX", "value": "own"}]},
                ],
                "restartPolicy": "Never",
            },
        }}));
        let pod = build(
            &job,
            NewPod {
                index: Some(3),
                failures: Some((2, 1)),
            },
        )
        .unwrap();
        let index_env = json!({"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {
            "fieldPath": "metadata.labels['batch.kubernetes.io/job-completion-index']"}}});
        assert_eq!(
            pod,
            json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "generateName": "train-3-",
                    "namespace": "ns",
                    "labels": {
                        "app": "x",
                        "batch.kubernetes.io/controller-uid": "u1",
                        "batch.kubernetes.io/job-completion-index": "3",
                        "batch.kubernetes.io/job-name": "train",
                        "controller-uid": "u1",
                        "job-name": "train",
                    },
                    "annotations": {
                        "a": "b",
                        "batch.kubernetes.io/job-completion-index": "3",
                        "batch.kubernetes.io/job-index-failure-count": "2",
                        "batch.kubernetes.io/job-index-ignored-failure-count": "1",
                    },
                    "finalizers": ["mine", "batch.kubernetes.io/job-tracking"],
                    "ownerReferences": [{
                        "apiVersion": "batch/v1", "kind": "Job", "name": "train", "uid": "u1",
                        "controller": true, "blockOwnerDeletion": true,
                    }],
                },
                "spec": {
                    "futureField": {"deep": [1]},
                    "hostname": "train-3",
                    "initContainers": [{"name": "i", "env": [index_env]}],
                    "containers": [
                        {"name": "a", "env": [{"name": "X", "value": "1"}, index_env]},
                        {"name": "b", "env": [{"name": "JOB_COMPLETION_INDEX", "value": "own"}]},
                    ],
                    "restartPolicy": "Never",
                },
            })
        );
    }

    #[test]
    fn a_plain_pod_has_no_index() {
        let job = job(json!({"manualSelector": true, "template": {"spec": {"containers": []}}}));
        let pod = build(&job, NewPod::default()).unwrap();
        assert_eq!(pod["metadata"]["generateName"], "train-");
        assert!(pod["metadata"].get("labels").is_none());
        assert!(pod["spec"].get("hostname").is_none());
    }

    #[test]
    fn long_names_leave_room_for_index_and_random_part() {
        let long = "x".repeat(63);
        assert_eq!(name_prefix(&long, Some(12)).len(), 58);
        assert!(name_prefix(&long, Some(12)).ends_with("x-12-"));
        assert_eq!(name_prefix("job", None), "job-");
    }
}
