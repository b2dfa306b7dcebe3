//! One webhook of a configuration, compiled.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use super::client::{Client, Clients, Target};
use super::rules::{Asked, Rule};
use crate::schema::{Answer, Expression, evaluate};
use crate::selector::LabelSelector;

/// What match conditions can speak of.
pub(crate) const CONDITION_VARIABLES: &[&str] = &["object", "oldObject", "request"];

/// A webhook.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) name: String,
    rules: Vec<Rule>,
    /// Requests for another version of the same objects are its own, too.
    pub(crate) equivalent: bool,
    namespaces: LabelSelector,
    objects: LabelSelector,
    conditions: Vec<Expression>,
    /// A failed call does not refuse the request.
    pub(crate) ignores_failure: bool,
    /// Is called again if a later webhook changes the object.
    pub(crate) reinvoked: bool,
    /// May be called for requests that store nothing.
    pub(crate) allows_dry_run: bool,
    timeout: Duration,
    /// Whom to call, or why nobody can be called.
    client: Result<Arc<Client>, String>,
}

impl Hook {
    /// Compiles one entry of `webhooks`. What cannot be understood, as it may be in an object that
    /// an older server stored, makes calls fail.
    pub(super) fn compile(webhook: &Value, clients: &mut Clients) -> Self {
        let mut problem = None;
        let mut selector = |key: &str| {
            LabelSelector::from_value(&webhook[key]).unwrap_or_else(|error| {
                problem = Some(format!("{key}: {error}"));
                LabelSelector::default()
            })
        };
        let namespaces = selector("namespaceSelector");
        let objects = selector("objectSelector");
        let mut conditions = Vec::new();
        for condition in webhook["matchConditions"].as_array().into_iter().flatten() {
            let text = condition["expression"].as_str().unwrap_or_default();
            match Expression::compile(text, CONDITION_VARIABLES) {
                Ok(expression) => conditions.push(expression),
                Err(error) => problem = Some(format!("matchConditions: {error}")),
            }
        }
        let client = match problem {
            Some(problem) => Err(problem),
            None => target(&webhook["clientConfig"]).map(|target| clients.client(target)),
        };
        let is = |key: &str, value: &str| webhook[key].as_str() == Some(value);
        let rules = webhook["rules"].as_array().into_iter().flatten();
        Self {
            name: webhook["name"].as_str().unwrap_or_default().to_owned(),
            rules: rules.map(Rule::read).collect(),
            equivalent: !is("matchPolicy", "Exact"),
            namespaces,
            objects,
            conditions,
            ignores_failure: is("failurePolicy", "Ignore"),
            reinvoked: is("reinvocationPolicy", "IfNeeded"),
            allows_dry_run: is("sideEffects", "None") || is("sideEffects", "NoneOnDryRun"),
            timeout: Duration::from_secs(webhook["timeoutSeconds"].as_u64().unwrap_or(10)),
            client,
        }
    }

    /// Whether one of the rules names what is asked for.
    pub(crate) fn wants(&self, asked: &Asked<'_>) -> bool {
        self.rules.iter().any(|rule| rule.matches(asked))
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
                Ok(Answer::Other) => Some("the expression does not evaluate to bool".to_owned()),
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

    /// Sends a review and returns the answer, whatever it says.
    pub(crate) async fn call(&self, review: Bytes) -> Result<Value, String> {
        match &self.client {
            Ok(client) => client.call(review, self.timeout).await,
            Err(problem) => Err(problem.clone()),
        }
    }
}

/// Whom a `clientConfig` names.
fn target(config: &Value) -> Result<Target, String> {
    let authority = match config["caBundle"].as_str() {
        None | Some("") => None,
        Some(text) => {
            let pem = STANDARD.decode(text);
            Some(pem.map_err(|error| format!("caBundle is not base64: {error}"))?)
        }
    };
    if let Some(url) = config["url"].as_str() {
        return Ok(Target {
            url: url.to_owned(),
            service: None,
            authority,
        });
    }
    let service = &config["service"];
    let text = |key: &str| service[key].as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text("namespace"), text("name"));
    let port = service["port"].as_u64().unwrap_or(443);
    let port = u16::try_from(port).map_err(|_| format!("{port} is not a port"))?;
    let path = text("path");
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(Target {
        // The name that the certificate must be for.
        url: format!("https://{name}.{namespace}.svc:{port}{slash}{path}"),
        service: Some((namespace, name, port)),
        authority,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hook(webhook: Value) -> Hook {
        Hook::compile(&webhook, &mut Clients::new(None))
    }

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
            let hook = hook(json!({"failurePolicy": policy, "matchConditions": conditions}));
            let found = hook.conditions_hold(&[("object", &json!({"a": 1}))]);
            assert_eq!(found, expected.map_err(str::to_owned), "{expressions}");
        }
    }

    #[test]
    fn an_object_is_selected_as_it_is_or_was() {
        let hook = hook(json!({"objectSelector": {"matchLabels": {"a": "b"}}}));
        let labelled = json!({"metadata": {"labels": {"a": "b"}}});
        let bare = json!({"metadata": {}});
        assert!(hook.selects_object(Some(&labelled), None));
        assert!(hook.selects_object(Some(&bare), Some(&labelled)));
        assert!(!hook.selects_object(Some(&bare), Some(&bare)));
        assert!(!hook.selects_object(None, None));
    }

    #[tokio::test]
    async fn what_is_not_understood_fails_when_called() {
        for (key, value, problem) in [
            (
                "matchConditions",
                json!([{"expression": "("}]),
                "matchConditions",
            ),
            (
                "clientConfig",
                json!({"url": "https://a", "caBundle": "%"}),
                "base64",
            ),
            ("clientConfig", json!({"service": {"port": 70_000}}), "port"),
            (
                "objectSelector",
                json!({"matchExpressions": [{"key": "a", "operator": "Is"}]}),
                "objectSelector",
            ),
        ] {
            let hook = hook(json!({"name": "a.b.c", key: value}));
            let error = hook.call(Bytes::new()).await.unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn services_have_the_name_of_their_certificate() {
        let service = json!({"namespace": "n", "name": "s", "path": "/p"});
        let found = target(&json!({ "service": service })).unwrap();
        assert_eq!(found.url, "https://s.n.svc:443/p");
    }
}
