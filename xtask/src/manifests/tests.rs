//! What the overlays hold: exactly the objects of the specification, and nothing an API server
//! would not know.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::strict;

/// Renders, or says that the test is skipped.
fn rendered(overlay: &str) -> Option<Vec<Value>> {
    match render(overlay) {
        Ok(text) => Some(strict::documents(&text)),
        Err(error) if error.to_string() == "cannot start kubectl" => {
            eprintln!("SKIPPED: there is no kubectl on PATH");
            None
        }
        Err(error) => panic!("{error:#}"),
    }
}

/// "Kind namespace/name" or "Kind name" of each object.
fn names(objects: &[Value]) -> Vec<String> {
    let mut names: Vec<_> = objects
        .iter()
        .map(|object| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (kind, metadata) = (text(&object["kind"]), &object["metadata"]);
            match text(&metadata["namespace"]) {
                namespace if namespace.is_empty() => format!("{kind} {}", text(&metadata["name"])),
                namespace => format!("{kind} {namespace}/{}", text(&metadata["name"])),
            }
        })
        .collect();
    names.sort();
    names
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

const COMMON: &[&str] = &[
    "ClusterRole jobset-manager-role",
    "ClusterRole jobset-metrics-reader",
    "ClusterRole jobset-proxy-role",
    "ClusterRoleBinding jobset-manager-rolebinding",
    "ClusterRoleBinding jobset-metrics-reader-rolebinding",
    "ClusterRoleBinding jobset-proxy-rolebinding",
    "ConfigMap jobset-system/jobset-manager-config",
    "CustomResourceDefinition jobsets.jobset.x-k8s.io",
    "Deployment jobset-system/jobset-controller-manager",
    "Namespace jobset-system",
    "Role jobset-system/jobset-leader-election-role",
    "RoleBinding jobset-system/jobset-leader-election-rolebinding",
    "Service jobset-system/jobset-controller-manager-metrics-service",
    "ServiceAccount jobset-system/jobset-controller-manager",
];

const WEBHOOK: &[&str] = &[
    "MutatingWebhookConfiguration jobset-mutating-webhook-configuration",
    "Role jobset-system/jobset-manager-secrets-role",
    "RoleBinding jobset-system/jobset-manager-secrets-rolebinding",
    "Service jobset-system/jobset-webhook-service",
    "ValidatingWebhookConfiguration jobset-validating-webhook-configuration",
];

#[test]
fn overlays_hold_exactly_these_objects() {
    let table: &[(&str, &[&[&str]])] = &[
        (
            "default",
            &[
                COMMON,
                WEBHOOK,
                &["Secret jobset-system/jobset-webhook-server-cert"],
            ],
        ),
        (
            "ha",
            &[
                COMMON,
                WEBHOOK,
                &[
                    "ClusterRole jobset-editor-role",
                    "ClusterRole jobset-viewer-role",
                    "NetworkPolicy jobset-system/jobset-controller-manager",
                    "PodDisruptionBudget jobset-system/jobset-controller-manager",
                    "Secret jobset-system/jobset-webhook-server-cert",
                ],
            ],
        ),
        (
            "certmanager",
            &[
                COMMON,
                WEBHOOK,
                &[
                    "Certificate jobset-system/jobset-metrics-cert",
                    "Certificate jobset-system/jobset-serving-cert",
                    "Issuer jobset-system/jobset-selfsigned-issuer",
                ],
            ],
        ),
        (
            "no-webhook",
            &[
                COMMON,
                &[
                    "ValidatingAdmissionPolicy jobset-validate-create",
                    "ValidatingAdmissionPolicy jobset-validate-update",
                    "ValidatingAdmissionPolicyBinding jobset-validate-create",
                    "ValidatingAdmissionPolicyBinding jobset-validate-update",
                ],
            ],
        ),
        (
            "short-names",
            &[
                COMMON,
                WEBHOOK,
                &[
                    "ClusterRole jobset-short-names-role",
                    "ClusterRoleBinding jobset-short-names-rolebinding",
                    "Secret jobset-system/jobset-webhook-server-cert",
                ],
            ],
        ),
        (
            "prometheus",
            &[&[
                "Role jobset-system/prometheus-k8s",
                "RoleBinding jobset-system/prometheus-k8s",
                "ServiceMonitor jobset-system/controller-manager-metrics-monitor",
            ]],
        ),
    ];
    assert_eq!(table.len(), OVERLAYS.len(), "an overlay is not looked at");
    for (overlay, expected) in table {
        let Some(objects) = rendered(overlay) else {
            return;
        };
        let mut expected = expected.concat();
        expected.sort_unstable();
        assert_eq!(names(&objects), expected, "{overlay}");
    }
}

