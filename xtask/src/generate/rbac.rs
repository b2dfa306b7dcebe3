//! What the manager may do on a cluster, and why: the one source of all roles.

use serde_json::{Value, json};

use super::webhooks::{MUTATING, VALIDATING};

/// One rule of a role.
pub(super) struct Rule {
    groups: &'static [&'static str],
    resources: &'static [&'static str],
    /// Only the objects of these names; empty means all.
    names: &'static [&'static str],
    urls: &'static [&'static str],
    verbs: &'static [&'static str],
    /// Why it is needed, for the documentation.
    pub(super) why: &'static str,
    /// Whether it is needed only where the manager serves webhooks.
    webhook_only: bool,
}

/// A set of rules under a name.
pub(super) struct Role {
    /// Name of the object in the kustomize overlays, without the prefix `jobset-`.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) purpose: &'static str,
    pub(super) scope: Scope,
    /// The setting of the configuration that it is for; granted only together with that.
    pub(super) option: Option<&'static str>,
    rules: &'static [Rule],
}

/// Where a role holds, and who gets it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The whole cluster, bound to the manager.
    Cluster,
    /// The manager's own namespace, bound to the manager.
    Namespace,
    /// For people: bound to nobody here.
    Unbound,
}

const fn rule(
    groups: &'static [&'static str],
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    why: &'static str,
) -> Rule {
    Rule {
        groups,
        resources,
        names: &[],
        urls: &[],
        verbs,
        why,
        webhook_only: false,
    }
}

impl Rule {
    const fn named(mut self, names: &'static [&'static str]) -> Self {
        self.names = names;
        self
    }

    const fn webhook_only(mut self) -> Self {
        self.webhook_only = true;
        self
    }

    fn to_value(&self) -> Value {
        if !self.urls.is_empty() {
            return json!({ "nonResourceURLs": self.urls, "verbs": self.verbs });
        }
        let mut value = json!({
            "apiGroups": self.groups,
            "resources": self.resources,
            "verbs": self.verbs,
        });
        if !self.names.is_empty() {
            value["resourceNames"] = json!(self.names);
        }
        value
    }

    /// What it is about, for the documentation.
    pub(super) fn subject(&self) -> String {
        if !self.urls.is_empty() {
            return self.urls.join(", ");
        }
        let group = match self.groups {
            [""] => "core",
            groups => groups.first().copied().unwrap_or_default(),
        };
        let names = match self.names {
            [] => String::new(),
            names => format!(" ({})", names.join(", ")),
        };
        format!("{group}: {}{names}", self.resources.join(", "))
    }

    /// The verbs, for the documentation.
    pub(super) fn verbs(&self) -> String {
        self.verbs.join(", ")
    }

    pub(super) fn is_webhook_only(&self) -> bool {
        self.webhook_only
    }
}

const JOBSETS: &[&str] = &["jobset.x-k8s.io"];

