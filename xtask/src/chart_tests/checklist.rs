//! The acceptance list of the chart, line by line.

use super::*;

const CONTROLLER: &str = "test-jobset-controller";

fn deployment(values: &[&str]) -> Option<Value> {
    let objects = objects(values)?;
    Some(find(&objects, "Deployment", CONTROLLER).unwrap().clone())
}

/// Values, the path of a field of the Deployment, and what is there; null for nothing.
#[test]
fn fields_of_the_deployment() {
    let container = "/spec/template/spec/containers/0";
    let pod = "/spec/template/spec";
    let table: Vec<(&str, String, Value)> = vec![
        (
            r#"image={"repository":"example.com/x","tag":"v7"}"#,
            format!("{container}/image"),
            json!("example.com/x:v7"),
        ),
        (
            r#"image.tag="""#,
            format!("{container}/image"),
            json!("registry.invalid/jobset/jobset-controller:v0.1.0"),
        ),
        (
            r#"image.pullPolicy="Never""#,
            format!("{container}/imagePullPolicy"),
            json!("Never"),
        ),
        ("controller.replicas=10", "/spec/replicas".into(), json!(10)),
        ("controller.replicas=0", "/spec/replicas".into(), json!(0)),
        (
            r#"controller.env=[{"name":"A","value":"b"}]"#,
            format!("{container}/env"),
            json!([{ "name": "A", "value": "b" }]),
        ),
        ("controller.env=[]", format!("{container}/env"), Value::Null),
        (
            r#"controller.envFrom=[{"secretRef":{"name":"s"}}]"#,
            format!("{container}/envFrom"),
            json!([{ "secretRef": { "name": "s" } }]),
        ),
        (
            r#"controller.volumeMounts=[{"name":"v","mountPath":"/v"}]"#,
            format!("{container}/volumeMounts/2"),
            json!({ "name": "v", "mountPath": "/v" }),
        ),
        (
            r#"controller.volumes=[{"name":"v","emptyDir":{}}]"#,
            format!("{pod}/volumes/2"),
            json!({ "name": "v", "emptyDir": {} }),
        ),
        (
            r#"controller.resources={"limits":{"cpu":"1"},"requests":null}"#,
            format!("{container}/resources/limits/cpu"),
            json!("1"),
        ),
        (
            "controller.securityContext.runAsUser=1000",
            format!("{container}/securityContext"),
            json!({
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                "readOnlyRootFilesystem": true,
                "runAsUser": 1000,
            }),
        ),
        (
            "controller.podSecurityContext.runAsGroup=1000",
            format!("{pod}/securityContext"),
            json!({
                "runAsGroup": 1000,
                "runAsNonRoot": true,
                "seccompProfile": { "type": "RuntimeDefault" },
            }),
        ),
        (
            r#"image.pullSecrets=[{"name":"s"}]"#,
            format!("{pod}/imagePullSecrets"),
            json!([{ "name": "s" }]),
        ),
        (
            r#"controller.nodeSelector={"a":"b"}"#,
            format!("{pod}/nodeSelector"),
            json!({ "a": "b" }),
        ),
        (
            r#"controller.affinity={"nodeAffinity":{}}"#,
            format!("{pod}/affinity"),
            json!({ "nodeAffinity": {} }),
        ),
        (
            r#"controller.tolerations=[{"operator":"Exists"}]"#,
            format!("{pod}/tolerations"),
            json!([{ "operator": "Exists" }]),
        ),
        (
            "controller.annotations={}",
            "/metadata/annotations".into(),
            Value::Null,
        ),
        (
            r#"controller.annotations={"a":"b"}"#,
            "/metadata/annotations".into(),
            json!({ "a": "b" }),
        ),
        (
            r#"controller.podAnnotations={"a":"b"}"#,
            "/spec/template/metadata/annotations/a".into(),
            json!("b"),
        ),
        (
            "controller.hostNetwork=true",
            format!("{pod}/dnsPolicy"),
            json!("ClusterFirstWithHostNet"),
        ),
        (
            "controller.hostNetwork=false",
            format!("{pod}/hostNetwork"),
            Value::Null,
        ),
        (
            "certManager.enable=true",
            format!("{container}/volumeMounts/2/mountPath"),
            json!("/tmp/k8s-metrics-server/serving-certs"),
        ),
    ];
    for (value, path, expected) in table {
        let Some(deployment) = deployment(&[value]) else {
            return;
        };
        let found = deployment.pointer(&path).unwrap_or(&Value::Null);
        assert_eq!(*found, expected, "{value}: {path}");
    }
}

