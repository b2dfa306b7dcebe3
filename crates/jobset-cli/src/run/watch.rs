//! What happens in the cluster, as one stream of changes.

use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt as _, TryStreamExt as _};
use jobset_api::JobSet;
use jobset_api::constants as keys;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::events::v1::Event as ClusterEvent;
use kube::core::{ApiResource, Object};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use serde::Deserialize;

/// What of a Job's spec is shown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct JobSpec {
    suspend: Option<bool>,
    parallelism: Option<i32>,
    completions: Option<i32>,
}

/// A Job with little in it.
pub(super) type SlimJob = Object<JobSpec, JobStatus>;

/// The Job, without its template, for whom looks at Jobs of any cluster.
pub(super) fn as_job(slim: &SlimJob) -> Job {
    Job {
        metadata: slim.metadata.clone(),
        spec: Some(k8s_openapi::api::batch::v1::JobSpec {
            suspend: slim.spec.suspend,
            parallelism: slim.spec.parallelism,
            completions: slim.spec.completions,
            ..k8s_openapi::api::batch::v1::JobSpec::default()
        }),
        status: slim.status.clone(),
    }
}

/// What of a Pod's spec is shown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    pub(super) node_name: Option<String>,
}

/// What of a Pod's status is shown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    pub(super) phase: String,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    pub(super) conditions: Vec<PodCondition>,
    pub(super) init_container_statuses: Vec<ContainerStatus>,
    pub(super) container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodCondition {
    #[serde(rename = "type")]
    pub(super) type_: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    pub(super) restart_count: i32,
    pub(super) state: ContainerState,
    pub(super) last_state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerState {
    pub(super) waiting: Option<Waiting>,
    pub(super) terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Waiting {
    pub(super) reason: String,
    pub(super) message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Terminated {
    pub(super) exit_code: i32,
    pub(super) signal: Option<i32>,
    pub(super) reason: String,
    pub(super) message: String,
}

/// A Pod with little in it.
pub(super) type SlimPod = Object<PodSpec, PodStatus>;

/// A change of one object.
#[derive(Debug)]
pub(super) enum Change {
    JobSet(Box<JobSet>),
    JobSetGone(Box<JobSet>),
    Job(Box<SlimJob>),
    JobGone(Box<SlimJob>),
    Pod(Box<SlimPod>),
    PodGone(Box<SlimPod>),
    Warning(Box<ClusterEvent>),
}

/// Follows the JobSets, their Jobs and their Pods, and the events that warn.
pub(super) fn changes(client: &Client) -> SelectAll<BoxStream<'static, Change>> {
    let children = watcher::Config::default().labels(keys::JOBSET_NAME_KEY);
    let jobsets: Api<JobSet> = Api::all(client.clone());
    let jobs: Api<SlimJob> = Api::all_with(client.clone(), &ApiResource::erase::<Job>(&()));
    let pods: Api<SlimPod> = Api::all_with(
        client.clone(),
        &ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&()),
    );
    let mut all = SelectAll::new();
    all.push(follow(
        jobsets,
        watcher::Config::default(),
        Change::JobSet,
        Change::JobSetGone,
    ));
    all.push(follow(jobs, children.clone(), Change::Job, Change::JobGone));
    all.push(follow(pods, children, Change::Pod, Change::PodGone));
    let events: Api<ClusterEvent> = Api::all(client.clone());
    let warnings = watcher::Config::default().fields("type=Warning");
    // An event that is removed is no news: it is taken for the warning it was, said already.
    all.push(follow(events, warnings, Change::Warning, Change::Warning));
    all
}

fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    applied: fn(Box<K>) -> Change,
    gone: fn(Box<K>) -> Change,
) -> BoxStream<'static, Change>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    watcher::watcher(api, config)
        .inspect_err(|error| tracing::warn!(%error, "a watch was interrupted"))
        .filter_map(move |event| {
            std::future::ready(match event {
                Ok(Event::Apply(object) | Event::InitApply(object)) => {
                    Some(applied(Box::new(object)))
                }
                Ok(Event::Delete(object)) => Some(gone(Box::new(object))),
                _ => None,
            })
        })
        .boxed()
}
