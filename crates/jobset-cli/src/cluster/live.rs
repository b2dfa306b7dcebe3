//! A JobSet and its children as they change: one list of each kind, then watches.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use futures::stream::{self, BoxStream, SelectAll};
use futures::{Stream, StreamExt as _};
use jobset_api::JobSet;
use jobset_api::constants as keys;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event as ClusterEvent;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher as watch};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};

use super::Connection;
use super::read::{NoJobSet, of_collection, without_details, without_template};
use crate::view::Snapshot;

/// What is known of one JobSet and its children, kept up to date by watches.
pub(crate) struct Live {
    name: String,
    namespace: String,
    changes: SelectAll<BoxStream<'static, Result<Change, Interruption>>>,
    mirror: Mirror,
    /// Watches that are interrupted, and by what.
    interrupted: BTreeMap<&'static str, String>,
    /// Whether something has changed since it was last told.
    changed: bool,
    /// When there may be news again.
    earliest: Instant,
    pace: Duration,
}

impl Live {
    /// Begins to follow the JobSet of a name. Many changes in a short time are told as one: news are
    /// at least `pace` apart.
    pub(crate) fn follow(at: &Connection, name: &str, pace: Duration) -> Self {
        let children =
            watcher::Config::default().labels(&format!("{}={name}", keys::JOBSET_NAME_KEY));
        let itself = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut changes = SelectAll::new();
        changes.push(watched(
            at.api(),
            itself,
            |_: &JobSet| true,
            |_| {},
            Change::JobSet,
        ));
        changes.push(watched(
            at.api(),
            children.clone(),
            |_| true,
            without_template,
            Change::Job,
        ));
        changes.push(watched(
            at.api(),
            children,
            |_| true,
            without_details,
            Change::Pod,
        ));
        // Of the events of a busy namespace, only these are kept.
        let (own, below) = (name.to_owned(), format!("{name}-"));
        changes.push(watched(
            at.api(),
            watcher::Config::default(),
            move |event: &ClusterEvent| {
                let about = event
                    .regarding
                    .as_ref()
                    .and_then(|about| about.name.as_ref());
                about.is_some_and(|name| *name == own || name.starts_with(&below))
            },
            |_| {},
            Change::Event,
        ));
        Self {
            name: name.to_owned(),
            namespace: at.namespace.clone(),
            changes,
            mirror: Mirror::default(),
            interrupted: BTreeMap::new(),
            changed: false,
            earliest: Instant::now(),
            pace,
        }
    }

    /// What there is now, as soon as everything has been listed and something is different from what
    /// was told last. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// [`NoJobSet`] if there is none or not any more; whatever a watch stumbles over, which begins
    /// anew by itself after a while. The next call waits for the next change in both cases, and a watch
    /// that has begun anew is one.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Snapshot> {
        loop {
            if self.changed && self.mirror.is_complete() {
                let pause = sleep_until(self.earliest);
                tokio::select! {
                    // Whoever is late is told at once, but with all that has come until then.
                    biased;
                    Some(change) = self.changes.next() => self.apply(change)?,
                    () = pause => {
                        self.changed = false;
                        self.earliest = Instant::now() + self.pace;
                        return self.snapshot();
                    }
                }
            } else if let Some(change) = self.changes.next().await {
                self.apply(change)?;
            } else {
                // Watches end only with the process.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Tells no news before this time has passed, but goes on taking note of changes whenever it is
    /// asked for news: watches that are not read from fall behind.
    pub(crate) fn rest(&mut self, pause: Duration) {
        self.earliest = self.earliest.max(Instant::now() + pause);
    }

    /// What keeps a watch from telling what happens now, if anything does: then what was told last may
    /// be out of date.
    pub(crate) fn interruption(&self) -> Option<&str> {
        self.interrupted.values().next().map(String::as_str)
    }

    fn apply(&mut self, change: Result<Change, Interruption>) -> anyhow::Result<()> {
        match change {
            Ok(change) => {
                let kind = change.kind();
                let told = self.mirror.apply(change);
                // Whoever has shown the interruption wants to know of its end, which comes with the
                // end of the new list.
                if told {
                    self.interrupted.remove(kind);
                    self.changed = true;
                }
                Ok(())
            }
            Err(Interruption { kind, error }) => {
                self.interrupted.insert(kind, format!("{error:#}"));
                Err(error)
            }
        }
    }

    fn snapshot(&self) -> anyhow::Result<Snapshot> {
        let jobset = self
            .mirror
            .jobsets
            .known
            .get(&self.name)
            .ok_or_else(|| NoJobSet {
                name: self.name.clone(),
                namespace: self.namespace.clone(),
            })?;
        Ok(Snapshot::new(
            (**jobset).clone(),
            self.mirror.jobs.all(),
            self.mirror.pods.all(),
            self.mirror.events.all().collect(),
            Timestamp::now(),
        ))
    }
}

/// News of a watch.
enum Change {
    JobSet(Event<JobSet>),
    Job(Event<Job>),
    Pod(Event<Pod>),
    Event(Event<ClusterEvent>),
}

impl Change {
    /// The collection that the news is of.
    fn kind(&self) -> &'static str {
        match self {
            Self::JobSet(_) => "jobsets",
            Self::Job(_) => "jobs",
            Self::Pod(_) => "pods",
            Self::Event(_) => "events",
        }
    }
}

/// A watch has stumbled.
struct Interruption {
    kind: &'static str,
    error: anyhow::Error,
}

impl Interruption {
    fn of<K: Resource<DynamicType = ()>>(kind: &'static str, error: watcher::Error) -> Self {
        let error = match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => of_collection::<K>(error),
            watcher::Error::WatchError(status) => anyhow!("{}", status.message.trim_end()),
            error @ watcher::Error::NoResourceVersion => error.into(),
        };
        let error = error.context(format!("cannot watch {kind}"));
        Self { kind, error }
    }
}

