//! Which objects of a collection a list, watch or deletecollection is about.

use super::params::Params;
use crate::builtin::Resource;
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::Status;
use crate::store::Object;

/// A namespace and selectors.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) namespace: Option<String>,
    labels: Option<LabelSelector>,
    fields: Option<FieldSelector>,
}

impl Selection {
    pub(crate) fn parse(
        resource: &Resource,
        namespace: Option<String>,
        name: Option<&str>,
        params: &Params,
    ) -> Result<Self, Status> {
        let labels = params
            .get("labelSelector")
            .map(|text| {
                LabelSelector::parse(text).map_err(|error| {
                    Status::bad_request(format!("unable to parse labelSelector {text:?}: {error}"))
                })
            })
            .transpose()?;
        let mut text = params.get("fieldSelector").unwrap_or_default().to_owned();
        if let Some(name) = name {
            // `watch` of one object by path.
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str("metadata.name=");
            text.push_str(name);
        }
        let fields = if text.is_empty() {
            None
        } else {
            Some(parse_fields(resource, &text)?)
        };
        Ok(Self {
            namespace,
            labels,
            fields,
        })
    }

    /// Whether an object is selected.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        if let Some(namespace) = &self.namespace
            && *object.key.namespace != **namespace
        {
            return false;
        }
        if let Some(labels) = &self.labels
            && !labels.matches(&object.labels)
        {
            return false;
        }
        match &self.fields {
            None => true,
            Some(fields) => fields.matches(|path| match path {
                "metadata.name" => object.key.name.to_string(),
                "metadata.namespace" => object.key.namespace.to_string(),
                other => object
                    .fields
                    .get(stored_name(other))
                    .cloned()
                    .unwrap_or_default(),
            }),
        }
    }
}

/// events.k8s.io has other names for the same fields.
fn stored_name(path: &str) -> &str {
    match path {
        "regarding.kind" => "involvedObject.kind",
        "regarding.namespace" => "involvedObject.namespace",
        "regarding.name" => "involvedObject.name",
        "regarding.uid" => "involvedObject.uid",
        "regarding.apiVersion" => "involvedObject.apiVersion",
        "regarding.resourceVersion" => "involvedObject.resourceVersion",
        "regarding.fieldPath" => "involvedObject.fieldPath",
        "reportingController" => "reportingComponent",
        other => other,
    }
}

fn parse_fields(resource: &Resource, text: &str) -> Result<FieldSelector, Status> {
    let selector = FieldSelector::parse(text).map_err(|error| {
        Status::bad_request(format!("unable to parse fieldSelector {text:?}: {error}"))
    })?;
    for path in selector.paths() {
        let known = matches!(path, "metadata.name" | "metadata.namespace")
            || resource.strategy.selectable().contains(&stored_name(path))
            || resource
                .custom
                .as_ref()
                .is_some_and(|c| c.selectable.iter().any(|p| p == path));
        if !known {
            return Err(Status::bad_request(format!(
                "field label not supported: {path}"
            )));
        }
    }
    Ok(selector)
}
