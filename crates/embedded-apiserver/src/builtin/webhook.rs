//! MutatingWebhookConfiguration, ValidatingWebhookConfiguration.

use std::collections::HashSet;

use http::Uri;
use serde_json::{Value, json};

use super::names::{dns_label_1035, qualified_name, validate_labels};
use super::{Strategy, child, dns_subdomain, field, fill, items_mut, text};
use crate::schema::Expression;
use crate::selector::LabelSelector;
use crate::status::Cause;
use crate::webhook::CONDITION_VARIABLES;

/// A configuration of webhooks of one of the two kinds.
pub(super) struct WebhookConfiguration {
    pub(super) mutating: bool,
}

const POLICIES: &[&str] = &["Fail", "Ignore"];
const MATCH_POLICIES: &[&str] = &["Equivalent", "Exact"];
const REINVOCATION_POLICIES: &[&str] = &["IfNeeded", "Never"];
const SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];
const SCOPES: &[&str] = &["*", "Cluster", "Namespaced"];
const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const MAX_CONDITIONS: usize = 64;
const URL_FORM: &str = "; desired format: https://host[/path]";

impl Strategy for WebhookConfiguration {
    fn complete(&self, object: &mut Value) {
        for webhook in items_mut(object, "webhooks") {
            fill(webhook, "failurePolicy", "Fail");
            fill(webhook, "matchPolicy", "Equivalent");
            fill(webhook, "namespaceSelector", json!({}));
            fill(webhook, "objectSelector", json!({}));
            fill(webhook, "timeoutSeconds", 10);
            if self.mutating {
                fill(webhook, "reinvocationPolicy", "Never");
            }
            for rule in items_mut(webhook, "rules") {
                fill(rule, "scope", "*");
            }
            if webhook["clientConfig"]["service"].is_object()
                && let Some(config) = child(webhook, "clientConfig")
                && let Some(service) = child(config, "service")
            {
                fill(service, "port", 443);
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<Cause> {
        let mut errors = Vec::new();
        let mut names = HashSet::new();
        for (index, webhook) in list(object, "webhooks").iter().enumerate() {
            let path = format!("webhooks[{index}]");
            self.webhook(webhook, &path, &mut errors);
            let name = text(webhook, &["name"]);
            if !name.is_empty() && !names.insert(name) {
                errors.push(field::duplicate(
                    format!("{path}.name"),
                    format!("{name:?}"),
                ));
            }
        }
        errors
    }
}

impl WebhookConfiguration {
    fn webhook(&self, webhook: &Value, path: &str, errors: &mut Vec<Cause>) {
        name(text(webhook, &["name"]), &format!("{path}.name"), errors);
        for (index, rule) in list(webhook, "rules").iter().enumerate() {
            self::rule(rule, &format!("{path}.rules[{index}]"), errors);
        }
        let mut choice = |key: &str, allowed: &[&str]| {
            let value = &webhook[key];
            if !value.is_null() && !allowed.contains(&value.as_str().unwrap_or_default()) {
                errors.push(field::unsupported(format!("{path}.{key}"), value, allowed));
            }
        };
        choice("failurePolicy", POLICIES);
        choice("matchPolicy", MATCH_POLICIES);
        choice("sideEffects", SIDE_EFFECTS);
        if self.mutating {
            choice("reinvocationPolicy", REINVOCATION_POLICIES);
        }
        if webhook["sideEffects"].is_null() {
            errors.push(field::required(
                format!("{path}.sideEffects"),
                "must specify one of None, NoneOnDryRun",
            ));
        }
        let timeout = &webhook["timeoutSeconds"];
        if timeout
            .as_i64()
            .is_some_and(|seconds| !(1..=30).contains(&seconds))
        {
            errors.push(field::invalid(
                format!("{path}.timeoutSeconds"),
                timeout,
                "the timeout value must be between 1 and 30 seconds",
            ));
        }
        for key in ["namespaceSelector", "objectSelector"] {
            selector(&webhook[key], &format!("{path}.{key}"), errors);
        }
        client(
            &webhook["clientConfig"],
            &format!("{path}.clientConfig"),
            errors,
        );
        conditions(webhook, &format!("{path}.matchConditions"), errors);
        versions(webhook, &format!("{path}.admissionReviewVersions"), errors);
    }
}

pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn name(name: &str, path: &str, errors: &mut Vec<Cause>) {
    if name.is_empty() {
        errors.push(field::required(path, ""));
    } else if let Some(why) = dns_subdomain(name) {
        errors.push(field::invalid(path, format!("{name:?}"), why));
    } else if name.split('.').count() < 3 {
        errors.push(field::invalid(
            path,
            format!("{name:?}"),
            "should be a domain with at least three segments separated by dots",
        ));
    }
}

pub(super) fn rule(rule: &Value, path: &str, errors: &mut Vec<Cause>) {
    for (key, what) in [
        ("operations", "operations"),
        ("apiGroups", "API groups"),
        ("apiVersions", "API versions"),
    ] {
        let values = list(rule, key);
        if values.is_empty() {
            errors.push(field::required(format!("{path}.{key}"), ""));
        }
        if values.len() > 1 && values.iter().any(|value| value == "*") {
            let why = format!("if '*' is present, must not specify other {what}");
            errors.push(field::invalid(format!("{path}.{key}"), &rule[key], &why));
        }
        for (index, value) in values.iter().enumerate() {
            let at = format!("{path}.{key}[{index}]");
            if key == "operations" && !OPERATIONS.contains(&value.as_str().unwrap_or_default()) {
                errors.push(field::unsupported(at, value, OPERATIONS));
            } else if key == "apiVersions" && value == "" {
                errors.push(field::required(at, ""));
            }
        }
    }
    resources(rule, &format!("{path}.resources"), errors);
    let scope = &rule["scope"];
    if !scope.is_null() && !SCOPES.contains(&scope.as_str().unwrap_or_default()) {
        errors.push(field::unsupported(format!("{path}.scope"), scope, SCOPES));
    }
}

fn resources(rule: &Value, path: &str, errors: &mut Vec<Cause>) {
    let resources: Vec<&str> = list(rule, "resources")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    if resources.is_empty() {
        errors.push(field::required(path, ""));
    }
    let mut any_subresource = HashSet::new();
    let mut any_resource = HashSet::new();
    for (index, resource) in resources.iter().enumerate() {
        let at = format!("{path}[{index}]");
        if resource.is_empty() {
            errors.push(field::required(at, ""));
            continue;
        }
        let Some((name, sub)) = resource.split_once('/') else {
            continue;
        };
        if any_subresource.contains(name) {
            let why = format!("if '{name}/*' is present, must not specify {resource}");
            errors.push(field::invalid(&at, format!("{resource:?}"), &why));
        }
        if any_resource.contains(sub) {
            let why = format!("if '*/{sub}' is present, must not specify {resource}");
            errors.push(field::invalid(&at, format!("{resource:?}"), &why));
        }
        if sub == "*" {
            any_subresource.insert(name);
        }
        if name == "*" {
            any_resource.insert(sub);
        }
    }
    let shown = &rule["resources"];
    if resources.len() > 1 && resources.contains(&"*/*") {
        let why = "if '*/*' is present, must not specify other resources";
        errors.push(field::invalid(path, shown, why));
    }
    if resources.contains(&"*") && resources.iter().any(|r| *r != "*" && !r.contains('/')) {
        let why = "if '*' is present, must not specify other resources without subresources";
        errors.push(field::invalid(path, shown, why));
    }
}

pub(super) fn selector(selector: &Value, path: &str, errors: &mut Vec<Cause>) {
    validate_labels(
        &selector["matchLabels"],
        &format!("{path}.matchLabels"),
        errors,
    );
    for (index, expression) in list(selector, "matchExpressions").iter().enumerate() {
        let key = text(expression, &["key"]);
        if let Some(why) = qualified_name(key) {
            let at = format!("{path}.matchExpressions[{index}].key");
            errors.push(field::invalid(at, format!("{key:?}"), why));
        }
    }
    if let Err(error) = LabelSelector::from_value(selector) {
        errors.push(field::invalid(path, selector, &error.to_string()));
    }
}

fn client(config: &Value, path: &str, errors: &mut Vec<Cause>) {
    match (config["url"].as_str(), config["service"].as_object()) {
        (Some(url), None) => self::url(url, &format!("{path}.url"), errors),
        (None, Some(_)) => service(&config["service"], &format!("{path}.service"), errors),
        _ => errors.push(field::required(
            path,
            "exactly one of url or service is required",
        )),
    }
}

fn url(url: &str, path: &str, errors: &mut Vec<Cause>) {
    let mut invalid = |value: &str, why: &str| {
        errors.push(field::invalid(path, format!("{value:?}"), why));
    };
    // The parser drops what comes after.
    let (url, fragment) = url.split_once('#').unwrap_or((url, ""));
    let uri = match url.parse::<Uri>() {
        Ok(uri) => uri,
        Err(error) => return invalid(url, &format!("url must be a valid URL: {error}{URL_FORM}")),
    };
    if uri.scheme_str() != Some("https") {
        let why = format!("'https' is the only allowed URL scheme{URL_FORM}");
        invalid(uri.scheme_str().unwrap_or_default(), &why);
    }
    if uri.host().is_none_or(str::is_empty) {
        invalid("", &format!("host must be provided{URL_FORM}"));
    }
    if let Some((user, _)) = uri
        .authority()
        .and_then(|all| all.as_str().rsplit_once('@'))
    {
        invalid(user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        invalid(fragment, "fragments are not permitted in the URL");
    }
    if let Some(query) = uri.query().filter(|query| !query.is_empty()) {
        invalid(query, "query parameters are not permitted in the URL");
    }
}

fn service(service: &Value, path: &str, errors: &mut Vec<Cause>) {
    for key in ["name", "namespace"] {
        if text(service, &[key]).is_empty() {
            let why = format!("service {key} is required");
            errors.push(field::required(format!("{path}.{key}"), &why));
        }
    }
    let port = &service["port"];
    if port
        .as_i64()
        .is_some_and(|port| !(1..=65_535).contains(&port))
    {
        errors.push(field::invalid(
            format!("{path}.port"),
            port,
            "port is not valid: must be between 1 and 65535, inclusive",
        ));
    }
    let url_path = text(service, &["path"]);
    let mut invalid = |why: &str| {
        errors.push(field::invalid(
            format!("{path}.path"),
            format!("{url_path:?}"),
            why,
        ));
    };
    if url_path.is_empty() || url_path == "/" {
        return;
    }
    let Some(segments) = url_path.strip_prefix('/') else {
        return invalid("must start with a '/'");
    };
    let segments = segments.strip_suffix('/').unwrap_or(segments);
    for (index, segment) in segments.split('/').enumerate() {
        if segment.is_empty() {
            invalid(&format!("segment[{index}] may not be empty"));
        } else if let Some(why) = dns_subdomain(segment) {
            invalid(&format!("segment[{index}]: {why}"));
        }
    }
}

pub(super) fn conditions(webhook: &Value, path: &str, errors: &mut Vec<Cause>) {
    let conditions = list(webhook, "matchConditions");
    if conditions.len() > MAX_CONDITIONS {
        errors.push(field::too_many(path, conditions.len(), MAX_CONDITIONS));
        return;
    }
    let mut names = HashSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let at = |key: &str| format!("{path}[{index}].{key}");
        let name = text(condition, &["name"]);
        if name.is_empty() {
            errors.push(field::required(at("name"), ""));
        } else if let Some(why) = qualified_name(name) {
            errors.push(field::invalid(at("name"), format!("{name:?}"), why));
        } else if !names.insert(name) {
            errors.push(field::duplicate(at("name"), format!("{name:?}")));
        }
        let expression = text(condition, &["expression"]);
        if expression.trim().is_empty() {
            errors.push(field::required(at("expression"), ""));
        } else if let Err(why) = Expression::compile(expression, CONDITION_VARIABLES) {
            let shown = format!("{expression:?}");
            errors.push(field::invalid(at("expression"), shown, &why));
        }
    }
}

/// This server speaks v1 and nothing older.
fn versions(webhook: &Value, path: &str, errors: &mut Vec<Cause>) {
    let versions = list(webhook, "admissionReviewVersions");
    if versions.is_empty() {
        errors.push(field::required(path, "must specify one of v1"));
        return;
    }
    let mut seen = HashSet::new();
    for (index, version) in versions.iter().enumerate() {
        let at = format!("{path}[{index}]");
        let text = version.as_str().unwrap_or_default();
        if !seen.insert(text) {
            errors.push(field::invalid(at, version, "duplicate version"));
        } else if let Some(why) = dns_label_1035(text) {
            errors.push(field::invalid(at, version, why));
        }
    }
    if !seen.contains("v1") {
        let shown = &webhook["admissionReviewVersions"];
        errors.push(field::invalid(
            path,
            shown,
            "must include at least one of v1",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Value {
        json!({
            "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://127.0.0.1:1/path"},
            "rules": [{
                "operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"],
                "resources": ["pods", "pods/status"],
            }],
            "matchConditions": [{"name": "a", "expression": "object.metadata.name == 'a'"}],
        })
    }

    fn errors(webhooks: &[Value]) -> Vec<String> {
        let mut object = json!({ "webhooks": webhooks });
        let strategy = WebhookConfiguration { mutating: true };
        strategy.complete(&mut object);
        let errors = strategy.validate(&object);
        errors
            .into_iter()
            .map(|e| format!("{}: {}", e.field, e.message))
            .collect()
    }

    #[test]
    fn defaults() {
        let mut object = json!({"webhooks": [good()]});
        object["webhooks"][0]["clientConfig"] = json!({"service": {"name": "s", "namespace": "n"}});
        WebhookConfiguration { mutating: true }.complete(&mut object);
        let webhook = &object["webhooks"][0];
        assert_eq!(webhook["failurePolicy"], "Fail");
        assert_eq!(webhook["matchPolicy"], "Equivalent");
        assert_eq!(webhook["reinvocationPolicy"], "Never");
        assert_eq!(webhook["timeoutSeconds"], 10);
        assert_eq!(webhook["namespaceSelector"], json!({}));
        assert_eq!(webhook["objectSelector"], json!({}));
        assert_eq!(webhook["rules"][0]["scope"], "*");
        assert_eq!(webhook["clientConfig"]["service"]["port"], 443);
        let once = object.clone();
        WebhookConfiguration { mutating: true }.complete(&mut object);
        assert_eq!(object, once);
    }

    #[test]
    fn what_users_break() {
        assert_eq!(errors(&[good()]), Vec::<String>::new());
        let condition = |text: &str| json!([{"name": "a", "expression": text}]);
        let many: Vec<Value> = (0..65)
            .map(|n| json!({"name": format!("c{n}"), "expression": "true"}))
            .collect();
        let service = |more: Value| {
            let mut service = json!({"name": "s", "namespace": "n"});
            service
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            json!({ "service": service })
        };
        let cases = [
            ("/name", json!(""), "name: Required value"),
            ("/name", json!("a.b"), "at least three segments"),
            ("/name", json!("A.b.c"), "RFC 1123"),
            ("/sideEffects", json!(null), "sideEffects: Required value"),
            ("/sideEffects", json!("Some"), "Unsupported value: \"Some\""),
            (
                "/failurePolicy",
                json!("Never"),
                "failurePolicy: Unsupported",
            ),
            ("/matchPolicy", json!("Some"), "matchPolicy: Unsupported"),
            (
                "/reinvocationPolicy",
                json!("Always"),
                "reinvocationPolicy: Unsupported",
            ),
            ("/timeoutSeconds", json!(0), "between 1 and 30"),
            ("/timeoutSeconds", json!(31), "between 1 and 30"),
            ("/admissionReviewVersions", json!([]), "must specify one of"),
            (
                "/admissionReviewVersions",
                json!(["v1beta1"]),
                "must include",
            ),
            (
                "/admissionReviewVersions",
                json!(["v1", "v1"]),
                "duplicate version",
            ),
            ("/clientConfig", json!({}), "exactly one of url or service"),
            (
                "/clientConfig/service",
                json!({"name": "s"}),
                "exactly one of url or service",
            ),
            (
                "/clientConfig/url",
                json!("http://a"),
                "'https' is the only",
            ),
            ("/clientConfig/url", json!("https://"), "URL"),
            (
                "/clientConfig/url",
                json!("https://u:p@a/"),
                "user information",
            ),
            (
                "/clientConfig/url",
                json!("https://a/?q=1"),
                "query parameters",
            ),
            ("/clientConfig/url", json!("https://a/#f"), "fragments"),
            (
                "/clientConfig",
                service(json!({"name": ""})),
                "service name is required",
            ),
            (
                "/clientConfig",
                service(json!({"port": 70_000})),
                "port is not valid",
            ),
            (
                "/clientConfig",
                service(json!({"path": "a"})),
                "must start with",
            ),
            (
                "/clientConfig",
                service(json!({"path": "/a//b"})),
                "segment[1]",
            ),
            ("/rules/0/operations", json!([]), "operations: Required"),
            (
                "/rules/0/operations",
                json!(["READ"]),
                "Unsupported value: \"READ\"",
            ),
            (
                "/rules/0/operations",
                json!(["*", "CREATE"]),
                "must not specify other operations",
            ),
            ("/rules/0/apiGroups", json!([]), "apiGroups: Required"),
            (
                "/rules/0/apiVersions",
                json!([""]),
                "apiVersions[0]: Required",
            ),
            ("/rules/0/resources", json!([]), "resources: Required"),
            (
                "/rules/0/resources",
                json!(["*/*", "pods"]),
                "if '*/*' is present",
            ),
            (
                "/rules/0/resources",
                json!(["*", "pods"]),
                "if '*' is present",
            ),
            (
                "/rules/0/resources",
                json!(["pods/*", "pods/status"]),
                "if 'pods/*' is present",
            ),
            ("/rules/0/scope", json!("Some"), "scope: Unsupported"),
            (
                "/objectSelector",
                json!({"matchLabels": {"-": "a"}}),
                "objectSelector.matchLabels",
            ),
            (
                "/namespaceSelector",
                json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
                "namespaceSelector: Invalid",
            ),
            ("/matchConditions", condition(""), "expression: Required"),
            (
                "/matchConditions",
                condition("object."),
                "compilation failed",
            ),
            (
                "/matchConditions",
                condition("authorizer.path('/')"),
                "'authorizer'",
            ),
            (
                "/matchConditions",
                json!(many),
                "must have at most 64 items",
            ),
            (
                "/matchConditions/0/name",
                json!("a b"),
                "matchConditions[0].name",
            ),
        ];
        for (pointer, value, expected) in cases {
            let mut webhook = good();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            webhook.pointer_mut(parent).unwrap()[key] = value;
            let found = errors(&[webhook]);
            assert!(
                found.iter().any(|e| e.contains(expected)),
                "{expected}: {found:?}"
            );
            assert!(
                found.iter().all(|e| e.starts_with("webhooks[0]")),
                "{found:?}"
            );
        }
        assert_eq!(
            errors(&[good(), good()]),
            ["webhooks[1].name: Duplicate value: \"a.example.com\""]
        );
        let mut twice = good();
        let first = twice["matchConditions"][0].clone();
        twice["matchConditions"].as_array_mut().unwrap().push(first);
        let path = "webhooks[0].matchConditions[1].name";
        assert_eq!(
            errors(&[twice]),
            [format!("{path}: Duplicate value: \"a\"")]
        );
    }
}
