//! Applying objects of any kind, as `kubectl apply --server-side` does.

use anyhow::{Context as _, bail};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{self, Scope};
use kube::{Api, Client};
use serde_json::Value;

use crate::exit::Exit;
use crate::{cluster, output};

/// Applies the objects in their order. Whether the cluster knows all kinds is looked at first.
pub(super) async fn apply(client: &Client, objects: &[Value], force: bool) -> anyhow::Result<Exit> {
    let mut ready = Vec::new();
    for object in objects {
        let object: DynamicObject = serde_json::from_value(object.clone())?;
        let types = object.types.as_ref().context("an object without a kind")?;
        let kind = GroupVersionKind::try_from(types)?;
        let (resource, capabilities) = match discovery::pinned_kind(client, &kind).await {
            Ok(found) => found,
            Err(kube::Error::Discovery(_)) => unknown(&kind)?,
            Err(kube::Error::Api(status)) if status.code == 404 => unknown(&kind)?,
            Err(error) => return Err(cluster::plain(error)),
        };
        let api: Api<DynamicObject> = match (&object.metadata.namespace, capabilities.scope) {
            (Some(namespace), Scope::Namespaced) => {
                Api::namespaced_with(client.clone(), namespace, &resource)
            }
            _ => Api::all_with(client.clone(), &resource),
        };
        ready.push((api, kind.kind, object));
    }
    let mut params = PatchParams::apply(cluster::FIELD_MANAGER);
    params.force = force;
    for (api, kind, object) in ready {
        let name = object.metadata.name.clone().unwrap_or_default();
        api.patch(&name, &params, &Patch::Apply(&object))
            .await
            .map_err(cluster::plain)
            .with_context(|| format!("{kind} {name}"))?;
        output::text(&format!("{kind} {name} applied\n"))?;
    }
    Ok(Exit::Completed)
}

fn unknown<T>(kind: &GroupVersionKind) -> anyhow::Result<T> {
    bail!(
        "the cluster does not know the kind {} of {}; nothing was applied",
        kind.kind,
        kind.api_version()
    )
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// A server that knows Namespaces and Deployments, and remembers what it is asked to change.
    fn server() -> (Client, Arc<Mutex<Vec<String>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let asked = seen.clone();
        let answer = move |request: Request<Body>| {
            let asked = asked.clone();
            async move {
                let resource = |name: &str, kind: &str, namespaced: bool| {
                    json!({"name": name, "singularName": "", "kind": kind, "namespaced": namespaced,
                        "verbs": ["patch"]})
                };
                let list = |version: &str, resources: Value| json!({"kind": "APIResourceList", "groupVersion": version, "resources": resources});
                let (code, body) = match request.uri().path() {
                    "/api/v1" => (
                        200,
                        list("v1", json!([resource("namespaces", "Namespace", false)])),
                    ),
                    "/apis/apps/v1" => (
                        200,
                        list(
                            "apps/v1",
                            json!([resource("deployments", "Deployment", true)]),
                        ),
                    ),
                    path if request.method() == "PATCH" => {
                        let query = request.uri().query().unwrap_or_default();
                        asked.lock().unwrap().push(format!("{path}?{query}"));
                        (
                            200,
                            json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}}),
                        )
                    }
                    _ => (
                        404,
                        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                        "code": 404, "message": "not found", "reason": "NotFound"}),
                    ),
                };
                let body = Body::from(serde_json::to_vec(&body).unwrap());
                Ok::<_, std::convert::Infallible>(
                    Response::builder().status(code).body(body).unwrap(),
                )
            }
        };
        let service = tower::service_fn(answer);
        (Client::new(service, "default"), seen)
    }

    fn object(version: &str, kind: &str, namespace: Option<&str>) -> Value {
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": "n", "namespace": namespace}})
    }

    #[tokio::test]
    async fn objects_are_applied_in_their_order() {
        let (client, seen) = server();
        let objects = [
            object("v1", "Namespace", None),
            object("apps/v1", "Deployment", Some("s")),
        ];
        apply(&client, &objects, false).await.unwrap();
        let seen = seen.lock().unwrap().clone();
        assert_eq!(seen.len(), 2);
        assert!(
            seen[0].starts_with("/api/v1/namespaces/n?") && seen[0].contains("fieldManager=jobset")
        );
        assert!(
            seen[1].starts_with("/apis/apps/v1/namespaces/s/deployments/n?"),
            "{seen:?}"
        );
        assert!(!seen[1].contains("force=true"), "{seen:?}");
    }

    #[tokio::test]
    async fn nothing_is_applied_where_a_kind_is_not_known() {
        let (client, seen) = server();
        let objects = [
            object("v1", "Namespace", None),
            object("policy/v1", "PodDisruptionBudget", None),
        ];
        let error = apply(&client, &objects, true)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("PodDisruptionBudget of policy/v1; nothing was applied"),
            "{error}"
        );
        assert!(seen.lock().unwrap().is_empty());
    }
}
