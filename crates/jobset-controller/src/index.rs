//! What is known of the world: every JobSet, its Jobs by owner uid, and which Services and claims
//! exist.
//!
//! The index has two sources: the watches, and the answers to our own writes, which are in it
//! before the watch echoes them. Two rules make the order of their arrival irrelevant. An object
//! never goes back: a state older (by resourceVersion) than the one known is ignored. And an own
//! write that the watch has already passed is ignored, because the watch may have reported the
//! object's end since. So planning never sees a state older than one it has acted upon, and an echo
//! of our own write wakes nobody.
//!
//! Every change returns the keys of the JobSets it concerns, to be queued by the caller *after* the
//! index has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jobset_api::{JobSet, names};
use jobset_core::{ChildJob, ChildPod, PlanOptions, ServiceState, wants_pods};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::expectations::Expectations;
use crate::lock::lock;
use crate::watched::{Identity, Owner, Revision, WatchedJob, WatchedJobSet, WatchedName};

/// Namespace and name of an object. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    fn of(object: &impl Identity) -> Self {
        Self::new(object.namespace(), object.name())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One consistent view of a JobSet and its children, as [`jobset_core::plan()`] wants it.
pub(crate) struct Snapshot {
    pub(crate) jobset: Arc<JobSet>,
    /// Sorted by name.
    pub(crate) jobs: Vec<Arc<ChildJob>>,
    pub(crate) service: ServiceState,
    /// Of the claims this JobSet wants, those that exist.
    pub(crate) claims: BTreeSet<String>,
    /// Its Pods, sorted by name, if they are needed and known.
    pub(crate) pods: Option<Vec<Arc<ChildPod>>>,
    /// Own Jobs that the watch should have shown by now.
    pub(crate) overdue: Vec<String>,
    /// When the next own Job becomes overdue.
    pub(crate) next_overdue: Option<Duration>,
}

/// The cache. See the module documentation.
#[derive(Default)]
pub(crate) struct Index {
    state: Mutex<State>,
    planning: PlanOptions,
    /// Whether some JobSet needs its Pods to be known. Once true, it stays so.
    pods_wanted: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    jobsets: HashMap<Key, KnownJobSet>,
    /// Owner uid → Job name → Job. Sorted, so that snapshots are.
    jobs: HashMap<String, BTreeMap<String, KnownJob>>,
    /// Job → its present owner, to find the Job when the owner changes or the Job goes.
    owners: HashMap<Key, Owner>,
    expectations: Expectations,
    services: Names,
    claims: Names,
    pods: pods::Pods,
    jobsets_passed: Revision,
    jobs_passed: Revision,
}

struct KnownJobSet {
    uid: String,
    revision: Revision,
    /// `None`: it cannot be decoded, hence is left alone.
    jobset: Option<Arc<JobSet>>,
}

struct KnownJob {
    job: Arc<ChildJob>,
    revision: Revision,
}

/// Objects of a kind of which only the existence matters.
#[derive(Default)]
struct Names {
    /// The JobSet to wake when the object changes, if one owns it.
    known: HashMap<Key, Option<Key>>,
    passed: Revision,
}

/// Keys of JobSets to be looked at.
pub(crate) type Concerned = HashSet<Key>;

/// What a watch does to its part of the index.
pub(crate) trait Cache<K> {
    /// The object is like this now.
    fn apply(&self, object: K) -> Concerned;
    /// The object is gone; this was its last state.
    fn delete(&self, object: K) -> Concerned;
    /// Exactly these objects exist.
    fn replace(&self, objects: Vec<K>) -> Concerned;
}

impl Index {
    /// An empty index for plans made with these options.
    pub(crate) fn new(planning: PlanOptions) -> Self {
        Self {
            planning,
            ..Self::default()
        }
    }

    /// Resolves when the first JobSet appears that needs its Pods to be known.
    pub(crate) async fn pods_are_wanted(&self) {
        // The sender lives as long as this index, so waiting cannot fail.
        let _ = self
            .pods_wanted
            .subscribe()
            .wait_for(|wanted| *wanted)
            .await;
    }

    fn note_wishes(&self, object: &WatchedJobSet) {
        if let Ok(jobset) = &object.decoded
            && !*self.pods_wanted.borrow()
            && wants_pods(jobset, &self.planning)
        {
            self.pods_wanted.send_replace(true);
        }
    }

