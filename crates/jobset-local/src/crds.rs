//! Installing CustomResourceDefinitions.

use http::{Method, Request};
use kube::Client;
use serde_json::Value;

const COLLECTION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Creates the definition, or replaces the one that an earlier life of the cluster has left.
pub(crate) async fn install(client: &Client, crd: &Value) -> Result<(), kube::Error> {
    match send(client, Method::POST, COLLECTION, crd).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        other => return other.map(|_| ()),
    }
    let name = crd["metadata"]["name"].as_str().unwrap_or_default();
    let path = format!("{COLLECTION}/{name}");
    let present = send(client, Method::GET, &path, &Value::Null).await?;
    let mut replacement = crd.clone();
    replacement["metadata"]["resourceVersion"] = present["metadata"]["resourceVersion"].clone();
    send(client, Method::PUT, &path, &replacement)
        .await
        .map(|_| ())
}

async fn send(
    client: &Client,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Value, kube::Error> {
    let body = if body.is_null() {
        Vec::new()
    } else {
        serde_json::to_vec(body).map_err(kube::Error::SerdeError)?
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body)
        .map_err(kube::Error::HttpError)?;
    client.request(request).await
}
