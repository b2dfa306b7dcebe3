//! A JobSet and its children as they change: one list of each kind, then watches.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll};
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

use super::read::{NoJobSet, without_details, without_template};
use super::{Connection, plain};
use crate::view::Snapshot;

/// What is known of one JobSet and its children, kept up to date by watches.
pub(crate) struct Live {
    name: String,
    namespace: String,
    changes: SelectAll<BoxStream<'static, Result<Change, watcher::Error>>>,
    mirror: Mirror,
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
    /// [`NoJobSet`] if there is none or not any more; whatever a watch stumbles over, which goes on by
    /// itself after a while. The next call waits for the next change in both cases.
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

    fn apply(&mut self, change: Result<Change, watcher::Error>) -> anyhow::Result<()> {
        match change {
            Ok(change) => {
                self.changed |= self.mirror.apply(change);
                Ok(())
            }
            Err(
                watcher::Error::InitialListFailed(error)
                | watcher::Error::WatchStartFailed(error)
                | watcher::Error::WatchFailed(error),
            ) => Err(plain(error)),
            Err(error) => Err(error.into()),
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

fn watched<K>(
    api: Api<K>,
    config: watcher::Config,
    concerns: impl Fn(&K) -> bool + Send + 'static,
    trim: fn(&mut K),
    change: fn(Event<K>) -> Change,
) -> BoxStream<'static, Result<Change, watcher::Error>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    watch(api, config)
        .default_backoff()
        .filter_map(move |event| {
            let kept = match event {
                Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object))
                    if !concerns(&object) =>
                {
                    None
                }
                event => Some(event.map(|event| {
                    change(event.modify(|object| {
                        object.meta_mut().managed_fields = None;
                        trim(object);
                    }))
                })),
            };
            std::future::ready(kept)
        })
        .boxed()
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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::view::testing;

    fn names(kept: &Kept<Job>) -> Vec<String> {
        let mut names: Vec<String> = kept.all().map(|job| job.name_any()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_list_replaces_what_was_known_once_it_is_whole() {
        let job = |index| testing::job("workers", index, &json!({}));
        let mut kept = Kept::default();
        assert!(!kept.apply(Event::Init));
        assert!(!kept.apply(Event::InitApply(job(0))));
        assert!(!kept.apply(Event::InitApply(job(1))));
        assert!(!kept.listed, "nothing is known before the list has ended");
        assert_eq!(names(&kept), [""; 0]);
        assert!(kept.apply(Event::InitDone));
        assert!(kept.listed);
        assert!(kept.apply(Event::Apply(job(2))));
        assert!(kept.apply(Event::Delete(job(0))));
        assert!(!kept.apply(Event::Delete(job(0))), "it was gone already");
        assert_eq!(names(&kept), ["js-workers-1", "js-workers-2"]);

        // The watch was cut off, and Job 1 went meanwhile.
        kept.apply(Event::Init);
        kept.apply(Event::InitApply(job(2)));
        assert_eq!(names(&kept), ["js-workers-1", "js-workers-2"]);
        // The list breaks off as well and is begun again.
        kept.apply(Event::Init);
        kept.apply(Event::InitApply(job(3)));
        kept.apply(Event::InitDone);
        assert_eq!(names(&kept), ["js-workers-3"]);
    }

    #[test]
    fn nothing_is_told_before_every_kind_has_been_listed() {
        let mut mirror = Mirror::default();
        for (done, change) in [
            (false, Change::JobSet(Event::InitDone)),
            (false, Change::Job(Event::InitDone)),
            (false, Change::Pod(Event::InitDone)),
            (true, Change::Event(Event::InitDone)),
        ] {
            mirror.apply(change);
            assert_eq!(mirror.is_complete(), done);
        }
    }
}
