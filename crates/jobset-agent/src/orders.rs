//! What a JobSet tells the agents of its Pods.

use std::borrow::Cow;

use jobset_api::constants::{DISABLE_IN_PLACE_RESTART_KEY, GROUP, KIND, PLURAL, VERSION};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

/// What the agent has to do, as far as the JobSet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orders {
    /// In-place restart is not in force: let the work begin and leave it alone.
    Bypass,
    /// Keep to the attempts.
    Follow {
        /// Pods at exactly this attempt may run.
        current: Option<i64>,
        /// Pods at this attempt or a lower one have to restart.
        previous: Option<i64>,
    },
}

/// The part of a JobSet that agents look at. Hundreds of agents decode every change of what may be
/// a large object, so the rest is not even kept.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct JobSetView {
    /// Its annotations may switch in-place restart off.
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    failure_policy: Option<FailurePolicy>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FailurePolicy {
    // Text: a strategy that is not known here yet is another one than ours.
    restart_strategy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    current_in_place_restart_attempt: Option<i64>,
    previous_in_place_restart_attempt: Option<i64>,
}

impl JobSetView {
    /// What it tells the agents.
    pub fn orders(&self) -> Orders {
        let annotations = self.metadata.annotations.as_ref();
        let disabled =
            annotations.is_some_and(|map| map.contains_key(DISABLE_IN_PLACE_RESTART_KEY));
        let policy = self.spec.failure_policy.as_ref();
        let strategy = policy.and_then(|policy| policy.restart_strategy.as_deref());
        if disabled || strategy != Some("InPlaceRestart") {
            return Orders::Bypass;
        }
        let status = self.status.as_ref();
        Orders::Follow {
            current: status.and_then(|status| status.current_in_place_restart_attempt),
            previous: status.and_then(|status| status.previous_in_place_restart_attempt),
        }
    }
}

impl kube::Resource for JobSetView {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn orders(jobset: Value) -> Orders {
        serde_json::from_value::<JobSetView>(jobset)
            .unwrap()
            .orders()
    }

    #[test]
    fn the_strategy_and_the_annotation_decide() {
        let follow = Orders::Follow {
            current: None,
            previous: None,
        };
        let in_place = json!({"failurePolicy": {"restartStrategy": "InPlaceRestart"}});
        let disabled = json!({"annotations": {DISABLE_IN_PLACE_RESTART_KEY: ""}});
        for (jobset, expected) in [
            (json!({"spec": in_place}), follow),
            (
                json!({"spec": in_place, "metadata": disabled}),
                Orders::Bypass,
            ),
            (
                json!({"spec": {"failurePolicy": {"restartStrategy": "Recreate"}}}),
                Orders::Bypass,
            ),
            (
                json!({"spec": {"failurePolicy": {"restartStrategy": ""}}}),
                Orders::Bypass,
            ),
            (
                json!({"spec": {"failurePolicy": {"maxRestarts": 1}}}),
                Orders::Bypass,
            ),
            (json!({"spec": {}}), Orders::Bypass),
        ] {
            assert_eq!(orders(jobset.clone()), expected, "{jobset}");
        }
    }

    #[test]
    fn the_status_names_the_attempts() {
        let of = |status: Value| {
            orders(json!({
                "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
                "metadata": {"name": "js", "managedFields": []},
                "spec": {
                    "failurePolicy": {"restartStrategy": "InPlaceRestart", "maxRestarts": 3},
                    "replicatedJobs": [{"name": "w", "template": {"spec": {"anything": [1]}}}],
                },
                "status": status,
            }))
        };
        for (status, current, previous) in [
            (Value::Null, None, None),
            (json!({"restarts": 4}), None, None),
            (json!({"currentInPlaceRestartAttempt": 0}), Some(0), None),
            (
                json!({"currentInPlaceRestartAttempt": 2, "previousInPlaceRestartAttempt": 1}),
                Some(2),
                Some(1),
            ),
        ] {
            assert_eq!(of(status), Orders::Follow { current, previous });
        }
    }
}
