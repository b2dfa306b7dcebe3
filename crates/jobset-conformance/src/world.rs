//! A namespace of a scenario's own, and what can be done and waited for in it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::Method;
use serde_json::{Value, json};

use crate::environment::{Environment, Need};
use crate::kind::Kind;
use crate::mirror::{Mirror, State};
use crate::user::{PatchKind, User};

/// How long a condition may take to come true. Only reached when something is broken.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where a scenario plays.
pub struct World {
    /// The cluster.
    pub environment: Arc<Environment>,
    /// Who uses it.
    pub user: User,
    mirror: Mirror,
}

impl World {
    /// Creates the namespace and starts watching it.
    pub(crate) async fn open(
        environment: Arc<Environment>,
        scenario: &str,
    ) -> anyhow::Result<Self> {
        let namespace = format!("{scenario}-{:06x}", std::process::id() & 0xff_ffff);
        let client = environment.client.clone();
        let user = User {
            kubectl: environment.kubectl.clone(),
            client: client.clone(),
            namespace: namespace.clone(),
        };
        let object = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {"jobset-conformance": scenario}}});
        user.send(Method::POST, "/api/v1/namespaces", "json", &object)
            .await?;
        environment.await_service_account(&namespace).await?;
        let mirror = Mirror::start(&client, &namespace, PATIENCE);
        Ok(Self {
            environment,
            user,
            mirror,
        })
    }

    /// Lets the namespace go.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        let path = format!("/api/v1/namespaces/{}", self.user.namespace);
        self.user
            .send(Method::DELETE, &path, "json", &Value::Null)
            .await
            .map(drop)
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.user.namespace
    }

    /// Creates a JobSet. Where no webhook fills in what it leaves out, this does.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create(&self, jobset: &Value) -> anyhow::Result<()> {
        if self.environment.has(Need::JobSetAdmission) {
            return self.user.create(Kind::JobSet, jobset).await;
        }
        let mut jobset = jobset.clone();
        jobset_api::defaulting::default_value(&mut jobset);
        self.user.create(Kind::JobSet, &jobset).await
    }

    /// Merges a patch into a JobSet.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn patch(&self, jobset: &str, patch: Value) -> anyhow::Result<()> {
        self.user
            .patch(Kind::JobSet, jobset, PatchKind::Merge, &patch)
            .await
    }

    /// Looks at the namespace as it is now.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.mirror.look(look)
    }

    /// Waits until something is found in the namespace.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until<T>(
        &self,
        what: &str,
        look: impl FnMut(&State) -> Option<T>,
    ) -> anyhow::Result<T> {
        self.mirror.until(what, look).await
    }

    /// Waits until an object is as wanted; returns it.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_object(
        &self,
        kind: Kind,
        name: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        self.until(&format!("{kind:?} {name} {what}"), |state| {
            state.get(kind, name).filter(|o| wanted(o)).cloned()
        })
        .await
    }

    /// Waits until an object is gone.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_gone(&self, kind: Kind, name: &str) -> anyhow::Result<()> {
        self.until(&format!("{kind:?} {name} is gone"), |state| {
            state.get(kind, name).is_none().then_some(())
        })
        .await
    }

    /// Waits until exactly these Jobs exist and none of them is being deleted: each as
    /// `name@attempt`, followed by `!` if it is suspended.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_jobs(&self, expected: &[&str]) -> anyhow::Result<()> {
        self.until(&format!("the Jobs are {expected:?}"), |state| {
            let jobs: Vec<String> = state.all(Kind::Job).map(|(_, job)| brief(job)).collect();
            (jobs == expected).then_some(())
        })
        .await
    }

    /// Waits until a JobSet has a condition with this status; returns the condition.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_condition(
        &self,
        jobset: &str,
        kind: &str,
        status: &str,
    ) -> anyhow::Result<Value> {
        self.until(&format!("{jobset} is {kind}={status}"), |state| {
            let found = condition(state.get(Kind::JobSet, jobset)?, kind)?;
            (found["status"] == status).then(|| found.clone())
        })
        .await
    }

    /// Waits until all Pods of a Job run; returns their names.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_running(&self, job: &str) -> anyhow::Result<Vec<String>> {
        self.until(&format!("all Pods of Job {job} run"), |state| {
            let object = state.get(Kind::Job, job)?;
            let wanted = object["spec"]["parallelism"].as_u64().unwrap_or(1);
            let pods: Vec<String> = pods_of(state, object)
                .filter(|pod| pod["status"]["phase"] == "Running")
                .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
                .collect();
            (pods.len() as u64 == wanted).then_some(pods)
        })
        .await
    }

    /// Lets the containers of all Pods of a Job end with this code, once they run.
    ///
    /// # Errors
    /// When that takes too long, or a Pod goes away meanwhile.
    pub async fn finish_job(&self, job: &str, exit_code: i32) -> anyhow::Result<()> {
        for pod in self.until_running(job).await? {
            self.finish_pod(&pod, exit_code).await?;
        }
        Ok(())
    }

    /// Lets the containers of a running Pod end with this code.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn finish_pod(&self, pod: &str, exit_code: i32) -> anyhow::Result<()> {
        let path = format!("{}/{pod}", Kind::Pod.path(self.namespace()));
        let note = json!({jobset_local::node::EXIT_CODE: exit_code.to_string()});
        let patch = json!({"metadata": {"annotations": note}});
        self.user
            .send(Method::PATCH, &path, "merge-patch+json", &patch)
            .await
            .map(drop)
            .with_context(|| format!("cannot end {pod}"))
    }

    /// Waits until a Pod does not run any more.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_gone_or_ended(&self, pod: &str) -> anyhow::Result<()> {
        self.until(&format!("Pod {pod} has ended"), |state| {
            let running = |pod: &Value| pod["status"]["phase"] == "Running";
            (!state.get(Kind::Pod, pod).is_some_and(running)).then_some(())
        })
        .await
    }

    /// Waits until the JobSet's Jobs are all ready.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_ready(&self, jobset: &str, jobs: i64) -> anyhow::Result<()> {
        self.until(&format!("{jobs} Jobs of {jobset} are ready"), |state| {
            (sum(state.get(Kind::JobSet, jobset)?, "ready") == jobs).then_some(())
        })
        .await
    }

    /// Waits until an event with this reason about an object exists.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_event(&self, about: &str, reason: &str) -> anyhow::Result<Value> {
        self.until(&format!("there is an event {reason} about {about}"), |s| {
            s.all(Kind::Event)
                .map(|(_, event)| event)
                .find(|e| e["reason"] == reason && e["regarding"]["name"] == about)
                .cloned()
        })
        .await
    }

    /// Waits until the controller has surely seen everything that was done so far and has acted:
    /// a JobSet made now has its Job.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_controller_has_looked(&self) -> anyhow::Result<()> {
        let sentinel = crate::objects::jobset("sentinel", vec![crate::objects::role("s", 1)]);
        self.create(&sentinel).await?;
        self.until("the last JobSet has its Job", |state| {
            state.get(Kind::Job, "sentinel-s-0").map(drop)
        })
        .await
    }
}

