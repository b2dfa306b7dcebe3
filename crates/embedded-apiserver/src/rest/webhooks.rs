//! Asking the registered webhooks about a write.
//!
//! Mutating webhooks are asked one after the other, each about what the ones before have made of
//! the object; then those that wish it once more if a later one has changed it. Validating
//! webhooks are asked all at once about what is going to be stored.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use futures::future::join_all;
use serde_json::{Map, Value, json};
use tracing::warn;

use super::{Call, create, policies, prepare};
use crate::admission::Operation;
use crate::builtin::Resource;
use crate::status::Status;
use crate::store::Key;
use crate::webhook::{
    self, Asked, Attributes, CONDITION_VARIABLES, GroupVersionKind, GroupVersionResource, Hook,
    Matcher, Patched, Review, UserInfo, Verdict, denied,
};

/// The subresource whose objects are of another kind than its resource.
const BINDING: &str = "binding";

/// Whoever is let in is an administrator.
const GROUPS: &[&str] = &["system:masters", "system:authenticated"];

/// A write that webhooks are asked about.
pub(crate) struct Question<'a> {
    pub(crate) call: &'a Call,
    operation: Operation,
    pub(crate) name: &'a str,
    dry_run: bool,
    /// What a client said about a deletion.
    given: Option<&'a Value>,
    /// `CreateOptions`, `UpdateOptions` or `DeleteOptions`; made when first needed.
    options: OnceLock<Value>,
    /// Other versions of the resource; looked up when a webhook could ask for them.
    equivalents: OnceLock<Vec<Arc<Resource>>>,
}

impl<'a> Question<'a> {
    /// A create or an update. The name is empty if it is yet to be generated.
    pub(crate) fn write(call: &'a Call, operation: Operation, name: &'a str) -> Self {
        Self {
            call,
            operation,
            name,
            dry_run: call.params.dry_run(),
            given: None,
            options: OnceLock::new(),
            equivalents: OnceLock::new(),
        }
    }

    /// A deletion.
    pub(crate) fn delete(call: &'a Call, name: &'a str, options: &'a Value, dry_run: bool) -> Self {
        Self {
            call,
            operation: Operation::Delete,
            name,
            dry_run,
            given: Some(options),
            options: OnceLock::new(),
            equivalents: OnceLock::new(),
        }
    }

    fn options(&self) -> &Value {
        self.options.get_or_init(|| {
            let mut options = self.given.cloned().unwrap_or_else(|| json!({}));
            options["kind"] = json!(match self.operation {
                Operation::Create => "CreateOptions",
                Operation::Update => "UpdateOptions",
                Operation::Delete => "DeleteOptions",
            });
            options["apiVersion"] = json!("meta.k8s.io/v1");
            if self.dry_run {
                options["dryRun"] = json!(["All"]);
            }
            for key in ["fieldManager", "fieldValidation"] {
                if let Some(value) = self.call.params.get(key).filter(|_| self.given.is_none()) {
                    options[key] = json!(value);
                }
            }
            options
        })
    }

    /// Lets the mutating webhooks change the object; a deletion has none to change. True if one
    /// of them has.
    pub(crate) async fn mutate(
        &self,
        mut object: Option<&mut Value>,
        old: Option<&Value>,
        warnings: &mut Vec<String>,
    ) -> Result<bool, Status> {
        let Some(hooks) = self.hooks() else {
            return Ok(false);
        };
        let mut rounds = Reinvocations::default();
        let mut changed = false;
        for round in 0..2 {
            for (index, hook) in hooks.mutating.iter().enumerate() {
                if round > 0 && !rounds.due.contains(&index) {
                    continue;
                }
                let Some(seen) = self.seen_by(&hook.matcher, object.as_deref(), old)? else {
                    continue;
                };
                let answer = self.ask(hook, &seen, warnings).await?;
                let patched = match answer.and_then(|verdict| verdict.patch) {
                    Some(patch) => self.patched(hook, &seen, &patch)?,
                    None => None,
                };
                drop(seen);
                if let (Some(object), Some(patched)) = (object.as_deref_mut(), patched)
                    && *object != patched
                {
                    *object = patched;
                    changed = true;
                    rounds.changed();
                }
                if hook.reinvoked {
                    rounds.called.push(index);
                }
            }
            if rounds.due.is_empty() {
                break;
            }
        }
        Ok(changed)
    }

