//! `docs/rbac.md`: what is granted, by rule, with the reason, and which rules hold without a
//! webhook.

use std::fmt::Write as _;

use super::Generated;
use super::policy::policies;
use super::rbac::{ROLES, Scope};

pub(super) fn file() -> Generated {
    // Writing to a String cannot fail.
    let mut text = String::from(
        "<!-- Made by `cargo xtask generate` from xtask/src/generate. Do not edit. -->\n\
         # Rights and rules\n\n\
         ## What the manager may do\n\n\
         Names are those of the kustomize overlays. Rights in *italics* are granted only where the \
         manager serves webhooks.\n",
    );
    for role in ROLES {
        let holder = match role.scope {
            Scope::Cluster => "the manager, on the whole cluster",
            Scope::Namespace => "the manager, in its own namespace",
            Scope::Unbound => "whom you bind it to",
        };
        let _ = write!(
            text,
            "\n### jobset-{}\n\nFor {holder}: {}.{}\n\n| on | may | because it |\n|---|---|---|\n",
            role.name.trim_start_matches("jobset-"),
            role.purpose,
            role.option
                .map(|option| format!(" Only installed together with `{option}`."))
                .unwrap_or_default()
        );
        for rule in role.rules(true) {
            let mark = if rule.is_webhook_only() { "*" } else { "" };
            let _ = writeln!(
                text,
                "| {mark}{}{mark} | {} | {} |",
                rule.subject(),
                rule.verbs(),
                rule.why
            );
        }
    }
    text += "\n## What is refused without a webhook\n\n\
             The API server itself checks these, by ValidatingAdmissionPolicies. Each line is the \
             message of one rule.\n";
    for policy in policies() {
        let _ = write!(text, "\n### {}\n\n", policy.name);
        for rule in &policy.rules {
            let _ = writeln!(text, "* {}", rule.message);
        }
    }
    Generated::new("docs/rbac.md", text)
}
