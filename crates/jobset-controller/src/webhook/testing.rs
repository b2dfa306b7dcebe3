//! What the tests of this module share.

use std::sync::Arc;

use jobset_api::FeatureGates;
use jobset_core::placement::{NodeTopology, PlacedPod, PlacementView};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::admission::Admission;

/// A cluster in which each Job named "there" has a leader on a node in domain "rack-7", others
/// have none, and that of a JobSet named "panic" makes one panic.
struct Pods;

impl PlacementView for Pods {
    fn pods_named(&self, _: &str, prefix: &str) -> Vec<Arc<PlacedPod>> {
        assert!(!prefix.starts_with("panic-"), "no Pods today");
        if !prefix.contains("-there-") {
            return Vec::new();
        }
        vec![Arc::new(PlacedPod {
            name: format!("{prefix}-abcde"),
            node: Some("node".to_owned()),
            owner_uid: Some("job-uid".to_owned()),
            ..PlacedPod::default()
        })]
    }

    fn topology(&self, _: &str, _: &str) -> NodeTopology {
        NodeTopology::Domain("rack-7".to_owned())
    }
}

pub(crate) fn admission() -> Admission {
    Admission::new(FeatureGates::default(), Arc::new(Pods))
}

/// A Pod of this JobSet and replicated job, with exclusive placement by `example.com/rack`.
pub(crate) fn exclusive_pod(jobset: &str, job: &str, index: &str) -> Value {
    json!({
        "metadata": {
            "name": format!("{jobset}-{job}-0-{index}-x"),
            "labels": {
                "jobset.sigs.k8s.io/jobset-name": jobset,
                "jobset.sigs.k8s.io/replicatedjob-name": job,
                "jobset.sigs.k8s.io/job-index": "0",
                "jobset.sigs.k8s.io/job-key": "key",
            },
            "annotations": {
                "jobset.sigs.k8s.io/jobset-name": jobset,
                "alpha.jobset.sigs.k8s.io/exclusive-topology": "example.com/rack",
                "batch.kubernetes.io/job-completion-index": index,
            },
            "ownerReferences": [{"uid": "job-uid", "controller": true}],
        },
        "spec": {"future": {}, "containers": []},
    })
}

/// Any JSON, with the names and values that admission looks at more likely than others.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        3 => proptest::sample::select(vec![
            "", "a", "0", "Indexed", "InOrder", "RestartJob", "Retain", "example.com/zone",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3i64..3).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let key = prop_oneof![
        8 => proptest::sample::select(vec![
            "metadata", "name", "namespace", "labels", "annotations", "spec", "replicatedJobs",
            "replicas", "template", "completions", "parallelism", "network", "successPolicy",
            "targetReplicatedJobs", "failurePolicy", "rules", "action", "volumeClaimPolicies",
            "templates", "retentionPolicy", "whenDeleted", "coordinator", "dependsOn", "affinity",
            "nodeSelector", "priority", "restartPolicy", "containers", "managedBy", "suspend",
            "jobset.sigs.k8s.io/jobset-name", "batch.kubernetes.io/job-completion-index",
            "alpha.jobset.sigs.k8s.io/exclusive-topology", "a/b~c",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| Value::from(Map::from_iter(map))),
        ]
    })
}

/// Certificate and key in PEM for a server of this name.
pub(crate) fn self_signed(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}
