//! Pruning, defaulting and unknown fields: what a schema says about the shape of an object.

use serde_json::{Map, Value};

use super::node::{Additional, Node, Schema};
use super::{join, join_key};

/// Fields that every resource has, whether its schema mentions them or not.
const RESOURCE_FIELDS: &[&str] = &["apiVersion", "kind", "metadata"];

/// What to do with a field of an object.
enum Known<'a> {
    /// A schema describes it.
    As(&'a Node),
    /// It is kept and nothing is known of what is in it.
    Opaque,
    No,
}

fn known<'a>(schema: &'a Schema, node: &'a Node, is_resource: bool, name: &str) -> Known<'a> {
    if is_resource && RESOURCE_FIELDS.contains(&name) {
        // Metadata is checked by whoever handles it for all kinds alike; of built-in kinds the
        // schema knows it in full.
        return match node.properties.get(name).map(|child| schema.resolve(child)) {
            Some(child) if !child.properties.is_empty() && name == "metadata" => {
                if node.properties[name].reference.is_some() {
                    Known::As(child)
                } else {
                    Known::Opaque
                }
            }
            _ => Known::Opaque,
        };
    }
    match (node.properties.get(name), &node.additional) {
        (Some(child), _) => Known::As(schema.resolve(child)),
        (None, Additional::Of(child)) => Known::As(schema.resolve(child)),
        (None, Additional::Any) => Known::Opaque,
        (None, Additional::None) if node.preserve || node.int_or_string => Known::Opaque,
        (None, Additional::None) => Known::No,
    }
}

impl Schema {
    /// Removes the fields the schema does not know.
    pub fn prune(&self, object: &mut Value) {
        self.prune_at(self.root(), object, true);
    }

    fn prune_at(&self, node: &Node, value: &mut Value, is_resource: bool) {
        match value {
            Value::Object(map) => {
                let taken = std::mem::take(map);
                for (name, mut value) in taken {
                    match known(self, node, is_resource, &name) {
                        Known::As(child) => {
                            self.prune_at(child, &mut value, child.embedded);
                            map.insert(name, value);
                        }
                        Known::Opaque => {
                            map.insert(name, value);
                        }
                        Known::No => {}
                    }
                }
            }
            Value::Array(items) => {
                if let Some(child) = self.item(node) {
                    for item in items {
                        self.prune_at(child, item, child.embedded);
                    }
                }
            }
            _ => {}
        }
    }

    /// The paths of the fields the schema does not know: what [`Schema::prune`] would remove.
    pub fn unknown_fields(&self, object: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.unknown_at(self.root(), object, true, "", &mut found);
        found
    }

    fn unknown_at(
        &self,
        node: &Node,
        value: &Value,
        is_resource: bool,
        path: &str,
        found: &mut Vec<String>,
    ) {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    match known(self, node, is_resource, name) {
                        Known::As(child) => {
                            let at = join(path, name);
                            self.unknown_at(child, value, child.embedded, &at, found);
                        }
                        Known::Opaque => {}
                        Known::No => found.push(join(path, name)),
                    }
                }
            }
            Value::Array(items) => {
                if let Some(child) = self.item(node) {
                    for (index, item) in items.iter().enumerate() {
                        let at = join_key(path, &index.to_string());
                        self.unknown_at(child, item, child.embedded, &at, found);
                    }
                }
            }
            _ => {}
        }
    }

    /// Fills in defaults: for absent fields, and for nulls where the schema allows no null.
    pub fn default(&self, object: &mut Value) {
        self.default_at(self.root(), object);
    }

    fn default_at(&self, node: &Node, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (name, raw) in &node.properties {
                    let child = self.resolve(raw);
                    let default = raw.default.as_ref().or(child.default.as_ref());
                    if let Some(default) = default
                        && map
                            .get(name)
                            .is_none_or(|old| old.is_null() && !child.nullable)
                    {
                        map.insert(name.clone(), default.clone());
                    }
                    if let Some(value) = map.get_mut(name) {
                        self.default_at(child, value);
                    }
                }
                if let Additional::Of(child) = &node.additional {
                    let child = self.resolve(child);
                    for (name, value) in map.iter_mut() {
                        if node.properties.contains_key(name) {
                            continue;
                        }
                        if let Some(default) = &child.default
                            && value.is_null()
                            && !child.nullable
                        {
                            *value = default.clone();
                        }
                        self.default_at(child, value);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(child) = self.item(node) {
                    for item in items {
                        if let Some(default) = &child.default
                            && item.is_null()
                            && !child.nullable
                        {
                            *item = default.clone();
                        }
                        self.default_at(child, item);
                    }
                }
            }
            _ => {}
        }
    }

    /// Removes properties that are null although the schema does not allow null: such a null stands
    /// for an absent field. Called after [`Schema::default`], which gives some of them a value.
    /// Nulls in lists and maps stay, for validation to see.
    pub fn drop_nulls(&self, object: &mut Value) {
        self.drop_nulls_at(self.root(), object);
    }

    fn drop_nulls_at(&self, node: &Node, value: &mut Value) {
        match value {
            Value::Object(map) => self.drop_nulls_in(node, map),
            Value::Array(items) => {
                if let Some(child) = self.item(node) {
                    for item in items {
                        self.drop_nulls_at(child, item);
                    }
                }
            }
            _ => {}
        }
    }

    fn drop_nulls_in(&self, node: &Node, map: &mut Map<String, Value>) {
        map.retain(|name, value| {
            let Some(child) = node.properties.get(name) else {
                return true;
            };
            let child = self.resolve(child);
            !value.is_null() || child.nullable || child.preserve
        });
        for (name, value) in map.iter_mut() {
            if let Some(child) = self.field(node, name) {
                self.drop_nulls_at(child, value);
            }
        }
    }
}
