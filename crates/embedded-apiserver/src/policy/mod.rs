//! `ValidatingAdmissionPolicy`: rules in CEL about any kind, which the server evaluates itself.
//!
//! [`Policies`] holds them in compiled form with the bindings that put them into effect. Like
//! webhooks they are compiled when one of them is written, before the write is answered. Which
//! requests a policy sees is decided by the same [`Matcher`]; who asks, and what becomes of the
//! answers, is the business of `rest::policies`.
//!
//! Not as in Kubernetes: parameters are refused when a policy is written, `authorizer` has no
//! meaning, types are not checked when an expression is compiled, evaluation has no cost budget,
//! and audit annotations go nowhere, because there is no audit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde_json::Value;

use crate::schema::{Answer, Expression, evaluate_with};
use crate::store::Store;
use crate::webhook::Matcher;

const POLICIES: &str = "validatingadmissionpolicies.admissionregistration.k8s.io";
const BINDINGS: &str = "validatingadmissionpolicybindings.admissionregistration.k8s.io";

/// What expressions of a policy can speak of.
pub(crate) const VARIABLES: &[&str] = &[
    "object",
    "oldObject",
    "request",
    "namespaceObject",
    "variables",
];

/// The longest message that an expression may come to, in bytes.
const MESSAGE_LIMIT: usize = 5 << 10;

/// Whether the objects of a collection are policies or their bindings.
pub(crate) fn is_policy(collection: &str) -> bool {
    collection == POLICIES || collection == BINDINGS
}

/// All policies that are bound, by name.
#[derive(Default)]
pub(crate) struct Policies {
    /// Spares every write the lock while there are none, which is the rule.
    any: AtomicBool,
    bound: RwLock<Arc<Vec<Policy>>>,
    reloading: Mutex<()>,
}

/// A policy and what it is bound to.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) matcher: Matcher,
    pub(crate) bindings: Vec<Binding>,
    variables: Vec<(String, Expression)>,
    validations: Vec<Validation>,
    /// Why it cannot be evaluated.
    problem: Option<String>,
}

/// Where a policy is in effect, and what follows from its violation.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) name: String,
    /// Narrows down what the policy matches.
    pub(crate) matcher: Option<Matcher>,
    pub(crate) denies: bool,
    pub(crate) warns: bool,
}

#[derive(Debug)]
struct Validation {
    text: String,
    expression: Expression,
    message: String,
    message_expression: Option<Expression>,
    reason: String,
}

/// A validation that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) message: String,
    /// Of the status; empty for the usual one.
    pub(crate) reason: String,
}

impl Policies {
    /// The bound policies, if there are any.
    pub(crate) fn bound(&self) -> Option<Arc<Vec<Policy>>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let bound = self.bound.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&bound))
    }

    /// Takes over what the store holds now.
    pub(crate) fn reload(&self, store: &Store) {
        // Held over the reading of the store, so that of two reloads the later one sees more.
        let _turn = self
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let bindings: Vec<Value> = store
            .list(BINDINGS, None, None)
            .objects
            .iter()
            .map(|object| object.value())
            .collect();
        let policies = store.list(POLICIES, None, None).objects;
        let bound: Vec<Policy> = policies
            .iter()
            .filter_map(|object| {
                let name = &*object.key.name;
                let own = bindings
                    .iter()
                    .filter(|binding| binding["spec"]["policyName"] == name);
                let own: Vec<Binding> = own.map(Binding::compile).collect();
                (!own.is_empty()).then(|| Policy::compile(name, &object.value()["spec"], own))
            })
            .collect();
        let any = !bound.is_empty();
        *self.bound.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(bound);
        self.any.store(any, Ordering::Release);
    }
}

impl Binding {
    fn compile(binding: &Value) -> Self {
        let spec = &binding["spec"];
        let resources = &spec["matchResources"];
        let acts = |action: &str| {
            let actions = spec["validationActions"].as_array();
            actions.is_some_and(|actions| actions.iter().any(|one| one == action))
        };
        Self {
            name: name_of(binding),
            matcher: resources
                .is_object()
                .then(|| Matcher::of_constraints(resources, &Value::Null).0),
            denies: acts("Deny"),
            warns: acts("Warn"),
        }
    }
}

fn name_of(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    name.to_owned()
}

impl Policy {
    /// What cannot be understood, as it may be in an object that an older server stored, is a
    /// violation.
    fn compile(name: &str, spec: &Value, bindings: Vec<Binding>) -> Self {
        let (matcher, mut problem) = Matcher::of_constraints(&spec["matchConstraints"], spec);
        let mut compile = |text: &str| match Expression::compile(text, VARIABLES) {
            Ok(expression) => Some(expression),
            Err(error) => {
                problem = Some(error);
                None
            }
        };
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let list = |key: &str| spec[key].as_array().into_iter().flatten();
        let variables = list("variables").filter_map(|variable| {
            let expression = compile(&text(variable, "expression"))?;
            Some((text(variable, "name"), expression))
        });
        let variables = variables.collect();
        let validations = list("validations").filter_map(|validation| {
            let own = text(validation, "expression");
            let said = text(validation, "messageExpression");
            Some(Validation {
                expression: compile(&own)?,
                message: text(validation, "message"),
                message_expression: match said.trim() {
                    "" => None,
                    said => Some(compile(said)?),
                },
                reason: text(validation, "reason"),
                text: own,
            })
        });
        let validations = validations.collect();
        Self {
            name: name.to_owned(),
            matcher,
            bindings,
            variables,
            validations,
            problem,
        }
    }

