//! The operator's manifests on a cluster, but for the Deployment: a process on this machine takes
//! its place, with the same account, the same configuration and webhooks called by URL.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::rights;
use crate::user::Kubectl;

/// Whose rights the operator has.
const ACCOUNT: &str = "jobset-controller-manager";
/// Where it is at home.
const NAMESPACE: &str = "jobset-system";
/// The configuration file's key in the ConfigMap.
const FILE: &str = "controller_manager_config.yaml";
/// How long the token is good for; a run takes minutes.
const TOKEN_LIFE: &str = "--duration=4h";

/// Rendered manifests.
pub(crate) struct Installation {
    kubectl: Kubectl,
    objects: Vec<Value>,
}

impl Installation {
    /// Reads rendered manifests.
    pub(crate) fn read(manifests: &Path, kubectl: Kubectl) -> anyhow::Result<Self> {
        let shown = || manifests.display().to_string();
        let text = std::fs::read_to_string(manifests).with_context(shown)?;
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).with_context(shown)?;
        Ok(Self { kubectl, objects })
    }

    /// Whether webhooks belong to it.
    pub(crate) fn has_webhooks(&self) -> bool {
        self.objects.iter().any(is_webhooks)
    }

    /// Installs everything but the Deployment. Webhooks are called at this port of this machine.
    pub(crate) async fn apply(&self, port: u16) -> anyhow::Result<()> {
        let here = |object: &Value| {
            let mut object = object.clone();
            if is_webhooks(&object) {
                call_by_url(&mut object, port);
            }
            object
        };
        let objects = self.objects.iter().filter(|o| o["kind"] != "Deployment");
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        let list = list(objects.map(here).collect());
        self.kubectl.run(&arguments, Some(&list)).await.map(drop)
    }

    /// Removes the webhook configurations, so that nobody is asked.
    pub(crate) async fn remove_webhooks(&self) -> anyhow::Result<()> {
        self.delete(is_webhooks).await
    }

    /// Removes the bindings of admission policies, so that these are not in force.
    pub(crate) async fn remove_policies(&self) -> anyhow::Result<()> {
        self.delete(|object| object["kind"] == "ValidatingAdmissionPolicyBinding")
            .await
    }

    /// Removes everything but the namespace and the definition, and with it all JobSets.
    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        let kept = ["CustomResourceDefinition", "Namespace", "Deployment"];
        self.delete(|object| !kept.iter().any(|kind| object["kind"] == *kind))
            .await
    }

    async fn delete(&self, which: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        let chosen: Vec<Value> = self.objects.iter().filter(|o| which(o)).cloned().collect();
        if chosen.is_empty() {
            return Ok(());
        }
        let arguments = ["delete", "--ignore-not-found", "-f", "-"];
        let list = list(chosen);
        self.kubectl.run(&arguments, Some(&list)).await.map(drop)
    }

    /// Writes a kubeconfig with a token of the operator's account, made from the administrator's.
    pub(crate) async fn write_kubeconfig(&self, file: &Path) -> anyhow::Result<()> {
        let arguments = [
            "create",
            "token",
            ACCOUNT,
            "--namespace",
            NAMESPACE,
            TOKEN_LIFE,
        ];
        let token = self.kubectl.run(&arguments, None).await?;
        let text = std::fs::read_to_string(&self.kubectl.kubeconfig)?;
        let mut config: Value = serde_saphyr::from_str(&text)?;
        let users = config["users"].as_array_mut().into_iter().flatten();
        for user in users {
            user["user"] = json!({"token": token.trim()});
        }
        std::fs::write(file, config.to_string())?;
        Ok(())
    }

    /// The full name of the operator's account.
    pub(crate) fn account() -> String {
        format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}")
    }

    /// What that account may do.
    pub(crate) fn rights(&self) -> BTreeSet<(String, String)> {
        rights::granted(&self.objects, ACCOUNT)
    }

    /// The ConfigMap's configuration, changed by a merge patch.
    pub(crate) fn configuration(&self, patch: &Value) -> anyhow::Result<Value> {
        let map = self.objects.iter().find(|o| o["kind"] == "ConfigMap");
        let map = map.context("there is no ConfigMap")?;
        let text = map["data"][FILE].as_str();
        let text = text.with_context(|| format!("the ConfigMap has no {FILE}"))?;
        let mut configuration: Value = serde_saphyr::from_str(text)?;
        ensure!(configuration.is_object(), "the configuration is empty");
        crate::objects::merge(&mut configuration, patch);
        Ok(configuration)
    }
}

fn is_webhooks(object: &Value) -> bool {
    let kind = object["kind"].as_str().unwrap_or_default();
    kind.ends_with("WebhookConfiguration")
}

fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// Puts a URL in place of the Service.
fn call_by_url(object: &mut Value, port: u16) {
    let webhooks = object["webhooks"].as_array_mut().into_iter().flatten();
    for webhook in webhooks {
        let config = &mut webhook["clientConfig"];
        let path = config["service"]["path"].as_str().unwrap_or_default();
        *config = json!({"url": format!("https://127.0.0.1:{port}{path}")});
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_are_called_here() {
        let mut object = json!({"kind": "MutatingWebhookConfiguration", "webhooks": [
            {"name": "a", "clientConfig": {"service": {"name": "s", "path": "/p"}}},
        ]});
        assert!(is_webhooks(&object));
        call_by_url(&mut object, 7);
        assert_eq!(
            object["webhooks"][0],
            json!({"name": "a", "clientConfig": {"url": "https://127.0.0.1:7/p"}})
        );
    }
}
