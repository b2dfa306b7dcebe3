//! Resumption: start suspended Jobs with the scheduling directives of the present template.
//!
//! Queueing systems admit a suspended JobSet by writing node selectors, tolerations, labels and
//! annotations into its templates. The Job must end up with exactly those: what an earlier
//! admission left on it would bind its Pods to two places at once.

use jobset_api::{Feature, constants};
use serde_json::{Map, Value, json};

use crate::buckets::{Buckets, Child};
use crate::construct::{self, placed_by_node_selector};
use crate::counts::Counts;
use crate::draft::Draft;
use crate::model::{Action, ChildJob, Observed};
use crate::pod_webhook::Withheld;
use crate::roles::{Role, Roles};
use crate::{depends_on, execution, startup_policy};

/// What resumption comes to.
pub(crate) struct Resumption {
    pub(crate) actions: Vec<Action>,
    /// With an ordered startup, a replicated job that has not started stops the ones after it.
    pub(crate) waiting: bool,
    /// Some Job still has Pods from before its suspension.
    pub(crate) held: bool,
}

/// Resumes the suspended Jobs of every replicated job whose turn it is.
pub(crate) fn plan(
    observed: &Observed<'_>,
    roles: &Roles<'_>,
    counts: &Counts,
    buckets: &Buckets<'_>,
    withheld: &Withheld,
    draft: &mut Draft,
) -> Resumption {
    let in_order = startup_policy::in_order(&observed.jobset.spec);
    let mut allowed = vec![false; roles.len()];
    let mut waiting = false;
    for role in roles.iter() {
        draft.work.roles += 1;
        if !depends_on::reached(role, roles, counts) {
            continue;
        }
        if in_order && startup_policy::started(role.place.replicas, counts.get(role.position)) {
            continue;
        }
        allowed[role.position] = !withheld.holds(role.position);
        if in_order {
            waiting = true;
            break;
        }
    }

    // One patch per replicated job, made when first needed, completed for each Job.
    let mut patches: Vec<Option<ResumePatch>> = vec![None; roles.len()];
    let mut actions = Vec::new();
    let mut held = false;
    let resources = draft
        .options
        .enabled(Feature::MutablePodResourcesForSuspendedJobSets);
    let annotation = execution::annotation(draft);
    for child in &buckets.active {
        draft.work.jobs += 1;
        let Child {
            job,
            role: Some(position),
        } = *child
        else {
            continue;
        };
        if !job.suspend || job.deleting || !allowed.get(position).is_some_and(|a| *a) {
            continue;
        }
        // Its Pods were placed by an earlier admission. Were the Job resumed now, they would run on
        // as if nothing had changed.
        if job.active > 0 {
            held = true;
            continue;
        }
        let (Some(role), Some(slot)) = (roles.get(position), patches.get_mut(position)) else {
            continue;
        };
        let patch = slot.get_or_insert_with(|| ResumePatch::of(observed, role, resources));
        draft.work.bodies += 1;
        let mut body = patch.for_job(observed.jobset.namespace(), job);
        if let Some(annotation) = &annotation {
            execution::annotate(&mut body, annotation);
        }
        actions.push(Action::ResumeJob {
            name: job.name.clone(),
            uid: job.uid.clone(),
            clear_start_time: job.start_time.is_some(),
            marked: job.marked_suspended,
            resources,
            patch: body,
        });
    }
    Resumption {
        actions,
        waiting,
        held,
    }
}

/// The part of the patch that all Jobs of a replicated job share.
#[derive(Clone)]
struct ResumePatch {
    labels: Map<String, Value>,
    annotations: Map<String, Value>,
    node_selector: Map<String, Value>,
    tolerations: Vec<Value>,
    scheduling_gates: Vec<Value>,
    by_node_selector: bool,
    /// `containers` and `initContainers`, as far as their resources go.
    containers: Map<String, Value>,
}

