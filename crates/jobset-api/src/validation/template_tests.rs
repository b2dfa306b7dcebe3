//! Each rule for Job and Pod templates, with the nearest template that keeps it.

use serde_json::{Value, json};

use super::*;
use crate::{defaulting::default_value, features::FeatureGates, resource::JobSet};

/// A template that keeps every rule and uses every field that has one.
fn good() -> Value {
    // Too deep for json!.
    let text = r#"{
        "metadata": {"labels": {"a.io/b": "C"}, "annotations": {"A.io/b": "any thing"}},
        "spec": {
            "parallelism": 2, "completions": 3, "backoffLimit": 0, "backoffLimitPerIndex": 1,
            "maxFailedIndexes": 3, "activeDeadlineSeconds": 0, "ttlSecondsAfterFinished": 0,
            "completionMode": "Indexed", "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": [
                {"action": "FailIndex",
                 "onExitCodes": {"operator": "In", "values": [1, 2], "containerName": "init"}},
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
            ]},
            "successPolicy": {"rules": [{"succeededIndexes": "0,1-2", "succeededCount": 3}]},
            "template": {
                "metadata": {"labels": {"l": ""}},
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 0, "activeDeadlineSeconds": 1,
                    "hostname": "h", "subdomain": "s", "dnsPolicy": "Default", "nodeName": "n.o",
                    "nodeSelector": {"zone": "a"},
                    "tolerations": [
                        {"operator": "Exists"},
                        {"key": "a.io/k", "operator": "Equal", "value": "v", "effect": "NoExecute",
                         "tolerationSeconds": 5},
                    ],
                    "schedulingGates": [{"name": "a.io/g"}],
                    "topologySpreadConstraints": [
                        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},
                    ],
                    "affinity": {"podAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "rack"}],
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {"weight": 100, "podAffinityTerm": {"topologyKey": "rack"}},
                        ],
                    }},
                    "volumes": [
                        {"name": "empty"},
                        {"name": "map", "configMap": {"name": "m"}},
                        {"name": "secret", "secret": {"secretName": "s"}},
                        {"name": "future", "sourceOfTheFuture": {}},
                    ],
                    "initContainers": [
                        {"name": "init", "image": "i"},
                        {"name": "sidecar", "image": "i", "restartPolicy": "Always",
                         "restartPolicyRules": [{"action": "RestartAllContainers",
                             "exitCodes": {"operator": "NotIn", "values": [0]}}],
                         "startupProbe": {"tcpSocket": {"port": "http"}}},
                    ],
                    "containers": [{
                        "name": "main", "image": "i", "imagePullPolicy": "Never",
                        "restartPolicy": "OnFailure",
                        "restartPolicyRules": [{"action": "Restart",
                            "exitCodes": {"operator": "In", "values": [3, 2]}}],
                        "env": [
                            {"name": "A", "value": "1"},
                            {"name": "B", "value": "",
                             "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                            {"name": "C", "valueFrom": {"sourceOfTheFuture": {}}},
                        ],
                        "ports": [{"containerPort": 1, "name": "a-1", "protocol": "UDP"}],
                        "resources": {
                            "requests": {"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "1"},
                            "limits": {"cpu": 1, "memory": "1024Mi", "nvidia.com/gpu": 1,
                                       "hugepages-2Mi": "4Mi"},
                        },
                        "volumeMounts": [
                            {"name": "map", "mountPath": "/m"},
                            {"name": "map", "mountPath": "/m2"},
                            {"name": "claim", "mountPath": "/c"},
                        ],
                        "livenessProbe": {"exec": {"command": ["true"]}, "successThreshold": 1},
                        "readinessProbe": {"httpGet": {"port": 80}, "successThreshold": 3},
                        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
                    }],
                },
            },
        },
    }"#;
    serde_saphyr::from_str(text).unwrap()
}

fn errors_of(template: &Value, more: &Value) -> Vec<FieldError> {
    let mut object = json!({
        "metadata": {"name": "js"},
        "spec": {
            "replicatedJobs": [{"name": "w", "template": template}],
            "volumeClaimPolicies": [{"templates": [{"metadata": {"name": "claim"}}]}],
        },
    });
    for (pointer, value) in more.as_object().into_iter().flatten() {
        *place(&mut object, pointer) = value.clone();
    }
    default_value(&mut object);
    let jobset: JobSet = serde_json::from_value(object).unwrap();
    validate_create(&jobset, &FeatureGates::default())
}

