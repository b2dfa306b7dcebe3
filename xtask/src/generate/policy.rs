//! The rules about JobSets that hold without a webhook: ValidatingAdmissionPolicies, which the API
//! server evaluates itself.
//!
//! They repeat of the webhook's rules what CEL can say within its limits: an expression may cost
//! a million units, so nothing here is quadratic in the replicated jobs unless they are few
//! ([`FEW`]). What they leave out, the controller copes with.

use jobset_api::constants::{
    COORDINATOR_KEY, EXCLUSIVE_TOPOLOGY_KEY, GROUP, JOB_FAILURE_REASONS, MAX_MANAGED_BY_LENGTH,
    MAX_REPLICAS_FOR_RESTART_JOB, NODE_SELECTOR_STRATEGY_KEY, PLURAL, VERSION,
};
use serde_json::{Value, json};

/// Most replicated jobs, or failure policy rules, that are compared each with each. Beyond it such
/// a rule holds: a limit of cost must never refuse what is right.
const FEW: usize = 100;
/// Most failure policy rules whose targets are looked up (each has up to [`FEW`], among as many
/// replicated jobs), and most claim templates of a policy (of which there are up to 50) that are
/// compared each with each.
const FEW_RULES: usize = 20;
/// A DNS label that starts with a letter.
const LABEL: &str = "^[a-z]([-a-z0-9]*[a-z0-9])?$";
/// A DNS name.
const SUBDOMAIN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// One policy.
pub(crate) struct Policy {
    pub(crate) name: &'static str,
    operation: &'static str,
    pub(crate) variables: Vec<(&'static str, String)>,
    pub(crate) rules: Vec<Rule>,
}

/// One rule of a policy.
pub(crate) struct Rule {
    /// What is refused with the message that follows; also the line of the documentation.
    pub(crate) message: String,
    pub(crate) expression: String,
}

fn rule(message: impl Into<String>, expression: impl Into<String>) -> Rule {
    Rule {
        message: message.into(),
        expression: expression.into(),
    }
}

/// All policies.
pub(crate) fn policies() -> [Policy; 2] {
    [on_create(), on_update()]
}

/// `path` if it is set, else `default`.
fn or(path: &str, default: &str) -> String {
    format!("(has({path}) ? {path} : {default})")
}

/// A field of a Job template's spec if it is set, else `default`.
fn job_field(field: &str, default: &str) -> String {
    format!(
        "(has(r.template.spec) && has(r.template.spec.{field}) ? r.template.spec.{field} : \
         {default})"
    )
}

fn on_create() -> Policy {
    let replicas = or("r.replicas", "1");
    let parallelism = job_field("parallelism", "1");
    // Jobs without a mode become Indexed.
    let indexed_with_completions = "has(r.template.spec) && has(r.template.spec.completions) && \
         (!has(r.template.spec.completionMode) || r.template.spec.completionMode == 'Indexed')";
    let variables = vec![
        ("roles", or("object.spec.replicatedJobs", "[]")),
        ("names", "variables.roles.map(r, r.name)".to_owned()),
        ("few", format!("size(variables.roles) <= {FEW}")),
        (
            "longestJobs",
            format!(
                "variables.roles.map(r, object.metadata.name + '-' + r.name + '-' + \
                 string({replicas} - 1))"
            ),
        ),
        (
            "longestPods",
            format!(
                "variables.roles.filter(r, {indexed_with_completions}).map(r, \
                 object.metadata.name + '-' + r.name + '-' + string({replicas} - 1) + '-' + \
                 string(r.template.spec.completions - 1) + '-abcde')"
            ),
        ),
        (
            "rules",
            "has(object.spec.failurePolicy) && has(object.spec.failurePolicy.rules) ? \
             object.spec.failurePolicy.rules : []"
                .to_owned(),
        ),
        (
            "coordinators",
            "has(object.spec.coordinator) ? variables.roles.filter(r, r.name == \
             object.spec.coordinator.replicatedJob) : []"
                .to_owned(),
        ),
        (
            "jobIndex",
            "has(object.spec.coordinator) && has(object.spec.coordinator.jobIndex) ? \
             object.spec.coordinator.jobIndex : 0"
                .to_owned(),
        ),
        (
            "podIndex",
            "has(object.spec.coordinator) && has(object.spec.coordinator.podIndex) ? \
             object.spec.coordinator.podIndex : 0"
                .to_owned(),
        ),
        (
            "subdomain",
            "has(object.spec.network) && has(object.spec.network.subdomain) && \
             object.spec.network.subdomain != '' ? object.spec.network.subdomain : \
             object.metadata.name"
                .to_owned(),
        ),
        ("claims", or("object.spec.volumeClaimPolicies", "[]")),
        (
            "exclusive",
            annotated("object.metadata", EXCLUSIVE_TOPOLOGY_KEY),
        ),
        (
            "bySelector",
            format!(
                "variables.exclusive && {}",
                annotated("object.metadata", NODE_SELECTOR_STRATEGY_KEY)
            ),
        ),
    ];
    let mut rules = structure_rules(&replicas, &parallelism);
    rules.extend(failure_policy_rules());
    rules.extend(other_create_rules(&replicas, indexed_with_completions));
    Policy {
        name: "jobset-validate-create",
        operation: "CREATE",
        variables,
        rules,
    }
}

fn structure_rules(replicas: &str, parallelism: &str) -> Vec<Rule> {
    vec![
        rule(
            "dependsOn cannot be set on the first replicated job",
            "size(variables.roles) == 0 || !has(variables.roles[0].dependsOn)",
        ),
        rule(
            "a replicated job can only depend on replicated jobs that are listed before it",
            "!variables.few || variables.roles.all(r, !has(r.dependsOn) || r.dependsOn.all(d, \
             d.name in variables.names && variables.names.indexOf(d.name) < \
             variables.names.indexOf(r.name)))",
        ),
        rule(
            "replicas times parallelism of a replicated job must not exceed 2147483647",
            format!("variables.roles.all(r, {replicas} * {parallelism} <= 2147483647)"),
        ),
        rule(
            "groupName must be a DNS label of at most 63 characters that starts with a letter",
            format!(
                "variables.roles.all(r, !has(r.groupName) || (size(r.groupName) <= 63 && \
                 r.groupName.matches('{LABEL}')))"
            ),
        ),
        rule(
            "JobSet name or replicated job name too long: names of Jobs \
             (JOBSET-REPLICATEDJOB-INDEX) must not exceed 63 characters",
            "variables.longestJobs.all(n, size(n) <= 63)",
        ),
        rule(
            "names of Jobs (JOBSET-REPLICATEDJOB-INDEX) must be DNS labels that start with a \
             letter: lower-case letters, digits and '-'",
            format!("variables.longestJobs.all(n, size(n) > 63 || n.matches('{LABEL}'))"),
        ),
        rule(
            "JobSet name or replicated job name too long: names of Pods \
             (JOBSET-REPLICATEDJOB-INDEX-INDEX-xxxxx) must not exceed 63 characters",
            "variables.longestPods.all(n, size(n) <= 63)",
        ),
        rule(
            "spec.network.subdomain must be a DNS label of at most 63 characters that starts with \
             a letter",
            format!(
                "!has(object.spec.network) || !has(object.spec.network.subdomain) || \
                 object.spec.network.subdomain == '' || (size(object.spec.network.subdomain) <= 63 \
                 && object.spec.network.subdomain.matches('{LABEL}'))"
            ),
        ),
        rule(
            format!(
                "spec.managedBy must be a domain-prefixed path such as acme.io/foo, of at most \
                 {MAX_MANAGED_BY_LENGTH} characters"
            ),
            format!(
                "!has(object.spec.managedBy) || (size(object.spec.managedBy) <= \
                 {MAX_MANAGED_BY_LENGTH} && object.spec.managedBy.matches(\
                 '^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/.+$'))"
            ),
        ),
        rule(
            "successPolicy.targetReplicatedJobs names a replicated job that does not exist",
            format!(
                "!variables.few || !has(object.spec.successPolicy) || \
                 !has(object.spec.successPolicy.targetReplicatedJobs) || \
                 size(object.spec.successPolicy.targetReplicatedJobs) > {FEW} || \
                 object.spec.successPolicy.targetReplicatedJobs.all(t, t in variables.names)"
            ),
        ),
    ]
}

fn failure_policy_rules() -> Vec<Rule> {
    let reasons: Vec<_> = JOB_FAILURE_REASONS
        .iter()
        .map(|reason| format!("'{reason}'"))
        .collect();
    let reasons = reasons.join(", ");
    vec![
        rule(
            "the name of a failure policy rule must start with a letter, end with a letter, a \
             digit or '_', have only letters, digits, '_', ',' and ':' between, and be no longer \
             than 128 characters",
            "variables.rules.all(x, x.name == '' || (size(x.name) <= 128 && \
             x.name.matches('^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$')))",
        ),
        rule(
            "two failure policy rules have the same name",
            format!(
                "size(variables.rules) > {FEW} || variables.rules.all(x, x.name == '' || \
                 variables.rules.exists_one(y, y.name == x.name))"
            ),
        ),
        rule(
            "a failure policy rule targets a replicated job that does not exist",
            format!(
                "!variables.few || size(variables.rules) > {FEW_RULES} || variables.rules.all(x, \
                 !has(x.targetReplicatedJobs) || size(x.targetReplicatedJobs) > {FEW} || \
                 x.targetReplicatedJobs.all(t, t in variables.names))"
            ),
        ),
        rule(
            format!(
                "onJobFailureReasons may only hold {}",
                reasons.replace('\'', "")
            ),
            format!(
                "variables.rules.all(x, !has(x.onJobFailureReasons) || \
                 x.onJobFailureReasons.all(o, o in [{reasons}]))"
            ),
        ),
        rule(
            format!(
                "the actions RestartJob and RestartJobAndIgnoreMaxRestarts need every replicated \
                 job to have at most {MAX_REPLICAS_FOR_RESTART_JOB} replicas"
            ),
            format!(
                "!variables.rules.exists(x, x.action in ['RestartJob', \
                 'RestartJobAndIgnoreMaxRestarts']) || variables.roles.all(r, !has(r.replicas) || \
                 r.replicas <= {MAX_REPLICAS_FOR_RESTART_JOB})"
            ),
        ),
    ]
}

fn other_create_rules(replicas: &str, indexed: &str) -> Vec<Rule> {
    let template_exclusive = annotated("r.template.metadata", EXCLUSIVE_TOPOLOGY_KEY);
    let template_selector = annotated("r.template.metadata", NODE_SELECTOR_STRATEGY_KEY);
    let pod = "r.template.spec.template.metadata";
    let pod_exclusive = annotated(pod, EXCLUSIVE_TOPOLOGY_KEY);
    let pod_selector = annotated(pod, NODE_SELECTOR_STRATEGY_KEY);
    vec![
        rule(
            "the coordinator's replicated job does not exist",
            "!has(object.spec.coordinator) || size(variables.coordinators) > 0",
        ),
        rule(
            "the coordinator's job index must be at least 0 and less than the replicas of its \
             replicated job",
            format!(
                "variables.coordinators.all(r, 0 <= variables.jobIndex && variables.jobIndex < \
                 {replicas})"
            ),
        ),
        rule(
            "the coordinator's Job must be Indexed with completions set, and its pod index at \
             least 0 and less than the completions",
            format!(
                "variables.coordinators.all(r, {indexed} && 0 <= variables.podIndex && \
                 variables.podIndex < r.template.spec.completions)"
            ),
        ),
        rule(
            format!(
                "the coordinator's network name is too long for the label {COORDINATOR_KEY} (63 \
                 characters): shorten the names of JobSet, replicated job or subdomain"
            ),
            "!has(object.spec.coordinator) || size(object.metadata.name + '-' + \
             object.spec.coordinator.replicatedJob + '-' + string(variables.jobIndex) + '-' + \
             string(variables.podIndex) + '.' + variables.subdomain) <= 63",
        ),
        rule(
            "names of volume claim templates must be DNS names, and TEMPLATE-JOBSET must not \
             exceed 63 characters",
            format!(
                "variables.claims.all(p, !has(p.templates) || p.templates.all(t, \
                 has(t.metadata) && has(t.metadata.name) && \
                 t.metadata.name.matches('{SUBDOMAIN}') && \
                 size(t.metadata.name + '-' + object.metadata.name) <= 63))"
            ),
        ),
        rule(
            "two volume claim templates of a policy have the same name",
            format!(
                "variables.claims.all(p, !has(p.templates) || size(p.templates) > {FEW_RULES} || \
                 p.templates.all(t, p.templates.exists_one(u, has(u.metadata) && \
                 has(u.metadata.name) && has(t.metadata) && has(t.metadata.name) && \
                 u.metadata.name == t.metadata.name)))"
            ),
        ),
        rule(
            format!(
                "exclusive placement by Pod affinity needs the Pod webhook, which is turned off \
                 on this cluster: set the annotation {NODE_SELECTOR_STRATEGY_KEY} beside \
                 {EXCLUSIVE_TOPOLOGY_KEY} and label the nodes, or ask for the webhook"
            ),
            format!(
                "variables.roles.all(r, !(variables.exclusive || {template_exclusive} || \
                 {pod_exclusive}) || variables.bySelector || ({template_exclusive} && \
                 {template_selector}) || {pod_selector})"
            ),
        ),
    ]
}

/// Whether the metadata at this path has the annotation. Each part on the way may be absent.
fn annotated(metadata: &str, key: &str) -> String {
    let mut present = String::new();
    for (end, _) in metadata.match_indices('.').skip(1) {
        present += &format!("has({}) && ", &metadata[..end]);
    }
    // An object always has metadata, a template need not.
    if metadata != "object.metadata" {
        present += &format!("has({metadata}) && ");
    }
    format!("({present}has({metadata}.annotations) && '{key}' in {metadata}.annotations)")
}

fn on_update() -> Policy {
    // The part of a template that may change while the set is suspended.
    let mutable = "['nodeSelector', 'tolerations', 'schedulingGates']";
    let same = |new: &str, old: &str, skip: &str| {
        format!(
            "dyn({new}).all(k, k in {skip} || (k in dyn({old}) && dyn({new})[k] == \
             dyn({old})[k])) && dyn({old}).all(k, k in {skip} || k in dyn({new}))"
        )
    };
    let before = "variables.oldRoles.filter(o, o.name == r.name)";
    let pairs = |rule: &str| {
        format!(
            "!variables.suspended || !variables.few || variables.names != variables.oldNames || \
             variables.roles.all(r, {before}.all(o, {rule}))"
        )
    };
    let variables = vec![
        ("roles", or("object.spec.replicatedJobs", "[]")),
        ("oldRoles", or("oldObject.spec.replicatedJobs", "[]")),
        ("names", "variables.roles.map(r, r.name)".to_owned()),
        ("oldNames", "variables.oldRoles.map(r, r.name)".to_owned()),
        ("few", format!("size(variables.roles) <= {FEW}")),
        (
            "suspended",
            "(has(object.spec.suspend) && object.spec.suspend) || (has(oldObject.spec.suspend) && \
             oldObject.spec.suspend)"
                .to_owned(),
        ),
    ];
    let rules = vec![
        rule(
            "spec.managedBy: field is immutable",
            format!(
                "{} == {}",
                or("object.spec.managedBy", "''"),
                or("oldObject.spec.managedBy", "''")
            ),
        ),
        rule(
            "spec.replicatedJobs: replicated jobs cannot be added, removed, renamed or reordered",
            "variables.names == variables.oldNames",
        ),
        rule(
            "spec.replicatedJobs: field is immutable while the JobSet is not suspended",
            "variables.suspended || variables.roles == variables.oldRoles",
        ),
        rule(
            "spec.replicatedJobs: only the Pod templates' labels, annotations, nodeSelector, \
             tolerations and schedulingGates can be changed while the JobSet is suspended",
            pairs(&same("r", "o", "['template']")),
        ),
        rule(
            "spec.replicatedJobs: the metadata of a Job template is immutable",
            pairs(&same("r.template", "o.template", "['spec']")),
        ),
        rule(
            "spec.replicatedJobs: fields of a Job template other than the Pod template are \
             immutable",
            pairs(&format!(
                "has(r.template.spec) == has(o.template.spec) && (!has(r.template.spec) || ({}))",
                same("r.template.spec", "o.template.spec", "['template']")
            )),
        ),
        rule(
            "spec.replicatedJobs: of a Pod template's spec, only nodeSelector, tolerations and \
             schedulingGates can be changed while the JobSet is suspended",
            pairs(&format!(
                "!has(r.template.spec) || !has(o.template.spec) || \
                 !has(r.template.spec.template.spec) || !has(o.template.spec.template.spec) || ({})",
                same(
                    "r.template.spec.template.spec",
                    "o.template.spec.template.spec",
                    mutable
                )
            )),
        ),
    ];
    Policy {
        name: "jobset-validate-update",
        operation: "UPDATE",
        variables,
        rules,
    }
}

/// The policies and their bindings.
pub(super) fn objects() -> Vec<Value> {
    policies().iter().flat_map(Policy::objects).collect()
}

impl Policy {
    fn objects(&self) -> [Value; 2] {
        let variables = self.variables.iter();
        let variables: Vec<_> = variables
            .map(|(name, expression)| json!({ "name": name, "expression": expression }))
            .collect();
        let rules = self.rules.iter();
        let rules: Vec<_> = rules
            .map(|rule| {
                json!({
                    "expression": rule.expression,
                    "message": rule.message,
                    "reason": "Invalid",
                })
            })
            .collect();
        let api_version = "admissionregistration.k8s.io/v1";
        [
            json!({
                "apiVersion": api_version,
                "kind": "ValidatingAdmissionPolicy",
                "metadata": { "name": self.name },
                "spec": {
                    "failurePolicy": "Fail",
                    "matchConstraints": { "resourceRules": [{
                        "apiGroups": [GROUP],
                        "apiVersions": [VERSION],
                        "operations": [self.operation],
                        "resources": [PLURAL],
                    }] },
                    "variables": variables,
                    "validations": rules,
                },
            }),
            json!({
                "apiVersion": api_version,
                "kind": "ValidatingAdmissionPolicyBinding",
                "metadata": { "name": self.name },
                "spec": { "policyName": self.name, "validationActions": ["Deny"] },
            }),
        ]
    }
}

#[cfg(test)]
mod tests;
