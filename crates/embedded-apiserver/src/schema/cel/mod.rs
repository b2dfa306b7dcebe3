//! The CEL rules of custom resources: `x-kubernetes-validations`.
//!
//! Rules are compiled once per schema, when the definition is checked and again when the first
//! object is written, and are evaluated with `self` and `oldSelf` as Kubernetes does:
//!
//! * A rule that mentions `oldSelf` is a transition rule. It is evaluated only where there is an
//!   old and a new value that belong together: fields of objects, entries of maps, elements of
//!   lists with keys. With `optionalOldSelf` it is always evaluated.
//! * Other rules are not evaluated for a value that an update leaves as it was, so that an object
//!   which was valid under an older definition can still be changed elsewhere.
//! * A null is no value: the rules of its level are not evaluated.
//! * An expression that fails, for example for want of a field, is a violation.
//!
//! Not as in Kubernetes: types are not checked when a rule is compiled, so a wrong type shows when
//! the rule is evaluated; and there is no budget for the cost of an evaluation.

mod compile;
mod expression;
mod value;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use kube_cel::KubeCelExt;
use kube_cel::cel::extractors::This;
use kube_cel::cel::objects::OptionalValue;
use kube_cel::cel::{Context, ExecutionError, Program, Value as Cel};
use serde_json::{Value, json};

pub(crate) use compile::Rules;
use compile::{Level, Rule, with_room};
pub(crate) use expression::{Answer, Expression, evaluate, evaluate_with};

use super::error::{ErrorKind, FieldError};
use super::node::{Node, Schema};
use super::validate::{shown, type_name};
use super::{join, join_key};

/// What part of an object a write can have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Anything.
    Whole,
    /// Only `status`. Of the rules of the object itself, those that mention it are evaluated.
    Status,
}

/// The functions and names that every rule can use.
static FUNCTIONS: LazyLock<Context<'static>> = LazyLock::new(|| {
    let mut context = Context::default().with_all();
    // The library has no types as values. Their names do for comparisons.
    context.add_function("type", type_of);
    // Nothing here has a static type, so there is nothing to forget.
    context.add_function("dyn", dynamic);
    for name in TYPES {
        context.add_variable_from_value(*name, (*name).to_owned());
    }
    context
});

const TYPES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "uint",
];

#[expect(
    clippy::unnecessary_wraps,
    reason = "only so a function can return any value"
)]
fn dynamic(This(value): This<Cel>) -> Result<Cel, ExecutionError> {
    Ok(value)
}

fn type_of(This(value): This<Cel>) -> String {
    let name = match value {
        Cel::Bool(_) => "bool",
        Cel::Bytes(_) => "bytes",
        Cel::Float(_) => "double",
        Cel::Int(_) => "int",
        Cel::List(_) => "list",
        Cel::Map(_) => "map",
        Cel::Null => "null_type",
        Cel::String(_) => "string",
        Cel::UInt(_) => "uint",
        Cel::Timestamp(_) => "google.protobuf.Timestamp",
        Cel::Duration(_) => "google.protobuf.Duration",
        Cel::Function(..) | Cel::Opaque(_) => "opaque",
    };
    name.to_owned()
}

impl Schema {
    /// What is wrong with the rules themselves, with paths that start at the schema.
    pub fn invalid_rules(&self) -> &[FieldError] {
        &self.compiled_rules().errors
    }

    /// Whether there are any rules.
    pub(crate) fn has_rules(&self) -> bool {
        self.compiled_rules().root.is_some()
    }

    fn compiled_rules(&self) -> &Rules {
        self.rules.get_or_init(|| Rules::compile(self.root()))
    }

    /// The rules that an object violates. The object must fit the schema otherwise.
    ///
    /// `old` is what the object replaces, for transition rules. Rules that do not compile are left
    /// out; [`Schema::invalid_rules`] has them.
    pub fn violations(&self, object: &Value, old: Option<&Value>, part: Part) -> Vec<FieldError> {
        let rules = self.compiled_rules();
        let Some(root) = &rules.root else {
            return Vec::new();
        };
        let concerns_status = root.properties.contains_key("status")
            || root.rules.iter().any(|rule| rule.text.contains("status"));
        if part == Part::Status && !concerns_status {
            return Vec::new();
        }
        let evaluate = || {
            let mut evaluation = Evaluation {
                schema: self,
                part,
                errors: Vec::new(),
            };
            let place = Place {
                path: "",
                old,
                unchanged: false,
                is_resource: true,
            };
            evaluation.level(root, self.root(), object, place);
            evaluation.errors
        };
        if rules.deep {
            found(with_room("cel-rules", evaluate))
        } else {
            evaluate()
        }
    }
}

/// What evaluating on a stack of its own has found.
fn found(done: Option<Vec<FieldError>>) -> Vec<FieldError> {
    done.unwrap_or_else(|| {
        let detail = "the rules cannot be evaluated";
        vec![FieldError::new(shown(""), ErrorKind::Invalid, None, detail)]
    })
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a str,
    /// The value it replaces.
    old: Option<&'a Value>,
    /// It stands within a value that is as it was.
    unchanged: bool,
    is_resource: bool,
}

struct Evaluation<'a> {
    schema: &'a Schema,
    part: Part,
    errors: Vec<FieldError>,
}

