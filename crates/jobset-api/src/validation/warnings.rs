//! What is legal in a JobSet, but surely not what its author wants.
//!
//! Admission shows these to the user and lets the JobSet pass. A warning says what will happen
//! and how to mend it. Whoever writes a plain JobSet never sees one: each case below is a
//! contradiction in the object itself, not a matter of taste.
//!
//! | about | warned of |
//! |---|---|
//! | order of start | the deprecated `InOrder`; waiting for oneself, for what never starts, for what never completes, for what is ready at once; waiting for the very success that ends the JobSet |
//! | names | no room for the names of Pods when `completions` is not given |
//! | size | more replicated jobs than Kueue admits |
//! | failure policy | rules that never apply; restarts with no restart allowed; Jobs that never fail, or fail later than the rules suggest; containers that are restarted in their Pods for ever |
//! | Jobs | a TTL on the Jobs, which makes finished ones run again |
//! | Pods | a negative grace period |

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

use serde_json::Value;

use super::{
    create::{POD_SUFFIX, validation_name},
    text::MAX_LABEL_LENGTH,
};
use crate::{
    features::{Feature, FeatureGates},
    names::{job_name, pod_hostname},
    resource::JobSet,
    types::{
        DependsOnStatus, FailurePolicy, FailurePolicyAction, FailurePolicyRule, ReplicatedJob,
        RestartStrategy, StartupPolicyOrder, SuccessPolicyOperator,
    },
};

/// Kueue refuses a workload of more Pod sets; each replicated job is one.
const KUEUE_MAX_POD_SETS: usize = 18;
/// Beyond so many replicated jobs, policies are not held against each of them: the effort grows
/// faster than the object, and nobody writes such an object by hand.
const MAX_FOLLOWED: usize = 256;

/// Something legal that is surely wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Path of the field, such as `spec.replicatedJobs[1].dependsOn[0]`.
    pub path: String,
    /// What will happen, and how to mend it.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// What is surely wrong in a JobSet that is about to be created, in the order of the fields.
///
/// It makes sense only for a JobSet without errors (see [`super::validate_create`]): what is
/// refused already is not warned of again. Any JobSet is taken, though, defaulted or not.
pub fn warnings(jobset: &JobSet, gates: &FeatureGates) -> Vec<Warning> {
    let mut found = Findings::default();
    startup_policy(jobset, &mut found);
    if jobset.spec.replicated_jobs.len() > KUEUE_MAX_POD_SETS {
        found.add(
            "spec.replicatedJobs",
            format!(
                "there are {}, but Kueue admits no workload with more than {KUEUE_MAX_POD_SETS}; \
                 replicated jobs with the same template can be one with more replicas",
                jobset.spec.replicated_jobs.len()
            ),
        );
    }
    names(jobset, &mut found);
    dependencies(jobset, gates.enabled(Feature::ElasticJobSet), &mut found);
    templates(jobset, &mut found);
    if let Some(policy) = &jobset.spec.failure_policy {
        rules(jobset, policy, &mut found);
        retries(jobset, policy, &mut found);
        restarts_in_place(jobset, policy, &mut found);
    }
    found.0
}

#[derive(Default)]
struct Findings(Vec<Warning>);

impl Findings {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let (path, message) = (path.into(), message.into());
        self.0.push(Warning { path, message });
    }
}

/// A field of the Job's spec, unless absent.
fn job_field<'a>(job: &'a ReplicatedJob, key: &str) -> Option<&'a Value> {
    job.template.spec()?.get(key).filter(|v| !v.is_null())
}

fn startup_policy(jobset: &JobSet, found: &mut Findings) {
    let policy = jobset.spec.startup_policy.as_ref();
    if policy.is_some_and(|p| p.startup_policy_order == StartupPolicyOrder::InOrder) {
        found.add(
            "spec.startupPolicy.startupPolicyOrder",
            "InOrder is deprecated; let each replicated job say with dependsOn what it waits for",
        );
    }
}