    /// Asks the policies and then the validating webhooks about what is going to be stored.
    pub(crate) async fn validate(
        &self,
        object: Option<&Value>,
        old: Option<&Value>,
        warnings: &mut Vec<String>,
    ) -> Result<(), Status> {
        policies::ask(self, object, old, warnings)?;
        let Some(hooks) = self.hooks() else {
            return Ok(());
        };
        let mut asked = Vec::new();
        for hook in &hooks.validating {
            if let Some(seen) = self.seen_by(&hook.matcher, object, old)? {
                asked.push((hook, seen));
            }
        }
        let answers = join_all(asked.iter().map(|(hook, seen)| async move {
            let mut warnings = Vec::new();
            let answer = self.ask(hook, seen, &mut warnings).await;
            (answer, warnings)
        }))
        .await;
        let mut result = Ok(());
        for (answer, mut own) in answers {
            warnings.append(&mut own);
            result = result.and(answer.map(drop));
        }
        result
    }

    /// Whether the write is one that is not reviewed.
    pub(crate) fn is_exempt(&self) -> bool {
        self.call.resource.group == webhook::GROUP
    }

    fn hooks(&self) -> Option<Arc<webhook::Hooks>> {
        if self.is_exempt() {
            return None;
        }
        self.call.core.webhooks.hooks()
    }