    /// The JobSet alone; `None` if it does not exist or cannot be decoded.
    pub(crate) fn jobset(&self, key: &Key) -> Option<Arc<JobSet>> {
        lock(&self.state).jobsets.get(key)?.jobset.clone()
    }

    /// The JobSet and all that is known of its children; `None` if it does not exist or cannot be
    /// decoded.
    pub(crate) fn snapshot(&self, key: &Key, patience: Duration) -> Option<Snapshot> {
        let state = lock(&self.state);
        let jobset = state.jobsets.get(key)?.jobset.clone()?;
        let jobs = state
            .jobs
            .get(jobset.uid())
            .map(|jobs| jobs.values().map(|known| known.job.clone()).collect())
            .unwrap_or_default();
        let exists = |names: &Names, name: &str| {
            names.known.contains_key(&Key {
                namespace: key.namespace.clone(),
                name: name.into(),
            })
        };
        let service = if exists(&state.services, names::subdomain(&jobset)) {
            ServiceState::Exists
        } else {
            ServiceState::Missing
        };
        let claims = jobset
            .spec
            .volume_claim_policies
            .iter()
            .flat_map(|policy| &policy.templates)
            .map(|template| names::claim_name(template.name(), jobset.name()))
            .filter(|name| exists(&state.claims, name))
            .collect();
        let pods = (state.pods.complete && wants_pods(&jobset, &self.planning)).then(|| {
            let pods = state.pods.by_jobset.get(key);
            pods.map(|pods| pods.values().cloned().collect())
                .unwrap_or_default()
        });
        let (overdue, next_overdue) =
            state
                .expectations
                .overdue(jobset.uid(), Instant::now(), patience);
        Some(Snapshot {
            jobset,
            jobs,
            service,
            claims,
            pods,
            overdue,
            next_overdue,
        })
    }

    /// Takes in the answer to a write of a JobSet's status. A JobSet that is not known any more is
    /// not brought back.
    pub(crate) fn wrote_jobset(&self, written: &WatchedJobSet) -> Concerned {
        let mut state = lock(&self.state);
        let key = Key::of(written);
        let known = state.jobsets.get(&key);
        if known.is_none_or(|known| known.uid != written.uid())
            || state.jobsets_passed.covers(written.revision())
        {
            return Concerned::new();
        }
        state.apply_jobset(written)
    }

    /// Takes in the answer to a creation or patch of a Job.
    pub(crate) fn wrote_job(&self, written: &WatchedJob) -> Concerned {
        let mut state = lock(&self.state);
        let Some(owner) = &written.owner else {
            return Concerned::new();
        };
        let known = state
            .jobs
            .get(&owner.uid)
            .and_then(|jobs| jobs.get(written.name()))
            .is_some_and(|known| known.job.uid == written.uid());
        if state.jobs_passed.covers(written.revision()) {
            return Concerned::new();
        }
        if !known {
            let now = Instant::now();
            state
                .expectations
                .expect(&owner.uid, written.name(), written.uid(), now);
        }
        state.apply_job(written)
    }

    /// Takes in a Job that was looked up because the watch did not show it in time; it is expected
    /// anew.
    pub(crate) fn looked_up_job(&self, read: &WatchedJob) -> Concerned {
        let mut state = lock(&self.state);
        if let Some(owner) = &read.owner {
            state
                .expectations
                .expect(&owner.uid, read.name(), read.uid(), Instant::now());
        }
        state.apply_job(read)
    }

    /// The server accepted the deletion of a Job.
    pub(crate) fn deleting_job(&self, owner: &str, name: &str, uid: &str) -> Concerned {
        let mut state = lock(&self.state);
        let Some(known) = state
            .jobs
            .get_mut(owner)
            .and_then(|jobs| jobs.get_mut(name))
        else {
            return Concerned::new();
        };
        if known.job.uid != uid || known.job.deleting {
            return Concerned::new();
        }
        Arc::make_mut(&mut known.job).deleting = true;
        let key = Key::new(&known.job.namespace, name);
        state.concerned(&key)
    }

    /// The server says that this incarnation of a Job does not exist (any more).
    pub(crate) fn job_is_gone(&self, namespace: &str, name: &str, uid: &str) -> Concerned {
        lock(&self.state).remove_job(&Key::new(namespace, name), uid)
    }

    /// Takes in the answer to the creation of a Service.
    pub(crate) fn wrote_service(&self, written: &WatchedName<Service>) -> Concerned {
        lock(&self.state).services.wrote(written)
    }