#[test]
fn config_hash_is_always_there_and_follows_the_configuration() {
    let hash = |values: &[&str]| -> Option<String> {
        let path = "/spec/template/metadata/annotations/jobset.x-k8s.io~1config-hash";
        let deployment = deployment(values)?;
        Some(
            deployment
                .pointer(path)
                .unwrap()
                .as_str()
                .unwrap()
                .to_owned(),
        )
    };
    let Some(default) = hash(&[]) else { return };
    assert_eq!(default.len(), 64);
    let same = hash(&[r#"controller.podAnnotations={"a":"b"}"#]);
    assert_eq!(same.as_ref(), Some(&default));
    let other = hash(&["controller.clientConnection.qps=1"]);
    assert_ne!(other, Some(default));
}

#[test]
fn configuration_file() {
    let parse = |values: &[&str]| -> Option<Value> {
        let objects = objects(values)?;
        let config = find(&objects, "ConfigMap", "test-jobset-controller-config").unwrap();
        let text = config["data"]["controller_manager_config.yaml"].as_str();
        Some(serde_saphyr::from_str(text.unwrap()).unwrap())
    };
    let Some(default) = parse(&[]) else { return };
    assert_eq!(
        default,
        json!({
            "apiVersion": "config.jobset.x-k8s.io/v1alpha1",
            "kind": "Configuration",
            "leaderElection": { "leaderElect": true },
            "internalCertManagement": {
                "enable": true,
                "webhookServiceName": "test-jobset-webhook-service",
                "webhookSecretName": "test-jobset-webhook-server-cert",
            },
        })
    );
    let changed = parse(&[
        "certManager.enable=true",
        "controller.leaderElection.enable=false",
        "controller.clientConnection.qps=7",
        r#"controller.featureGates={"InPlaceRestart":true}"#,
    ])
    .unwrap();
    assert_eq!(changed["internalCertManagement"]["enable"], false);
    assert_eq!(changed["leaderElection"]["leaderElect"], false);
    assert_eq!(changed["featureGates"]["InPlaceRestart"], true);
    assert_eq!(changed["clientConnection"], json!({ "qps": 7 }));
    let without = parse(&["webhook.enable=false"]).unwrap();
    assert_eq!(without["extensions"]["webhooks"], false);
    assert_eq!(
        without["internalCertManagement"],
        json!({ "enable": false })
    );
}

#[test]
fn pod_disruption_budget() {
    let budget = "controller.podDisruptionBudget";
    let table: &[(&str, Option<Value>)] = &[
        (r#"{"enabled":false}"#, None),
        (r#"{"enabled":true}"#, Some(json!({ "minAvailable": 1 }))),
        (
            r#"{"enabled":true,"minAvailable":2}"#,
            Some(json!({ "minAvailable": 2 })),
        ),
        (
            r#"{"enabled":true,"maxUnavailable":3}"#,
            Some(json!({ "maxUnavailable": 3 })),
        ),
        (
            r#"{"enabled":true,"minAvailable":2,"maxUnavailable":"25%"}"#,
            Some(json!({ "maxUnavailable": "25%" })),
        ),
        (
            r#"{"enabled":true,"maxUnavailable":0}"#,
            Some(json!({ "maxUnavailable": 0 })),
        ),
        (
            r#"{"enabled":true,"minAvailable":2,"maxUnavailable":0}"#,
            Some(json!({ "maxUnavailable": 0 })),
        ),
        (
            r#"{"enabled":true,"minAvailable":0}"#,
            Some(json!({ "minAvailable": 0 })),
        ),
    ];
    for (value, expected) in table {
        let value = format!("{budget}={value}");
        let Some(objects) = objects(&[&value]) else {
            return;
        };
        let found = find(
            &objects,
            "PodDisruptionBudget",
            "test-jobset-controller-pdb",
        );
        let found = found.map(|budget| {
            let mut spec = budget["spec"].clone();
            let selector = spec.as_object_mut().unwrap().remove("selector");
            assert_eq!(
                selector.unwrap()["matchLabels"]["app.kubernetes.io/component"],
                "controller"
            );
            spec
        });
        assert_eq!(found, *expected, "{value}");
    }
}

#[test]
fn certificates() {
    let Some(plain) = objects(&[]) else { return };
    let secret = find(&plain, "Secret", "test-jobset-webhook-server-cert").unwrap();
    assert!(secret.get("data").is_none() && secret.get("stringData").is_none());
    assert!(plain.iter().all(|object| object["kind"] != "Certificate"));

    let managed = objects(&["certManager.enable=true"]).unwrap();
    assert!(managed.iter().all(|object| object["kind"] != "Secret"));
    assert!(find(&managed, "Issuer", "jobset-self-signed-issuer").is_some());
    for (name, common, secret, service) in [
        (
            "jobset-cert",
            "jobset-webhook",
            "test-jobset-webhook-server-cert",
            "test-jobset-webhook-service",
        ),
        (
            "jobset-metrics-cert",
            "jobset-metrics",
            "test-jobset-metrics-server-cert",
            "test-jobset-metrics-service",
        ),
    ] {
        let spec = &find(&managed, "Certificate", name).unwrap()["spec"];
        assert_eq!(spec["commonName"], common);
        assert_eq!(spec["secretName"], secret);
        assert_eq!(spec["issuerRef"]["name"], "jobset-self-signed-issuer");
        assert_eq!(
            spec["dnsNames"],
            json!([
                format!("{service}.jobset-system.svc"),
                format!("{service}.jobset-system.svc.cluster.local"),
            ])
        );
    }
    for kind in ["Mutating", "Validating"] {
        let name = format!("jobset-{}-webhook-configuration", kind.to_lowercase());
        let kind = format!("{kind}WebhookConfiguration");
        let configuration = find(&managed, &kind, &name).unwrap();
        assert_eq!(
            configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"],
            "jobset-system/jobset-cert"
        );
    }

    let own = objects(&[
        "certManager.enable=true",
        r#"certManager.issuerRef={"kind":"ClusterIssuer","name":"mine"}"#,
    ])
    .unwrap();
    assert!(own.iter().all(|object| object["kind"] != "Issuer"));
    let certificate = find(&own, "Certificate", "jobset-cert").unwrap();
    assert_eq!(
        certificate["spec"]["issuerRef"],
        json!({ "kind": "ClusterIssuer", "name": "mine" })
    );
}

#[test]
fn service_monitor() {
    let monitor = "test-jobset-metrics-service-monitor";
    let Some(plain) = objects(&[]) else { return };
    assert!(find(&plain, "ServiceMonitor", monitor).is_none());
    assert!(find(&plain, "Role", "test-jobset-prometheus-k8s").is_none());

    let enabled = objects(&["prometheus.enable=true"]).unwrap();
    let found = find(&enabled, "ServiceMonitor", monitor).unwrap();
    assert_eq!(
        found["spec"]["endpoints"][0]["tlsConfig"],
        json!({ "insecureSkipVerify": true })
    );
    let binding = find(&enabled, "RoleBinding", "test-jobset-prometheus-k8s").unwrap();
    assert_eq!(binding["subjects"][0]["namespace"], "monitoring");

    let secured = objects(&["prometheus.enable=true", "certManager.enable=true"]).unwrap();
    let found = find(&secured, "ServiceMonitor", monitor).unwrap();
    let tls = &found["spec"]["endpoints"][0]["tlsConfig"];
    assert_eq!(
        tls["serverName"],
        "test-jobset-metrics-service.jobset-system.svc"
    );
    assert_eq!(tls["cert"]["secret"]["name"], "jobset-metrics-server-cert");

    let refused = template(&["--set", "prometheus.enable=true"]).unwrap();
    assert!(refused.unwrap_err().contains("ServiceMonitor"));
}

#[test]
fn services() {
    let Some(objects) = objects(&[]) else { return };
    let metrics = find(&objects, "Service", "test-jobset-metrics-service").unwrap();
    assert_eq!(
        metrics["spec"]["selector"]["app.kubernetes.io/component"],
        "controller"
    );
    let webhook = find(&objects, "Service", "test-jobset-webhook-service").unwrap();
    assert_eq!(webhook["spec"]["ports"][0]["targetPort"], "webhook");
    assert_eq!(webhook["spec"]["ports"][0]["port"], 443);
    assert_eq!(
        webhook["spec"]["selector"],
        json!({
            "app.kubernetes.io/name": "jobset",
            "app.kubernetes.io/instance": "test",
        })
    );
}

#[test]
fn names() {
    let Some(default) = objects(&[]) else { return };
    for (kind, name) in [
        ("ServiceAccount", CONTROLLER),
        ("ClusterRole", CONTROLLER),
        ("ClusterRoleBinding", CONTROLLER),
        ("ClusterRole", "test-jobset-proxy-role"),
        ("ClusterRoleBinding", "test-jobset-proxy-rolebinding"),
        ("ClusterRole", "test-jobset-metrics-reader"),
        (
            "ClusterRoleBinding",
            "test-jobset-metrics-reader-rolebinding",
        ),
        ("ClusterRole", "test-jobset-jobset-editor-role"),
        ("ClusterRole", "test-jobset-jobset-viewer-role"),
        ("Role", "test-jobset-leader-election-role"),
        ("RoleBinding", "test-jobset-leader-election-rolebinding"),
        ("Role", "test-jobset-manager-secrets-role"),
        ("RoleBinding", "test-jobset-manager-secrets-rolebinding"),
        (
            "MutatingWebhookConfiguration",
            "jobset-mutating-webhook-configuration",
        ),
        (
            "ValidatingWebhookConfiguration",
            "jobset-validating-webhook-configuration",
        ),
    ] {
        assert!(find(&default, kind, name).is_some(), "{kind} {name}");
    }
    for (values, expected) in [
        (r#"fullnameOverride="full""#, "full-controller"),
        (r#"nameOverride="other""#, "test-other-controller"),
        // The release is called "test".
        (r#"nameOverride="es""#, "test-controller"),
    ] {
        let objects = objects(&[values]).unwrap();
        assert!(find(&objects, "Deployment", expected).is_some(), "{values}");
    }
    let single = objects(&["controller.leaderElection.enable=false"]).unwrap();
    assert!(find(&single, "Role", "test-jobset-leader-election-role").is_none());
    assert!(
        find(
            &single,
            "RoleBinding",
            "test-jobset-leader-election-rolebinding"
        )
        .is_none()
    );
}

/// The webhooks of the chart carry the names of the reference's chart, in its order.
#[test]
fn webhooks() {
    let Some(objects) = objects(&[]) else { return };
    for (kind, names) in [
        (
            "Mutating",
            [
                "mutate-jobset-x-k8s-io-v1alpha2-jobset.x-k8s.io",
                "mutate--v1-pod.x-k8s.io",
            ],
        ),
        (
            "Validating",
            [
                "validate-jobset-x-k8s-io-v1alpha2-jobset.x-k8s.io",
                "validate--v1-pod.x-k8s.io",
            ],
        ),
    ] {
        let name = format!("jobset-{}-webhook-configuration", kind.to_lowercase());
        let configuration = find(&objects, &format!("{kind}WebhookConfiguration"), &name).unwrap();
        let webhooks = configuration["webhooks"].as_array().unwrap();
        let found: Vec<_> = webhooks.iter().map(|webhook| &webhook["name"]).collect();
        assert_eq!(found, names);
        for webhook in webhooks {
            let service = &webhook["clientConfig"]["service"];
            assert_eq!(service["name"], "test-jobset-webhook-service");
            assert_eq!(service["namespace"], "jobset-system");
        }
    }
}

#[test]
fn without_webhook() {
    let Some(objects) = objects(&["webhook.enable=false", "networkPolicy.enable=true"]) else {
        return;
    };
    for object in &objects {
        let kind = object["kind"].as_str().unwrap();
        assert!(
            !kind.ends_with("WebhookConfiguration") && kind != "Secret",
            "{kind}"
        );
        assert_ne!(object["metadata"]["name"], "test-jobset-webhook-service");
    }
    let role = find(&objects, "ClusterRole", CONTROLLER).unwrap();
    assert!(!role.to_string().contains("admissionregistration"));
    let deployment = find(&objects, "Deployment", CONTROLLER).unwrap();
    assert!(!deployment.to_string().contains("9443"));
    let network = find(&objects, "NetworkPolicy", CONTROLLER).unwrap();
    assert_eq!(network["spec"]["ingress"].as_array().unwrap().len(), 1);
    let policies = objects
        .iter()
        .filter(|object| object["kind"] == "ValidatingAdmissionPolicy")
        .count();
    assert_eq!(policies, 2);
}

/// The setting and the right that it needs come together.
#[test]
fn short_names() {
    for (values, wanted) in [
        (vec![], false),
        (vec!["controller.shortNames=true"], true),
        (
            vec!["controller.shortNames=true", "webhook.enable=false"],
            true,
        ),
    ] {
        let Some(objects) = objects(&values) else {
            return;
        };
        let role = find(&objects, "ClusterRole", "test-jobset-short-names-role");
        let binding = find(
            &objects,
            "ClusterRoleBinding",
            "test-jobset-short-names-rolebinding",
        );
        assert_eq!((role.is_some(), binding.is_some()), (wanted, wanted));
        let config = find(&objects, "ConfigMap", "test-jobset-controller-config").unwrap();
        let text = config["data"]["controller_manager_config.yaml"].as_str();
        let config: Value = serde_saphyr::from_str(text.unwrap()).unwrap();
        let extensions = &config["extensions"];
        assert_eq!(extensions["shortNames"] == true, wanted);
        let webhooks = !values.contains(&"webhook.enable=false");
        assert_eq!(extensions["webhooks"] != false, webhooks);
        if wanted {
            let rule = &role.unwrap()["rules"][0];
            assert_eq!(rule["apiGroups"], json!(["discovery.k8s.io"]));
        }
    }
}

#[test]
fn additions_are_off_unless_asked_for() {
    let Some(plain) = objects(&[]) else { return };
    for object in &plain {
        let kind = object["kind"].as_str().unwrap();
        assert!(
            ![
                "NetworkPolicy",
                "PrometheusRule",
                "ValidatingAdmissionPolicy"
            ]
            .contains(&kind),
            "{kind}"
        );
    }
    assert!(find(&plain, "ConfigMap", "test-jobset-dashboard").is_none());
    let all = objects(&[
        "networkPolicy.enable=true",
        "grafana.dashboard.enable=true",
        r#"prometheus.rules={"enable":true,"configMap":true,"labels":{"release":"p"}}"#,
    ])
    .unwrap();
    assert!(find(&all, "NetworkPolicy", CONTROLLER).is_some());
    let dashboard = find(&all, "ConfigMap", "test-jobset-dashboard").unwrap();
    let text = dashboard["data"]["jobset.json"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(text).unwrap()["panels"].is_array());
    let rule = find(&all, "PrometheusRule", "test-jobset-alerts").unwrap();
    assert_eq!(rule["metadata"]["labels"]["release"], "p");
    let groups = find(&all, "ConfigMap", "test-jobset-alerts").unwrap();
    let text = groups["data"]["jobset.rules.yaml"].as_str().unwrap();
    let groups: Value = serde_saphyr::from_str(text).unwrap();
    assert_eq!(groups, rule["spec"]);
}
