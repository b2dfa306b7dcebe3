//! Creating the documents of the manifests in the cluster.

use std::collections::BTreeSet;

use kube::Client;
use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::manifest::Document;

/// Why a document was refused.
pub(super) struct Refusal {
    /// What the API said.
    pub(super) message: String,
    /// Whether the document is to blame.
    pub(super) bad_input: bool,
}

/// Creates the documents in their order; returns the JobSets as stored.
pub(super) async fn create(client: &Client, documents: &[Document]) -> Result<Vec<Value>, Refusal> {
    let mut namespaces: BTreeSet<&str> = documents
        .iter()
        .map(|document| document.namespace.as_str())
        .filter(|namespace| !matches!(*namespace, "" | "default" | "kube-system"))
        .collect();
    for document in documents
        .iter()
        .filter(|document| document.kind.kind == "Namespace")
    {
        namespaces.remove(document.name.as_str());
    }
    if let Some(kind) = Kind::find("v1", "Namespace") {
        for namespace in namespaces {
            let body = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace},
            });
            post(client, kind, "", &body)
                .await
                .map_err(|error| refusal(&format!("namespace {namespace}"), error))?;
        }
    }
    let mut jobsets = Vec::new();
    for document in documents {
        let stored = post(client, document.kind, &document.namespace, &document.body)
            .await
            .map_err(|error| refusal(&document.origin, error))?;
        if crate::manifest::is_jobset(document) {
            jobsets.push(stored);
        }
    }
    Ok(jobsets)
}

fn refusal(what: &str, error: kube::Error) -> Refusal {
    match error {
        kube::Error::Api(status) => Refusal {
            message: format!("{what}: {}", status.message),
            bad_input: (400..500).contains(&status.code),
        },
        other => Refusal {
            message: format!("{what}: {other}"),
            bad_input: false,
        },
    }
}

async fn post(
    client: &Client,
    kind: &Kind,
    namespace: &str,
    body: &Value,
) -> Result<Value, kube::Error> {
    let uri = format!("{}?fieldValidation=Strict", kind.collection(namespace));
    let request = http::Request::post(uri)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(serde_json::to_vec(body).map_err(kube::Error::SerdeError)?)
        .map_err(kube::Error::HttpError)?;
    client.request(request).await
}
