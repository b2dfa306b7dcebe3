//! What every write passes through: shape, defaults, admission, rules.

use http::Method;
use serde_json::{Map, Value};

use super::Call;
use super::params::FieldValidation;
use crate::admission::Operation;
use crate::builtin::{Resource, field, validate_metadata};
use crate::schema::{Part, drop_nulls, duplicate_fields};
use crate::status::{Cause, Status};

/// Checks that a body is an object of the call's kind, and gives it a `metadata`.
pub(crate) fn check_type(call: &Call, object: &mut Value) -> Result<(), Status> {
    let resource = &call.resource;
    let api_version = resource.api_version();
    let Some(map) = object.as_object_mut() else {
        return Err(Status::bad_request("the body must be a JSON object"));
    };
    for (key, expected) in [("apiVersion", &api_version), ("kind", &resource.kind)] {
        match map.get(key) {
            // Kubernetes knows the types of its own kinds; of others it only knows what they say.
            None | Some(Value::Null) if resource.custom.is_some() => {
                return Err(Status::bad_request(format!(
                    "Object '{}' is missing in the body, which must be a {} of {api_version}",
                    if key == "kind" { "Kind" } else { "apiVersion" },
                    resource.kind,
                )));
            }
            None | Some(Value::Null) => {
                map.insert(key.to_owned(), Value::String(expected.clone()));
            }
            Some(Value::String(found)) if found == expected => {}
            Some(found) => {
                let what = if key == "kind" { "kind" } else { "API version" };
                return Err(Status::bad_request(format!(
                    "the {what} in the data ({}) does not match the expected {what} ({expected})",
                    found
                        .as_str()
                        .map_or_else(|| found.to_string(), str::to_owned),
                )));
            }
        }
    }
    let meta = map.entry("metadata").or_insert(Value::Null);
    if meta.is_null() {
        *meta = Value::Object(Map::new());
    }
    check_metadata(call, meta)?;
    if resource.custom.is_none() {
        for key in ["spec", "status"] {
            if map
                .get(key)
                .is_some_and(|value| !value.is_object() && !value.is_null())
            {
                return Err(wrong_type(call, key, "an object"));
            }
        }
    }
    Ok(())
}

/// Metadata has the same types in every kind; what is read later relies on them.
fn check_metadata(call: &Call, meta: &mut Value) -> Result<(), Status> {
    let Some(map) = meta.as_object_mut() else {
        return Err(wrong_type(call, "metadata", "an object"));
    };
    map.retain(|_, value| !value.is_null());
    for key in [
        "name",
        "generateName",
        "namespace",
        "uid",
        "resourceVersion",
        "selfLink",
        "creationTimestamp",
        "deletionTimestamp",
    ] {
        if map.get(key).is_some_and(|value| !value.is_string()) {
            return Err(wrong_type(call, &format!("metadata.{key}"), "a string"));
        }
    }
    for key in ["labels", "annotations"] {
        let Some(value) = map.get_mut(key) else {
            continue;
        };
        let Some(entries) = value.as_object_mut() else {
            return Err(wrong_type(
                call,
                &format!("metadata.{key}"),
                "an object of strings",
            ));
        };
        for value in entries.values_mut() {
            match value {
                Value::Null => *value = Value::String(String::new()),
                Value::String(_) => {}
                _ => {
                    return Err(wrong_type(
                        call,
                        &format!("metadata.{key}"),
                        "an object of strings",
                    ));
                }
            }
        }
        if entries.is_empty() {
            map.remove(key);
        }
    }
    for key in ["finalizers", "ownerReferences", "managedFields"] {
        let Some(value) = map.get(key) else { continue };
        let Some(items) = value.as_array() else {
            return Err(wrong_type(call, &format!("metadata.{key}"), "a list"));
        };
        let fits = |item: &Value| {
            if key == "finalizers" {
                item.is_string()
            } else {
                item.is_object()
            }
        };
        if !items.iter().all(fits) {
            return Err(wrong_type(
                call,
                &format!("metadata.{key}"),
                "a list of the right type",
            ));
        }
        if items.is_empty() {
            map.remove(key);
        }
    }
    Ok(())
}

fn wrong_type(call: &Call, path: &str, expected: &str) -> Status {
    let problem = format!("json: cannot decode the object: {path} must be {expected}");
    undecodable(call, problem)
}

/// Refuses what is no object of the kind. If a patch has made it, then the patch breaks a rule.
fn undecodable(call: &Call, problem: String) -> Status {
    if call.parts.method != Method::PATCH || call.applies() {
        return Status::bad_request(problem);
    }
    let cause = field::invalid("patch", "{…}", &problem);
    let mut status = Status::failure(
        422,
        "Invalid",
        format!(" \"\" is invalid: patch: {problem}"),
    );
    status.details.get_or_insert_default().causes.push(cause);
    status
}

