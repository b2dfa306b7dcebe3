//! What writes have to do with namespaces and definitions: a namespace must exist, its deletion
//! empties it, and a definition brings and takes its resources.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::{Call, Core};
use crate::builtin::CRDS;
use crate::policy;
use crate::status::Status;
use crate::store::{Draft, Key, Object};
use crate::webhook;

/// Namespaces that wait for their last objects to go.
#[derive(Debug, Default)]
pub(crate) struct Terminating(Mutex<HashSet<String>>);

impl Terminating {
    fn add(&self, namespace: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(namespace.to_owned());
    }

    fn remove(&self, namespace: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(namespace);
    }

    fn contains(&self, namespace: &str) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(namespace)
    }
}

/// Fails unless new objects may be put into a namespace.
pub(crate) fn check_open(
    core: &Core,
    namespace: &str,
    plural: &str,
    group: &str,
) -> Result<(), Status> {
    if core
        .store
        .get("namespaces", &Key::new("", namespace))
        .is_none()
    {
        return Err(Status::not_found("namespaces", "", namespace));
    }
    if core.terminating.contains(namespace) {
        return Err(Status::forbidden(
            plural,
            group,
            "",
            format!(
                "unable to create new content in namespace {namespace} because it is being \
                 terminated"
            ),
        )
        .cause(
            "NamespaceTerminating",
            "metadata.namespace",
            "namespace is being terminated",
        ));
    }
    Ok(())
}

/// After an object was created or replaced.
pub(crate) fn stored(call: &Call, object: &Value) {
    if &*call.resource.collection == CRDS {
        call.core.registry.define(object);
    }
    reload_admission(call);
}

/// A configuration of webhooks, or a policy, is in effect before its write is answered.
fn reload_admission(call: &Call) {
    if webhook::is_configuration(&call.resource.collection) {
        call.core.webhooks.reload(&call.core.store);
    }
    if policy::is_policy(&call.resource.collection) {
        call.core.policies.reload(&call.core.store);
    }
}

/// Takes up the deletion of namespaces that a restored store began.
pub(crate) fn restore(core: &Core) {
    for namespace in core.store.list("namespaces", None, None).objects {
        if namespace.value()["metadata"]
            .get("deletionTimestamp")
            .is_some()
        {
            core.terminating.add(&namespace.key.name);
            finish(core, &namespace.key.name);
        }
    }
}

/// After an object is gone.
pub(crate) fn removed(call: &Call, object: &Value) {
    if &*call.resource.collection == CRDS {
        let collection = object["metadata"]["name"].as_str().unwrap_or_default();
        call.core.registry.undefine(collection);
        for gone in call.core.store.list(collection, None, None).objects {
            erase(&call.core, collection, &gone);
        }
        call.core.store.drop_collection(collection);
    }
    reload_admission(call);
    if let Some(namespace) = &call.namespace
        && call.core.terminating.contains(namespace)
    {
        finish(&call.core, namespace);
    }
}

/// Starts the deletion of a namespace: nothing new may come, everything in it goes.
pub(crate) fn terminate(call: &Call, name: &str) {
    let core = &call.core;
    core.terminating.add(name);
    // Everything goes, whatever a kind would like to leave behind.
    let options = json!({"propagationPolicy": "Background"});
    for resource in core.registry.namespaced() {
        for object in core
            .store
            .list(&resource.collection, Some(name), None)
            .objects
        {
            let inner = Call {
                core: core.clone(),
                resource: resource.clone(),
                namespace: Some(name.to_owned()),
                name: Some(object.key.name.to_string()),
                subresource: String::new(),
                params: super::Params::default(),
                user: call.user.clone(),
                parts: http::Request::new(()).into_parts().0,
            };
            // What cannot go at once goes when its finalizers do. Webhooks are not asked: nobody
            // would try again after a refusal.
            let _ = super::delete::remove_unasked(&inner, &object.key, &options);
        }
    }
    finish(core, name);
}

/// Removes a terminating namespace that has become empty.
fn finish(core: &Core, name: &str) {
    let empty = core.registry.namespaced().iter().all(|resource| {
        core.store
            .list(&resource.collection, Some(name), None)
            .objects
            .is_empty()
    });
    if !empty {
        return;
    }
    let key = Key::new("", name);
    if let Some(object) = core.store.get("namespaces", &key)
        && erase(core, "namespaces", &object)
    {
        core.terminating.remove(name);
    }
}

/// Removes an object as it is. False if somebody else changed it in the meantime.
fn erase(core: &Core, collection: &str, object: &Object) -> bool {
    let mut value = object.value();
    let fields = object.fields.clone();
    let draft = Draft {
        key: object.key.clone(),
        fields,
        value: &mut value,
    };
    core.store
        .delete(&collection.into(), object.revision, draft)
        .is_ok()
}
