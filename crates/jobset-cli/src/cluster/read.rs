//! Reading a JobSet with all that belongs to it.

use std::fmt::Debug;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use futures::{AsyncBufRead, AsyncBufReadExt as _};
use jobset_api::JobSet;
use jobset_api::constants as keys;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, LogParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::{Connection, plain};
use crate::view::{Failure, Snapshot};

/// Objects that are asked for at once.
const PAGE: u32 = 500;
/// Bytes of a log that are asked for at most, so that one long line costs no more.
const LOG_BYTES: i64 = 256 * 1024;

/// The JobSet; that there is none is an error.
pub(crate) async fn jobset(at: &Connection, name: &str) -> anyhow::Result<JobSet> {
    let found = at.api::<JobSet>().get_opt(name).await.map_err(plain)?;
    found.ok_or_else(|| {
        NoJobSet {
            name: name.to_owned(),
            namespace: at.namespace.clone(),
        }
        .into()
    })
}

/// There is no such JobSet, or not any more.
#[derive(Debug)]
pub(crate) struct NoJobSet {
    pub(super) name: String,
    pub(super) namespace: String,
}

impl std::fmt::Display for NoJobSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, namespace } = self;
        write!(f, "there is no JobSet {name:?} in namespace {namespace:?}")
    }
}

impl std::error::Error for NoJobSet {}

/// Finds out whether the JobSets of a namespace, or of all, can be listed.
pub(crate) async fn probe(at: &Connection, namespace: Option<&str>) -> anyhow::Result<()> {
    let api: Api<JobSet> = match namespace {
        Some(namespace) => Api::namespaced(at.client.clone(), namespace),
        None => Api::all(at.client.clone()),
    };
    match api.list_metadata(&ListParams::default().limit(1)).await {
        Ok(_) => Ok(()),
        // Whoever lists all of them says why that cannot be.
        Err(_) => all(api, &ListParams::default(), |_| {}).await.map(drop),
    }
}

/// The JobSet with its Jobs, its Pods and, if wanted, the events of the namespace.
pub(crate) async fn snapshot(
    at: &Connection,
    name: &str,
    with_events: bool,
) -> anyhow::Result<Snapshot> {
    let jobset = jobset(at, name).await?;
    let children = ListParams::default().labels(&format!("{}={name}", keys::JOBSET_NAME_KEY));
    let events = async {
        if with_events {
            all(at.api::<Event>(), &ListParams::default(), |_| {}).await
        } else {
            Ok(Vec::new())
        }
    };
    let (jobs, pods, events) = futures::try_join!(
        all(at.api::<Job>(), &children, without_template),
        all(at.api::<Pod>(), &children, without_details),
        events,
    )?;
    Ok(Snapshot::new(
        jobset,
        jobs.into_iter().map(Arc::new),
        pods.into_iter().map(Arc::new),
        events.into_iter().map(Arc::new).collect(),
        Timestamp::now(),
    ))
}

/// All objects of a kind, page by page; of each only what `trim` leaves is kept.
pub(crate) async fn all<K>(
    api: Api<K>,
    params: &ListParams,
    trim: fn(&mut K),
) -> anyhow::Result<Vec<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let mut params = params.clone().limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let page = api
            .list(&params)
            .await
            .map_err(of_collection::<K>)
            .with_context(|| format!("cannot list {}", K::plural(&())))?;
        objects.extend(page.items.into_iter().map(|mut object| {
            object.meta_mut().managed_fields = None;
            trim(&mut object);
            object
        }));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

/// Why a collection cannot be read.
pub(super) fn of_collection<K: Resource<DynamicType = ()>>(error: kube::Error) -> anyhow::Error {
    match error {
        // Collections that a server knows are never missing, only empty.
        kube::Error::Api(status) if status.code == 404 => anyhow!(
            "the cluster does not know {}s: is the operator installed? (jobset install --help)",
            K::kind(&())
        ),
        error => plain(error),
    }
}

/// Thousands of Jobs are kept at once, and nobody looks at their templates.
pub(super) fn without_template(job: &mut Job) {
    if let Some(spec) = &mut job.spec {
        spec.template = k8s_openapi::api::core::v1::PodTemplateSpec::default();
    }
}

/// Of a Pod's spec, what is shown is where it runs and which containers it has.
pub(super) fn without_details(pod: &mut Pod) {
    if let Some(spec) = &mut pod.spec {
        spec.volumes = None;
        for container in spec
            .containers
            .iter_mut()
            .chain(spec.init_containers.iter_mut().flatten())
        {
            container.env = None;
            container.volume_mounts = None;
            container.command = None;
            container.args = None;
        }
    }
}

/// Fills in what a failed container printed last, or why that cannot be had.
pub(crate) async fn last_lines(at: &Connection, failure: &mut Failure, lines: i64) {
    let Some(container) = &failure.container else {
        return;
    };
    let params = LogParams {
        container: Some(container.clone()),
        previous: failure.restarted,
        tail_lines: Some(lines),
        limit_bytes: Some(LOG_BYTES),
        ..LogParams::default()
    };
    let pods = at.api::<Pod>();
    let read = async {
        let mut log = std::pin::pin!(pods.log_stream(&failure.pod, &params).await?);
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut log).await? {
            // What is not text must not spoil the terminal.
            lines.push(crate::manifest::printable(&line));
        }
        Ok::<_, kube::Error>(lines)
    };
    match read.await {
        Ok(lines) => failure.last_lines = Some(lines),
        Err(error) => failure.no_log = Some(plain(error).to_string()),
    }
}

/// The next line of a log without its end; bytes that are not UTF-8 are replaced.
pub(crate) async fn next_line(
    log: &mut (impl AsyncBufRead + Unpin),
) -> kube::Result<Option<String>> {
    let mut line = Vec::new();
    log.read_until(b'\n', &mut line)
        .await
        .map_err(kube::Error::ReadEvents)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}