/// Names of Pods, where validation has no `completions` to check them with.
fn names(jobset: &JobSet, found: &mut Findings) {
    let name = validation_name(jobset);
    for (index, job) in jobset.spec.replicated_jobs.iter().enumerate() {
        if !job.template.is_indexed() || job.template.completions().is_some() {
            continue;
        }
        let longest = job_name(&name, &job.name, job.replicas().wrapping_sub(1));
        let pod = format!("{}{POD_SUFFIX}", pod_hostname(&longest, 0));
        // A Job's name that is too long itself is an error.
        if longest.len() <= MAX_LABEL_LENGTH && pod.len() > MAX_LABEL_LENGTH {
            found.add(
                format!("spec.replicatedJobs[{index}].name"),
                format!(
                    "names of Pods like {pod:?} exceed {MAX_LABEL_LENGTH} characters, so Pods \
                     will be named otherwise or not be created at all; shorten the name of the \
                     JobSet or of the replicated job by {} characters",
                    pod.len() - MAX_LABEL_LENGTH
                ),
            );
        }
    }
}

fn dependencies(jobset: &JobSet, elastic: bool, found: &mut Findings) {
    let jobs = &jobset.spec.replicated_jobs;
    let mut positions: HashMap<&str, usize> = HashMap::new();
    let mut never_starts = vec![false; jobs.len()];
    for (i, job) in jobs.iter().enumerate() {
        positions.entry(&job.name).or_insert(i);
        if job.replicas() <= 0 {
            continue;
        }
        for (k, dependency) in job.depends_on().iter().enumerate() {
            // One that is not listed before is an error. One without Jobs is reached at once.
            let Some(&d) = positions.get(dependency.name.as_str()) else {
                continue;
            };
            let (other, name) = (&jobs[d], &dependency.name);
            if other.replicas() <= 0 {
                continue;
            }
            let empty = other.template.parallelism() == Some(0)
                && !(elastic && other.template.is_indexed());
            let done_at_once = other.template.completions() == Some(0);
            let problem = if d == i {
                never_starts[i] = true;
                format!("replicated job {name:?} waits for itself and will never start")
            } else if never_starts[d] {
                never_starts[i] = true;
                format!("{name:?} never starts itself, so this replicated job never does either")
            } else if empty && !done_at_once && dependency.status == DependsOnStatus::Complete {
                never_starts[i] = true;
                format!(
                    "{name:?} never completes because its parallelism is 0, so this replicated \
                     job will never start"
                )
            } else if empty && dependency.status == DependsOnStatus::Ready {
                format!(
                    "{name:?} counts as ready at once because its parallelism is 0, so there is \
                     nothing to wait for"
                )
            } else {
                continue;
            };
            found.add(format!("spec.replicatedJobs[{i}].dependsOn[{k}]"), problem);
        }
        if !never_starts[i] && jobs.len() <= MAX_FOLLOWED && ends_before(jobset, i, &positions) {
            found.add(
                format!("spec.replicatedJobs[{i}].dependsOn"),
                "the success policy completes the JobSet as soon as these are complete, so this \
                 replicated job will never start",
            );
        }
    }
}

/// Whether all that a replicated job waits for implies that the success policy is fulfilled.
fn ends_before(jobset: &JobSet, job: usize, positions: &HashMap<&str, usize>) -> bool {
    let Some(policy) = &jobset.spec.success_policy else {
        return false;
    };
    let jobs = &jobset.spec.replicated_jobs;
    // What is complete by then: what it waits for to complete, and what those, and the ones it
    // waits for to be ready, had waited for in their turn.
    let mut complete = BTreeSet::new();
    let mut visited = BTreeSet::from([job]);
    let mut open = vec![job];
    while let Some(current) = open.pop() {
        for dependency in jobs[current].depends_on() {
            let Some(&d) = positions.get(dependency.name.as_str()) else {
                continue;
            };
            if jobs[d].replicas() <= 0 {
                continue;
            }
            if dependency.status == DependsOnStatus::Complete {
                complete.insert(d);
            }
            if visited.insert(d) {
                open.push(d);
            }
        }
    }
    let targets = &policy.target_replicated_jobs;
    let mut targeted = jobs
        .iter()
        .enumerate()
        .filter(|(_, job)| job.replicas() > 0)
        .filter(|(_, job)| targets.is_empty() || targets.contains(&job.name))
        .map(|(index, _)| index)
        .peekable();
    match policy.operator {
        SuccessPolicyOperator::Any => targeted.any(|index| complete.contains(&index)),
        SuccessPolicyOperator::All => {
            targeted.peek().is_some() && targeted.all(|index| complete.contains(&index))
        }
        SuccessPolicyOperator::Unknown(_) => false,
    }
}

