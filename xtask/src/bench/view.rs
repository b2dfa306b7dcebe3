//! What a watch has seen so far.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use anyhow::{Context as _, bail};
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use http::Request;
use serde::Deserialize;
use tokio::{sync::watch, task::JoinHandle};

use super::cluster::{Cluster, PATIENCE};

/// The few fields of Jobs and JobSets that conditions are about.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Seen {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    uid: String,
    deletion_timestamp: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    suspend: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    replicated_jobs_status: Vec<Role>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Role {
    ready: usize,
}

impl Seen {
    pub(crate) fn uid(&self) -> &str {
        &self.metadata.uid
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    pub(crate) fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Ready Jobs of a JobSet.
    pub(crate) fn ready(&self) -> usize {
        self.status
            .replicated_jobs_status
            .iter()
            .map(|r| r.ready)
            .sum()
    }
}

/// Objects by name.
pub(crate) type Objects = HashMap<String, Seen>;

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    object: Seen,
}

/// Follows a collection while it exists.
pub(crate) struct View {
    objects: Arc<Mutex<Objects>>,
    changed: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Drop for View {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl View {
    /// Starts with what there is. The watch is there when this returns.
    pub(crate) async fn start(cluster: &Cluster, path: &str) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct List {
            metadata: ListMetadata,
            items: Vec<Seen>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct ListMetadata {
            resource_version: String,
        }
        let client = cluster.client.clone();
        let list: List = client.request(Request::get(path).body(Vec::new())?).await?;
        let items = list.items.into_iter();
        let objects: Objects = items
            .map(|seen| (seen.metadata.name.clone(), seen))
            .collect();
        let objects = Arc::new(Mutex::new(objects));
        let version = list.metadata.resource_version;
        let uri = format!("{path}?watch=1&timeoutSeconds=7200&resourceVersion={version}");
        let stream = client
            .request_stream(Request::get(uri).body(Vec::new())?)
            .await?;
        let (tell, changed) = watch::channel(0);
        let state = objects.clone();
        let task = tokio::spawn(async move {
            let mut lines = Box::pin(stream.lines());
            // The end of the stream closes the channel, which is how whoever waits learns of it.
            while let Ok(Some(line)) = lines.try_next().await {
                let Ok(line) = serde_json::from_str::<Line>(&line) else {
                    return;
                };
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                let name = line.object.metadata.name.clone();
                match line.kind.as_str() {
                    "ADDED" | "MODIFIED" => drop(state.insert(name, line.object)),
                    "DELETED" => drop(state.remove(&name)),
                    _ => return,
                }
                drop(state);
                tell.send_modify(|count| *count += 1);
            }
        });
        Ok(Self {
            objects,
            changed,
            task,
        })
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Objects) -> T) -> T {
        look(&self.objects.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something holds. Returns when it was seen.
    pub(crate) async fn until(
        &self,
        what: &str,
        mut holds: impl FnMut(&Objects) -> bool,
    ) -> anyhow::Result<Instant> {
        let mut changed = self.changed.clone();
        let wait = async {
            loop {
                changed.mark_unchanged();
                if self.look(&mut holds) {
                    return Ok(Instant::now());
                }
                changed.changed().await.context("the watch has ended")?;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(result) => result,
            Err(_) => bail!("waited {PATIENCE:?} in vain until {what}"),
        }
    }

    /// Waits until there are so many objects.
    pub(crate) async fn until_there_are(&self, count: usize) -> anyhow::Result<Instant> {
        let what = format!("there are {count} objects");
        self.until(&what, |objects| objects.len() >= count).await
    }
}
