//! The admission policies that are installed where there are no webhooks.

use std::path::Path;

use anyhow::Context as _;
use http::Request;
use kube::Client;
use serde_json::Value;

/// The group and version of policies and bindings.
const PREFIX: &str = "/apis/admissionregistration.k8s.io/v1";

/// The policies and bindings of `config/`, on a cluster.
pub(crate) struct Policies {
    client: Client,
    objects: Vec<Value>,
}

impl Policies {
    /// Reads what `cargo xtask generate` writes.
    pub(crate) fn read(client: Client) -> anyhow::Result<Self> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../config/components/validating-admission-policy/policies.yaml");
        let shown = || file.display().to_string();
        let text = std::fs::read_to_string(&file).with_context(shown)?;
        let objects = serde_saphyr::from_multiple(&text).with_context(shown)?;
        Ok(Self { client, objects })
    }

    /// Puts them in force.
    pub(crate) async fn apply(&self) -> anyhow::Result<()> {
        for object in &self.objects {
            let path = format!(
                "{}?fieldManager=jobset-conformance&force=true",
                path(object)?
            );
            let request = Request::patch(path)
                .header("content-type", "application/apply-patch+yaml")
                .body(object.to_string().into_bytes())?;
            self.client.request::<Value>(request).await?;
        }
        Ok(())
    }

    /// Takes the bindings away, so that the policies are not in force.
    pub(crate) async fn unbind(&self) -> anyhow::Result<()> {
        for object in self.objects.iter().filter(|object| is_binding(object)) {
            let request = Request::delete(path(object)?).body(Vec::new())?;
            self.client.request::<Value>(request).await?;
        }
        Ok(())
    }
}

fn is_binding(object: &Value) -> bool {
    object["kind"] == "ValidatingAdmissionPolicyBinding"
}

fn path(object: &Value) -> anyhow::Result<String> {
    let plural = if is_binding(object) {
        "validatingadmissionpolicybindings"
    } else {
        "validatingadmissionpolicies"
    };
    let name = object["metadata"]["name"].as_str();
    let name = name.context("a policy has no name")?;
    Ok(format!("{PREFIX}/{plural}/{name}"))
}