    /// Takes in the answer to the creation of a claim.
    pub(crate) fn wrote_claim(&self, written: &WatchedName<PersistentVolumeClaim>) -> Concerned {
        lock(&self.state).claims.wrote(written)
    }
}

impl State {
    fn apply_jobset(&mut self, object: &WatchedJobSet) -> Concerned {
        let key = Key::of(object);
        if let Some(known) = self.jobsets.get(&key) {
            let (known, new) = (known.revision, object.revision());
            if new.is_older_than(known) || new.is_same_as(known) {
                return Concerned::new();
            }
        }
        let jobset = match &object.decoded {
            Ok(jobset) => Some(jobset.clone()),
            Err(error) => {
                tracing::warn!(jobset = %key, error, "JobSet cannot be understood; left alone");
                None
            }
        };
        let known = KnownJobSet {
            uid: object.uid().to_owned(),
            revision: object.revision(),
            jobset,
        };
        self.jobsets.insert(key.clone(), known);
        Concerned::from([key])
    }

    fn apply_job(&mut self, object: &WatchedJob) -> Concerned {
        let key = Key::of(object);
        let mut concerned = self.concerned(&key);
        if let Some(known) = self.known_job(&key) {
            let (known, new) = (known.revision, object.revision());
            if new.is_older_than(known) || new.is_same_as(known) {
                return Concerned::new();
            }
        }
        self.take_out(&key);
        if let Some(owner) = &object.owner {
            let known = KnownJob {
                job: object.job.clone(),
                revision: object.revision(),
            };
            self.jobs
                .entry(owner.uid.clone())
                .or_default()
                .insert(object.name().to_owned(), known);
            self.owners.insert(key.clone(), owner.clone());
            concerned.extend(self.concerned(&key));
        }
        concerned
    }

    fn remove_job(&mut self, key: &Key, uid: &str) -> Concerned {
        let concerned = self.concerned(key);
        if self
            .known_job(key)
            .is_some_and(|known| known.job.uid != uid)
        {
            return concerned;
        }
        if let Some(owner) = self.owners.get(key) {
            self.expectations.confirm(&owner.uid, &key.name, uid);
        }
        self.take_out(key);
        concerned
    }

    fn known_job(&self, key: &Key) -> Option<&KnownJob> {
        self.jobs.get(&self.owners.get(key)?.uid)?.get(&*key.name)
    }

    fn take_out(&mut self, key: &Key) {
        let Some(owner) = self.owners.remove(key) else {
            return;
        };
        if let Some(jobs) = self.jobs.get_mut(&owner.uid) {
            jobs.remove(&*key.name);
            if jobs.is_empty() {
                self.jobs.remove(&owner.uid);
            }
        }
    }

    /// The JobSet that the Job of this key concerns at present.
    fn concerned(&self, job: &Key) -> Concerned {
        self.owners
            .get(job)
            .map(|owner| Key {
                namespace: job.namespace.clone(),
                name: owner.name.as_str().into(),
            })
            .into_iter()
            .collect()
    }

    fn confirm(&mut self, object: &WatchedJob) {
        if let Some(owner) = &object.owner {
            self.expectations
                .confirm(&owner.uid, object.name(), object.uid());
        }
    }
}

impl Names {
    fn wrote<K>(&mut self, written: &WatchedName<K>) -> Concerned {
        if self.passed.covers(written.revision()) {
            return Concerned::new();
        }
        self.insert(written)
    }

    /// Wakes the owner only if that changes what is known.
    fn insert<K>(&mut self, object: &WatchedName<K>) -> Concerned {
        let owner = object
            .owner
            .as_ref()
            .map(|owner| Key::new(object.namespace(), &owner.name));
        let before = self.known.insert(Key::of(object), owner.clone());
        if before.as_ref() == Some(&owner) {
            return Concerned::new();
        }
        before.flatten().into_iter().chain(owner).collect()
    }

    fn apply<K>(&mut self, object: &WatchedName<K>) -> Concerned {
        self.passed = self.passed.max(object.revision());
        self.insert(object)
    }

    fn delete<K>(&mut self, object: &WatchedName<K>) -> Concerned {
        self.passed = self.passed.max(object.revision());
        self.known
            .remove(&Key::of(object))
            .flatten()
            .into_iter()
            .collect()
    }

    fn replace<K>(&mut self, objects: Vec<WatchedName<K>>) -> Concerned {
        let before = std::mem::take(&mut self.known);
        for object in &objects {
            self.apply(object);
        }
        let mut concerned = Concerned::new();
        for (key, owner) in &self.known {
            if before.get(key) != Some(owner) {
                concerned.extend(owner.clone());
            }
        }
        for (key, owner) in before {
            if !self.known.contains_key(&key) {
                concerned.extend(owner);
            }
        }
        concerned
    }
}

