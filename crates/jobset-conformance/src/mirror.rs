//! What a namespace holds, as watches tell it, and what it has held.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;
use futures::StreamExt;
use kube::api::DynamicObject;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::kind::Kind;

/// A change of an object.
#[derive(Clone, Debug)]
pub struct Change {
    /// Of this kind.
    pub kind: Kind,
    /// The object as it was from then on, or at its end.
    pub object: Arc<Value>,
    /// Whether it is gone.
    pub gone: bool,
}

/// The objects of a namespace.
#[derive(Debug, Default)]
pub struct State {
    objects: BTreeMap<(Kind, String), Arc<Value>>,
    /// Everything that was seen; in order for each kind.
    pub log: Vec<Change>,
}

impl State {
    /// One object.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Value> {
        self.objects.get(&(kind, name.to_owned())).map(|o| &**o)
    }

    /// All objects of a kind, by name.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = (&str, &Value)> {
        self.objects
            .iter()
            .filter(move |((k, _), _)| *k == kind)
            .map(|((_, name), object)| (name.as_str(), &**object))
    }

    /// Names of all objects of a kind, sorted.
    pub fn names(&self, kind: Kind) -> Vec<&str> {
        self.all(kind).map(|(name, _)| name).collect()
    }

    /// Uids that the objects of this kind and name have had.
    pub fn incarnations(&self, kind: Kind, name: &str) -> Vec<&str> {
        let mut uids = Vec::new();
        for change in self.log.iter().filter(|c| c.kind == kind) {
            let metadata = &change.object["metadata"];
            let uid = metadata["uid"].as_str().unwrap_or_default();
            if metadata["name"] == name && !uids.contains(&uid) {
                uids.push(uid);
            }
        }
        uids
    }

    fn put(&mut self, kind: Kind, object: Arc<Value>) {
        let name = name(&object);
        if self.objects.get(&(kind, name.clone())) == Some(&object) {
            return;
        }
        self.objects.insert((kind, name), object.clone());
        self.log.push(Change {
            kind,
            object,
            gone: false,
        });
    }

    fn remove(&mut self, kind: Kind, name: &str, last: Option<Arc<Value>>) {
        let Some(present) = self.objects.remove(&(kind, name.to_owned())) else {
            return;
        };
        self.log.push(Change {
            kind,
            object: last.unwrap_or(present),
            gone: true,
        });
    }

    /// For whoever has to find out why something did not happen.
    fn describe(&self) -> String {
        let mut text = String::new();
        for ((kind, name), object) in &self.objects {
            let _ = match kind {
                Kind::Event => writeln!(
                    text,
                    "  event {} of {}: {}",
                    object["reason"], object["regarding"]["name"], object["note"]
                ),
                Kind::Pod => writeln!(
                    text,
                    "  pod {name}: {} on {} {}",
                    object["status"]["phase"],
                    object["spec"]["nodeName"],
                    object["metadata"]["deletionTimestamp"]
                ),
                _ => writeln!(
                    text,
                    "  {kind:?} {name}: deleted {} status {}",
                    object["metadata"]["deletionTimestamp"], object["status"]
                ),
            };
        }
        text
    }
}

fn name(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str();
    name.unwrap_or_default().to_owned()
}

/// Watches a namespace while it exists.
pub struct Mirror {
    state: Arc<Mutex<State>>,
    changed: watch::Receiver<u64>,
    patience: Duration,
    _tasks: JoinSet<()>,
}

impl Mirror {
    /// Starts watching.
    pub fn start(client: &Client, namespace: &str, patience: Duration) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (tell, changed) = watch::channel(0);
        let mut tasks = JoinSet::new();
        for kind in Kind::ALL {
            let (state, tell) = (state.clone(), tell.clone());
            let api: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), namespace, &kind.resource());
            tasks.spawn(async move {
                let mut events = watcher(api, watcher::Config::default()).boxed();
                let mut listed = Vec::new();
                while let Some(event) = events.next().await {
                    // The watcher goes on after an error, and a wait that gets nothing ends.
                    if let Ok(event) = event {
                        take(&mut lock(&state), kind, event, &mut listed);
                        tell.send_modify(|count| *count += 1);
                    }
                }
            });
        }
        Self {
            state,
            changed,
            patience,
            _tasks: tasks,
        }
    }

    /// Looks at the present state.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&lock(&self.state))
    }

    /// Waits until `look` finds something.
    ///
    /// # Errors
    /// When that takes too long: tells what there is instead.
    pub async fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&State) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut changed = self.changed.clone();
        let search = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = self.look(&mut look) {
                    return Some(found);
                }
                changed.changed().await.ok()?;
            }
        };
        if let Ok(Some(found)) = tokio::time::timeout(self.patience, search).await {
            return Ok(found);
        }
        bail!(
            "waited {:?} in vain until {what}; there is:\n{}",
            self.patience,
            self.look(State::describe)
        )
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(state: &mut State, kind: Kind, event: Event<DynamicObject>, listed: &mut Vec<String>) {
    let value = |object: DynamicObject| {
        let mut value = serde_json::to_value(object).unwrap_or_default();
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        Arc::new(value)
    };
    match event {
        Event::Init => listed.clear(),
        Event::InitApply(object) => {
            let object = value(object);
            listed.push(name(&object));
            state.put(kind, object);
        }
        Event::InitDone => {
            let gone: Vec<String> = state
                .names(kind)
                .into_iter()
                .filter(|name| !listed.iter().any(|l| l == name))
                .map(str::to_owned)
                .collect();
            for name in gone {
                state.remove(kind, &name, None);
            }
        }
        Event::Apply(object) => state.put(kind, value(object)),
        Event::Delete(object) => {
            let object = value(object);
            state.remove(kind, &name(&object), Some(object));
        }
    }
}