/// Everything that is granted.
pub(super) const ROLES: &[Role] = &[
    Role {
        name: "manager-role",
        purpose: "what the manager does on the whole cluster",
        scope: Scope::Cluster,
        option: None,
        rules: &[
            rule(
                JOBSETS,
                &["jobsets"],
                &["delete", "list", "watch"],
                "reads what to do; deletes a finished JobSet after its time to live",
            ),
            rule(
                JOBSETS,
                &["jobsets/status"],
                &["patch"],
                "writes conditions and counts",
            ),
            rule(
                JOBSETS,
                &["jobsets/finalizers"],
                &["update"],
                "owner references with blockOwnerDeletion, where the admission plugin \
                 OwnerReferencesPermissionEnforcement checks them",
            ),
            rule(
                &["batch"],
                &["jobs"],
                &["create", "delete", "get", "list", "patch", "watch"],
                "creates, suspends, resumes, scales and deletes the Jobs",
            ),
            rule(
                &["batch"],
                &["jobs/status"],
                &["patch"],
                "clears the start time of a suspended Job before it is resumed on other nodes",
            ),
            rule(
                &[""],
                &["services"],
                &["create", "get", "list", "watch"],
                "creates the headless Service; the garbage collector deletes it",
            ),
            rule(
                &[""],
                &["persistentvolumeclaims"],
                &["create", "get", "list", "watch"],
                "creates claims of volume claim policies and looks whether they exist",
            ),
            rule(
                &[""],
                &["pods"],
                &["delete", "list", "watch"],
                "follows Pods for exclusive placement and in-place restarts; deletes a Pod that \
                 is in the wrong domain",
            ),
            rule(
                &[""],
                &["pods/status"],
                &["patch"],
                "marks such a Pod as disrupted, so that its deletion is not a failure of the Job",
            ),
            rule(
                &[""],
                &["nodes"],
                &["get"],
                "whether the node of a Pod that does not go away is dead, before the Pod is deleted \
                 by force",
            ),
            rule(
                &[""],
                &["nodes"],
                &["list", "watch"],
                "reads the domain of a node for exclusive placement",
            )
            .webhook_only(),
            rule(
                &["events.k8s.io"],
                &["events"],
                &["create", "patch"],
                "tells what happened to a JobSet",
            ),
            rule(
                &["admissionregistration.k8s.io"],
                &[
                    "mutatingwebhookconfigurations",
                    "validatingwebhookconfigurations",
                ],
                &["list", "watch"],
                "sees when the certificate authority has to be put in again",
            )
            .webhook_only(),
            rule(
                &["admissionregistration.k8s.io"],
                &["mutatingwebhookconfigurations"],
                &["get", "update"],
                "puts the certificate authority into its own configuration",
            )
            .named(&[MUTATING])
            .webhook_only(),
            rule(
                &["admissionregistration.k8s.io"],
                &["validatingwebhookconfigurations"],
                &["get", "update"],
                "the same",
            )
            .named(&[VALIDATING])
            .webhook_only(),
        ],
    },
    Role {
        name: "short-names-role",
        purpose: "publishes short names of Pods",
        scope: Scope::Cluster,
        option: Some("extensions.shortNames"),
        rules: &[rule(
            &["discovery.k8s.io"],
            &["endpointslices"],
            &["create", "delete", "get", "list", "patch", "watch"],
            "keeps slices of its own beside those that Kubernetes makes for the headless Services; \
             whoever may write slices can send the traffic of any Service elsewhere, so this is \
             granted only where it is asked for",
        )],
    },
    Role {
        name: "proxy-role",
        purpose: "asks the API server who may read the metrics",
        scope: Scope::Cluster,
        option: None,
        rules: &[
            rule(
                &["authentication.k8s.io"],
                &["tokenreviews"],
                &["create"],
                "who is asking",
            ),
            rule(
                &["authorization.k8s.io"],
                &["subjectaccessreviews"],
                &["create"],
                "whether they may",
            ),
        ],
    },
    Role {
        name: "metrics-reader",
        purpose: "reads the metrics; bind it to whoever scrapes them",
        scope: Scope::Cluster,
        option: None,
        rules: &[Rule {
            groups: &[],
            resources: &[],
            names: &[],
            urls: &["/metrics"],
            verbs: &["get"],
            why: "reads the metrics",
            webhook_only: false,
        }],
    },
    Role {
        name: "leader-election-role",
        purpose: "elects the replica that works",
        scope: Scope::Namespace,
        option: None,
        rules: &[
            rule(
                &["coordination.k8s.io"],
                &["leases"],
                &["create", "get", "list", "update", "watch"],
                "holds the Lease",
            ),
            rule(&[""], &["events"], &["create"], "tells who leads"),
        ],
    },
    Role {
        name: "manager-secrets-role",
        purpose: "keeps the certificate of the webhook server",
        scope: Scope::Namespace,
        option: None,
        rules: &[rule(
            &[""],
            &["secrets"],
            &["get", "list", "update", "watch"],
            "reads and renews the certificate; the Secret itself is part of the installation",
        )
        .webhook_only()],
    },
    Role {
        name: "jobset-editor-role",
        purpose: "for people and programs that run JobSets",
        scope: Scope::Unbound,
        option: None,
        rules: &[
            rule(
                JOBSETS,
                &["jobsets"],
                &[
                    "create", "delete", "get", "list", "patch", "update", "watch",
                ],
                "everything with JobSets",
            ),
            rule(JOBSETS, &["jobsets/status"], &["get"], "reads their state"),
        ],
    },
    Role {
        name: "jobset-viewer-role",
        purpose: "for people and programs that look at JobSets",
        scope: Scope::Unbound,
        option: None,
        rules: &[
            rule(
                JOBSETS,
                &["jobsets"],
                &["get", "list", "watch"],
                "reads JobSets",
            ),
            rule(JOBSETS, &["jobsets/status"], &["get"], "reads their state"),
        ],
    },
];

impl Role {
    /// Its rules; without those that only webhooks need unless `webhook`.
    pub(super) fn rules(&self, webhook: bool) -> impl Iterator<Item = &Rule> {
        self.rules
            .iter()
            .filter(move |rule| webhook || !rule.webhook_only)
    }

    /// Its rules as `rules` of a role object.
    pub(super) fn rules_value(&self, webhook: bool) -> Value {
        self.rules(webhook).map(Rule::to_value).collect()
    }

    /// Kind of the role object.
    pub(super) fn kind(&self) -> &'static str {
        match self.scope {
            Scope::Cluster | Scope::Unbound => "ClusterRole",
            Scope::Namespace => "Role",
        }
    }

    /// Name of the binding: `-role` becomes `-rolebinding`.
    pub(super) fn binding(&self) -> String {
        let stem = self.name.strip_suffix("-role").unwrap_or(self.name);
        format!("{stem}-rolebinding")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_by_wildcard_and_every_rule_says_why() {
        for role in ROLES {
            for rule in role.rules {
                let words = [rule.groups, rule.resources, rule.verbs].concat();
                assert!(!words.contains(&"*"), "{}", role.name);
                assert!(!rule.why.is_empty() && !rule.verbs.is_empty());
                assert!(rule.verbs.is_sorted(), "{}: {:?}", role.name, rule.verbs);
            }
        }
    }

    /// No role of the manager lets it make Pods, Secrets or roles, or run commands in Pods.
    #[test]
    fn the_manager_cannot_gain_rights() {
        let manager = || ROLES.iter().filter(|role| role.scope != Scope::Unbound);
        for rule in manager().flat_map(|role| role.rules) {
            for resource in rule.resources {
                assert!(!resource.starts_with("pods/") || *resource == "pods/status");
                assert!(!resource.contains("role") && *resource != "serviceaccounts");
                if ["pods", "secrets"].contains(resource) {
                    assert!(!rule.verbs.contains(&"create") && !rule.verbs.contains(&"patch"));
                }
            }
        }
    }

    #[test]
    fn names_of_bindings() {
        let names: Vec<_> = ROLES.iter().map(Role::binding).collect();
        assert!(names.contains(&"manager-rolebinding".to_owned()));
        assert!(names.contains(&"metrics-reader-rolebinding".to_owned()));
        assert!(names.contains(&"leader-election-rolebinding".to_owned()));
    }
}