/// The place of a pointer, made when absent.
fn place<'a>(mut value: &'a mut Value, pointer: &str) -> &'a mut Value {
    for part in pointer.split('/').filter(|part| !part.is_empty()) {
        let part = part.replace("~1", "/");
        value = match part.parse::<usize>() {
            Ok(index) if value.is_array() => &mut value[index],
            _ => &mut value[part.as_str()],
        };
    }
    value
}

#[test]
fn a_template_that_keeps_every_rule() {
    assert_eq!(errors_of(&good(), &json!({})), []);
}

/// One field of the good template changed: (where, new value, where the error is, its words).
/// Paths are relative to `base`; the error's place "" means where the change is.
fn check(base: &str, table: &[(&str, Value, &str, &str)]) {
    for (pointer, value, at, part) in table {
        let mut template = good();
        *place(&mut template, &format!("{base}/{pointer}")) = value.clone();
        let errors = errors_of(&template, &json!({}));
        let at = if at.is_empty() { pointer } else { at };
        let mut path = "spec.replicatedJobs[0].template".to_owned();
        for step in base
            .split('/')
            .chain(at.split('/'))
            .filter(|s| !s.is_empty())
        {
            let step = step.replace("~1", "/");
            match step.parse::<usize>() {
                Ok(index) => path.push_str(&format!("[{index}]")),
                Err(_) => path.push_str(&format!(".{step}")),
            }
        }
        let [error] = &errors[..] else {
            panic!("{pointer} = {value}: not exactly one error: {errors:#?}");
        };
        assert_eq!(error.path, path, "{pointer} = {value}: {error}");
        let text = error.to_string();
        assert!(
            text.contains(part),
            "{pointer} = {value}: {part:?} in {text}"
        );
    }
}

#[test]
fn job() {
    let negative = "greater than or equal to 0";
    check(
        "spec",
        &[
            ("parallelism", json!(-1), "", negative),
            ("backoffLimit", json!(-1), "", negative),
            ("backoffLimitPerIndex", json!(-1), "", negative),
            ("maxFailedIndexes", json!(-1), "", negative),
            ("activeDeadlineSeconds", json!(-1), "", negative),
            ("ttlSecondsAfterFinished", json!(-1), "", negative),
            (
                "completions",
                Value::Null,
                "",
                "must be given with parallelism",
            ),
            ("parallelism", json!(100_001), "", "at most 100000"),
            (
                "maxFailedIndexes",
                json!(4),
                "",
                "must not be above completions (3)",
            ),
            (
                "podReplacementPolicy",
                json!("TerminatingOrFailed"),
                "",
                "must be Failed",
            ),
            ("podReplacementPolicy", json!("X"), "", "must be one of"),
            (
                "podFailurePolicy/rules",
                json!(vec![
                    json!({"action": "Count", "onPodConditions": [{"type": "A"}]});
                    21
                ]),
                "",
                "at most 20 items",
            ),
            (
                "podFailurePolicy/rules/1/action",
                json!("X"),
                "",
                "must be one of Count",
            ),
            (
                "podFailurePolicy/rules/1/action",
                Value::Null,
                "",
                "Required",
            ),
            (
                "podFailurePolicy/rules/1/onPodConditions",
                json!([]),
                "podFailurePolicy/rules/1",
                "must have one of",
            ),
            (
                "podFailurePolicy/rules/1/onExitCodes",
                json!({"operator": "In", "values": [1]}),
                "podFailurePolicy/rules/1",
                "only one of",
            ),
            (
                "podFailurePolicy/rules/1/onPodConditions/0/type",
                json!("a b"),
                "",
                "qualified name",
            ),
            (
                "podFailurePolicy/rules/1/onPodConditions/0/status",
                json!("Yes"),
                "",
                "must be one of True",
            ),
            (
                "podFailurePolicy/rules/0/onExitCodes/values",
                json!([2, 1]),
                "",
                "ascending",
            ),
            (
                "podFailurePolicy/rules/0/onExitCodes/values",
                json!([1, 1]),
                "",
                "ascending",
            ),
            (
                "podFailurePolicy/rules/0/onExitCodes/values",
                json!([]),
                "",
                "at least one",
            ),
            (
                "podFailurePolicy/rules/0/onExitCodes/values",
                json!([0]),
                "",
                "must not contain 0",
            ),
            (
                "podFailurePolicy/rules/0/onExitCodes/containerName",
                json!("x"),
                "",
                "container or init container",
            ),
            (
                "podFailurePolicy/rules/0/onExitCodes/operator",
                json!("Is"),
                "",
                "must be one of In",
            ),
            ("successPolicy/rules", json!([]), "", "at least one rule"),
            (
                "successPolicy/rules/0",
                json!({}),
                "",
                "at least one of succeededCount",
            ),
            (
                "successPolicy/rules/0/succeededCount",
                json!(4),
                "",
                "must not be above completions",
            ),
            (
                "successPolicy/rules/0/succeededIndexes",
                json!("0-3"),
                "",
                "below completions",
            ),
            (
                "successPolicy/rules/0/succeededIndexes",
                json!("a"),
                "",
                "below completions",
            ),
        ],
    );
}

