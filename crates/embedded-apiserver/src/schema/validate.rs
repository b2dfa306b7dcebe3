//! Validation of values against a schema, with the errors Kubernetes would report.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::error::{ErrorKind, FieldError};
use super::node::{Additional, Limits, ListType, Node, Schema, Type};
use super::{join, join_key, typed};

/// Errors beyond this many are not reported: an object of garbage has as many as it has fields.
const MOST: usize = 100;

impl Schema {
    /// Every way in which an object does not fit the schema, up to a hundred.
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        Validator {
            schema: self,
            types_only: false,
        }
        .check(self.root(), object, "", &mut errors);
        errors
    }

    /// Only the values of the wrong type: what would make a typed decoder fail.
    pub fn type_errors(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        Validator {
            schema: self,
            types_only: true,
        }
        .check(self.root(), object, "", &mut errors);
        errors
    }
}

struct Validator<'a> {
    schema: &'a Schema,
    types_only: bool,
}

pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn fits(expected: Type, value: &Value) -> bool {
    match expected {
        Type::Object => value.is_object(),
        Type::Array => value.is_array(),
        Type::String => value.is_string(),
        Type::Boolean => value.is_boolean(),
        Type::Number => value.is_number(),
        // 3.0 is an integer, as in JSON Schema.
        Type::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0),
    }
}

/// How a path names the object itself.
pub(super) fn shown(path: &str) -> &str {
    if path.is_empty() { "<root>" } else { path }
}

impl Validator<'_> {
    fn check(&self, node: &Node, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
        if errors.len() >= MOST {
            return;
        }
        let node = self.schema.resolve(node);
        if value.is_null() {
            // A decoder of a typed object takes null for absent.
            if !node.nullable && !node.preserve && !self.types_only {
                let expected = node.value_type.map_or("integer or string", Type::name);
                errors.push(wrong_type(path, expected, value));
            }
            return;
        }
        if node.quantity {
            if let Err(detail) = typed::quantity(value) {
                errors.push(FieldError::new(
                    shown(path),
                    ErrorKind::TypeInvalid,
                    Some(value.clone()),
                    detail,
                ));
            }
            return;
        }
        if node.int_or_string {
            if !(value.is_number() || value.is_string()) {
                errors.push(wrong_type(path, "integer or string", value));
                return;
            }
        } else if let Some(expected) = node.value_type
            && !fits(expected, value)
        {
            errors.push(wrong_type(path, expected.name(), value));
            return;
        }
        if let Some(limits) = &node.limits {
            self.limits(limits, value, path, errors);
        }
        match value {
            Value::Object(map) => {
                if !self.types_only {
                    for name in &node.required {
                        if !map.contains_key(name) {
                            let at = join(path, name);
                            errors.push(FieldError::new(&at, ErrorKind::Required, None, ""));
                        }
                    }
                }
                for (name, value) in map {
                    match (node.properties.get(name), &node.additional) {
                        (Some(child), _) => self.check(child, value, &join(path, name), errors),
                        (None, Additional::Of(child)) => {
                            self.check(child, value, &join(path, name), errors);
                        }
                        _ => {}
                    }
                }
            }
            Value::Array(items) => {
                if let Some(child) = &node.items {
                    for (index, item) in items.iter().enumerate() {
                        self.check(child, item, &join_key(path, &index.to_string()), errors);
                    }
                }
                if !self.types_only {
                    unique(node, items, path, errors);
                }
            }
            _ => {}
        }
    }

    fn limits(&self, limits: &Limits, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
        let at = shown(path);
        let mut invalid = |value: Value, detail: String| {
            errors.push(FieldError::new(at, ErrorKind::Invalid, Some(value), detail));
        };
        if let Some(format) = &limits.format
            && let Some(name) = bad_format(format, value)
        {
            let kind = if name == "integer" {
                ErrorKind::TypeInvalid
            } else {
                ErrorKind::Invalid
            };
            let detail = format!("{at} in body must be of type {format}: {value}");
            errors.push(FieldError::new(at, kind, Some(value.clone()), detail));
            return;
        }
        if self.types_only {
            return;
        }
        match value {
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or_default();
                if let Some(bound) = limits.minimum {
                    let below = if limits.exclusive_minimum {
                        number <= bound
                    } else {
                        number < bound
                    };
                    if below {
                        let word = if limits.exclusive_minimum {
                            "greater than"
                        } else {
                            "greater than or equal to"
                        };
                        invalid(
                            value.clone(),
                            format!("{at} in body should be {word} {bound}"),
                        );
                    }
                }
                if let Some(bound) = limits.maximum {
                    let above = if limits.exclusive_maximum {
                        number >= bound
                    } else {
                        number > bound
                    };
                    if above {
                        let word = if limits.exclusive_maximum {
                            "less than"
                        } else {
                            "less than or equal to"
                        };
                        invalid(
                            value.clone(),
                            format!("{at} in body should be {word} {bound}"),
                        );
                    }
                }
                if let Some(step) = limits.multiple_of
                    && step > 0.0
                    && (number / step).fract() != 0.0
                {
                    invalid(
                        value.clone(),
                        format!("{at} in body should be a multiple of {step}"),
                    );
                }
            }
            Value::String(text) => {
                let length = text.chars().count() as u64;
                // One complaint about a text is enough: what is too short seldom fits the pattern.
                if let Some(most) = limits.max_length
                    && length > most
                {
                    errors.push(FieldError::new(
                        at,
                        ErrorKind::TooLong,
                        None,
                        format!("may not be more than {most} bytes"),
                    ));
                } else if let Some(least) = limits.min_length
                    && length < least
                {
                    invalid(
                        value.clone(),
                        format!("{at} in body should be at least {least} chars long"),
                    );
                } else if let Some(pattern) = &limits.pattern
                    && !pattern.is_match(text)
                {
                    let detail = format!("{at} in body should match '{}'", pattern.as_str());
                    invalid(value.clone(), detail);
                }
            }
            Value::Array(items) => {
                count(
                    at,
                    items.len(),
                    limits.min_items,
                    limits.max_items,
                    "items",
                    errors,
                );
            }
            Value::Object(map) => count(
                at,
                map.len(),
                limits.min_properties,
                limits.max_properties,
                "properties",
                errors,
            ),
            _ => {}
        }
        if let Some(choices) = &limits.choices
            && !choices.contains(value)
        {
            let listed: Vec<String> = choices.iter().map(Value::to_string).collect();
            errors.push(FieldError::new(
                at,
                ErrorKind::NotSupported,
                Some(value.clone()),
                format!("supported values: {}", listed.join(", ")),
            ));
        }
        self.alternatives(limits, value, path, errors);
    }

    fn alternatives(
        &self,
        limits: &Limits,
        value: &Value,
        path: &str,
        errors: &mut Vec<FieldError>,
    ) {
        for node in &limits.all_of {
            self.check(node, value, path, errors);
        }
        let matching = |nodes: &[Node]| {
            nodes
                .iter()
                .filter(|node| {
                    let mut found = Vec::new();
                    self.check(node, value, path, &mut found);
                    found.is_empty()
                })
                .count()
        };
        let at = shown(path);
        let mut fail = |detail: &str| {
            errors.push(FieldError::new(
                at,
                ErrorKind::Invalid,
                Some(json!("")),
                format!("{at} in body {detail}"),
            ));
        };
        if !limits.any_of.is_empty() && matching(&limits.any_of) == 0 {
            fail("must validate at least one schema (anyOf)");
        }
        if !limits.one_of.is_empty() && matching(&limits.one_of) != 1 {
            fail("must validate one and only one schema (oneOf)");
        }
        if let Some(not) = &limits.not
            && matching(std::slice::from_ref(not)) == 1
        {
            fail("must not validate the schema (not)");
        }
    }
}

