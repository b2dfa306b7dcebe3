//! Which requests a webhook wants to see.

use serde_json::Value;

/// What is being asked for, as far as rules look at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) operation: &'a str,
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    /// Of the object; empty if it is not known yet.
    pub(crate) name: &'a str,
    /// Whether the object lives in a namespace. A Namespace itself does not.
    pub(crate) namespaced: bool,
}

/// One entry of a webhook's `rules`.
#[derive(Debug)]
pub(super) struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// Resource and subresource.
    resources: Vec<(String, String)>,
    /// Of objects, in policies only; none means all.
    names: Vec<String>,
    scope: Scope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    All,
    Namespaced,
    Cluster,
}

impl Rule {
    pub(super) fn read(rule: &Value) -> Self {
        let strings = |key: &str| -> Vec<String> {
            let items = rule[key].as_array().into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let split = |text: String| match text.split_once('/') {
            Some((resource, subresource)) => (resource.to_owned(), subresource.to_owned()),
            None => (text, String::new()),
        };
        Self {
            operations: strings("operations"),
            groups: strings("apiGroups"),
            versions: strings("apiVersions"),
            resources: strings("resources").into_iter().map(split).collect(),
            names: strings("resourceNames"),
            scope: match rule["scope"].as_str() {
                Some("Namespaced") => Scope::Namespaced,
                Some("Cluster") => Scope::Cluster,
                _ => Scope::All,
            },
        }
    }

    pub(super) fn matches(&self, asked: &Asked<'_>) -> bool {
        let named = |list: &[String], value: &str| list.iter().any(|one| is(one, value));
        let scope = match self.scope {
            Scope::All => true,
            Scope::Namespaced => asked.namespaced,
            Scope::Cluster => !asked.namespaced,
        };
        let by_name = self.names.is_empty() || self.names.iter().any(|name| name == asked.name);
        scope
            && by_name
            && named(&self.operations, asked.operation)
            && named(&self.groups, asked.group)
            && named(&self.versions, asked.version)
            && self.resources.iter().any(|(resource, subresource)| {
                is(resource, asked.resource) && is(subresource, asked.subresource)
            })
    }
}

fn is(pattern: &str, value: &str) -> bool {
    pattern == "*" || pattern == value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POD: Asked<'_> = Asked {
        operation: "CREATE",
        group: "",
        version: "v1",
        resource: "pods",
        subresource: "",
        name: "p",
        namespaced: true,
    };

    #[test]
    fn resources_and_subresources() {
        let status = Asked {
            subresource: "status",
            ..POD
        };
        for (pattern, pod, pod_status) in [
            ("pods", true, false),
            ("pods/status", false, true),
            ("pods/*", true, true),
            ("*", true, false),
            ("*/*", true, true),
            ("*/status", false, true),
            ("jobs", false, false),
            ("jobs/*", false, false),
        ] {
            let rule = Rule::read(&json!({
                "operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"],
                "resources": [pattern],
            }));
            assert_eq!(rule.matches(&POD), pod, "{pattern}");
            assert_eq!(rule.matches(&status), pod_status, "{pattern}");
        }
    }

    #[test]
    fn everything_else() {
        let base = json!({
            "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
            "resources": ["pods"], "scope": "*",
        });
        for (key, value, expected) in [
            ("operations", json!(["CREATE"]), true),
            ("operations", json!(["UPDATE", "CREATE"]), true),
            ("operations", json!(["UPDATE"]), false),
            ("operations", json!(["*"]), true),
            ("apiGroups", json!(["batch"]), false),
            ("apiGroups", json!(["*"]), true),
            ("apiVersions", json!(["v2"]), false),
            ("apiVersions", json!(["*"]), true),
            ("scope", json!("Namespaced"), true),
            ("scope", json!("Cluster"), false),
            ("resourceNames", json!(["o", "p"]), true),
            ("resourceNames", json!(["o"]), false),
        ] {
            let mut rule = base.clone();
            rule[key] = value.clone();
            assert_eq!(Rule::read(&rule).matches(&POD), expected, "{key} {value}");
        }
    }
}