#[test]
fn combinations() {
    let paths = |changes: &[(&str, Value)]| -> Vec<String> {
        let mut template = good();
        for (pointer, value) in changes {
            *place(&mut template, pointer) = value.clone();
        }
        let errors = errors_of(&template, &json!({}));
        let prefix = "spec.replicatedJobs[0].template.";
        errors
            .iter()
            .map(|error| error.path.trim_start_matches(prefix).to_owned())
            .collect()
    };
    assert_eq!(
        paths(&[("spec/completionMode", json!("NonIndexed"))]),
        [
            "spec.backoffLimitPerIndex",
            "spec.maxFailedIndexes",
            "spec.successPolicy"
        ]
    );
    assert_eq!(
        paths(&[("spec/backoffLimitPerIndex", Value::Null)]),
        [
            "spec.backoffLimitPerIndex",
            "spec.podFailurePolicy.rules[0].action"
        ]
    );
    let many = ("spec/completions", json!(100_001));
    assert_eq!(paths(std::slice::from_ref(&many)), [""; 0]);
    assert_eq!(
        paths(&[
            many.clone(),
            ("spec/parallelism", json!(10_001)),
            ("spec/maxFailedIndexes", json!(10_001))
        ]),
        ["spec.parallelism", "spec.maxFailedIndexes"]
    );
    assert_eq!(
        paths(&[many, ("spec/maxFailedIndexes", Value::Null)]),
        ["spec.maxFailedIndexes"]
    );
    // Neither given means one of each.
    let one = [
        ("spec/completions", Value::Null),
        ("spec/parallelism", Value::Null),
        ("spec/successPolicy", Value::Null),
    ];
    assert_eq!(paths(&one), [""; 0]);
    // A container of that name exists no more.
    assert_eq!(
        paths(&[("spec/template/spec/initContainers/0/name", json!("main"))]),
        [
            "spec.podFailurePolicy.rules[0].onExitCodes.containerName",
            "spec.template.spec.containers[0].name"
        ]
    );
}