/// What `jobset install` prints is what the overlays render.
#[test]
fn the_files_of_the_command_are_up_to_date() {
    for overlay in EMBEDDED {
        let text = match render(overlay) {
            Ok(text) => text,
            Err(error) if error.to_string() == "cannot start kubectl" => {
                eprintln!("SKIPPED: there is no kubectl on PATH");
                return;
            }
            Err(error) => panic!("{error:#}"),
        };
        let there = fs::read_to_string(embedded_path(overlay)).unwrap_or_default();
        assert!(
            there == without_schema(&text),
            "{overlay}.yaml is out of date: run `cargo xtask manifests --embed`"
        );
        let names = |text: &str| names(&strict::documents(text));
        assert_eq!(names(&there), names(&text), "{overlay}");
        assert!(there.len() < 64 * 1024, "{overlay}: a schema is left in it");
    }
}

#[test]
fn every_object_is_one_that_an_api_server_knows() {
    let mut skipped = BTreeMap::new();
    for (overlay, _) in OVERLAYS {
        let Some(objects) = rendered(overlay) else {
            return;
        };
        for object in &objects {
            match strict::check(object) {
                strict::Outcome::Fits => {}
                strict::Outcome::NoType(kind) => *skipped.entry(kind).or_insert(0) += 1,
                strict::Outcome::Wrong(why) => panic!("{overlay}: {why}"),
            }
        }
    }
    let kinds: Vec<_> = skipped.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["Certificate", "Issuer", "ServiceMonitor"]);
}

/// The Pod is what the specification says, and runs with as few rights as there are.
#[test]
fn deployment_of_the_default_overlay() {
    let Some(objects) = rendered("default") else {
        return;
    };
    let deployment = find(&objects, "Deployment", "jobset-controller-manager");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["name"], "manager");
    assert_eq!(container["command"], serde_json::json!(["/manager"]));
    assert_eq!(
        container["args"],
        serde_json::json!([
            "--config=/controller_manager_config.yaml",
            "--zap-log-level=2"
        ])
    );
    let ports: Vec<_> = container["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| {
            (
                port["name"].as_str().unwrap(),
                port["containerPort"].as_u64(),
            )
        })
        .collect();
    assert!(ports.contains(&("metrics", Some(8443))), "{ports:?}");
    assert!(ports.contains(&("webhook-server", Some(9443))), "{ports:?}");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    let security = &container["securityContext"];
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));
    assert_eq!(pod["terminationGracePeriodSeconds"], 10);
    let labels = &deployment["spec"]["selector"]["matchLabels"];
    assert_eq!(labels["control-plane"], "controller-manager");
    assert_eq!(labels["app.kubernetes.io/managed-by"], "kustomize");
    assert_eq!(
        &deployment["spec"]["template"]["metadata"]["labels"],
        labels
    );
    let mounts: Vec<_> = container["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["mountPath"].as_str().unwrap())
        .collect();
    assert!(mounts.contains(&"/controller_manager_config.yaml"));
    assert!(mounts.contains(&"/tmp/k8s-webhook-server/serving-certs"));
    // Applying the Secret again must not take the certificate away.
    let secret = find(&objects, "Secret", "jobset-webhook-server-cert");
    assert!(secret.get("data").is_none() && secret.get("stringData").is_none());
}

