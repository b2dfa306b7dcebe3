//! What there is: versions, groups, resources, health.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::Response;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::output::json_response;
use super::path::Path;
use super::{Core, documents};
use crate::builtin::Resource;
use crate::status::Status;

/// The Kubernetes version whose API this server follows.
const VERSION: &str = "v1.37.0";

/// Serves everything that is not a resource.
pub(crate) fn serve(
    core: &Core,
    path: &Path,
    parts: &http::request::Parts,
) -> Result<Response, Status> {
    let body = match path {
        Path::Health => {
            let mut response = Response::new("ok".into());
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            return Ok(response);
        }
        Path::Version => version(),
        Path::CoreVersions | Path::Groups if wants_aggregated(&parts.headers) => {
            return Ok(aggregated(core, *path == Path::CoreVersions));
        }
        Path::CoreVersions => json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        }),
        Path::Groups => json!({
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": groups(core),
        }),
        Path::Group(name) => groups(core)
            .into_iter()
            .find(|group| group["name"] == **name)
            .map(|mut group| {
                group["kind"] = json!("APIGroup");
                group["apiVersion"] = json!("v1");
                group
            })
            .ok_or_else(Status::no_such_path)?,
        Path::Resources(group, version) => resource_list(core, group, version)?,
        Path::OpenApiV3 => documents::index(core),
        Path::OpenApiV3Group(group, version) => return documents::document(core, group, version),
        Path::OpenApiV2 | Path::Resource(_) => return Err(Status::no_such_path()),
    };
    Ok(json_response(StatusCode::OK, body.to_string()))
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "37",
        "gitVersion": VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

fn verbs(resource: &Resource) -> Value {
    if resource.measured {
        return json!(["get", "list"]);
    }
    json!([
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch"
    ])
}

/// Subresources: name, kind with group and version, verbs.
fn subresources(resource: &Resource) -> Vec<(&'static str, (String, String, String), Value)> {
    let own = || {
        (
            resource.group.clone(),
            resource.version.clone(),
            resource.kind.clone(),
        )
    };
    let mut found = Vec::new();
    if resource.has_status {
        found.push(("status", own(), json!(["get", "patch", "update"])));
    }
    if &*resource.collection == "pods" {
        let binding = (String::new(), "v1".to_owned(), "Binding".to_owned());
        found.push(("binding", binding, json!(["create"])));
        found.push(("log", own(), json!(["get"])));
    }
    found
}

fn resource_list(core: &Core, group: &str, version: &str) -> Result<Value, Status> {
    let groups = core.registry.groups();
    let resources = groups
        .get(&(group.to_owned(), version.to_owned()))
        .ok_or_else(Status::no_such_path)?;
    let mut list = Vec::new();
    for resource in resources {
        list.push(json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": verbs(resource),
            "shortNames": resource.short_names,
            "categories": resource.categories,
        }));
        for (name, (group, version, kind), verbs) in subresources(resource) {
            list.push(json!({
                "name": format!("{}/{name}", resource.plural),
                "singularName": "",
                "namespaced": resource.namespaced,
                "group": group,
                "version": version,
                "kind": kind,
                "verbs": verbs,
            }));
        }
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Ok(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": list,
    }))
}

/// Versions and their resources, by group.
type Groups = BTreeMap<String, Vec<(String, Vec<Arc<Resource>>)>>;

fn by_group(core: &Core) -> Groups {
    let mut groups = Groups::new();
    for ((group, version), resources) in core.registry.groups() {
        groups.entry(group).or_default().push((version, resources));
    }
    for versions in groups.values_mut() {
        versions.sort_by_key(|(version, _)| std::cmp::Reverse(priority(version)));
    }
    groups
}

/// Kubernetes' order of versions: v2 before v1 before v1beta2 before v1alpha1 before the rest.
fn priority(version: &str) -> (u8, u64, u64) {
    let Some(rest) = version.strip_prefix('v') else {
        return (0, 0, 0);
    };
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let Ok(major) = rest[..digits].parse() else {
        return (0, 0, 0);
    };
    let stage = &rest[digits..];
    for (rank, name) in [(3, ""), (2, "beta"), (1, "alpha")] {
        if let Some(minor) = stage.strip_prefix(name) {
            if name.is_empty() && !minor.is_empty() {
                continue;
            }
            if let Ok(minor) = if minor.is_empty() {
                Ok(0)
            } else {
                minor.parse()
            } {
                return (rank, major, minor);
            }
        }
    }
    (0, 0, 0)
}

fn groups(core: &Core) -> Vec<Value> {
    let mut list = Vec::new();
    for (group, versions) in by_group(core) {
        if group.is_empty() {
            continue;
        }
        let versions: Vec<Value> = versions
            .iter()
            .map(|(version, _)| {
                json!({"groupVersion": format!("{group}/{version}"), "version": version})
            })
            .collect();
        list.push(json!({
            "name": group,
            "versions": versions,
            "preferredVersion": versions.first(),
        }));
    }
    list
}

fn wants_aggregated(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| {
            accept.split(',').any(|option| {
                let option: String = option.chars().filter(|c| !c.is_whitespace()).collect();
                option.contains("g=apidiscovery.k8s.io")
                    && option.contains("as=APIGroupDiscoveryList")
                    && option.split(';').any(|part| part == "v=v2")
            })
        })
}

/// `apidiscovery.k8s.io/v2`: everything in one document.
fn aggregated(core: &Core, core_group: bool) -> Response {
    let mut items = Vec::new();
    for (group, versions) in by_group(core) {
        if group.is_empty() != core_group {
            continue;
        }
        let versions: Vec<Value> = versions
            .iter()
            .map(|(version, resources)| {
                let resources: Vec<Value> = resources
                    .iter()
                    .map(|resource| aggregated_resource(resource))
                    .collect();
                json!({"version": version, "freshness": "Current", "resources": resources})
            })
            .collect();
        let metadata = if group.is_empty() {
            json!({})
        } else {
            json!({"name": group})
        };
        items.push(json!({"metadata": metadata, "versions": versions}));
    }
    let body = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    });
    let mut response = json_response(StatusCode::OK, body.to_string());
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static(
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        ),
    );
    response
}

fn aggregated_resource(resource: &Resource) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let subresources: Vec<Value> = subresources(resource)
        .into_iter()
        .map(|(name, (g, v, k), verbs)| {
            json!({"subresource": name, "responseKind": kind(&g, &v, &k), "verbs": verbs})
        })
        .collect();
    json!({
        "resource": resource.plural,
        "responseKind": kind(&resource.group, &resource.version, &resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": verbs(resource),
        "shortNames": resource.short_names,
        "categories": resource.categories,
        "subresources": subresources,
    })
}
