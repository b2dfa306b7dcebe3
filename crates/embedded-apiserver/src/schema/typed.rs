//! What a decoder and an encoder of Kubernetes' own types make of an object.
//!
//! Such an object has no nulls, and none of the empty lists and maps that may be left out. Its
//! quantities are in their canonical form.

use serde_json::{Map, Value};

use super::node::{Additional, Node, Schema};
use crate::quantity::Quantity;

impl Schema {
    /// Gives an object of a built-in kind the form in which Kubernetes would store it. What is
    /// not of the right type stays as it is: see [`Schema::type_errors`].
    pub fn type_form(&self, object: &mut Value) {
        if let Value::Object(map) = object {
            self.form_of_fields(self.root(), map);
        }
    }

    fn form_at(&self, node: &Node, value: &mut Value, resource: bool) {
        match value {
            Value::Object(map) => self.form_of_fields(node, map),
            Value::Array(items) => {
                let item = self.item(node);
                for value in items {
                    match item {
                        Some(item) => self.form_at(item, value, false),
                        None => drop_nulls(value),
                    }
                }
            }
            Value::String(_) | Value::Number(_) if node.quantity => {
                if let Ok(quantity) = quantity(value) {
                    let quantity = if resource {
                        quantity.to_milli()
                    } else {
                        quantity
                    };
                    *value = Value::String(quantity.to_string());
                }
            }
            _ => {}
        }
    }

    fn form_of_fields(&self, node: &Node, map: &mut Map<String, Value>) {
        map.retain(|_, value| !value.is_null());
        let is_map = matches!(node.additional, Additional::Of(_));
        let mut empty = false;
        for (name, value) in map.iter_mut() {
            let plain = !(value.is_object() || value.is_array());
            // Texts and numbers are the most of it, and only quantities among them change.
            if plain && !node.holds_quantities {
                continue;
            }
            let Some(child) = self.field(node, name) else {
                drop_nulls(value);
                continue;
            };
            if plain && !child.quantity {
                continue;
            }
            self.form_at(child, value, is_map);
            empty |= may_go(node, child, name, value);
        }
        if empty {
            map.retain(|name, value| {
                !self
                    .field(node, name)
                    .is_some_and(|child| may_go(node, child, name, value))
            });
        }
    }
}

/// Whether an encoder leaves a field out: an empty list or map that need not be there. A struct
/// without fields is something else.
fn may_go(parent: &Node, node: &Node, name: &str, value: &Value) -> bool {
    let empty = match value {
        Value::Array(items) => items.is_empty() && node.items.is_some(),
        Value::Object(map) => map.is_empty() && matches!(node.additional, Additional::Of(_)),
        _ => false,
    };
    empty && parent.properties.contains_key(name) && !parent.required.iter().any(|r| r == name)
}

/// A null in an object of a built-in kind means that the field is not set.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The quantity that a text or a number says, or what is wrong with it.
pub(super) fn quantity(value: &Value) -> Result<Quantity, String> {
    let text = match value {
        Value::String(text) => Quantity::parse(text.trim()),
        Value::Number(number) => Quantity::parse(&number.to_string()),
        _ => return Err("a quantity is expected".to_owned()),
    };
    text.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::built_in;
    use crate::topology::Gvk;

    fn formed(gvk: &Gvk, mut object: serde_json::Value) -> serde_json::Value {
        built_in(gvk).unwrap().type_form(&mut object);
        object
    }

    #[test]
    fn quantities_are_canonical() {
        let pod = |cpu: serde_json::Value, size: &str| {
            json!({"spec": {
                "containers": [{"name": "c", "resources": {"limits": {"cpu": cpu}}}],
                "volumes": [{"name": "v", "emptyDir": {"sizeLimit": size}}],
            }})
        };
        let gvk = Gvk::new("", "v1", "Pod");
        for (given, form) in [
            (pod(json!("1000m"), "1024Mi"), pod(json!("1"), "1Gi")),
            (pod(json!(2), "0.5"), pod(json!("2"), "500m")),
            (pod(json!(0.5), "1n"), pod(json!("500m"), "1n")),
            // Resources are rounded up to thousandths.
            (pod(json!("1n"), "1"), pod(json!("1m"), "1")),
            (pod(json!("many"), "1"), pod(json!("many"), "1")),
        ] {
            assert_eq!(formed(&gvk, given), form);
        }
        let schema = built_in(&gvk).unwrap();
        let errors = schema.type_errors(&pod(json!("many"), "x"));
        let paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "spec.containers[0].resources.limits.cpu",
                "spec.volumes[0].emptyDir.sizeLimit"
            ]
        );
    }

    #[test]
    fn what_is_empty_goes_where_it_may() {
        let gvk = Gvk::new("", "v1", "Pod");
        let given = json!({
            "metadata": {"labels": {}, "annotations": {"a": ""}, "finalizers": []},
            "spec": {
                "containers": [{"name": "c", "command": [], "resources": {"limits": {}}, "env": null}],
                "initContainers": [], "nodeSelector": {}, "securityContext": {},
                "volumes": [{"name": "v", "emptyDir": {}}],
                "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "t", "labelSelector": {"matchLabels": {}}},
                ]}},
            },
        });
        let form = json!({
            "metadata": {"annotations": {"a": ""}},
            "spec": {
                "containers": [{"name": "c", "resources": {}}],
                "securityContext": {},
                "volumes": [{"name": "v", "emptyDir": {}}],
                "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "t", "labelSelector": {}},
                ]}},
            },
        });
        assert_eq!(formed(&gvk, given), form);
        // A Pod without containers is something to complain of.
        let without = json!({"spec": {"containers": []}});
        assert_eq!(formed(&gvk, without.clone()), without);
        let definition = Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        let versions = json!({"spec": {"versions": [{
            "name": "v1", "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "default": {}}},
        }]}});
        assert_eq!(formed(&definition, versions.clone()), versions);
    }
}
