//! Configurations of webhooks, from `kubectl apply` to the refusal that kubectl prints.

use serde_json::json;

use crate::fixture::kubectl;

#[test]
fn apply_a_configuration() {
    let Some(k) = kubectl("webhooks") else {
        return;
    };
    for kind in [
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    ] {
        let webhook = |policy: &str| {
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
                "metadata": {"name": "kubectl"},
                "webhooks": [{
                    "name": "a.kubectl.example.com", "failurePolicy": policy,
                    "sideEffects": "None", "admissionReviewVersions": ["v1"],
                    // Nobody listens there.
                    "clientConfig": {"url": "https://127.0.0.1:1/"},
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "webhooks"}},
                    "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
                        "resources": ["configmaps"], "scope": "*"}],
                }],
            })
        };
        let name = format!("{}s", kind.to_lowercase());
        let said = k.ok_with(&["apply", "-f", "-"], &webhook("Fail"));
        assert!(said.ends_with("/kubectl created\n"), "{said}");
        let said = k.ok_with(&["apply", "-f", "-"], &webhook("Fail"));
        assert!(said.ends_with("/kubectl unchanged\n"), "{said}");
        let table = k.ok(&["get", &name]);
        assert!(
            table.starts_with("NAME      WEBHOOKS   AGE\nkubectl   1 "),
            "{table}"
        );
        let refused = k.refused(&["create", "configmap", "c"]);
        assert!(
            refused.contains("failed calling webhook \"a.kubectl.example.com\""),
            "{refused}"
        );
        let said = k.ok_with(&["apply", "-f", "-"], &webhook("Ignore"));
        assert!(said.ends_with("/kubectl configured\n"), "{said}");
        k.ok(&["create", "configmap", "c"]);
        k.ok(&["delete", "configmap", "c"]);
        let said = k.ok_with(&["apply", "--server-side", "-f", "-"], &webhook("Ignore"));
        assert!(said.ends_with("/kubectl serverside-applied\n"), "{said}");
        assert!(
            k.ok(&["explain", &format!("{name}.webhooks.matchConditions")])
                .contains("expression")
        );
        k.ok(&["delete", &name, "kubectl"]);
        k.ok(&["create", "configmap", "c"]);
        k.ok(&["delete", "configmap", "c"]);
    }
}
