//! Which requests concern a webhook or a policy.

use serde_json::Value;

use super::rules::{Asked, Rule};
use crate::schema::{Answer, Expression, evaluate};
use crate::selector::LabelSelector;

/// What match conditions can speak of.
pub(crate) const CONDITION_VARIABLES: &[&str] = &["object", "oldObject", "request"];

/// Rules, selectors and conditions, compiled.
#[derive(Debug)]
pub(crate) struct Matcher {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    /// Requests for another version of the same objects are its own, too.
    pub(crate) equivalent: bool,
    namespaces: LabelSelector,
    objects: LabelSelector,
    conditions: Vec<Expression>,
    /// A condition that cannot be evaluated does not refuse the request.
    pub(crate) ignores_failure: bool,
}

impl Matcher {
    /// Compiles the entry of a webhook configuration, or the text that says why it is none.
    pub(super) fn of_webhook(webhook: &Value) -> (Self, Option<String>) {
        Self::compile(webhook, &webhook["rules"], &Value::Null, webhook)
    }

    /// The same of a policy: of its constraints, and the conditions and failure policy of its spec.
    pub(crate) fn of_constraints(constraints: &Value, spec: &Value) -> (Self, Option<String>) {
        let rules = &constraints["resourceRules"];
        Self::compile(
            constraints,
            rules,
            &constraints["excludeResourceRules"],
            spec,
        )
    }

    /// What cannot be understood, as it may be in an object that an older server stored, matches
    /// and is the problem of whoever is asked.
    fn compile(
        constraints: &Value,
        rules: &Value,
        excluded: &Value,
        spec: &Value,
    ) -> (Self, Option<String>) {
        let mut problem = None;
        let mut selector = |key: &str| {
            LabelSelector::from_value(&constraints[key]).unwrap_or_else(|error| {
                problem = Some(format!("{key}: {error}"));
                LabelSelector::default()
            })
        };
        let namespaces = selector("namespaceSelector");
        let objects = selector("objectSelector");
        let mut conditions = Vec::new();
        for condition in spec["matchConditions"].as_array().into_iter().flatten() {
            let text = condition["expression"].as_str().unwrap_or_default();
            match Expression::compile(text, CONDITION_VARIABLES) {
                Ok(expression) => conditions.push(expression),
                Err(error) => problem = Some(format!("matchConditions: {error}")),
            }
        }
        let read = |rules: &Value| {
            let rules = rules.as_array().into_iter().flatten();
            rules.map(Rule::read).collect()
        };
        let matcher = Self {
            rules: read(rules),
            excluded: read(excluded),
            equivalent: constraints["matchPolicy"] != "Exact",
            namespaces,
            objects,
            conditions,
            ignores_failure: spec["failurePolicy"] == "Ignore",
        };
        (matcher, problem)
    }

    /// Whether one of the rules names what is asked for.
    pub(crate) fn wants(&self, asked: &Asked<'_>) -> bool {
        self.rules.iter().any(|rule| rule.matches(asked))
            && !self.excluded.iter().any(|rule| rule.matches(asked))
    }

    /// Whether there are rules at all.
    pub(crate) fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Whether the labels of a namespace matter.
    pub(crate) fn selects_namespaces(&self) -> bool {
        !self.namespaces.is_empty()
    }

    /// Whether a namespace with these labels is selected.
    pub(crate) fn selects_namespace(&self, labels: &Value) -> bool {
        self.namespaces
            .matches_by(|key| labels.get(key).and_then(Value::as_str))
    }

    /// Whether the object is selected, as it is or as it was.
    pub(crate) fn selects_object(&self, object: Option<&Value>, old: Option<&Value>) -> bool {
        let selected = |object: &Value| self.objects.matches_object(object);
        self.objects.is_empty() || object.is_some_and(selected) || old.is_some_and(selected)
    }

    /// Whether there are match conditions.
    pub(crate) fn has_conditions(&self) -> bool {
        !self.conditions.is_empty()
    }

    /// Whether all match conditions hold. One that does not is decisive whatever the others come
    /// to; else the failure policy decides about those that cannot be evaluated.
    pub(crate) fn conditions_hold(&self, values: &[(&str, &Value)]) -> Result<bool, String> {
        let expressions: Vec<&Expression> = self.conditions.iter().collect();
        let answers = evaluate(&expressions, values);
        if answers.contains(&Ok(Answer::Bool(false))) {
            return Ok(false);
        }
        let problems: Vec<String> = answers
            .into_iter()
            .filter_map(|answer| match answer {
                Ok(Answer::Bool(_)) => None,
                Ok(_) => Some("the expression does not evaluate to bool".to_owned()),
                Err(problem) => Some(problem),
            })
            .collect();
        match problems.as_slice() {
            [] => Ok(true),
            _ if self.ignores_failure => Ok(false),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_false_condition_is_decisive() {
        for (policy, expressions, expected) in [
            ("Fail", json!(["true", "object.a == 1"]), Ok(true)),
            ("Fail", json!(["object.none == 1", "false"]), Ok(false)),
            (
                "Fail",
                json!(["true", "object.none == 1"]),
                Err("no such key: none"),
            ),
            ("Ignore", json!(["true", "object.none == 1"]), Ok(false)),
            (
                "Fail",
                json!(["'text'"]),
                Err("the expression does not evaluate to bool"),
            ),
        ] {
            let conditions: Vec<Value> = expressions
                .as_array()
                .unwrap()
                .iter()
                .map(|text| json!({"name": "a", "expression": text}))
                .collect();
            let webhook = json!({"failurePolicy": policy, "matchConditions": conditions});
            let (matcher, problem) = Matcher::of_webhook(&webhook);
            assert_eq!(problem, None);
            let found = matcher.conditions_hold(&[("object", &json!({"a": 1}))]);
            assert_eq!(found, expected.map_err(str::to_owned), "{expressions}");
        }
    }

    #[test]
    fn an_object_is_selected_as_it_is_or_was() {
        let webhook = json!({"objectSelector": {"matchLabels": {"a": "b"}}});
        let (matcher, _) = Matcher::of_webhook(&webhook);
        let labelled = json!({"metadata": {"labels": {"a": "b"}}});
        let bare = json!({"metadata": {}});
        assert!(matcher.selects_object(Some(&labelled), None));
        assert!(matcher.selects_object(Some(&bare), Some(&labelled)));
        assert!(!matcher.selects_object(Some(&bare), Some(&bare)));
        assert!(!matcher.selects_object(None, None));
    }

    #[test]
    fn what_is_excluded_is_not_wanted() {
        let rule = |resource: &str| {
            json!([{
                "operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"],
                "resources": [resource],
            }])
        };
        let constraints =
            json!({"resourceRules": rule("*"), "excludeResourceRules": rule("secrets")});
        let (matcher, _) = Matcher::of_constraints(&constraints, &json!({}));
        for (resource, wanted) in [("pods", true), ("secrets", false)] {
            let asked = Asked {
                operation: "CREATE",
                group: "",
                version: "v1",
                resource,
                subresource: "",
                name: "a",
                namespaced: true,
            };
            assert_eq!(matcher.wants(&asked), wanted, "{resource}");
        }
    }
}