impl Cache<WatchedJobSet> for Index {
    fn apply(&self, object: WatchedJobSet) -> Concerned {
        self.note_wishes(&object);
        let mut state = lock(&self.state);
        state.jobsets_passed = state.jobsets_passed.max(object.revision());
        state.apply_jobset(&object)
    }

    fn delete(&self, object: WatchedJobSet) -> Concerned {
        let mut state = lock(&self.state);
        state.jobsets_passed = state.jobsets_passed.max(object.revision());
        let key = Key::of(&object);
        if state
            .jobsets
            .get(&key)
            .is_some_and(|known| known.uid == object.uid())
        {
            state.jobsets.remove(&key);
        }
        Concerned::from([key])
    }

    fn replace(&self, objects: Vec<WatchedJobSet>) -> Concerned {
        for object in &objects {
            self.note_wishes(object);
        }
        let mut state = lock(&self.state);
        let present: HashSet<Key> = objects.iter().map(Key::of).collect();
        let gone: Vec<Key> = state
            .jobsets
            .keys()
            .filter(|key| !present.contains(*key))
            .cloned()
            .collect();
        let mut concerned = Concerned::new();
        for object in &objects {
            state.jobsets_passed = state.jobsets_passed.max(object.revision());
            concerned.extend(state.apply_jobset(object));
        }
        for key in gone {
            state.jobsets.remove(&key);
            concerned.insert(key);
        }
        concerned
    }
}

impl Cache<WatchedJob> for Index {
    fn apply(&self, object: WatchedJob) -> Concerned {
        let mut state = lock(&self.state);
        state.jobs_passed = state.jobs_passed.max(object.revision());
        state.confirm(&object);
        state.apply_job(&object)
    }

    fn delete(&self, object: WatchedJob) -> Concerned {
        let mut state = lock(&self.state);
        state.jobs_passed = state.jobs_passed.max(object.revision());
        state.confirm(&object);
        let key = Key::of(&object);
        let mut concerned = state.remove_job(&key, object.uid());
        if let Some(owner) = &object.owner {
            concerned.insert(Key::new(object.namespace(), &owner.name));
        }
        concerned
    }

    fn replace(&self, objects: Vec<WatchedJob>) -> Concerned {
        let mut state = lock(&self.state);
        let present: HashSet<Key> = objects.iter().map(Key::of).collect();
        // A Job of ours that the list does not contain is gone, unless the list may be older than
        // its creation: then it is looked up when it becomes overdue.
        let gone: Vec<(Key, String)> = state
            .owners
            .iter()
            .filter(|(key, _)| !present.contains(*key))
            .filter_map(|(key, owner)| {
                let uid = &state.known_job(key)?.job.uid;
                let expected = state.expectations.is_expected(&owner.uid, &key.name, uid);
                (!expected).then(|| (key.clone(), uid.clone()))
            })
            .collect();
        let mut concerned = Concerned::new();
        for object in &objects {
            state.jobs_passed = state.jobs_passed.max(object.revision());
            state.confirm(object);
            concerned.extend(state.apply_job(object));
        }
        for (key, uid) in gone {
            concerned.extend(state.remove_job(&key, &uid));
        }
        concerned
    }
}

impl Cache<WatchedName<Service>> for Index {
    fn apply(&self, object: WatchedName<Service>) -> Concerned {
        lock(&self.state).services.apply(&object)
    }

    fn delete(&self, object: WatchedName<Service>) -> Concerned {
        lock(&self.state).services.delete(&object)
    }

    fn replace(&self, objects: Vec<WatchedName<Service>>) -> Concerned {
        lock(&self.state).services.replace(objects)
    }
}

impl Cache<WatchedName<PersistentVolumeClaim>> for Index {
    fn apply(&self, object: WatchedName<PersistentVolumeClaim>) -> Concerned {
        lock(&self.state).claims.apply(&object)
    }

    fn delete(&self, object: WatchedName<PersistentVolumeClaim>) -> Concerned {
        lock(&self.state).claims.delete(&object)
    }

    fn replace(&self, objects: Vec<WatchedName<PersistentVolumeClaim>>) -> Concerned {
        lock(&self.state).claims.replace(objects)
    }
}

mod pods;
#[cfg(test)]
mod tests;