/// Everything that selects the manager's Pods selects them.
#[test]
fn selectors_of_the_highly_available_overlay() {
    let Some(objects) = rendered("ha") else {
        return;
    };
    let name = "jobset-controller-manager";
    let deployment = find(&objects, "Deployment", name);
    assert_eq!(deployment["spec"]["replicas"], 2);
    let labels = deployment["spec"]["template"]["metadata"]["labels"].as_object();
    let labels = labels.unwrap();
    for (kind, name, path) in [
        ("PodDisruptionBudget", name, "/spec/selector/matchLabels"),
        ("NetworkPolicy", name, "/spec/podSelector/matchLabels"),
        ("Service", "jobset-webhook-service", "/spec/selector"),
        (
            "Service",
            "jobset-controller-manager-metrics-service",
            "/spec/selector",
        ),
    ] {
        let selector = find(&objects, kind, name).pointer(path).unwrap();
        for (key, value) in selector.as_object().unwrap() {
            assert_eq!(labels.get(key), Some(value), "{kind} {name}: {key}");
        }
    }
}

#[test]
fn without_webhook_nothing_of_it_is_left() {
    let Some(objects) = rendered("no-webhook") else {
        return;
    };
    let deployment = find(&objects, "Deployment", "jobset-controller-manager");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["ports"].as_array().unwrap().len(), 1);
    assert_eq!(container["volumeMounts"].as_array().unwrap().len(), 1);
    let role = find(&objects, "ClusterRole", "jobset-manager-role");
    assert!(!role.to_string().contains("admissionregistration"));
    // It looks at single nodes, and follows none.
    let of_nodes = |rule: &&Value| rule["resources"] == json!(["nodes"]);
    let nodes: Vec<_> = role["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(of_nodes)
        .collect();
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0]["verbs"], json!(["get"]));
    let config = find(&objects, "ConfigMap", "jobset-manager-config");
    let config = config["data"]["controller_manager_config.yaml"].as_str();
    assert!(config.unwrap().contains("webhooks: false"));
}

/// The right to write EndpointSlices comes with the setting that it is for, and only then.
#[test]
fn endpoint_slices_are_written_only_on_request() {
    for (overlay, _) in OVERLAYS.iter().filter(|(name, _)| *name != "prometheus") {
        let Some(objects) = rendered(overlay) else {
            return;
        };
        let wanted = *overlay == "short-names";
        let granted = objects
            .iter()
            .flat_map(|object| object["rules"].as_array().into_iter().flatten())
            .any(|rule| rule["resources"] == json!(["endpointslices"]));
        assert_eq!(granted, wanted, "{overlay}");
        let config = find(&objects, "ConfigMap", "jobset-manager-config");
        let config = config["data"]["controller_manager_config.yaml"].as_str();
        let set = config.unwrap().contains("shortNames: true");
        assert_eq!(set, wanted, "{overlay}");
    }
}

/// Every role that is bound exists, and every subject is the manager.
#[test]
fn bindings_refer_to_roles_that_exist() {
    for overlay in ["default", "no-webhook", "certmanager", "short-names"] {
        let Some(objects) = rendered(overlay) else {
            return;
        };
        let bindings = objects
            .iter()
            .filter(|object| object["kind"].as_str().unwrap().ends_with("RoleBinding"));
        for binding in bindings {
            let role = &binding["roleRef"];
            find(
                &objects,
                role["kind"].as_str().unwrap(),
                role["name"].as_str().unwrap(),
            );
            assert_eq!(binding["subjects"][0]["name"], "jobset-controller-manager");
            assert_eq!(binding["subjects"][0]["namespace"], "jobset-system");
        }
    }
}