impl ResumePatch {
    fn of(observed: &Observed<'_>, role: Role<'_, '_>, resources: bool) -> Self {
        let template = &role.spec.template;
        let pod = template.pod_spec();
        let list = |key: &str| {
            pod.and_then(|pod| pod.get(key)?.as_array())
                .cloned()
                .unwrap_or_default()
        };
        let by_node_selector = placed_by_node_selector(observed.jobset, template);
        let mut tolerations = list("tolerations");
        if by_node_selector {
            tolerations.push(construct::no_schedule_toleration());
        }
        Self {
            labels: user_keys(template.pod_labels()),
            annotations: user_keys(template.pod_annotations()),
            node_selector: pod
                .and_then(|pod| pod.get("nodeSelector")?.as_object())
                .cloned()
                .unwrap_or_default(),
            tolerations,
            scheduling_gates: list("schedulingGates"),
            by_node_selector,
            containers: if resources {
                with_resources(role)
            } else {
                Map::new()
            },
        }
    }

    /// A strategic merge patch. Scheduling gates are merged by key unless told to be replaced;
    /// tolerations are one value, replaced anyway. Labels and annotations are merged, because the
    /// Job controller keeps its own there.
    ///
    /// The node selector is merged too, with a null for each key that must go: an object that is
    /// told to be replaced is lost altogether where there is nothing yet that it could replace.
    fn for_job(&self, namespace: &str, job: &ChildJob) -> Value {
        let old = job.node_selector.iter();
        let mut node_selector: Map<String, Value> =
            old.map(|key| (key.clone(), Value::Null)).collect();
        node_selector.extend(self.node_selector.clone());
        if self.by_node_selector {
            node_selector.insert(
                constants::NAMESPACED_JOB_KEY.to_owned(),
                construct::namespaced_job(namespace, &job.name).into(),
            );
        }
        let mut gates = vec![json!({ "$patch": "replace" })];
        gates.extend(self.scheduling_gates.iter().cloned());
        let mut metadata = Map::new();
        if !self.labels.is_empty() {
            metadata.insert("labels".to_owned(), self.labels.clone().into());
        }
        if !self.annotations.is_empty() {
            metadata.insert("annotations".to_owned(), self.annotations.clone().into());
        }
        let mut template = Map::new();
        if !metadata.is_empty() {
            template.insert("metadata".to_owned(), metadata.into());
        }
        let mut spec = self.containers.clone();
        spec.insert("nodeSelector".to_owned(), node_selector.into());
        spec.insert("tolerations".to_owned(), self.tolerations.clone().into());
        spec.insert("schedulingGates".to_owned(), gates.into());
        template.insert("spec".to_owned(), spec.into());
        json!({
            "metadata": { "uid": job.uid },
            "spec": { "suspend": false, "template": template },
        })
    }
}

/// The requests and limits of every container, each to replace what is there. Claims are left as they
/// are.
fn with_resources(role: Role<'_, '_>) -> Map<String, Value> {
    let pod = role.spec.template.pod_spec();
    let mut lists = Map::new();
    for key in ["containers", "initContainers"] {
        let containers = pod.and_then(|pod| pod.get(key)?.as_array());
        let patches: Vec<Value> = containers
            .into_iter()
            .flatten()
            .filter_map(|container| {
                let name = container.get("name")?.as_str()?;
                let replaced = |part: &str| {
                    let amounts = container.pointer(&format!("/resources/{part}"));
                    let mut amounts = amounts
                        .and_then(Value::as_object)
                        .cloned()
                        .unwrap_or_default();
                    amounts.insert("$patch".to_owned(), "replace".into());
                    amounts
                };
                Some(json!({
                    "name": name,
                    "resources": { "requests": replaced("requests"), "limits": replaced("limits") },
                }))
            })
            .collect();
        if !patches.is_empty() {
            lists.insert(key.to_owned(), patches.into());
        }
    }
    lists
}

/// A template's labels or annotations without those that belong to the controllers: system keys of
/// this one, and the keys by which the Job controller finds its Pods.
fn user_keys<'t>(pairs: impl Iterator<Item = (&'t str, &'t str)>) -> Map<String, Value> {
    pairs
        .filter(|(key, _)| !is_system_key(key))
        .map(|(key, value)| (key.to_owned(), Value::from(value)))
        .collect()
}

fn is_system_key(key: &str) -> bool {
    constants::SYSTEM_KEYS.contains(&key)
        || key == constants::EXCLUSIVE_TOPOLOGY_KEY
        || key == constants::NODE_SELECTOR_STRATEGY_KEY
        || matches!(
            key,
            "controller-uid"
                | "job-name"
                | "batch.kubernetes.io/controller-uid"
                | "batch.kubernetes.io/job-name"
        )
}

#[cfg(test)]
mod tests;