/// A Job as `name@attempt`, with `!` if suspended and `x` if being deleted.
pub fn brief(job: &Value) -> String {
    let attempt = job["metadata"]["labels"]["jobset.sigs.k8s.io/restart-attempt"].as_str();
    let suspended = job["spec"]["suspend"] == true;
    format!(
        "{}@{}{}{}",
        job["metadata"]["name"].as_str().unwrap_or_default(),
        attempt.unwrap_or("?"),
        if suspended { "!" } else { "" },
        if is_deleted(job) { "x" } else { "" },
    )
}

/// Whether an object is being deleted.
pub fn is_deleted(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// A condition of an object.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == kind)
}

/// The Pods of this incarnation of a Job.
pub fn pods_of<'a>(state: &'a State, job: &'a Value) -> impl Iterator<Item = &'a Value> {
    let uid = &job["metadata"]["uid"];
    state
        .all(Kind::Pod)
        .map(|(_, pod)| pod)
        .filter(move |pod| pod["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] == *uid)
}

/// One of the counts of a JobSet's status, over all its roles.
pub fn sum(jobset: &Value, count: &str) -> i64 {
    let roles = jobset["status"]["replicatedJobsStatus"].as_array();
    let counts = roles.into_iter().flatten();
    counts.filter_map(|role| role[count].as_i64()).sum()
}