    /// The validations that do not hold. With `ignores_failure` those that cannot be evaluated do.
    pub(crate) fn violations(&self, values: &[(&str, &Value)]) -> Vec<Violation> {
        let ignored = self.matcher.ignores_failure;
        if let Some(problem) = &self.problem {
            let message = format!("the policy cannot be evaluated: {problem}");
            let reason = String::new();
            let broken = (!ignored).then_some(Violation { message, reason });
            return broken.into_iter().collect();
        }
        let expressions: Vec<&Expression> =
            self.validations.iter().map(|v| &v.expression).collect();
        let answers = evaluate_with(&self.variables, &expressions, values);
        let judged = self.validations.iter().zip(answers);
        let violated = judged.filter_map(|(validation, answer)| {
            let message = match answer {
                Ok(Answer::Bool(true)) => return None,
                Ok(Answer::Bool(false)) => self.message(validation, values),
                _ if ignored => return None,
                Ok(_) => format!("expression '{}' has no boolean result", validation.text),
                Err(error) => format!(
                    "expression '{}' resulted in error: {error}",
                    validation.text
                ),
            };
            let reason = validation.reason.clone();
            Some(Violation { message, reason })
        });
        violated.collect()
    }

    /// What a violated validation says: its expression's result if that is one line of text.
    fn message(&self, validation: &Validation, values: &[(&str, &Value)]) -> String {
        let computed = validation.message_expression.as_ref().and_then(|computed| {
            let answer = evaluate_with(&self.variables, &[computed], values).pop()?;
            match answer {
                Ok(Answer::Text(text)) => Some(text.trim().to_owned()),
                _ => None,
            }
        });
        let fits =
            |text: &String| !text.is_empty() && text.len() <= MESSAGE_LIMIT && !text.contains('\n');
        match (computed.filter(fits), validation.message.trim()) {
            (Some(computed), _) => computed,
            (None, "") => format!("failed expression: {}", validation.text.trim()),
            (None, message) => message.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn violations(spec: &Value, object: &Value) -> Vec<(String, String)> {
        let policy = Policy::compile("p", spec, Vec::new());
        let values = [
            ("object", object),
            ("oldObject", &Value::Null),
            ("request", &Value::Null),
        ];
        let found = policy.violations(&values);
        found.into_iter().map(|v| (v.message, v.reason)).collect()
    }

    #[test]
    fn validations_and_their_messages() {
        for (validation, expected) in [
            (json!({"expression": "object.n == 3"}), None),
            (
                json!({"expression": "object.n == 4"}),
                Some("failed expression: object.n == 4"),
            ),
            (
                json!({"expression": "object.n == 4", "message": " not four "}),
                Some("not four"),
            ),
            (
                json!({"expression": "object.n == 4", "message": "not four",
                       "messageExpression": "'it is ' + string(object.n)"}),
                Some("it is 3"),
            ),
            // One that is no text, or none at all, leaves it at the message.
            (
                json!({"expression": "object.n == 4", "message": "not four",
                       "messageExpression": "object.n"}),
                Some("not four"),
            ),
            (
                json!({"expression": "object.n == 4", "message": "not four",
                       "messageExpression": "object.none"}),
                Some("not four"),
            ),
            (
                json!({"expression": "object.none == 4"}),
                Some("expression 'object.none == 4' resulted in error: no such key: none"),
            ),
            (
                json!({"expression": "object.n"}),
                Some("expression 'object.n' has no boolean result"),
            ),
            (
                json!({"expression": "object."}),
                Some("the policy cannot be evaluated: compilation failed"),
            ),
        ] {
            let spec = json!({"validations": [validation]});
            let found = violations(&spec, &json!({"n": 3}));
            match (found.as_slice(), expected) {
                ([], None) => {}
                ([(message, _)], Some(expected)) if message.starts_with(expected) => {}
                _ => panic!("{validation}: {found:?}"),
            }
        }
    }

    #[test]
    fn failures_may_be_ignored_and_violations_not() {
        let spec = json!({
            "failurePolicy": "Ignore",
            "validations": [
                {"expression": "object.none == 4"},
                {"expression": "object.n == 4", "reason": "Forbidden"},
            ],
        });
        let expected = (
            "failed expression: object.n == 4".to_owned(),
            "Forbidden".to_owned(),
        );
        assert_eq!(violations(&spec, &json!({"n": 3})), [expected]);
    }

    #[test]
    fn variables_build_on_each_other_and_fail_where_they_are_used() {
        let spec = |expression: &str| {
            json!({
                "variables": [
                    {"name": "names", "expression": "object.items.map(i, i.name)"},
                    {"name": "few", "expression": "size(variables.names) < 3"},
                    {"name": "broken", "expression": "object.none"},
                ],
                "validations": [{"expression": expression}],
            })
        };
        let object = json!({"items": [{"name": "a"}, {"name": "b"}]});
        for (expression, holds) in [
            ("variables.few && 'a' in variables.names", true),
            ("variables.few || variables.broken == 1", true),
            ("variables.broken == 1", false),
            ("'c' in variables.names", false),
        ] {
            let found = violations(&spec(expression), &object);
            assert_eq!(found.is_empty(), holds, "{expression} {found:?}");
        }
    }
}