fn templates(jobset: &JobSet, found: &mut Findings) {
    let jobs = &jobset.spec.replicated_jobs;
    let total: i64 = jobs
        .iter()
        .map(|job| i64::from(job.replicas().max(0)))
        .sum();
    for (index, job) in jobs.iter().enumerate() {
        let path = format!("spec.replicatedJobs[{index}].template.spec");
        if total > 1
            && job.replicas() > 0
            && let Some(ttl) = job_field(job, "ttlSecondsAfterFinished")
        {
            found.add(
                format!("{path}.ttlSecondsAfterFinished"),
                format!(
                    "a Job is deleted {ttl} seconds after it has finished, and is then created \
                     and run again while other Jobs of the JobSet are still running; set \
                     spec.ttlSecondsAfterFinished of the JobSet instead"
                ),
            );
        }
        let grace = job
            .template
            .pod_spec()
            .and_then(|pod| pod.get("terminationGracePeriodSeconds")?.as_i64());
        if let Some(grace) = grace.filter(|&grace| grace < 0) {
            found.add(
                format!("{path}.template.spec.terminationGracePeriodSeconds"),
                format!("{grace} is taken for 1; to kill at once, set 0"),
            );
        }
    }
}

/// Whether a rule applies to a replicated job.
fn targets(rule: &FailurePolicyRule, job: &ReplicatedJob) -> bool {
    rule.target_replicated_jobs.is_empty() || rule.target_replicated_jobs.contains(&job.name)
}

fn rules(jobset: &JobSet, policy: &FailurePolicy, found: &mut Findings) {
    let jobs = &jobset.spec.replicated_jobs;
    let mut catches_all: Option<usize> = None;
    for (index, rule) in policy.rules.iter().enumerate() {
        let path = format!("spec.failurePolicy.rules[{index}]");
        if let Some(earlier) = catches_all {
            found.add(
                path,
                format!(
                    "this rule never applies: rules[{earlier}] before it matches every failure, \
                     and the first match decides"
                ),
            );
            continue;
        }
        if rule.on_job_failure_reasons.is_empty()
            && rule.on_job_failure_message_patterns.is_empty()
            && rule.target_replicated_jobs.is_empty()
        {
            catches_all = Some(index);
        }
        let counted = matches!(
            rule.action,
            FailurePolicyAction::RestartJobSet | FailurePolicyAction::RestartJob
        );
        if counted && policy.max_restarts() <= 0 {
            found.add(
                format!("{path}.action"),
                format!(
                    "{} fails the JobSet instead because maxRestarts is {}; raise maxRestarts, \
                     or say FailJobSet",
                    rule.action,
                    policy.max_restarts()
                ),
            );
        }
        let mut targeted = jobs
            .iter()
            .filter(|job| job.replicas() > 0 && targets(rule, job))
            .peekable();
        let reasons = &rule.on_job_failure_reasons;
        if !reasons.is_empty()
            && jobs.len() <= MAX_FOLLOWED
            && targeted.peek().is_some()
            && !targeted.any(|job| reasons.iter().any(|reason| can_fail_with(job, reason)))
        {
            let needed: Vec<_> = reasons.iter().map(|reason| needed_for(reason)).collect();
            found.add(
                format!("{path}.onJobFailureReasons"),
                format!(
                    "this rule never applies: no Job it is for can fail so; {}",
                    needed.join("; ")
                ),
            );
        }
    }
}

/// Whether a Job can fail with this reason, as far as its spec tells.
fn can_fail_with(job: &ReplicatedJob, reason: &str) -> bool {
    let has = |key| job_field(job, key).is_some();
    // Who knows with what reasons another controller fails Jobs.
    if has("managedBy") {
        return true;
    }
    match reason {
        "BackoffLimitExceeded" => {
            let unlimited = has("backoffLimitPerIndex").then_some(i32::MAX);
            job.template.backoff_limit().or(unlimited) != Some(i32::MAX)
        }
        "DeadlineExceeded" => has("activeDeadlineSeconds"),
        "FailedIndexes" => has("backoffLimitPerIndex"),
        "MaxFailedIndexesExceeded" => has("maxFailedIndexes"),
        "PodFailurePolicy" => job_field(job, "podFailurePolicy")
            .and_then(|policy| policy.get("rules")?.as_array())
            .is_some_and(|rules| rules.iter().any(|rule| rule["action"] == "FailJob")),
        _ => true,
    }
}

