//! What fields a schema knows at a path, for suggestions in error messages.

use super::node::Schema;

impl Schema {
    /// Names of the fields that may stand in the object at a path such as `spec.containers[0]`;
    /// empty if the schema knows of none there.
    pub fn fields_at(&self, path: &str) -> Vec<String> {
        let mut node = self.root();
        for part in path.split('.').filter(|part| !part.is_empty()) {
            let (name, index) = match part.split_once('[') {
                Some((name, _)) => (name, true),
                None => (part, false),
            };
            let next = self.field(node, name);
            let next = if index {
                next.and_then(|list| self.item(list))
            } else {
                next
            };
            match next {
                Some(next) => node = next,
                None => return Vec::new(),
            }
        }
        node.properties.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_found_through_objects_and_lists() {
        let schema = Schema::compile(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"items": {"type": "array", "items": {
                "type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            }}}},
        }}))
        .unwrap();
        assert_eq!(schema.fields_at(""), ["spec"]);
        assert_eq!(schema.fields_at("spec.items[3]"), ["a", "b"]);
        assert!(schema.fields_at("spec.other.more").is_empty());
    }
}