#[test]
fn metadata_and_pod() {
    check(
        "",
        &[
            ("metadata/labels", json!({"a b": "c"}), "", "qualified name"),
            ("metadata/labels", json!({"a": "-"}), "", "valid label"),
            ("metadata/annotations", json!({"/a": "c"}), "", "subdomain"),
            (
                "metadata/annotations",
                json!({"a": "x".repeat(256 * 1024)}),
                "",
                "Too long",
            ),
            (
                "spec/template/metadata/labels",
                json!({"a": "b c"}),
                "",
                "valid label",
            ),
        ],
    );
    let required = "Required value";
    check(
        "spec/template/spec",
        &[
            (
                "restartPolicy",
                json!("Always"),
                "",
                "must be OnFailure or Never",
            ),
            (
                "restartPolicy",
                json!("Sometimes"),
                "",
                "must be OnFailure or Never",
            ),
            ("restartPolicy", json!("OnFailure"), "", "podFailurePolicy"),
            (
                "activeDeadlineSeconds",
                json!(0),
                "",
                "greater than or equal to 1",
            ),
            ("hostname", json!("a.b"), "", "RFC 1123 label"),
            ("nodeName", json!("A"), "", "subdomain"),
            ("dnsPolicy", json!("Public"), "", "must be one of"),
            ("nodeSelector", json!({"a": "b/c"}), "", "valid label"),
            (
                "tolerations/0/operator",
                json!("Equal"),
                "",
                "must be Exists when the key is empty",
            ),
            ("tolerations/0/value", json!("v"), "", "must be empty"),
            ("tolerations/1/key", json!("a b"), "", "qualified name"),
            ("tolerations/1/value", json!("a b"), "", "valid label"),
            ("tolerations/1/operator", json!("Is"), "", "must be one of"),
            (
                "tolerations/1/effect",
                json!("NoSchedule"),
                "",
                "tolerationSeconds",
            ),
            ("schedulingGates/0/name", json!(""), "", "qualified name"),
            (
                "topologySpreadConstraints/0/maxSkew",
                json!(0),
                "",
                "greater than or equal to 1",
            ),
            (
                "topologySpreadConstraints/0/topologyKey",
                json!(""),
                "",
                required,
            ),
            (
                "topologySpreadConstraints/0/whenUnsatisfiable",
                json!("X"),
                "",
                "must be one of",
            ),
            (
                "affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/topologyKey",
                json!(""),
                "",
                required,
            ),
            (
                "affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/0/weight",
                json!(0),
                "",
                "1-100",
            ),
            ("volumes/0/name", json!("A"), "", "RFC 1123 label"),
            ("volumes/0/name", json!(""), "", required),
            ("volumes/0/name", json!("map"), "volumes/1/name", "unique"),
            (
                "volumes/1/emptyDir",
                json!({}),
                "volumes/1",
                "configMap and emptyDir",
            ),
            (
                "volumes/1/configMap",
                json!({}),
                "volumes/1/configMap/name",
                required,
            ),
            ("volumes/2/secret/secretName", json!(""), "", required),
            ("containers/0/name", json!("Main"), "", "RFC 1123 label"),
            ("containers/0/name", json!("sidecar"), "", "unique"),
            ("containers/0/name", Value::Null, "", required),
        ],
    );
}

#[test]
fn container() {
    let required = "Required value";
    let range = "between 1 and 65535";
    check(
        "spec/template/spec/initContainers",
        &[
            ("0/lifecycle", json!({}), "", "init containers"),
            ("0/readinessProbe", json!({}), "", "init containers"),
            ("1/startupProbe/successThreshold", json!(2), "", "must be 1"),
            (
                "1/startupProbe/tcpSocket/port",
                json!("HTTP"),
                "",
                "at most 15",
            ),
        ],
    );
    check(
        "spec/template/spec/containers/0",
        &[
            ("image", json!(""), "", required),
            ("image", Value::Null, "", required),
            ("imagePullPolicy", json!("Sometimes"), "", "must be one of"),
            ("restartPolicy", json!("X"), "", "must be one of Always"),
            ("restartPolicy", Value::Null, "", "must be given with"),
            (
                "restartPolicyRules",
                json!(vec![
                    json!({"action": "Restart", "exitCodes": {"operator": "In"}});
                    21
                ]),
                "",
                "at most 20 items",
            ),
            (
                "restartPolicyRules/0/action",
                json!("RestartPod"),
                "",
                "must be one of Restart, RestartAllContainers",
            ),
            ("restartPolicyRules/0/exitCodes", Value::Null, "", required),
            (
                "restartPolicyRules/0/exitCodes/operator",
                json!("Is"),
                "",
                "must be one of In",
            ),
            (
                "restartPolicyRules/0/exitCodes/values",
                json!(vec![1; 256]),
                "",
                "at most 255 items",
            ),
            ("env/0/name", json!(""), "", required),
            ("env/0/name", json!("A=B"), "", "printable"),
            ("env/1/value", json!("x"), "env/1/valueFrom", "not empty"),
            ("env/1/valueFrom", json!({}), "", "must have a source"),
            (
                "env/1/valueFrom/secretKeyRef",
                json!({"name": "s", "key": "k"}),
                "env/1/valueFrom",
                "only one source",
            ),
            (
                "env/1/valueFrom/fieldRef/fieldPath",
                json!(""),
                "",
                required,
            ),
            (
                "env/1/valueFrom",
                json!({"configMapKeyRef": {"name": "m"}}),
                "env/1/valueFrom/configMapKeyRef/key",
                required,
            ),
            ("ports/0/containerPort", json!(65536), "", range),
            ("ports/0/containerPort", json!(0), "", required),
            ("ports/0/hostPort", json!(-1), "", range),
            ("ports/0/protocol", json!("HTTP"), "", "must be one of"),
            ("ports/0/name", json!("1"), "", "at least one letter"),
            (
                "volumeMounts/0/name",
                json!("nix"),
                "",
                "neither a volume nor a volume claim",
            ),
            ("volumeMounts/0/name", json!(""), "", required),
            ("volumeMounts/0/mountPath", json!(""), "", required),
            (
                "volumeMounts/0/mountPath",
                json!("/m2"),
                "volumeMounts/1/mountPath",
                "unique",
            ),
            (
                "resources/requests/cpu",
                json!("1001m"),
                "",
                "less than or equal to the limit of cpu (1)",
            ),
            (
                "resources/requests/memory",
                json!("1.1Gi"),
                "",
                "limit of memory (1024Mi)",
            ),
            (
                "resources/requests/memory",
                json!("lots"),
                "",
                "must be a quantity",
            ),
            (
                "resources/requests/cpu",
                json!(-1),
                "",
                "greater than or equal to 0",
            ),
            (
                "resources/requests/gpu",
                json!(1),
                "",
                "must be a standard resource",
            ),
            (
                "resources/requests/nvidia.com~1gpu",
                json!(0),
                "",
                "must be equal to the limit",
            ),
            (
                "resources/requests/a.io~1b",
                json!(1),
                "resources/limits/a.io~1b",
                "needs a limit",
            ),
            ("resources/limits/a.io~1b", json!("0.5"), "", "whole number"),
            (
                "livenessProbe",
                json!({"periodSeconds": 3}),
                "",
                "must have a handler",
            ),
            (
                "livenessProbe/tcpSocket",
                json!({"port": 1}),
                "livenessProbe",
                "exec and tcpSocket",
            ),
            ("livenessProbe/exec/command", json!([]), "", required),
            ("livenessProbe/successThreshold", json!(2), "", "must be 1"),
            (
                "readinessProbe/failureThreshold",
                json!(-1),
                "",
                "greater than or equal to 0",
            ),
            ("readinessProbe/httpGet/port", json!(0), "", range),
            ("lifecycle/preStop", json!({}), "", "must have a handler"),
        ],
    );
}

