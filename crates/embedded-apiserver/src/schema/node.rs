//! The compiled form of a schema.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use regex::Regex;
use serde_json::{Map, Value};

use super::cel::Rules;
use crate::topology::{KeyField, ListKind};

/// Why a schema cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct SchemaError {
    /// Where in the schema, such as `properties[spec].pattern`.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

/// A compiled schema. Cheap to share behind an `Arc`; compiled once per version of a kind.
#[derive(Debug)]
pub struct Schema {
    root: Node,
    definitions: Arc<Definitions>,
    pub(crate) rules: OnceLock<Rules>,
}

/// Named schemas, compiled when first referred to.
#[derive(Debug, Default)]
pub(crate) struct Definitions(HashMap<String, (Value, OnceLock<Node>)>);

impl Definitions {
    pub(crate) fn new(raw: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self(
            raw.into_iter()
                .map(|(name, value)| (name, (value, OnceLock::new())))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&Node> {
        let (raw, node) = self.0.get(name)?;
        Some(node.get_or_init(|| {
            // These are the Kubernetes types' own schemas; what cannot be read says nothing.
            Node::compile(raw, name).unwrap_or_default()
        }))
    }
}

/// JSON types of a structural schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// What `additionalProperties` says.
#[derive(Debug, Default)]
pub(crate) enum Additional {
    /// Nothing: only the properties there are.
    #[default]
    None,
    /// Any value.
    Any,
    /// Values of one schema.
    Of(Box<Node>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListType {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// One level of a schema.
#[derive(Debug, Default)]
pub struct Node {
    pub(crate) reference: Option<String>,
    pub(crate) value_type: Option<Type>,
    pub(crate) int_or_string: bool,
    /// A quantity of a Kubernetes type, which also takes numbers.
    pub(crate) quantity: bool,
    /// Some of the fields, or the entries, are quantities.
    pub(crate) holds_quantities: bool,
    pub(crate) nullable: bool,
    pub(crate) preserve: bool,
    pub(crate) embedded: bool,
    pub(crate) properties: BTreeMap<String, Node>,
    pub(crate) additional: Additional,
    pub(crate) items: Option<Box<Node>>,
    pub(crate) required: Vec<String>,
    pub(crate) default: Option<Value>,
    pub(crate) list_type: ListType,
    pub(crate) atomic_map: bool,
    pub(crate) limits: Option<Box<Limits>>,
    pub(crate) rules: Option<Value>,
}

/// What a value must satisfy beside its type. Most nodes have none.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) format: Option<String>,
    pub(crate) pattern: Option<Regex>,
    pub(crate) choices: Option<Vec<Value>>,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) exclusive_maximum: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) min_items: Option<u64>,
    pub(crate) max_items: Option<u64>,
    pub(crate) min_properties: Option<u64>,
    pub(crate) max_properties: Option<u64>,
    pub(crate) unique_items: bool,
    /// `allOf`, `anyOf`, `oneOf`, `not`: they validate and say nothing about shape.
    pub(crate) all_of: Vec<Node>,
    pub(crate) any_of: Vec<Node>,
    pub(crate) one_of: Vec<Node>,
    pub(crate) not: Option<Box<Node>>,
}

/// Definitions of the Kubernetes types that stand for any value.
const OPAQUE: &[&str] = &[
    ".v1.JSON",
    ".FieldsV1",
    ".RawExtension",
    "OrBool",
    "OrArray",
    "OrStringArray",
];

/// The definition of quantities.
const QUANTITY: &str = ".api.resource.Quantity";

impl Schema {
    /// Compiles the OpenAPI v3 schema of a custom resource's version.
    ///
    /// # Errors
    /// When a keyword has the wrong type or a pattern is no regular expression.
    pub fn compile(openapi: &Value) -> Result<Self, SchemaError> {
        Ok(Self {
            root: Node::compile(openapi, "openAPIV3Schema")?,
            definitions: Arc::default(),
            rules: OnceLock::new(),
        })
    }

    pub(crate) fn with_definitions(root: &Value, definitions: Arc<Definitions>) -> Self {
        Self {
            root: Node::compile(root, "").unwrap_or_default(),
            definitions,
            rules: OnceLock::new(),
        }
    }

    /// The schema of the whole object.
    pub fn root(&self) -> &Node {
        self.resolve(&self.root)
    }

    /// Follows references.
    pub(crate) fn resolve<'a>(&'a self, node: &'a Node) -> &'a Node {
        let mut node = node;
        // References to references are rare; the bound ends cycles of nothing but references.
        for _ in 0..16 {
            match node
                .reference
                .as_deref()
                .and_then(|name| self.definitions.get(name))
            {
                Some(target) => node = target,
                None => break,
            }
        }
        node
    }

    /// The schema of a field or map entry.
    pub(crate) fn field<'a>(&'a self, node: &'a Node, name: &str) -> Option<&'a Node> {
        let child = match (node.properties.get(name), &node.additional) {
            (Some(child), _) => child,
            (None, Additional::Of(child)) => child,
            (None, _) => return None,
        };
        Some(self.resolve(child))
    }

    /// The schema of list elements.
    pub(crate) fn item<'a>(&'a self, node: &'a Node) -> Option<&'a Node> {
        node.items.as_deref().map(|child| self.resolve(child))
    }

    /// How a list is keyed, with the defaults of its keys.
    pub(crate) fn list_kind<'a>(&'a self, node: &'a Node) -> ListKind<'a> {
        match &node.list_type {
            ListType::Atomic => ListKind::Atomic,
            ListType::Set => ListKind::Set,
            ListType::Map(keys) => {
                let item = self.item(node);
                let default = |key: &str| {
                    item.and_then(|item| self.field(item, key))
                        .and_then(|f| f.default.as_ref())
                };
                ListKind::Map(
                    keys.iter()
                        .map(|key| KeyField {
                            name: key,
                            default: default(key),
                            default_str: None,
                        })
                        .collect(),
                )
            }
        }
    }
}

impl Node {
    pub(crate) fn is_nullable(&self) -> bool {
        self.nullable
    }

    pub(crate) fn preserves_unknown(&self) -> bool {
        self.preserve
    }

    pub(crate) fn is_atomic_map(&self) -> bool {
        self.atomic_map
    }

    pub(crate) fn compile(raw: &Value, path: &str) -> Result<Self, SchemaError> {
        let map = match raw {
            Value::Object(map) => map,
            // `true` is the schema of everything.
            Value::Bool(true) | Value::Null => {
                return Ok(Self {
                    preserve: true,
                    ..Self::default()
                });
            }
            _ => return fail(path, "must be an object"),
        };
        let read = Reader { map, path };
        let mut node = Self {
            reference: reference(map),
            int_or_string: read.flag("x-kubernetes-int-or-string")?,
            nullable: read.flag("nullable")?,
            preserve: read.flag("x-kubernetes-preserve-unknown-fields")?,
            embedded: read.flag("x-kubernetes-embedded-resource")?,
            default: map.get("default").cloned(),
            required: read.strings("required")?,
            atomic_map: read.text("x-kubernetes-map-type")? == Some("atomic"),
            rules: map.get("x-kubernetes-validations").cloned(),
            ..Self::default()
        };
        if let Some(name) = &node.reference
            && OPAQUE.iter().any(|suffix| name.ends_with(suffix))
        {
            node.reference = None;
            node.preserve = true;
            return Ok(node);
        }
        if let Some(name) = &node.reference
            && name.ends_with(QUANTITY)
        {
            node.reference = None;
            node.quantity = true;
            node.int_or_string = true;
            return Ok(node);
        }
        read.value_type(&mut node)?;
        if let Some(properties) = read.object("properties")? {
            for (name, raw) in properties {
                let at = format!("{path}.properties[{name}]");
                node.properties
                    .insert(name.clone(), Self::compile(raw, &at)?);
            }
        }
        node.additional = match map.get("additionalProperties") {
            None | Some(Value::Bool(false)) => Additional::None,
            Some(Value::Bool(true)) => Additional::Any,
            Some(raw) => {
                let at = format!("{path}.additionalProperties");
                Additional::Of(Box::new(Self::compile(raw, &at)?))
            }
        };
        node.holds_quantities = node.properties.values().any(|child| child.quantity)
            || matches!(&node.additional, Additional::Of(child) if child.quantity);
        if let Some(raw) = map.get("items") {
            node.items = Some(Box::new(Self::compile(raw, &format!("{path}.items"))?));
        }
        node.list_type = match read.text("x-kubernetes-list-type")? {
            Some("set") => ListType::Set,
            Some("map") => {
                let keys = read.strings("x-kubernetes-list-map-keys")?;
                if keys.is_empty() {
                    return fail(path, "a list of type map needs x-kubernetes-list-map-keys");
                }
                ListType::Map(keys)
            }
            _ => ListType::Atomic,
        };
        let limits = read.limits()?;
        node.limits = limits.map(Box::new);
        Ok(node)
    }
}

fn fail<T>(path: &str, message: impl Into<String>) -> Result<T, SchemaError> {
    Err(SchemaError {
        path: path.to_owned(),
        message: message.into(),
    })
}

/// `$ref`, also where it stands alone in an `allOf`.
fn reference(map: &Map<String, Value>) -> Option<String> {
    let target = map
        .get("$ref")
        .or_else(|| match map.get("allOf")?.as_array()?.as_slice() {
            [one] => one.get("$ref"),
            _ => None,
        })?;
    target.as_str()?.rsplit('/').next().map(str::to_owned)
}

/// Reads keywords with checks of their types.
struct Reader<'a> {
    map: &'a Map<String, Value>,
    path: &'a str,
}

impl Reader<'_> {
    fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    fn flag(&self, key: &str) -> Result<bool, SchemaError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => fail(&self.at(key), "must be a boolean"),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&str>, SchemaError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => fail(&self.at(key), "must be a string"),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f64>, SchemaError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(Some(number)),
                None => fail(&self.at(key), "must be a number"),
            },
        }
    }

    fn count(&self, key: &str) -> Result<Option<u64>, SchemaError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64() {
                Some(count) => Ok(Some(count)),
                None => fail(&self.at(key), "must be a non-negative integer"),
            },
        }
    }

    fn strings(&self, key: &str) -> Result<Vec<String>, SchemaError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) if items.iter().all(Value::is_string) => Ok(items
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()),
            Some(_) => fail(&self.at(key), "must be a list of strings"),
        }
    }

    fn object(&self, key: &str) -> Result<Option<&Map<String, Value>>, SchemaError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(_) => fail(&self.at(key), "must be an object"),
        }
    }

    fn value_type(&self, node: &mut Node) -> Result<(), SchemaError> {
        let names: Vec<&str> = match self.map.get("type") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            Some(_) => return fail(&self.at("type"), "must be a string"),
        };
        for name in names {
            if name == "null" {
                node.nullable = true;
                continue;
            }
            let Some(found) = Type::parse(name) else {
                return fail(&self.at("type"), format!("unknown type {name:?}"));
            };
            node.value_type = Some(found);
        }
        // Where nothing is said about shape, nothing is unknown.
        let says_nothing = node.value_type.is_none()
            && node.reference.is_none()
            && !node.int_or_string
            && !self.map.contains_key("properties")
            && !self.map.contains_key("items")
            && !self.map.contains_key("additionalProperties");
        if says_nothing {
            node.preserve = true;
        }
        Ok(())
    }

    fn schemas(&self, key: &str) -> Result<Vec<Node>, SchemaError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .iter()
                .enumerate()
                .map(|(index, raw)| Node::compile(raw, &format!("{}[{index}]", self.at(key))))
                .collect(),
            Some(_) => fail(&self.at(key), "must be a list"),
        }
    }

    fn limits(&self) -> Result<Option<Limits>, SchemaError> {
        const KEYWORDS: &[&str] = &[
            "format",
            "pattern",
            "enum",
            "minimum",
            "maximum",
            "multipleOf",
            "minLength",
            "maxLength",
            "minItems",
            "maxItems",
            "minProperties",
            "maxProperties",
            "uniqueItems",
            "allOf",
            "anyOf",
            "oneOf",
            "not",
        ];
        if !KEYWORDS.iter().any(|key| self.map.contains_key(*key)) {
            return Ok(None);
        }
        let pattern = match self.text("pattern")? {
            None => None,
            Some(text) => match Regex::new(text) {
                Ok(pattern) => Some(pattern),
                Err(error) => {
                    return fail(
                        &self.at("pattern"),
                        format!("not a regular expression: {error}"),
                    );
                }
            },
        };
        let choices = match self.map.get("enum") {
            None | Some(Value::Null) => None,
            Some(Value::Array(choices)) => Some(choices.clone()),
            Some(_) => return fail(&self.at("enum"), "must be a list"),
        };
        let lone_reference = reference(self.map).is_some();
        Ok(Some(Limits {
            format: self.text("format")?.map(str::to_owned),
            pattern,
            choices,
            minimum: self.number("minimum")?,
            maximum: self.number("maximum")?,
            exclusive_minimum: self.flag("exclusiveMinimum")?,
            exclusive_maximum: self.flag("exclusiveMaximum")?,
            multiple_of: self.number("multipleOf")?,
            min_length: self.count("minLength")?,
            max_length: self.count("maxLength")?,
            min_items: self.count("minItems")?,
            max_items: self.count("maxItems")?,
            min_properties: self.count("minProperties")?,
            max_properties: self.count("maxProperties")?,
            unique_items: self.flag("uniqueItems")?,
            all_of: if lone_reference {
                Vec::new()
            } else {
                self.schemas("allOf")?
            },
            any_of: self.schemas("anyOf")?,
            one_of: self.schemas("oneOf")?,
            not: self
                .map
                .get("not")
                .map(|raw| Node::compile(raw, &self.at("not")).map(Box::new))
                .transpose()?,
        }))
    }
}
