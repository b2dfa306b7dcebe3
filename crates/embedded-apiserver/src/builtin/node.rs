//! Node.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Strategy;

/// `core/v1 Node`.
pub(super) struct Node;

impl Strategy for Node {
    fn complete(&self, object: &mut Value) {
        super::child(object, "spec");
    }

    fn fields(&self, object: &Value) -> BTreeMap<String, String> {
        let unschedulable = object["spec"]["unschedulable"] == true;
        BTreeMap::from([("spec.unschedulable".to_owned(), unschedulable.to_string())])
    }

    fn selectable(&self) -> &'static [&'static str] {
        &["spec.unschedulable"]
    }
}