#[test]
fn no_containers() {
    let template = json!({"spec": {"template": {"spec": {"containers": []}}}});
    let errors = errors_of(&template, &json!({"/spec/volumeClaimPolicies": []}));
    let [error] = &errors[..] else {
        panic!("{errors:#?}")
    };
    assert_eq!(
        error.path,
        "spec.replicatedJobs[0].template.spec.template.spec.containers"
    );
}

/// What the controller overwrites, and templates that no Job is made from, are not looked at.
#[test]
fn what_no_job_comes_from_is_not_refused() {
    let bad = json!({
        "metadata": {"labels": {"a b": "c"}},
        "spec": {"template": {"spec": {"restartPolicy": "Always", "containers": [{"name": "X"}]}}},
    });
    let alone = |pointer: &str, value: Value| {
        let more = json!({"/spec/volumeClaimPolicies": [], pointer: value});
        errors_of(&bad, &more)
    };
    assert_eq!(alone("/spec/suspend", json!(true)).len(), 4);
    assert_eq!(alone("/spec/replicatedJobs/0/replicas", json!(0)), []);
    assert_eq!(
        alone("/spec/managedBy", json!("kueue.x-k8s.io/multikueue")),
        []
    );
    let ours = alone(
        "/spec/managedBy",
        json!("jobset.sigs.k8s.io/jobset-controller"),
    );
    assert_eq!(ours.len(), 4);

    let mut template = good();
    let (job, pod) = ("metadata/labels", "spec/template/metadata/annotations");
    for place_of_keys in [job, pod] {
        *place(&mut template, place_of_keys) = json!({"jobset.sigs.k8s.io/jobset-name": "a b"});
    }
    *place(&mut template, "spec/template/spec/subdomain") = json!("A.B");
    assert_eq!(errors_of(&template, &json!({})), []);
    let errors = errors_of(
        &template,
        &json!({"/spec/network/enableDNSHostnames": false}),
    );
    let [error] = &errors[..] else {
        panic!("{errors:#?}")
    };
    assert!(error.path.ends_with(".subdomain"), "{error}");
}
