//! The generated part of the Helm chart: named templates that the written ones include.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::rbac::ROLES;
use super::{Generated, policy, webhooks, yaml};

/// Stand for what only Helm knows.
const NAMESPACE: &str = "RELEASE-NAMESPACE";
const SERVICE: &str = "WEBHOOK-SERVICE";

pub(super) fn files() -> anyhow::Result<Vec<Generated>> {
    let style = webhooks::Style {
        namespace: NAMESPACE,
        service: SERVICE,
        helm: true,
    };
    let mut text = String::from(
        "{{/* Made by `cargo xtask generate` from xtask/src/generate. Do not edit. */}}\n",
    );
    for role in ROLES {
        let name = format!("jobset.rules.{}", role.name.trim_start_matches("jobset-"));
        define(&mut text, &name, &role.rules_value(false))?;
        let all = role.rules(true).count();
        let always = role.rules(false).count();
        if all != always {
            let value = role.rules_value(true);
            define(&mut text, &format!("{name}.webhook"), &value)?;
        }
    }
    define(
        &mut text,
        "jobset.webhooks.mutating",
        &webhooks::mutating(&style),
    )?;
    define(
        &mut text,
        "jobset.webhooks.validating",
        &webhooks::validating(&style),
    )?;
    let text = text
        .replace(NAMESPACE, "{{ .Release.Namespace }}")
        .replace(SERVICE, "{{ include \"jobset.webhookServiceName\" . }}");
    // The rules in CEL are read as a file, not as a template: nothing in them is Helm's.
    let policies = json!({ "objects": policy::objects() });
    Ok(vec![
        Generated::new("charts/jobset/templates/_generated.tpl", text),
        Generated::new(
            "charts/jobset/files/validating-admission-policies.yaml",
            format!(
                "# Made by `cargo xtask generate` from xtask/src/generate/policy.rs. Do not edit.\n{}\n",
                yaml(&policies)?
            ),
        ),
    ])
}

fn define(text: &mut String, name: &str, value: &Value) -> anyhow::Result<()> {
    writeln!(
        text,
        "\n{{{{- define \"{name}\" -}}}}\n{}\n{{{{- end -}}}}",
        yaml(value)?
    )?;
    Ok(())
}