impl Evaluation<'_> {
    fn level(&mut self, level: &Level, node: &Node, value: &Value, place: Place<'_>) {
        if value.is_null() {
            return;
        }
        let old = place.old.filter(|old| !old.is_null());
        let unchanged = place.unchanged || old == Some(value);
        if unchanged && !level.transitions {
            return;
        }
        let place = Place {
            old,
            unchanged,
            ..place
        };
        self.rules(level, node, value, place);
        match value {
            Value::Object(fields) => {
                for (name, child) in &level.properties {
                    if place.is_resource && self.part == Part::Status && name != "status" {
                        continue;
                    }
                    let Some(value) = fields.get(name) else {
                        continue;
                    };
                    self.child(child, node, name, value, &join(place.path, name), place);
                }
                let Some(child) = &level.additional else {
                    return;
                };
                for (name, value) in fields {
                    if !node.properties.contains_key(name) {
                        self.child(child, node, name, value, &join_key(place.path, name), place);
                    }
                }
            }
            Value::Array(items) => {
                let (Some(child), Some(node_of_item)) = (&level.items, self.schema.item(node))
                else {
                    return;
                };
                let before = place.old.and_then(Value::as_array).map(Vec::as_slice);
                let by_key: HashMap<String, &Value> = match &node.list_type {
                    keyed @ super::node::ListType::Map(_) => before
                        .unwrap_or_default()
                        .iter()
                        .filter_map(|item| Some((value::identity(keyed, item)?, item)))
                        .collect(),
                    _ => HashMap::new(),
                };
                for (index, item) in items.iter().enumerate() {
                    let old = if by_key.is_empty() {
                        None
                    } else {
                        value::identity(&node.list_type, item)
                            .and_then(|id| by_key.get(&id).copied())
                    };
                    let at = Place {
                        path: &join_key(place.path, &index.to_string()),
                        old,
                        unchanged: place.unchanged,
                        is_resource: false,
                    };
                    self.level(child, node_of_item, item, at);
                }
            }
            _ => {}
        }
    }

    fn child(
        &mut self,
        level: &Level,
        parent: &Node,
        name: &str,
        value: &Value,
        path: &str,
        place: Place<'_>,
    ) {
        let Some(node) = self.schema.field(parent, name) else {
            return;
        };
        let place = Place {
            path,
            old: place.old.and_then(|old| old.get(name)),
            unchanged: place.unchanged,
            is_resource: false,
        };
        self.level(level, node, value, place);
    }

    fn rules(&mut self, level: &Level, node: &Node, value: &Value, place: Place<'_>) {
        let applies = |rule: &&Rule| {
            let status =
                !place.is_resource || self.part == Part::Whole || rule.text.contains("status");
            let due = if rule.transition {
                rule.optional_old || place.old.is_some()
            } else {
                !place.unchanged
            };
            status && due
        };
        let rules: Vec<&Rule> = level.rules.iter().filter(applies).collect();
        if rules.is_empty() {
            return;
        }
        let convert = if place.is_resource || node.embedded {
            value::resource
        } else {
            value::value
        };
        let current = convert(self.schema, node, value, None);
        let old = place
            .old
            .filter(|_| rules.iter().any(|rule| rule.transition))
            .map(|old| convert(self.schema, node, old, Some(value)));
        let shown_type = node.value_type.map_or(type_name(value), |kind| kind.name());
        for rule in rules {
            let mut scope = FUNCTIONS.new_inner_scope();
            scope.add_variable_from_value("self", current.clone());
            if rule.optional_old {
                let old = old
                    .clone()
                    .map_or_else(OptionalValue::none, OptionalValue::of);
                scope.add_variable_from_value("oldSelf", Cel::Opaque(Arc::new(old)));
            } else if let Some(old) = &old {
                scope.add_variable_from_value("oldSelf", old.clone());
            }
            let (kind, detail) = match run(&rule.program, &scope) {
                Ok(Cel::Bool(true)) => continue,
                Ok(Cel::Bool(false)) => (rule.kind, message(rule, &scope)),
                Ok(_) => (
                    ErrorKind::Invalid,
                    format!("no boolean came of evaluating rule: {}", rule.text),
                ),
                Err(problem) => (
                    ErrorKind::Invalid,
                    format!("{problem} evaluating rule: {}", rule.message),
                ),
            };
            let path = match place.path {
                "" if rule.field_path.is_empty() => shown("").to_owned(),
                "" => rule.field_path.trim_start_matches('.').to_owned(),
                path => format!("{path}{}", rule.field_path),
            };
            let shows_value = matches!(kind, ErrorKind::Invalid | ErrorKind::Duplicate);
            let value = shows_value.then(|| json!(shown_type));
            self.errors
                .push(FieldError::new(&path, kind, value, detail));
        }
    }
}

/// The result of an expression, or why there is none.
fn run(program: &Program, scope: &Context<'_>) -> Result<Cel, String> {
    // The interpreter is young. Should it panic, then one write fails and not the connection.
    match catch_unwind(AssertUnwindSafe(|| program.execute(scope))) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(ExecutionError::NoSuchKey(key))) => Err(format!("no such key: {key}")),
        Ok(Err(ExecutionError::MissingArgumentOrTarget)) => Err("a value is missing".to_owned()),
        Ok(Err(error)) => {
            // Some errors quote whole values.
            let text = error.to_string();
            let short: String = text.chars().take(200).collect();
            Err(short)
        }
        Err(_) => Err("internal error".to_owned()),
    }
}

/// What a violated rule says: its expression's result if that is one line of text.
fn message(rule: &Rule, scope: &Context<'_>) -> String {
    let computed = rule
        .message_program
        .as_ref()
        .and_then(|program| match run(program, scope) {
            Ok(Cel::String(text)) if !text.trim().is_empty() && !text.contains('\n') => {
                Some(text.trim().to_owned())
            }
            _ => None,
        });
    computed.unwrap_or_else(|| rule.message.clone())
}

#[cfg(test)]
mod tests;
