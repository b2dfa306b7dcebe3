//! Server-side apply and the ownership of fields.
//!
//! Who owns which field is recorded in `metadata.managedFields`, in the `FieldsV1` format. An
//! *apply* says everything its manager wants: fields it leaves out and alone owned are removed,
//! fields somebody else owns with another value are conflicts. An *update* (create, replace,
//! patch) owns what it changed.
//!
//! Writes without a field manager record nothing, so that components inside the process pay nothing
//! for ownership nobody asked for. An object without a record is, when it is first applied to, all
//! owned by [`BEFORE`], as Kubernetes has it for objects of times before it kept records: what was
//! there before conflicts with what is applied.

mod compare;
mod error;
mod fields;
mod managers;
mod merge;
mod remove;

pub use error::{ApplyError, Conflict};
pub use fields::FieldSet;

use serde_json::Value;

use crate::topology::Topology;
use compare::{changes, owned_by};
use managers::{Managers, Operation, Owner};

/// Who owns what was written before the first apply.
pub const BEFORE: &str = "before-first-apply";

/// Who writes, and what the record of it says.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Name of the field manager.
    pub manager: &'a str,
    /// Version of the API in which the object is written, such as `batch/v1`.
    pub api_version: &'a str,
    /// Subresource written to; empty for the object itself.
    pub subresource: &'a str,
    /// Now, in RFC 3339 with seconds.
    pub now: &'a str,
}

/// Applies a configuration.
///
/// Returns the object as it should be stored. When the apply changes nothing, the result equals
/// `live`, record included. `live` is `None` when the object does not exist; the result is then
/// the object to create. The caller drops fields of `applied` that the endpoint ignores (such as
/// `status` of the main resource) beforehand.
///
/// # Errors
/// [`ApplyError::Conflicts`] when another manager owns an applied field with another value and
/// `force` is not set; [`ApplyError::Invalid`] when the configuration contains `managedFields`,
/// or elements of keyed lists without keys or with the same keys.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    writer: Writer<'_>,
    force: bool,
    topology: Topology<'_>,
) -> Result<Value, ApplyError> {
    if !applied.is_object() {
        return Err(ApplyError::Invalid(
            "the applied configuration must be an object".to_owned(),
        ));
    }
    let given = &applied["metadata"]["managedFields"];
    if given.as_array().is_some_and(|list| !list.is_empty()) {
        return Err(ApplyError::Invalid(
            "metadata.managedFields must be nil".to_owned(),
        ));
    }
    let mut applied = applied.clone();
    managers::strip(&mut applied);
    merge::drop_nulls(&mut applied, topology);
    compare::check_keys(&applied, topology)?;

    let mut old = live
        .cloned()
        .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let mut managers = Managers::read(&old);
    managers::strip(&mut old);
    let before = managers.clone();
    if live.is_some() && !managers.readable() {
        let everything = Owner {
            manager: BEFORE.to_owned(),
            operation: Operation::Update,
            subresource: String::new(),
        };
        let fields = owned_by(&old, topology);
        managers.set(everything, fields, writer.api_version, writer.now);
    }

    let wanted = owned_by(&applied, topology);
    let mut merged = merge::merge(&old, &applied, topology);
    let change = changes(&old, &merged, topology);
    let owner = Owner {
        manager: writer.manager.to_owned(),
        operation: Operation::Apply,
        subresource: writer.subresource.to_owned(),
    };
    let written = change.written();
    if live.is_some() {
        let conflicts = managers.conflicts(&owner, &written);
        if !conflicts.is_empty() && !force {
            return Err(ApplyError::Conflicts(conflicts));
        }
        managers.take_away(&owner, &written);
    }
    if let Some(previous) = managers.fields(&owner) {
        let others = managers.union_of_others(&owner);
        remove::remove(&mut merged, previous, &wanted, &others, topology);
    }
    let gone = changes(&old, &merged, topology).removed;
    managers.take_away(&owner, &gone);
    managers.set(owner, wanted, writer.api_version, writer.now);
    if merged == old && managers.same_fields(&before) {
        return Ok(live.cloned().unwrap_or(merged));
    }
    managers.write(&mut merged);
    Ok(merged)
}

/// Records who owns what after a create, replace or patch.
///
/// `old` is `None` for a create. Without a `writer` nothing is recorded and the record that is
/// there stays: this costs a look at one field. A caller may edit or, with `[{}]`, clear the record
/// through `new`; leaving it out keeps it.
pub fn track_update(
    old: Option<&Value>,
    new: &mut Value,
    writer: Option<Writer<'_>>,
    topology: Topology<'_>,
) {
    let recorded = old.and_then(|old| old["metadata"].get("managedFields"));
    let given = new
        .get("metadata")
        .and_then(|meta| meta.get("managedFields"));
    let reset = given.and_then(Value::as_array).is_some_and(|list| {
        list.len() == 1 && list[0].as_object().is_some_and(serde_json::Map::is_empty)
    });
    let empty = given.is_none_or(|given| given.as_array().is_none_or(Vec::is_empty));
    // A status write carries whatever its author read; only the object itself edits the record.
    let keep = empty || writer.is_some_and(|writer| !writer.subresource.is_empty());
    if keep && !reset {
        if let Some(meta) = new.get_mut("metadata").and_then(Value::as_object_mut) {
            match recorded {
                Some(recorded) => meta.insert("managedFields".to_owned(), recorded.clone()),
                None => meta.remove("managedFields"),
            };
        }
    } else if reset {
        managers::strip(new);
        return;
    }
    let Some(writer) = writer else { return };
    let mut managers = Managers::read(new);
    if !keep && !managers.readable() {
        managers = old.map(Managers::read).unwrap_or_default();
    }
    let mut current = std::mem::take(new);
    managers::strip(&mut current);
    let mut before = old.cloned().unwrap_or_default();
    managers::strip(&mut before);
    let owner = Owner {
        manager: writer.manager.to_owned(),
        operation: Operation::Update,
        subresource: writer.subresource.to_owned(),
    };
    let change = changes(&before, &current, topology);
    let written = change.written();
    managers.take_away(&owner, &written);
    managers.take_away(&owner, &change.removed);
    if !written.is_empty() || !change.removed.is_empty() {
        let mut own = managers.fields(&owner).cloned().unwrap_or_default();
        own.add_all(&written);
        own.remove_all(&change.removed);
        managers.set(owner, own, writer.api_version, writer.now);
    }
    managers.write(&mut current);
    *new = current;
}

#[cfg(test)]
mod tests;
