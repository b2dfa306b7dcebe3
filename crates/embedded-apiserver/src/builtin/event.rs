//! Events: one set of objects behind two API groups.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Strategy, text};

/// The collection of the events of both groups.
pub(crate) const EVENTS: &str = "events";

/// `core/v1 Event`, the stored form.
pub(super) struct CoreEvent;

/// `events.k8s.io/v1 Event`.
pub(super) struct NewEvent;

const SELECTABLE: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

/// Field selectors of both groups read the stored form.
fn fields(object: &Value) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for &path in SELECTABLE {
        let parts: Vec<&str> = path.split('.').collect();
        let value = match path {
            "source" => text(object, &["source", "component"]),
            _ => text(object, &parts),
        };
        fields.insert(path.to_owned(), value.to_owned());
    }
    fields
}

impl Strategy for CoreEvent {
    fn fields(&self, object: &Value) -> BTreeMap<String, String> {
        fields(object)
    }

    fn selectable(&self) -> &'static [&'static str] {
        SELECTABLE
    }
}

/// Names in the stored form and in the newer group.
const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn rename(object: &mut Value, pairs: impl Iterator<Item = (&'static str, &'static str)>) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    for (from, to) in pairs {
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
}

impl Strategy for NewEvent {
    fn show_stored(&self, object: &mut Value) {
        rename(object, RENAMED.iter().copied());
    }

    fn to_stored(&self, object: &mut Value) {
        rename(object, RENAMED.iter().map(|&(old, new)| (new, old)));
    }

    fn fields(&self, object: &Value) -> BTreeMap<String, String> {
        fields(object)
    }

    fn selectable(&self) -> &'static [&'static str] {
        SELECTABLE
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conversion_goes_both_ways() {
        let new = json!({
            "regarding": {"kind": "Pod"}, "note": "pulled", "reason": "Pulled",
            "reportingController": "kubelet", "eventTime": "2026-01-01T00:00:00.000000Z",
        });
        let mut value = new.clone();
        NewEvent.to_stored(&mut value);
        assert_eq!(value["involvedObject"]["kind"], "Pod");
        assert_eq!(value["message"], "pulled");
        assert_eq!(value["reportingComponent"], "kubelet");
        NewEvent.show_stored(&mut value);
        assert_eq!(value, new);
    }
}