/// What a Job must have to fail with this reason.
fn needed_for(reason: &str) -> String {
    let what = match reason {
        "BackoffLimitExceeded" => "a backoffLimit that can be exceeded",
        "DeadlineExceeded" => "activeDeadlineSeconds",
        "FailedIndexes" => "backoffLimitPerIndex",
        "MaxFailedIndexesExceeded" => "maxFailedIndexes",
        _ => "a podFailurePolicy with the action FailJob",
    };
    format!("{reason} needs {what}")
}

/// Jobs whose own retries keep the failure policy from acting.
fn retries(jobset: &JobSet, policy: &FailurePolicy, found: &mut Findings) {
    let jobs = &jobset.spec.replicated_jobs;
    let in_place = policy.restart_strategy == Some(RestartStrategy::InPlaceRestart);
    if in_place || jobs.len() > MAX_FOLLOWED {
        return;
    }
    for (index, job) in jobs.iter().enumerate() {
        let has = |key| job_field(job, key).is_some();
        if job.replicas() <= 0
            || ["backoffLimitPerIndex", "podFailurePolicy", "managedBy"]
                .into_iter()
                .any(has)
        {
            continue;
        }
        let path = format!("spec.replicatedJobs[{index}].template.spec.backoffLimit");
        let awaited = policy.rules.iter().any(|rule| {
            let reasons = &rule.on_job_failure_reasons;
            targets(rule, job)
                && (reasons.is_empty() || reasons.iter().any(|r| r == "BackoffLimitExceeded"))
        });
        if !has("backoffLimit") && awaited {
            found.add(
                path,
                "not set, so the Job retries failed Pods 6 times, with growing pauses, before it \
                 fails and the failure policy acts; say how many retries there shall be (0 lets \
                 the policy act on the first failure)",
            );
        } else if job.template.backoff_limit() == Some(i32::MAX)
            && !has("activeDeadlineSeconds")
            && (policy.max_restarts() > 0 || !policy.rules.is_empty())
        {
            found.add(
                path,
                "the Job retries failed Pods forever and never fails, so the failure policy never \
                 acts on it; lower the limit",
            );
        }
    }
}

/// Containers that the kubelet restarts in their Pod whatever happens, so that neither the Pod nor
/// the Job ever fails.
///
/// That takes a restart policy of the container's own in a Pod that says Never. Where the Pod says
/// OnFailure, the Job controller counts restarts of containers towards `backoffLimit`.
fn restarts_in_place(jobset: &JobSet, policy: &FailurePolicy, found: &mut Findings) {
    let in_place = policy.restart_strategy == Some(RestartStrategy::InPlaceRestart);
    if in_place || (policy.max_restarts() <= 0 && policy.rules.is_empty()) {
        return;
    }
    for (index, job) in jobset.spec.replicated_jobs.iter().enumerate() {
        if job.replicas() <= 0 || job_field(job, "activeDeadlineSeconds").is_some() {
            continue;
        }
        let Some(pod) = job.template.pod_spec() else {
            continue;
        };
        let limited = pod.get("activeDeadlineSeconds").is_some_and(Value::is_i64);
        if limited || pod.get("restartPolicy").and_then(Value::as_str) != Some("Never") {
            continue;
        }
        let containers = pod.get("containers").and_then(Value::as_array);
        for (nth, container) in containers.into_iter().flatten().enumerate() {
            let own = container["restartPolicy"].as_str().unwrap_or_default();
            let field = if matches!(own, "Always" | "OnFailure") {
                "restartPolicy"
            } else if restarts_after_any_failure(container) {
                "restartPolicyRules"
            } else {
                continue;
            };
            found.add(
                format!(
                    "spec.replicatedJobs[{index}].template.spec.template.spec.containers[{nth}].{field}"
                ),
                "the container is restarted in its Pod after every failure, which no backoffLimit \
                 counts, so that the Job never fails and the failure policy never acts on it; leave \
                 out the exit codes that the policy is for, or use the restartStrategy \
                 InPlaceRestart",
            );
        }
    }
}

/// Whether the first rule for any exit code but 0 asks for a restart.
fn restarts_after_any_failure(container: &Value) -> bool {
    let rules = container["restartPolicyRules"].as_array();
    let rule = rules.and_then(|rules| rules.first());
    rule.is_some_and(|rule| {
        let codes = &rule["exitCodes"];
        let values = codes["values"].as_array();
        rule["action"] != Value::Null
            && codes["operator"] == "NotIn"
            && values.is_some_and(|values| values.iter().all(|code| *code == 0))
    })
}
