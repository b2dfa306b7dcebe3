//! Following what views show.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jobset_api::JobSet;
use kube::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher as watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::hub::{Feed, Hub, SHORTEST_PAUSE};
use super::parts::{of_list, of_set};
use crate::cluster::{self, Connection, Live, NoJobSet, plain};
use crate::view::{Explanation, Failure, QueueState, SetView, Snapshot, happenings};

/// A view that is costly is made less often: the pause is this many times as long as the making.
const REST: u32 = 3;
/// Lines that are read of what failed first, and how long that may take.
const LAST_LINES: i64 = 10;
const LOG_PATIENCE: Duration = Duration::from_secs(3);
/// How often Kueue is asked at most.
const QUEUE_PAUSE: Duration = Duration::from_secs(10);

/// Follows all JobSets until the cluster does not answer, and returns why.
pub(super) async fn list(hub: &Hub, feed: &Feed, pause: &mut Duration) -> anyhow::Error {
    let at = hub.connection(None);
    let api: Api<JobSet> = match &hub.scope {
        Some(namespace) => Api::namespaced(at.client.clone(), namespace),
        None => Api::all(at.client.clone()),
    };
    let mut changes = watch(api, watcher::Config::default())
        .default_backoff()
        .boxed();
    let mut sets = Sets::default();
    let mut queues = Queues::default();
    let mut earliest = Instant::now();
    loop {
        let Some(change) = changes.next().await else {
            return anyhow::anyhow!("the watch has ended");
        };
        let mut news = match change {
            Ok(change) => sets.apply(change),
            Err(error) => return trouble(error),
        };
        // What comes soon after is told with it.
        while let Ok(Some(change)) = timeout_at(earliest, changes.next()).await {
            match change {
                Ok(change) => news |= sets.apply(change),
                Err(error) => return trouble(error),
            }
        }
        if !news || !sets.listed {
            continue;
        }
        let begun = Instant::now();
        queues.look_up(&at, sets.known.values_mut()).await;
        feed.update(of_list(sets.known.values().map(|(set, _)| set)), None);
        *pause = SHORTEST_PAUSE;
        earliest = Instant::now() + hub.pace.coalesce.max(begun.elapsed() * REST);
    }
}

/// What a watch stumbles over, in the server's own words, if it has any.
fn trouble(error: watcher::Error) -> anyhow::Error {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => plain(error),
        error => error.into(),
    }
}

/// JobSets by namespace and name, each with its uid.
#[derive(Default)]
struct Sets {
    known: BTreeMap<(String, String), (SetView, String)>,
    /// A list that is being read; until it is whole, what was known before stands.
    coming: BTreeMap<(String, String), (SetView, String)>,
    listed: bool,
}

impl Sets {
    /// Whether something may be different now.
    fn apply(&mut self, change: Event<JobSet>) -> bool {
        let key = |jobset: &JobSet| (jobset.namespace().to_owned(), jobset.name().to_owned());
        let view = |jobset: &JobSet| (SetView::of(jobset), jobset.uid().to_owned());
        match change {
            Event::Apply(jobset) => {
                self.known.insert(key(&jobset), view(&jobset));
                true
            }
            Event::Delete(jobset) => self.known.remove(&key(&jobset)).is_some(),
            Event::Init => {
                self.coming.clear();
                false
            }
            Event::InitApply(jobset) => {
                self.coming.insert(key(&jobset), view(&jobset));
                false
            }
            Event::InitDone => {
                self.known = std::mem::take(&mut self.coming);
                self.listed = true;
                true
            }
        }
    }
}

/// Follows one JobSet until the cluster does not answer, and returns why.
pub(super) async fn set(
    hub: &Hub,
    feed: &Feed,
    namespace: &str,
    name: &str,
    pause: &mut Duration,
) -> anyhow::Error {
    let at = hub.connection(Some(namespace));
    let mut live = Live::follow(&at, name, hub.pace.coalesce);
    let mut logs = Logs::default();
    let mut queues = Queues::default();
    loop {
        match live.next().await {
            Ok(snapshot) => {
                let begun = Instant::now();
                let snapshot = Arc::new(snapshot);
                if let Err(error) = show(&at, feed, snapshot, &mut logs, &mut queues).await {
                    return error;
                }
                *pause = SHORTEST_PAUSE;
                live.rest(begun.elapsed() * REST);
            }
            Err(error) if error.is::<NoJobSet>() => {
                feed.vanish(format!("{error:#}"));
                *pause = SHORTEST_PAUSE;
            }
            Err(error) => return error,
        }
    }
}

