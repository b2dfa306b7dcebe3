//! Who owns which field: server-side apply, and the record that other writes leave.

use serde_json::Value;

use super::Call;
use crate::apply::{self, ApplyError, Writer};
use crate::status::Status;

/// How a write affects the record of field owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// The writer owns what it changed.
    Changed,
    /// The record is part of the new state: it is the result of an apply.
    Applied,
}

impl Ownership {
    /// Completes the record in `new`.
    pub(crate) fn record(self, call: &Call, old: Option<&Value>, new: &mut Value) {
        if self == Self::Applied {
            return;
        }
        let api_version = call.resource.api_version();
        let now = call.core.now();
        let writer = call.params.get("fieldManager").map(|manager| Writer {
            manager,
            api_version: &api_version,
            subresource: &call.subresource,
            now: &now,
        });
        apply::track_update(old, new, writer, call.resource.topology());
    }
}

/// The object that an apply makes of the live one.
pub(crate) fn applied(call: &Call, live: Option<&Value>, wanted: &Value) -> Result<Value, Status> {
    // Whoever applies has been asked for a name.
    let manager = call.params.field_manager().unwrap_or_default();
    let api_version = call.resource.api_version();
    let now = call.core.now();
    let writer = Writer {
        manager,
        api_version: &api_version,
        subresource: &call.subresource,
        now: &now,
    };
    let force = call.params.flag("force");
    apply::apply(live, wanted, writer, force, call.resource.topology()).map_err(|error| {
        let message = error.to_string();
        match error {
            ApplyError::Invalid(message) => Status::bad_request(message),
            ApplyError::Conflicts(conflicts) => {
                let mut status = Status::failure(409, "Conflict", message);
                for conflict in conflicts {
                    status =
                        status.cause("FieldManagerConflict", &conflict.field, conflict.message());
                }
                status
            }
        }
    })
}