    /// How a webhook or a policy sees the write, or `None` if it is not concerned.
    pub(crate) fn seen_by<'o>(
        &self,
        matcher: &Matcher,
        object: Option<&'o Value>,
        old: Option<&'o Value>,
    ) -> Result<Option<Seen<'o>>, Status> {
        let Some(resource) = self.wanted_as(matcher) else {
            return Ok(None);
        };
        if !self.in_selected_namespace(matcher, object)? || !matcher.selects_object(object, old) {
            return Ok(None);
        }
        let view = |value: &'o Value| {
            let mut value = Cow::Borrowed(value);
            if !Arc::ptr_eq(&self.call.resource, &resource) {
                convert(&self.call.resource, &resource, value.to_mut());
            }
            value
        };
        let seen = Seen {
            object: object.map(view),
            old: old.map(view),
            resource,
        };
        if matcher.has_conditions() {
            let null = Value::Null;
            let request = serde_json::to_value(self.attributes(&seen.resource)).unwrap_or_default();
            let values = [
                seen.object.as_deref().unwrap_or(&null),
                seen.old.as_deref().unwrap_or(&null),
                &request,
            ];
            let values: Vec<(&str, &Value)> =
                CONDITION_VARIABLES.iter().copied().zip(values).collect();
            let held = matcher.conditions_hold(&values).map_err(|problem| {
                let resource = &self.call.resource;
                Status::forbidden(&resource.plural, &resource.group, self.name, problem)
            })?;
            if !held {
                return Ok(None);
            }
        }
        Ok(Some(seen))
    }

    /// The resource in whose terms a webhook wants to be asked: the one of the call, or another
    /// version of it.
    fn wanted_as(&self, matcher: &Matcher) -> Option<Arc<Resource>> {
        let own = &self.call.resource;
        if matcher.wants(&self.asked(own)) {
            return Some(Arc::clone(own));
        }
        if !matcher.equivalent {
            return None;
        }
        let equivalents = self
            .equivalents
            .get_or_init(|| self.call.core.registry.equivalents(own));
        let wanted = equivalents
            .iter()
            .find(|other| matcher.wants(&self.asked(other)));
        wanted.cloned()
    }

    fn asked<'r>(&'r self, resource: &'r Resource) -> Asked<'r> {
        Asked {
            operation: operation_name(self.operation),
            group: &resource.group,
            version: &resource.version,
            resource: &resource.plural,
            subresource: &self.call.subresource,
            name: self.name,
            namespaced: resource.namespaced,
        }
    }

    pub(crate) fn in_selected_namespace(
        &self,
        matcher: &Matcher,
        object: Option<&Value>,
    ) -> Result<bool, Status> {
        if !matcher.selects_namespaces() {
            return Ok(true);
        }
        let is_namespace = self.is_namespace();
        let name = match &self.call.namespace {
            Some(namespace) => namespace,
            None if is_namespace => self.name,
            // What is in no namespace is exempt from selection, and not from the webmatcher.
            None => return Ok(true),
        };
        // A Namespace that is being written has its new labels already.
        if let Some(object) = object.filter(|_| is_namespace && self.call.subresource.is_empty()) {
            return Ok(matcher.selects_namespace(&object["metadata"]["labels"]));
        }
        let stored = self.call.core.store.get("namespaces", &Key::new("", name));
        let stored = stored.ok_or_else(|| Status::not_found("namespaces", "", name))?;
        Ok(matcher.selects_namespace(&json!(stored.labels)))
    }

    fn is_namespace(&self) -> bool {
        let resource = &self.call.resource;
        resource.plural == "namespaces" && resource.group.is_empty()
    }

    pub(crate) fn attributes<'s>(&'s self, resource: &'s Resource) -> Attributes<'s> {
        let call = self.call;
        let kind = |resource: &'s Resource| match call.subresource.as_str() {
            BINDING => GroupVersionKind {
                group: "",
                version: "v1",
                kind: "Binding",
            },
            _ => GroupVersionKind {
                group: &resource.group,
                version: &resource.version,
                kind: &resource.kind,
            },
        };
        let named = |resource: &'s Resource| GroupVersionResource {
            group: &resource.group,
            version: &resource.version,
            resource: &resource.plural,
        };
        let namespace = match &call.namespace {
            Some(namespace) => namespace,
            None if self.is_namespace() => self.name,
            None => "",
        };
        Attributes {
            kind: kind(resource),
            resource: named(resource),
            sub_resource: &call.subresource,
            request_kind: kind(&call.resource),
            request_resource: named(&call.resource),
            request_sub_resource: &call.subresource,
            name: self.name,
            namespace,
            operation: operation_name(self.operation),
            user_info: UserInfo {
                username: &call.user,
                groups: GROUPS,
            },
            dry_run: self.dry_run,
            options: self.options(),
        }
    }

    /// Asks one webhook. An error is the client's answer; no verdict means that the webhook could
    /// not be asked and that this does not matter.
    async fn ask(
        &self,
        hook: &Hook,
        seen: &Seen<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Verdict>, Status> {
        if self.dry_run && !hook.allows_dry_run {
            return Err(Status::bad_request(format!(
                "admission webhook {:?} does not support dry run",
                hook.name
            )));
        }
        let uid = create::uuid();
        let review = Review {
            uid: &uid,
            attributes: self.attributes(&seen.resource),
            object: seen.object.as_deref(),
            old_object: seen.old.as_deref(),
        };
        let answer = hook.call(review.to_bytes()).await;
        let verdict = match answer.and_then(|answer| Verdict::read(answer, &uid)) {
            Ok(verdict) => verdict,
            Err(problem) => return failed(hook, &problem).map(|()| None),
        };
        warnings.extend(verdict.warnings.iter().cloned());
        if !verdict.allowed {
            return Err(denied(&hook.name, &verdict.result));
        }
        Ok(Some(verdict))
    }

    /// What a webhook's patch makes of the object.
    fn patched(&self, hook: &Hook, seen: &Seen<'_>, patch: &[u8]) -> Result<Option<Value>, Status> {
        let Some(view) = &seen.object else {
            // The patch of nothing may say that there is nothing to do.
            if Patched::of(&Value::Null, patch) == Patched::Object(Value::Null) {
                return Ok(None);
            }
            return Err(internal(format!(
                "admission webhook {:?} attempted to modify the object, which is not supported for                  this operation",
                hook.name
            )));
        };
        let mut patched = match Patched::of(view, patch) {
            Patched::Object(patched) => patched,
            Patched::Unreadable(problem) => return failed(hook, &problem).map(|()| None),
            Patched::DoesNotApply(problem) => return Err(internal(problem)),
        };
        convert(&seen.resource, &self.call.resource, &mut patched);
        if self.call.subresource != BINDING {
            prepare::check_type(self.call, &mut patched)
                .and_then(|()| prepare::shape(self.call, &mut patched))
                .map_err(|status| internal(status.message))?;
        }
        Ok(Some(patched))
    }
}

