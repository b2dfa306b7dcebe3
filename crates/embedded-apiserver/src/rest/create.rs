//! create (POST to a collection).

use std::fmt::Write as _;

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::ownership::Ownership;
use super::params::Options;
use super::{Call, body, object_response, output, prepare, webhooks};
use crate::admission::Operation;
use crate::status::Status;
use crate::store::{Draft, Key, Refused};

/// POST of one object.
pub(crate) async fn create(call: &Call, bytes: &Bytes) -> Result<Response, Status> {
    call.params.check(Options::Create)?;
    let mut object = body::object(&call.parts.headers, bytes)?;
    let mut warnings = Vec::new();
    prepare::check_type(call, &mut object)?;
    prepare::check_fields(call, &object, Some(bytes), &mut warnings)?;
    let response = store(call, object, Ownership::Changed, &mut warnings)
        .await
        .and_then(|created| object_response(call, StatusCode::CREATED, &created));
    Ok(output::with_warnings(response, &warnings))
}

/// A random version 4 UUID.
pub(crate) fn uuid() -> String {
    let bits = (fastrand::u128(..) & !(0xf << 76 | 0x3 << 62)) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let mut text = String::with_capacity(36);
    for (index, digit) in hex.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

/// What Kubernetes appends to `generateName`: five characters that spell no words.
fn generated(prefix: &str) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    // 63 characters is the longest name that works as a label value.
    let keep = prefix
        .char_indices()
        .nth(58)
        .map_or(prefix.len(), |(at, _)| at);
    let mut name = prefix[..keep].to_owned();
    for _ in 0..5 {
        let index = fastrand::usize(..ALPHABET.len());
        let _ = write!(name, "{}", char::from(ALPHABET[index]));
    }
    name
}

fn name_of(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    name.to_owned()
}

/// Creates an object that has passed [`prepare::check_type`], and returns it in the version of
/// the call.
pub(crate) async fn store(
    call: &Call,
    mut object: Value,
    ownership: Ownership,
    warnings: &mut Vec<String>,
) -> Result<Value, Status> {
    let resource = &call.resource;
    let dry_run = call.params.dry_run();
    let meta = &mut object["metadata"];
    match (&call.namespace, resource.namespaced) {
        (Some(namespace), true) => match meta["namespace"].as_str() {
            None | Some("") => meta["namespace"] = json!(namespace),
            Some(found) if found == namespace => {}
            Some(found) => {
                return Err(Status::bad_request(format!(
                    "the namespace of the provided object does not match the namespace sent on \
                     the request: {found:?} is not {namespace:?}"
                )));
            }
        },
        (None, true) => {
            return Err(Status::bad_request(
                "an empty namespace may not be set during creation",
            ));
        }
        (_, false) => {
            if let Some(map) = meta.as_object_mut() {
                map.remove("namespace");
            }
        }
    }
    if meta["resourceVersion"]
        .as_str()
        .is_some_and(|version| !version.is_empty())
    {
        return Err(Status::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    if let Some(namespace) = &call.namespace {
        super::namespaces::check_open(&call.core, namespace, &resource.plural, &resource.group)?;
    }
    let prefix = meta["generateName"].as_str().unwrap_or_default().to_owned();
    let generate = meta["name"].as_str().unwrap_or_default().is_empty() && !prefix.is_empty();
    if let Some(map) = meta.as_object_mut() {
        for key in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "resourceVersion",
            "generation",
        ] {
            map.remove(key);
        }
        map.retain(|_, value| !value.is_null());
        map.insert("uid".to_owned(), Value::String(uuid()));
        map.insert(
            "creationTimestamp".to_owned(),
            Value::String(call.core.now()),
        );
        if resource.has_generation {
            map.insert("generation".to_owned(), json!(1));
        }
    }
    if resource.has_status
        && resource.custom.is_some()
        && let Some(map) = object.as_object_mut()
    {
        map.remove("status");
    }

    let mut attempts = 0;
    loop {
        let mut candidate = object.clone();
        if generate {
            candidate["metadata"]["name"] = Value::String(generated(&prefix));
        }
        let mut name = name_of(&candidate);
        prepare::shape(call, &mut candidate)?;
        prepare::mutate(call, Operation::Create, &name, &mut candidate, warnings)?;
        webhooks::mutate_new(call, &mut candidate, generate, warnings).await?;
        if generate {
            name = name_of(&candidate);
        }
        prepare::shape(call, &mut candidate)?;
        resource.strategy.prepare_create(&mut candidate);
        prepare::complete(resource, &mut candidate);
        prepare::validate(call, Operation::Create, &name, &candidate, None, warnings)?;
        webhooks::validate_new(call, &candidate, generate, warnings).await?;
        resource.strategy.prepare_stored(&mut candidate);
        ownership.record(call, None, &mut candidate);
        if resource.plural == "customresourcedefinitions" {
            crate::builtin::accept_crd(&mut candidate, &call.core.now());
        }
        resource.to_stored(&mut candidate);
        let key = Key::new(
            if resource.namespaced {
                call.namespace.as_deref().unwrap_or_default()
            } else {
                ""
            },
            &name,
        );
        let exists = || Status::already_exists(&resource.plural, &resource.group, &name);
        if dry_run {
            if call.core.store.get(&resource.collection, &key).is_some() {
                return Err(exists());
            }
        } else {
            let fields = resource.selectable_fields(&candidate);
            let draft = Draft {
                key,
                fields,
                value: &mut candidate,
            };
            match call.core.store.create(&resource.collection, draft) {
                Ok(_) => {}
                Err(Refused::Disk) => return Err(super::disk_failed()),
                Err(_) if generate && attempts < 8 => {
                    attempts += 1;
                    continue;
                }
                Err(Refused::Exists | Refused::Missing | Refused::Changed) => return Err(exists()),
            }
            super::namespaces::stored(call, &candidate);
        }
        resource.show_stored(&mut candidate);
        return Ok(candidate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_version_4() {
        for _ in 0..100 {
            let id = uuid();
            assert_eq!(id.len(), 36);
            assert_eq!(id.as_bytes()[14], b'4', "{id}");
            assert!(
                matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'),
                "{id}"
            );
        }
    }

    #[test]
    fn generated_names_fit_a_label() {
        let name = generated(&"x".repeat(100));
        assert_eq!(name.len(), 63);
        assert!(generated("job-").starts_with("job-"));
    }
}