/// Unknown and duplicate fields: refused, warned of, or ignored as the client asked.
///
/// `raw` is the text the object was read from, if it came as one.
pub(crate) fn check_fields(
    call: &Call,
    object: &Value,
    raw: Option<&[u8]>,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let mode = FieldValidation::of(&call.params);
    if mode == FieldValidation::Ignore {
        return Ok(());
    }
    let mut found = Vec::new();
    if let Some(schema) = call.resource.schema() {
        let unknown = schema.unknown_fields(object);
        found.extend(
            unknown
                .iter()
                .map(|path| format!("unknown field \"{path}\"")),
        );
    }
    // Only text can have duplicates. Looking for them means parsing it again, which is done for
    // those who ask; a client that says nothing about validation also ignores warnings.
    let asked = call.params.get("fieldValidation").is_some();
    let duplicates = raw
        .filter(|_| asked)
        .map(duplicate_fields)
        .transpose()
        .ok()
        .flatten()
        .unwrap_or_default();
    found.extend(
        duplicates
            .iter()
            .map(|path| format!("duplicate field \"{path}\"")),
    );
    if found.is_empty() {
        return Ok(());
    }
    if mode == FieldValidation::Warn {
        warnings.extend(found);
        return Ok(());
    }
    let resource = &call.resource;
    Err(Status::bad_request(format!(
        "{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}",
        resource.kind,
        resource.version,
        resource.kind,
        found.join(", ")
    )))
}

/// Makes the object what its schema says: unknown fields go, defaults come.
///
/// Objects of built-in kinds must have the right types, as for a typed decoder.
pub(crate) fn shape(call: &Call, object: &mut Value) -> Result<(), Status> {
    let resource = &call.resource;
    let custom = resource.custom.is_some();
    if !custom {
        drop_nulls(object);
    }
    if let Some(schema) = resource.schema() {
        schema.prune(object);
        if custom {
            schema.default(object);
            schema.drop_nulls(object);
        } else {
            let errors = schema.type_errors(object);
            if let [first, ..] = errors.as_slice() {
                let problem = format!(
                    "{} in version \"{}\" cannot be handled as a {}: json: cannot unmarshal: {first}",
                    resource.kind, resource.version, resource.kind
                );
                return Err(undecodable(call, problem));
            }
        }
    }
    complete(resource, object);
    Ok(())
}

/// Fills in what the kind fills in, once more after other code has touched the object.
pub(crate) fn complete(resource: &Resource, object: &mut Value) {
    resource.strategy.complete(object);
    if let (Some(schema), None) = (resource.schema(), &resource.custom) {
        schema.type_form(object);
    }
    resource.strategy.show_unset(object);
}

/// Mutating admission.
pub(crate) fn mutate(
    call: &Call,
    operation: Operation,
    name: &str,
    object: &mut Value,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let request = call.admission_request(operation, name);
    warnings.extend(call.core.admission.mutate(&request, object)?);
    check_type(call, object)
}

/// Schema, the kind's own rules, and validating admission.
pub(crate) fn validate(
    call: &Call,
    operation: Operation,
    name: &str,
    object: &Value,
    old: Option<&Value>,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let resource = &call.resource;
    let mut errors = validate_metadata(object, resource.name_rule, resource.own_finalizers());
    if let Some(old) = old {
        errors.extend(new_finalizers(object, old));
    }
    if let (Some(schema), Some(_)) = (resource.schema(), &resource.custom) {
        let misfits = schema.validate(object);
        errors.extend(misfits.iter().map(Cause::from));
        // Rules rely on the types, so they come after.
        if misfits.iter().any(|misfit| misfit.kind.blocks_rules()) && schema.has_rules() {
            errors.push(field::invalid(
                "<nil>",
                "null",
                "some validation rules were not checked because the object was invalid; correct \
                 the existing errors to complete validation",
            ));
        } else {
            let part = match call.subresource.as_str() {
                "status" => Part::Status,
                _ => Part::Whole,
            };
            errors.extend(schema.violations(object, old, part).iter().map(Cause::from));
        }
    }
    if call.subresource.is_empty() {
        errors.extend(resource.strategy.validate(object));
        if let Some(old) = old {
            errors.extend(resource.strategy.validate_update(object, old));
        }
    }
    if !errors.is_empty() {
        return Err(invalid(call, name, errors));
    }
    let request = call.admission_request(operation, name);
    warnings.extend(call.core.admission.validate(&request, object, old)?);
    Ok(())
}

/// An object that is being deleted may lose finalizers and not gain any.
fn new_finalizers(object: &Value, old: &Value) -> Option<Cause> {
    old["metadata"].get("deletionTimestamp")?;
    let of = |value: &Value| {
        value["metadata"]["finalizers"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let before = of(old);
    let added: Vec<Value> = of(object)
        .into_iter()
        .filter(|f| !before.contains(f))
        .collect();
    (!added.is_empty()).then(|| {
        field::forbidden(
            "metadata.finalizers",
            &format!(
                "no new finalizers can be added if the object is being deleted, found new \
                 finalizers {}",
                Value::Array(added)
            ),
        )
    })
}

pub(crate) fn invalid(call: &Call, name: &str, errors: Vec<Cause>) -> Status {
    Status::invalid(&call.resource.kind, &call.resource.group, name, errors)
}