/// How a webhook or a policy sees a write.
pub(crate) struct Seen<'o> {
    pub(crate) resource: Arc<Resource>,
    pub(crate) object: Option<Cow<'o, Value>>,
    pub(crate) old: Option<Cow<'o, Value>>,
}

/// Which webhooks are to be asked again, by their place.
#[derive(Default)]
struct Reinvocations {
    /// Have been called since the object last changed, and want to hear of changes.
    called: Vec<usize>,
    due: Vec<usize>,
}

impl Reinvocations {
    fn changed(&mut self) {
        self.due.append(&mut self.called);
    }
}

/// The consequence of a call that failed.
fn failed(hook: &Hook, problem: &str) -> Result<(), Status> {
    let problem = format!("failed calling webhook {:?}: {problem}", hook.name);
    if hook.matcher.ignores_failure {
        warn!("{problem}; the request goes on, as failurePolicy says");
        return Ok(());
    }
    Err(internal(problem))
}

fn internal(problem: String) -> Status {
    Status::internal(&problem).cause("", "", problem)
}

fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
    }
}

/// From one version of a resource to another.
fn convert(from: &Arc<Resource>, to: &Arc<Resource>, value: &mut Value) {
    if !Arc::ptr_eq(from, to) {
        from.to_stored(value);
        to.show_stored(value);
    }
}

/// What the server gives a new object after the mutating webhooks have seen it.
const GIVEN_LATE: &[&str] = &["uid", "creationTimestamp"];
/// What nobody can change in a new object.
const FIXED: &[&str] = &[
    "uid",
    "creationTimestamp",
    "generation",
    "namespace",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "resourceVersion",
    "selfLink",
];

/// Lets the mutating webhooks change an object that is about to be created. Where the server has
/// `generated` the name, they do not see it, and may give another.
pub(crate) async fn mutate_new(
    call: &Call,
    object: &mut Value,
    generated: bool,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    if call.core.webhooks.hooks().is_none() {
        return Ok(());
    }
    let given: Map<String, Value> = object["metadata"].as_object().cloned().unwrap_or_default();
    if let Some(meta) = object["metadata"].as_object_mut() {
        let name = generated.then_some("name");
        for key in GIVEN_LATE.iter().copied().chain(name) {
            meta.remove(key);
        }
    }
    let name = asked_name(&given, generated);
    let question = Question::write(call, Operation::Create, name);
    question.mutate(Some(object), None, warnings).await?;
    let Some(meta) = object["metadata"].as_object_mut() else {
        return Err(Status::bad_request("metadata must be an object"));
    };
    for &key in FIXED {
        match given.get(key) {
            Some(value) => meta.insert(key.to_owned(), value.clone()),
            None => meta.remove(key),
        };
    }
    let named = meta.get("name").and_then(Value::as_str);
    if named.is_none_or(str::is_empty)
        && let Some(name) = given.get("name")
    {
        meta.insert("name".to_owned(), name.clone());
    }
    Ok(())
}

/// The name in a review of a new object.
fn asked_name(meta: &Map<String, Value>, generated: bool) -> &str {
    let name = meta.get("name").and_then(Value::as_str);
    name.filter(|_| !generated).unwrap_or_default()
}

/// Asks the validating webhooks about an object that is about to be created.
pub(crate) async fn validate_new(
    call: &Call,
    object: &Value,
    generated: bool,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let name = if generated { "" } else { name };
    let question = Question::write(call, Operation::Create, name);
    question.validate(Some(object), None, warnings).await
}
