//! The generated files under `config/`. Names are final there: the overlays add a namespace and
//! labels, no prefix.

use serde_json::{Value, json};

use super::rbac::{ROLES, Role, Scope};
use super::{Generated, manifest, policy, webhooks};

const NAMESPACE: &str = "jobset-system";
const SERVICE_ACCOUNT: &str = "jobset-controller-manager";

pub(super) fn files() -> anyhow::Result<Vec<Generated>> {
    let style = webhooks::Style {
        namespace: NAMESPACE,
        service: "jobset-webhook-service",
        helm: false,
    };
    let rbac = "xtask/src/generate/rbac.rs";
    let table = [
        (
            "config/components/rbac/rbac.yaml",
            rbac,
            manager_objects(true),
        ),
        (
            "config/components/rbac-no-webhook/rbac.yaml",
            rbac,
            manager_objects(false),
        ),
        (
            "config/components/short-names/role.yaml",
            rbac,
            bound(ROLES.iter().filter(|role| role.option.is_some()), true),
        ),
        (
            "config/components/user-roles/roles.yaml",
            rbac,
            user_objects(),
        ),
        (
            "config/components/webhook/manifests.yaml",
            "xtask/src/generate/webhooks.rs",
            webhooks::configurations(&style).to_vec(),
        ),
        (
            "config/components/validating-admission-policy/policies.yaml",
            "xtask/src/generate/policy.rs",
            policy::objects(),
        ),
    ];
    table
        .into_iter()
        .map(|(path, source, objects)| Ok(Generated::new(path, manifest(source, &objects)?)))
        .collect()
}

/// The manager's ServiceAccount, its roles and their bindings.
fn manager_objects(webhook: bool) -> Vec<Value> {
    let mut objects = vec![json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": SERVICE_ACCOUNT, "namespace": NAMESPACE },
    })];
    let roles = ROLES
        .iter()
        .filter(|role| role.scope != Scope::Unbound && role.rules(webhook).next().is_some());
    objects.extend(bound(roles.filter(|role| role.option.is_none()), webhook));
    objects
}

/// Roles and their bindings.
fn bound<'a>(roles: impl Iterator<Item = &'a Role>, webhook: bool) -> Vec<Value> {
    roles
        .flat_map(|role| [role_object(role, webhook), binding(role)])
        .collect()
}

/// The roles for people.
fn user_objects() -> Vec<Value> {
    let roles = ROLES.iter().filter(|role| role.scope == Scope::Unbound);
    roles.map(|role| role_object(role, true)).collect()
}

/// The object's name. Those of the roles for people begin with `jobset-` already.
fn name(of: &str) -> String {
    format!("jobset-{}", of.trim_start_matches("jobset-"))
}

fn metadata(of: &str, scope: Scope) -> Value {
    let mut metadata = json!({ "name": name(of) });
    if scope == Scope::Namespace {
        metadata["namespace"] = NAMESPACE.into();
    }
    metadata
}

fn role_object(role: &Role, webhook: bool) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": role.kind(),
        "metadata": metadata(role.name, role.scope),
        "rules": role.rules_value(webhook),
    })
}

fn binding(role: &Role) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": format!("{}Binding", role.kind()),
        "metadata": metadata(&role.binding(), role.scope),
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": role.kind(),
            "name": name(role.name),
        },
        "subjects": [{
            "kind": "ServiceAccount",
            "name": SERVICE_ACCOUNT,
            "namespace": NAMESPACE,
        }],
    })
}
