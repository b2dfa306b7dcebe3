//! Everything that a JobSet comes to, at once: what [`plan`](crate::plan()) would create one step
//! after the other if all went well.
//!
//! For people who want to see the Jobs before there are any. It is built from the very parts that
//! the plan is built from, and a test holds the two together.

use std::collections::BTreeSet;

use jobset_api::{DependsOnStatus, Feature, FeatureGates, JobSet, constants};
use serde_json::Value;

use crate::buckets::job_restarts;
use crate::construct::JobFactory;
use crate::draft::Draft;
use crate::model::{Action, ServiceState};
use crate::roles::Roles;
use crate::{claims, service, startup_policy};

/// The objects of a JobSet. Jobs are built when asked for: there may be two billion of them.
pub struct Rendered<'a> {
    /// The headless Service, if the JobSet wants host names.
    pub service: Option<Value>,
    /// The claims of its volume claim policies.
    pub claims: Vec<Value>,
    /// The replicated jobs, in the order of the spec.
    pub roles: Vec<RenderedRole<'a>>,
}

/// The Jobs of one replicated job.
pub struct RenderedRole<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many Jobs there are.
    pub replicas: i64,
    /// What has to happen before the first of them is created; all of it.
    pub waits: Vec<Wait<'a>>,
    factory: JobFactory,
    /// The JobSet does not exist yet.
    without_uid: bool,
}

/// Something that the Jobs of a replicated job wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait<'a> {
    /// `dependsOn`: every Job of this replicated job is ready, has succeeded or has failed.
    Ready(&'a str),
    /// `dependsOn`: every Job of this replicated job has succeeded.
    Complete(&'a str),
    /// The startup policy: every Job of this replicated job has started.
    Started(&'a str),
    /// `dependsOn` with a status that is not known: never.
    Never(&'a str),
}

/// What the controller creates for this JobSet, all of it, whatever waits for what.
///
/// An existing JobSet gives the Jobs of its present attempt. One without a uid, such as one that is
/// only a file, gives objects without what would be made of the uid: owner references, and the
/// label and annotation [`constants::JOBSET_UID_KEY`].
///
/// ```
/// use jobset_api::{FeatureGates, JobSet};
///
/// let jobset: JobSet = serde_json::from_value(serde_json::json!({
///     "metadata": { "name": "train", "namespace": "default" },
///     "spec": { "replicatedJobs": [{ "name": "workers", "replicas": 2, "template": {} }] },
/// }))?;
/// let rendered = jobset_core::render(&jobset, &FeatureGates::default());
/// let names: Vec<String> = rendered.roles[0].jobs().map(|(name, _)| name).collect();
/// assert_eq!(names, ["train-workers-0", "train-workers-1"]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn render<'a>(jobset: &'a JobSet, gates: &FeatureGates) -> Rendered<'a> {
    let without_uid = jobset.uid().is_empty();
    let finished = |action: Action| match action {
        Action::CreateService { body, .. } | Action::CreateClaim { body, .. } => {
            Some(finish(body, without_uid))
        }
        _ => None,
    };
    let status = jobset.status.clone().unwrap_or_default();
    let mut draft = Draft::default();
    let roles = Roles::of(jobset);
    let restarts = gates
        .enabled(Feature::RestartJob)
        .then(|| job_restarts(&roles, &status));
    let in_order = !jobset.is_suspended() && startup_policy::in_order(&jobset.spec);
    let mut before = None;
    Rendered {
        service: service::missing(jobset, ServiceState::Missing).and_then(finished),
        claims: claims::missing(jobset, &BTreeSet::new(), &mut draft)
            .into_iter()
            .filter_map(finished)
            .collect(),
        roles: roles
            .iter()
            .map(|role| {
                let mut waits: Vec<Wait<'_>> = role
                    .spec
                    .depends_on()
                    .iter()
                    .map(|on| match on.status {
                        DependsOnStatus::Ready => Wait::Ready(&on.name),
                        DependsOnStatus::Complete => Wait::Complete(&on.name),
                        DependsOnStatus::Unknown(_) => Wait::Never(&on.name),
                    })
                    .collect();
                waits.extend(before.filter(|_| in_order).map(Wait::Started));
                before = Some(role.place.name);
                let counters = restarts.as_ref().and_then(|lists| lists.get(role.position));
                let counters = counters.map(|list| list.to_vec());
                RenderedRole {
                    name: role.place.name,
                    replicas: role.place.replicas,
                    waits,
                    factory: JobFactory::new(jobset, &roles, role, status.restarts, counters),
                    without_uid,
                }
            })
            .collect(),
    }
}

impl RenderedRole<'_> {
    /// Names and Jobs, by index.
    pub fn jobs(&self) -> impl Iterator<Item = (String, Value)> {
        (0..self.replicas).filter_map(|index| self.job(index))
    }

    /// Name and Job of this index, if there is such a one.
    #[must_use]
    pub fn job(&self, index: i64) -> Option<(String, Value)> {
        if !(0..self.replicas).contains(&index) {
            return None;
        }
        let (name, body) = self.factory.build(index);
        Some((name, finish(body, self.without_uid)))
    }
}

/// Takes out what only a uid can fill.
fn finish(mut body: Value, without_uid: bool) -> Value {
    if !without_uid {
        return body;
    }
    for place in ["/metadata", "/spec/template/metadata"] {
        let Some(metadata) = body.pointer_mut(place).and_then(Value::as_object_mut) else {
            continue;
        };
        if place == "/metadata" {
            metadata.remove("ownerReferences");
        }
        for key in ["labels", "annotations"] {
            if let Some(map) = metadata.get_mut(key).and_then(Value::as_object_mut) {
                map.remove(constants::JOBSET_UID_KEY);
            }
        }
    }
    body
}

#[cfg(test)]
mod tests;
