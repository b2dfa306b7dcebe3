//! OpenAPI v3 documents: what `kubectl explain`, `apply` and `create` read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, ETAG};
use http::{HeaderValue, StatusCode};
use serde_json::Value;

use super::Core;
use super::output::{json_response, to_bytes};
use crate::builtin::Resource;
use crate::openapi::{self, Described};
use crate::status::Status;
use crate::topology::Gvk;

/// Documents that were asked for, by group and version, with the hash of what they describe.
#[derive(Debug, Default)]
pub(crate) struct Documents(Mutex<HashMap<(String, String), (String, Bytes)>>);

fn with_described<T>(resources: &[Arc<Resource>], then: impl FnOnce(&[Described<'_>]) -> T) -> T {
    let kinds: Vec<Gvk> = resources.iter().map(|resource| resource.gvk()).collect();
    let described: Vec<Described<'_>> = resources
        .iter()
        .zip(&kinds)
        .map(|(resource, gvk)| Described {
            gvk,
            plural: &resource.plural,
            namespaced: resource.namespaced,
            has_status: resource.has_status,
            read_only: resource.measured,
            schema: resource.custom.as_ref().map(|custom| &custom.openapi),
        })
        .collect();
    then(&described)
}

/// The index at `/openapi/v3`.
pub(crate) fn index(core: &Core) -> Value {
    let groups = core.registry.groups();
    openapi::index(groups.iter().map(|((group, version), resources)| {
        (
            group.as_str(),
            version.as_str(),
            with_described(resources, openapi::hash),
        )
    }))
}

/// The document of a group and version.
pub(crate) fn document(core: &Core, group: &str, version: &str) -> Result<Response, Status> {
    let key = (group.to_owned(), version.to_owned());
    let groups = core.registry.groups();
    let resources = groups.get(&key).ok_or_else(Status::no_such_path)?;
    let (hash, body) = with_described(resources, |described| {
        let hash = openapi::hash(described);
        let mut cache = core
            .documents
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match cache.get(&key) {
            Some((known, body)) if *known == hash => (hash, body.clone()),
            _ => {
                let body = to_bytes(&openapi::document(group, version, described));
                cache.insert(key, (hash.clone(), body.clone()));
                (hash, body)
            }
        }
    });
    let mut response = json_response(StatusCode::OK, body);
    // The index names documents by their hash, so what a URL names never changes.
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{hash}\"")) {
        headers.insert(ETAG, tag);
    }
    Ok(response)
}
