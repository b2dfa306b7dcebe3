//! Tables: what `kubectl get` shows.
//!
//! The server renders the cells; the client only aligns them. Built-in kinds have the columns of
//! Kubernetes, custom resources those of `additionalPrinterColumns`.

mod age;
mod cells;
mod jsonpath;
mod kinds;
mod pod;

pub use age::{human_duration, since};
pub use jsonpath::{JsonPath, JsonPathError};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::topology::Gvk;

/// What of an object goes along with its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// Its metadata, as `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl Include {
    /// Reads the `includeObject` parameter.
    pub fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("" | "Metadata") => Some(Self::Metadata),
            Some("None") => Some(Self::None),
            Some("Object") => Some(Self::Object),
            Some(_) => None,
        }
    }
}

type Cell = fn(&Value, Timestamp) -> Value;

#[derive(Debug)]
enum Source {
    Built(Cell),
    Path(JsonPath),
}

/// A column: its head, and where its cells come from.
#[derive(Debug)]
pub(crate) struct Column {
    name: String,
    value_type: String,
    format: String,
    description: String,
    priority: i64,
    source: Source,
}

impl Column {
    fn new(name: &str, priority: i64, cell: Cell) -> Self {
        Self {
            name: name.to_owned(),
            value_type: "string".to_owned(),
            format: if name == "Name" {
                "name".to_owned()
            } else {
                String::new()
            },
            description: String::new(),
            priority,
            source: Source::Built(cell),
        }
    }

    fn typed(mut self, value_type: &str) -> Self {
        self.value_type = value_type.to_owned();
        self
    }

    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let path = match &self.source {
            Source::Built(cell) => return cell(object, now),
            Source::Path(path) => path,
        };
        let found = path.find(object);
        let Some(&first) = found.first() else {
            return Value::Null;
        };
        match self.value_type.as_str() {
            "string" => {
                let parts: Vec<String> = found.iter().map(|value| text(value)).collect();
                Value::from(parts.join(" "))
            }
            "date" => match first {
                Value::String(time) => Value::from(since(time, now)),
                _ => Value::from("<unknown>"),
            },
            "integer" => match first.as_i64() {
                Some(number) => json!(number),
                None => first
                    .as_f64()
                    .map_or(Value::Null, |number| json!(number as i64)),
            },
            "number" => first.as_f64().map_or(Value::Null, |number| json!(number)),
            "boolean" => first.as_bool().map_or(Value::Null, Value::Bool),
            _ => Value::Null,
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

/// The columns of a kind.
#[derive(Debug)]
pub struct Columns(Vec<Column>);

impl Columns {
    /// The columns of a built-in kind; name and creation time for one that has none of its own.
    pub fn built_in(gvk: &Gvk) -> Self {
        Self(kinds::columns(gvk))
    }

    /// Those of a custom resource, from its version's `additionalPrinterColumns`; name and age
    /// when there are none. Columns whose path cannot be read stay empty.
    pub fn custom(definitions: &Value) -> Self {
        let mut columns = vec![cells::name()];
        match definitions.as_array() {
            None => columns.push(cells::age()),
            Some(list) if list.is_empty() => columns.push(cells::age()),
            Some(list) => columns.extend(list.iter().map(|column| {
                let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
                Column {
                    name: text("name"),
                    value_type: text("type"),
                    format: text("format"),
                    description: text("description"),
                    priority: column["priority"].as_i64().unwrap_or(0),
                    source: match JsonPath::parse(&text("jsonPath")) {
                        Ok(path) => Source::Path(path),
                        Err(_) => Source::Built(|_, _| Value::Null),
                    },
                }
            })),
        }
        Self(columns)
    }

    /// `columnDefinitions`.
    pub fn definitions(&self) -> Value {
        self.0
            .iter()
            .map(|column| {
                json!({
                    "name": column.name,
                    "type": column.value_type,
                    "format": column.format,
                    "description": column.description,
                    "priority": column.priority,
                })
            })
            .collect()
    }

    /// One row.
    pub fn row(&self, object: &Value, now: Timestamp, include: Include) -> Value {
        let cells: Vec<Value> = self
            .0
            .iter()
            .map(|column| column.cell(object, now))
            .collect();
        let mut row = json!({"cells": cells});
        let shown = match include {
            Include::None => return row,
            Include::Metadata => json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": object["metadata"],
            }),
            Include::Object => object.clone(),
        };
        row["object"] = shown;
        row
    }
}

/// Renders a `meta.k8s.io/v1 Table`.
///
/// `metadata` is that of the list (or, for one object, its resource version). `heads` is false for
/// all but the first event of a watch.
pub fn render(
    columns: &Columns,
    items: &[&Value],
    now: Timestamp,
    include: Include,
    metadata: &Value,
    heads: bool,
) -> Value {
    let rows: Vec<Value> = items
        .iter()
        .map(|item| columns.row(item, now, include))
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": if metadata.is_object() { metadata.clone() } else { json!({}) },
        "columnDefinitions": if heads { columns.definitions() } else { json!([]) },
        "rows": rows,
    })
}

#[cfg(test)]
mod tests;