fn watched<K>(
    api: Api<K>,
    config: watcher::Config,
    concerns: impl Fn(&K) -> bool + Send + 'static,
    trim: fn(&mut K),
    change: fn(Event<K>) -> Change,
) -> BoxStream<'static, Result<Change, Interruption>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let kind = change(Event::Init).kind();
    anew_after_errors(move || watch(api.clone(), config.clone()).boxed())
        .default_backoff()
        .filter_map(move |event| {
            let kept = match event {
                Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object))
                    if !concerns(&object) =>
                {
                    None
                }
                Ok(event) => Some(Ok(change(event.modify(|object| {
                    object.meta_mut().managed_fields = None;
                    trim(object);
                })))),
                Err(error) => Some(Err(Interruption::of::<K>(kind, error))),
            };
            std::future::ready(kept)
        })
        .boxed()
}

/// A watch that is begun anew, with a list, after each error. One that goes on where it was would give
/// no sign of that before the next change, which may be hours away.
fn anew_after_errors<T: 'static>(
    begin: impl Fn() -> BoxStream<'static, watcher::Result<T>> + Send + 'static,
) -> impl Stream<Item = watcher::Result<T>> + Send {
    let first = begin();
    stream::unfold((first, begin), |(mut events, begin)| async {
        let event = events.next().await?;
        if event.is_err() {
            events = begin();
        }
        Some((event, (events, begin)))
    })
}

/// The objects of all kinds.
#[derive(Default)]
struct Mirror {
    jobsets: Kept<JobSet>,
    jobs: Kept<Job>,
    pods: Kept<Pod>,
    events: Kept<ClusterEvent>,
}

impl Mirror {
    /// Whether something is different now.
    fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::JobSet(event) => self.jobsets.apply(event),
            Change::Job(event) => self.jobs.apply(event),
            Change::Pod(event) => self.pods.apply(event),
            Change::Event(event) => self.events.apply(event),
        }
    }

    /// Whether everything has been listed at least once.
    fn is_complete(&self) -> bool {
        self.jobsets.listed && self.jobs.listed && self.pods.listed && self.events.listed
    }
}

/// The objects of a kind by their names.
struct Kept<K> {
    known: HashMap<String, Arc<K>>,
    /// A list that is being read; until it is whole, what was known before stands.
    coming: HashMap<String, Arc<K>>,
    listed: bool,
}

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            coming: HashMap::new(),
            listed: false,
        }
    }
}

impl<K: Resource<DynamicType = ()>> Kept<K> {
    fn apply(&mut self, event: Event<K>) -> bool {
        match event {
            Event::Apply(object) => {
                self.known.insert(object.name_any(), Arc::new(object));
                true
            }
            Event::Delete(object) => self.known.remove(&object.name_any()).is_some(),
            Event::Init => {
                self.coming.clear();
                false
            }
            Event::InitApply(object) => {
                self.coming.insert(object.name_any(), Arc::new(object));
                false
            }
            Event::InitDone => {
                self.known = std::mem::take(&mut self.coming);
                self.listed = true;
                true
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = Arc<K>> {
        self.known.values().cloned()
    }
}

#[cfg(test)]
mod tests;
