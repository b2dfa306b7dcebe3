//! Which requests the API server sends to the manager: the one source of both webhook
//! configurations.

use jobset_api::constants::{
    EXCLUSIVE_TOPOLOGY_KEY, GROUP, JOBSET_NAME_KEY, NODE_SELECTOR_STRATEGY_KEY, PLURAL, VERSION,
};
use serde_json::{Value, json};

/// Name of the mutating configuration; the manager looks for it.
pub(super) const MUTATING: &str = "jobset-mutating-webhook-configuration";
/// Name of the validating configuration; the manager looks for it.
pub(super) const VALIDATING: &str = "jobset-validating-webhook-configuration";

/// Where the webhook server is found, and how the webhooks are called.
pub(super) struct Style<'a> {
    /// Namespace of the Service.
    pub(super) namespace: &'a str,
    /// Name of the Service.
    pub(super) service: &'a str,
    /// Whether the webhooks carry the names of the chart instead of those of kustomize.
    pub(super) helm: bool,
}

/// One webhook.
struct Webhook {
    path: &'static str,
    name: &'static str,
    helm_name: &'static str,
    target: Target,
    operations: &'static [&'static str],
}

#[derive(PartialEq, Eq)]
enum Target {
    JobSets,
    Pods,
}

const MUTATING_WEBHOOKS: &[Webhook] = &[
    Webhook {
        path: "/mutate-jobset-x-k8s-io-v1alpha2-jobset",
        name: "mjobset.kb.io",
        helm_name: "mutate-jobset-x-k8s-io-v1alpha2-jobset.x-k8s.io",
        target: Target::JobSets,
        operations: &["CREATE"],
    },
    Webhook {
        path: "/mutate--v1-pod",
        name: "mpod.kb.io",
        helm_name: "mutate--v1-pod.x-k8s.io",
        target: Target::Pods,
        operations: &["CREATE"],
    },
];

const VALIDATING_WEBHOOKS: &[Webhook] = &[
    Webhook {
        path: "/validate-jobset-x-k8s-io-v1alpha2-jobset",
        name: "vjobset.kb.io",
        helm_name: "validate-jobset-x-k8s-io-v1alpha2-jobset.x-k8s.io",
        target: Target::JobSets,
        operations: &["CREATE", "UPDATE"],
    },
    Webhook {
        path: "/validate--v1-pod",
        name: "vpod.kb.io",
        helm_name: "validate--v1-pod.x-k8s.io",
        target: Target::Pods,
        operations: &["CREATE"],
    },
];

/// The `webhooks` list of the mutating configuration.
pub(super) fn mutating(style: &Style<'_>) -> Value {
    list(MUTATING_WEBHOOKS, style)
}

/// The `webhooks` list of the validating configuration.
pub(super) fn validating(style: &Style<'_>) -> Value {
    list(VALIDATING_WEBHOOKS, style)
}

/// Both configurations, mutating first.
pub(super) fn configurations(style: &Style<'_>) -> [Value; 2] {
    let configuration = |kind: &str, name: &str, webhooks: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": { "name": name },
            "webhooks": webhooks,
        })
    };
    [
        configuration("MutatingWebhookConfiguration", MUTATING, mutating(style)),
        configuration(
            "ValidatingWebhookConfiguration",
            VALIDATING,
            validating(style),
        ),
    ]
}

fn list(webhooks: &[Webhook], style: &Style<'_>) -> Value {
    webhooks
        .iter()
        .map(|webhook| entry(webhook, style))
        .collect()
}

fn entry(webhook: &Webhook, style: &Style<'_>) -> Value {
    let (group, version, resource) = match webhook.target {
        Target::JobSets => (GROUP, VERSION, PLURAL),
        Target::Pods => ("", "v1", "pods"),
    };
    let mut entry = json!({
        "name": if style.helm { webhook.helm_name } else { webhook.name },
        "admissionReviewVersions": ["v1"],
        "clientConfig": { "service": {
            "name": style.service,
            "namespace": style.namespace,
            "path": webhook.path,
        } },
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "rules": [{
            "apiGroups": [group],
            "apiVersions": [version],
            "operations": webhook.operations,
            "resources": [resource],
        }],
    });
    if webhook.target == Target::Pods {
        entry["objectSelector"] = json!({ "matchExpressions": [
            { "key": JOBSET_NAME_KEY, "operator": "Exists" },
        ] });
        entry["matchConditions"] = pod_conditions();
    }
    entry
}

/// Only Pods that ask for exclusive placement by affinity cause a call. All others are admitted
/// without the manager, also while it is down. Both conditions must hold; the optional
/// annotations are looked at only if there are any, since an expression that fails would refuse
/// the Pod.
fn pod_conditions() -> Value {
    json!([
        {
            "name": "asks-for-exclusive-placement",
            "expression": format!(
                "has(object.metadata.annotations) && \
                 '{EXCLUSIVE_TOPOLOGY_KEY}' in object.metadata.annotations"
            ),
        },
        {
            "name": "is-not-placed-by-node-selector",
            "expression": format!(
                "!has(object.metadata.annotations) || \
                 !('{NODE_SELECTOR_STRATEGY_KEY}' in object.metadata.annotations)"
            ),
        },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cel;

    #[test]
    fn only_pods_with_exclusive_placement_cause_a_call() {
        let topology = json!({ EXCLUSIVE_TOPOLOGY_KEY: "zone" });
        let both = json!({ EXCLUSIVE_TOPOLOGY_KEY: "zone", NODE_SELECTOR_STRATEGY_KEY: "true" });
        let table = [
            (json!({}), false),
            (json!({ "annotations": {} }), false),
            (json!({ "annotations": { "a": "b" } }), false),
            (json!({ "annotations": topology }), true),
            (json!({ "annotations": both }), false),
            (
                json!({ "annotations": { NODE_SELECTOR_STRATEGY_KEY: "true" } }),
                false,
            ),
        ];
        for (metadata, called) in table {
            let pod = json!({ "metadata": metadata, "spec": { "priority": 7 } });
            let holds = pod_conditions()
                .as_array()
                .unwrap()
                .iter()
                .all(|condition| {
                    let text = condition["expression"].as_str().unwrap();
                    cel::holds(text, &[("object", &pod)]).unwrap()
                });
            assert_eq!(holds, called, "{metadata}");
        }
    }

    /// The order, the names and the paths are what the reference has.
    #[test]
    fn order_names_and_paths() {
        let style = Style {
            namespace: "n",
            service: "s",
            helm: false,
        };
        let [mutating, validating] = configurations(&style);
        let shown = |configuration: &Value| -> Vec<(String, String)> {
            let webhooks = configuration["webhooks"].as_array().unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            webhooks
                .iter()
                .map(|webhook| {
                    let service = &webhook["clientConfig"]["service"];
                    (text(&webhook["name"]), text(&service["path"]))
                })
                .collect()
        };
        let expected = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter()
                .map(|(name, path)| ((*name).to_owned(), (*path).to_owned()))
                .collect()
        };
        assert_eq!(
            shown(&mutating),
            expected(&[
                ("mjobset.kb.io", "/mutate-jobset-x-k8s-io-v1alpha2-jobset"),
                ("mpod.kb.io", "/mutate--v1-pod"),
            ])
        );
        assert_eq!(
            shown(&validating),
            expected(&[
                ("vjobset.kb.io", "/validate-jobset-x-k8s-io-v1alpha2-jobset"),
                ("vpod.kb.io", "/validate--v1-pod"),
            ])
        );
    }
}