async fn show(
    at: &Connection,
    feed: &Feed,
    snapshot: Arc<Snapshot>,
    logs: &mut Logs,
    queues: &mut Queues,
) -> anyhow::Result<()> {
    // Thousands of Pods take long enough to keep others waiting.
    let read = Arc::clone(&snapshot);
    let making = tokio::task::spawn_blocking(move || {
        let told = happenings(read.events(), &read.jobset);
        (Explanation::of(&read), told)
    });
    let (mut explanation, told) = making.await?;
    if let Some(first) = explanation.first_failure {
        logs.fill_in(at, &mut explanation.failures[first]).await;
    }
    let mut set = (explanation.set, snapshot.jobset.uid().to_owned());
    queues.look_up(at, std::iter::once(&mut set)).await;
    explanation.set = set.0;
    feed.update(of_set(&explanation, &told), Some(snapshot));
    Ok(())
}

/// Last lines of what has failed, each read once.
#[derive(Default)]
struct Logs {
    read: HashMap<(String, Option<String>, bool), Failure>,
}

impl Logs {
    async fn fill_in(&mut self, at: &Connection, failure: &mut Failure) {
        let key = (
            failure.pod.clone(),
            failure.container.clone(),
            failure.restarted,
        );
        if let Some(known) = self.read.get(&key) {
            failure.last_lines.clone_from(&known.last_lines);
            failure.no_log.clone_from(&known.no_log);
            return;
        }
        let reading = cluster::last_lines(at, failure, LAST_LINES);
        if timeout(LOG_PATIENCE, reading).await.is_err() {
            failure.no_log = Some("the cluster does not answer".to_owned());
        }
        // Only the first failure is asked for: there are few.
        self.read.insert(key, failure.clone());
    }
}

/// What Kueue has said of suspended JobSets.
#[derive(Default)]
struct Queues {
    known: HashMap<String, QueueState>,
    asked: Option<Instant>,
}

impl Queues {
    /// Fills in the places in queues. They are asked for when something has changed, but not too often.
    async fn look_up(
        &mut self,
        at: &Connection,
        sets: impl Iterator<Item = &mut (SetView, String)>,
    ) {
        let mut waiting: Vec<&mut (SetView, String)> = sets
            .filter(|(set, _)| set.state == "Suspended" && set.queue.is_some())
            .collect();
        if waiting.is_empty() {
            return;
        }
        if self
            .asked
            .is_none_or(|asked| asked.elapsed() >= QUEUE_PAUSE)
        {
            let mut views: Vec<SetView> = waiting.iter().map(|(set, _)| set.clone()).collect();
            cluster::look_up_queues(at, &mut views, |place| waiting[place].1.clone()).await;
            let uids = waiting.iter().map(|(_, uid)| uid.clone());
            self.known = uids
                .zip(views)
                .filter_map(|(uid, view)| Some((uid, view.queue?)))
                .collect();
            self.asked = Some(Instant::now());
        }
        for (set, uid) in &mut waiting {
            if let Some(known) = self.known.get(uid) {
                set.queue = Some(known.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::view::testing;

    #[test]
    fn a_list_replaces_what_was_known_once_it_is_whole() {
        let named = |name: &str| {
            let mut set = testing::jobset(&json!({}));
            set.metadata.name = Some(name.to_owned());
            set
        };
        let names = |sets: &Sets| -> Vec<String> {
            sets.known.keys().map(|(_, name)| name.clone()).collect()
        };
        let mut sets = Sets::default();
        sets.apply(Event::Init);
        assert!(!sets.apply(Event::InitApply(named("a"))));
        assert!(!sets.listed);
        assert!(sets.apply(Event::InitDone));
        assert!(sets.listed);
        assert!(sets.apply(Event::Apply(named("b"))));
        assert_eq!(names(&sets), ["a", "b"]);
        sets.apply(Event::Init);
        sets.apply(Event::InitApply(named("b")));
        assert_eq!(names(&sets), ["a", "b"]);
        sets.apply(Event::InitDone);
        assert_eq!(names(&sets), ["b"]);
        assert!(sets.apply(Event::Delete(named("b"))));
        assert!(!sets.apply(Event::Delete(named("b"))));
    }
}
