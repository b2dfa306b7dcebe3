//! Whether a manifest is what an API server understands, to the last field.

use k8s_openapi::api::{
    admissionregistration::v1 as admission, apps::v1 as apps, core::v1 as core,
    networking::v1 as networking, policy::v1 as policy, rbac::v1 as rbac,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What became of a check.
pub(crate) enum Outcome {
    /// Every field is one of the type, of the right JSON type.
    Fits,
    /// There is no type of this kind here.
    NoType(String),
    /// Why the object does not fit.
    Wrong(String),
}

/// The documents of a YAML text, without empty ones.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect()
}

/// Looks whether the object fits the type that its apiVersion and kind name.
pub(crate) fn check(object: &Value) -> Outcome {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let kind = (text("apiVersion"), text("kind"));
    let result = match kind {
        ("v1", "ConfigMap") => fits::<core::ConfigMap>(object),
        ("v1", "Namespace") => fits::<core::Namespace>(object),
        ("v1", "Secret") => fits::<core::Secret>(object),
        ("v1", "Service") => fits::<core::Service>(object),
        ("v1", "ServiceAccount") => fits::<core::ServiceAccount>(object),
        ("apps/v1", "Deployment") => fits::<apps::Deployment>(object),
        ("policy/v1", "PodDisruptionBudget") => fits::<policy::PodDisruptionBudget>(object),
        ("networking.k8s.io/v1", "NetworkPolicy") => fits::<networking::NetworkPolicy>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => fits::<rbac::ClusterRole>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => {
            fits::<rbac::ClusterRoleBinding>(object)
        }
        ("rbac.authorization.k8s.io/v1", "Role") => fits::<rbac::Role>(object),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => fits::<rbac::RoleBinding>(object),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => {
            fits::<CustomResourceDefinition>(object)
        }
        ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration") => {
            fits::<admission::MutatingWebhookConfiguration>(object)
        }
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration") => {
            fits::<admission::ValidatingWebhookConfiguration>(object)
        }
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy") => {
            fits::<admission::ValidatingAdmissionPolicy>(object)
        }
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding") => {
            fits::<admission::ValidatingAdmissionPolicyBinding>(object)
        }
        _ => return Outcome::NoType(kind.1.to_owned()),
    };
    match result {
        Ok(()) => Outcome::Fits,
        Err(why) => Outcome::Wrong(format!("{} {}: {why}", kind.1, object["metadata"]["name"])),
    }
}

/// A field that the type does not know is lost on the way through it.
fn fits<T: DeserializeOwned + Serialize>(object: &Value) -> Result<(), String> {
    let typed: T = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    let back = serde_json::to_value(typed).map_err(|error| error.to_string())?;
    lost(object, &back, "")
}

fn lost(before: &Value, after: &Value, path: &str) -> Result<(), String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                let path = format!("{path}.{key}");
                match after.get(key) {
                    Some(after) => lost(value, after, &path)?,
                    None if value.is_null() => {}
                    None => return Err(format!("unknown field {path}")),
                }
            }
            Ok(())
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => before
            .iter()
            .zip(after)
            .enumerate()
            .try_for_each(|(i, (before, after))| lost(before, after, &format!("{path}[{i}]"))),
        (Value::Number(before), Value::Number(after)) if before.as_f64() == after.as_f64() => {
            Ok(())
        }
        _ if before == after => Ok(()),
        _ => Err(format!("{path}: {before} became {after}")),
    }
}

#[test]
fn an_unknown_field_does_not_fit() {
    let good = serde_json::json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" },
        "spec": { "ports": [{ "port": 1 }] },
    });
    assert!(matches!(check(&good), Outcome::Fits));
    let mut bad = good.clone();
    bad["spec"]["ports"][0]["prot"] = "TCP".into();
    assert!(matches!(check(&bad), Outcome::Wrong(why) if why.contains(".spec.ports[0].prot")));
}