/// Refuses what occurs twice in a set or keyed list.
fn unique(node: &Node, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    let mut seen = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let id = match &node.list_type {
            ListType::Atomic => {
                if !node
                    .limits
                    .as_ref()
                    .is_some_and(|limits| limits.unique_items)
                {
                    return;
                }
                item.clone()
            }
            ListType::Set => item.clone(),
            ListType::Map(keys) => keys
                .iter()
                .map(|key| (key.clone(), item[key].clone()))
                .collect(),
        };
        if !seen.insert(id.to_string()) {
            let at = join_key(path, &index.to_string());
            errors.push(FieldError::new(&at, ErrorKind::Duplicate, Some(id), ""));
        }
    }
}

fn wrong_type(path: &str, expected: &str, value: &Value) -> FieldError {
    let at = shown(path);
    let found = type_name(value);
    FieldError::new(
        at,
        ErrorKind::TypeInvalid,
        Some(Value::from(found)),
        format!("{at} in body must be of type {expected}: \"{found}\""),
    )
}

fn count(
    at: &str,
    found: usize,
    least: Option<u64>,
    most: Option<u64>,
    what: &str,
    errors: &mut Vec<FieldError>,
) {
    let found = found as u64;
    if let Some(least) = least
        && found < least
    {
        errors.push(FieldError::new(
            at,
            ErrorKind::Invalid,
            Some(json!(found)),
            format!("{at} in body should have at least {least} {what}"),
        ));
    }
    if let Some(most) = most
        && found > most
    {
        errors.push(FieldError::new(
            at,
            ErrorKind::TooMany,
            Some(json!(found)),
            format!("must have at most {most} {what}"),
        ));
    }
}

/// The kind of value a format is about, if the value does not have the format.
fn bad_format(format: &str, value: &Value) -> Option<&'static str> {
    match (format, value) {
        ("int32", Value::Number(number)) => {
            let fits = number.as_f64().is_some_and(|number| {
                number >= f64::from(i32::MIN) && number <= f64::from(i32::MAX)
            });
            (!fits).then_some("integer")
        }
        ("int64", Value::Number(number)) => {
            let whole = -9.223_372_036_854_776e18..9.223_372_036_854_776e18;
            let fits = number.is_i64()
                || (number.is_f64() && number.as_f64().is_some_and(|n| whole.contains(&n)));
            (!fits).then_some("integer")
        }
        ("date-time", Value::String(text)) => {
            let parsed = text.parse::<jiff::Timestamp>();
            parsed.is_err().then_some("string")
        }
        ("date", Value::String(text)) => text
            .parse::<jiff::civil::Date>()
            .is_err()
            .then_some("string"),
        ("byte", Value::String(text)) => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD
                .decode(text)
                .is_err()
                .then_some("string")
        }
        _ => None,
    }
}
