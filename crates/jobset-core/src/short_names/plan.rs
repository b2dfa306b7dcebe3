//! From the slices that there are to those that should be, with few writes.
//!
//! A Pod stays in the slice that it is in, and a new one goes first to a slice that has to be
//! written anyway, then to the slice with most room, then to a new one. So a change of one Pod
//! rewrites one slice, and what comes together is written together. All names of a Pod are in the
//! same slice of a family.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use jobset_api::{JobSet, names};
use serde_json::Value;

use super::pod::NamedPod;
use super::rules::ShortNames;
use super::slice::{self, Endpoint, Family, NameSlice};

/// Most endpoints of one slice; the API allows no more.
pub const MAX_ENDPOINTS: usize = 1000;

/// A write.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A slice to create.
    Create {
        /// Its name.
        name: String,
        /// The whole object.
        body: Value,
    },
    /// A slice to be changed by a merge patch.
    Update {
        /// Its name.
        name: String,
        /// The patch; names uid and resourceVersion.
        patch: Value,
    },
    /// A slice that holds nothing any more.
    Delete {
        /// Its name.
        name: String,
        /// The incarnation that is meant.
        uid: String,
    },
}

/// A short name that two JobSets with the same Service have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collision {
    /// The name.
    pub hostname: String,
    /// The Service, which is the subdomain of both.
    pub service: String,
    /// The other JobSet.
    pub jobset: String,
}

/// What is to be written, so that the slices of this JobSet hold the short names of these Pods.
/// Creations and updates come before deletions. Pods and slices of others are passed over; with
/// nothing to change the answer is empty.
///
/// A JobSet that is being deleted or that is managed by another controller is left alone: the
/// garbage collector deletes its slices with it.
#[must_use]
pub fn plan<'a>(
    jobset: &JobSet,
    pods: impl IntoIterator<Item = &'a NamedPod>,
    slices: &[&NameSlice],
) -> Vec<Change> {
    plan_within(MAX_ENDPOINTS, jobset, pods, slices)
}

fn plan_within<'a>(
    room: usize,
    jobset: &JobSet,
    pods: impl IntoIterator<Item = &'a NamedPod>,
    slices: &[&NameSlice],
) -> Vec<Change> {
    if jobset.metadata.deletion_timestamp.is_some() || !jobset.is_managed_here() {
        return Vec::new();
    }
    let mut own: Vec<&NameSlice> = slices
        .iter()
        .copied()
        .filter(|slice| slice.jobset_uid.as_deref() == Some(jobset.uid()))
        .collect();
    own.sort_by(|a, b| (a.name.len(), &a.name).cmp(&(b.name.len(), &b.name)));
    let mut wanted = wanted(jobset, pods);
    let (mut writes, mut deletions) = (Vec::new(), Vec::new());
    for family in [Family::V4, Family::V6] {
        let usable = own.iter().filter(|slice| slice.family == Some(family));
        let shares = share(
            room,
            usable.copied(),
            wanted.remove(&family).unwrap_or_default(),
        );
        let taken: HashSet<&str> = own.iter().map(|slice| slice.name.as_str()).collect();
        let mut free = (0..).map(|number| name(jobset, family, number));
        let mut free = std::iter::from_fn(|| free.find(|name| !taken.contains(name.as_str())));
        for Share { slice, endpoints } in shares {
            match slice {
                None => writes.extend(free.next().map(|name| Change::Create {
                    body: slice::body(jobset, &name, family, &endpoints),
                    name,
                })),
                Some(slice) if endpoints.is_empty() => deletions.push(delete(slice)),
                Some(slice) if is_current(jobset, slice, &endpoints) => {}
                Some(slice) => writes.push(Change::Update {
                    name: slice.name.clone(),
                    patch: slice::patch(jobset, slice, &endpoints),
                }),
            }
        }
    }
    let unusable = own.iter().filter(|slice| slice.family.is_none());
    deletions.extend(unusable.map(|slice| delete(slice)));
    writes.append(&mut deletions);
    writes
}

/// The first short name that slices of another JobSet hold for the same Service.
#[must_use]
pub fn collision<'a>(
    jobset: &JobSet,
    pods: impl IntoIterator<Item = &'a NamedPod>,
    others: &[&NameSlice],
) -> Option<Collision> {
    let service = names::subdomain(jobset);
    let mut theirs: BTreeMap<&str, &NameSlice> = BTreeMap::new();
    for slice in others.iter().filter(|slice| {
        slice.service() == service && slice.jobset_uid.as_deref() != Some(jobset.uid())
    }) {
        for endpoint in &slice.endpoints {
            theirs.entry(&endpoint.hostname).or_insert(slice);
        }
    }
    if theirs.is_empty() {
        return None;
    }
    let mut own: Vec<Endpoint> = wanted(jobset, pods)
        .into_values()
        .flatten()
        .flatten()
        .collect();
    own.sort();
    let shared = own.into_iter().find_map(|endpoint| {
        let slice = theirs.get(endpoint.hostname.as_str())?;
        Some((endpoint.hostname, slice.jobset.clone()))
    });
    shared.map(|(hostname, jobset)| Collision {
        hostname,
        service: service.to_owned(),
        jobset,
    })
}

/// All names of one Pod in one family.
type Unit = Vec<Endpoint>;

/// What should be published, by family. Each unit has at least one endpoint.
fn wanted<'a>(
    jobset: &JobSet,
    pods: impl IntoIterator<Item = &'a NamedPod>,
) -> BTreeMap<Family, Vec<Unit>> {
    let mut wanted: BTreeMap<Family, Vec<Unit>> = BTreeMap::new();
    if !names::dns_hostnames_enabled(jobset) {
        return wanted;
    }
    let publish_not_ready = jobset
        .spec
        .network
        .as_ref()
        .and_then(|network| network.publish_not_ready_addresses)
        .unwrap_or(true);
    let rules = ShortNames::new(jobset);
    let mut pods: Vec<&NamedPod> = pods.into_iter().filter(|pod| pod.is_of(jobset)).collect();
    pods.sort_by(|a, b| (&a.place, &a.uid).cmp(&(&b.place, &b.uid)));
    for pod in pods {
        let hostnames = rules.of(&pod.place);
        if hostnames.is_empty() {
            continue;
        }
        for address in &pod.addresses {
            let endpoint = |hostname: &String| Endpoint {
                hostname: hostname.clone(),
                pod_uid: pod.uid.clone(),
                pod: pod.name.clone(),
                address: address.to_string(),
                node: pod.node.clone(),
                // As Kubernetes' own slices have it: who asks for addresses that are not ready gets
                // those of Pods on their way out as well.
                ready: publish_not_ready || (pod.serving && !pod.terminating),
                serving: pod.serving,
                terminating: pod.terminating,
            };
            let unit = hostnames.iter().map(endpoint).collect();
            wanted.entry(Family::of(*address)).or_default().push(unit);
        }
    }
    wanted
}

/// A slice and what it is to hold.
struct Share<'a> {
    /// `None`: a new one.
    slice: Option<&'a NameSlice>,
    endpoints: Vec<Endpoint>,
}

impl Share<'_> {
    fn room(&self, most: usize) -> usize {
        most.saturating_sub(self.endpoints.len())
    }
}

/// Distributes units over slices.
fn share<'a>(
    room: usize,
    slices: impl Iterator<Item = &'a NameSlice>,
    units: Vec<Unit>,
) -> Vec<Share<'a>> {
    let mut order = Vec::with_capacity(units.len());
    let mut left: HashMap<String, Unit> = HashMap::with_capacity(units.len());
    for unit in units {
        if let Some(first) = unit.first() {
            order.push(first.pod_uid.clone());
            left.insert(first.pod_uid.clone(), unit);
        }
    }
    let mut shares: Vec<Share<'a>> = slices
        .map(|slice| {
            let mut share = Share {
                slice: Some(slice),
                endpoints: Vec::new(),
            };
            for endpoint in &slice.endpoints {
                let fits = |unit: &Unit| unit.len() <= share.room(room);
                if left.get(&endpoint.pod_uid).is_some_and(fits)
                    && let Some(unit) = left.remove(&endpoint.pod_uid)
                {
                    share.endpoints.extend(unit);
                }
            }
            share
        })
        .collect();
    let mut rest = order.iter().filter_map(|uid| left.remove(uid)).peekable();
    if rest.peek().is_some() {
        let mut targets: Vec<usize> = (0..shares.len()).collect();
        targets.sort_by_key(|&at| {
            let share = &shares[at];
            let unchanged = share
                .slice
                .is_some_and(|slice| same(slice, &share.endpoints));
            (unchanged, Reverse(share.room(room)))
        });
        let mut targets = targets.into_iter();
        let mut target = targets.next();
        for unit in rest {
            while target.is_some_and(|at| shares[at].room(room) < unit.len()) {
                target = targets.next();
            }
            let at = *target.get_or_insert_with(|| {
                shares.push(Share {
                    slice: None,
                    endpoints: Vec::new(),
                });
                shares.len() - 1
            });
            shares[at].endpoints.extend(unit);
        }
    }
    shares.retain(|share| share.slice.is_some() || !share.endpoints.is_empty());
    for share in &mut shares {
        share.endpoints.sort();
    }
    shares
}

/// Whether a slice holds exactly these endpoints, in whatever order.
fn same(slice: &NameSlice, endpoints: &[Endpoint]) -> bool {
    let mut wanted: Vec<&Endpoint> = endpoints.iter().collect();
    let mut held: Vec<&Endpoint> = slice.endpoints.iter().collect();
    wanted.sort();
    held.sort();
    wanted == held
}

fn is_current(jobset: &JobSet, slice: &NameSlice, endpoints: &[Endpoint]) -> bool {
    let labelled = slice::labels(jobset)
        .iter()
        .all(|(key, value)| slice.labels.get(key) == Some(value));
    labelled && same(slice, endpoints)
}

fn delete(slice: &NameSlice) -> Change {
    Change::Delete {
        name: slice.name.clone(),
        uid: slice.uid.clone(),
    }
}

/// Name of a slice. It names the incarnation of the JobSet, so that a new JobSet does not wait for the
/// garbage collector to remove the slices of one before it.
fn name(jobset: &JobSet, family: Family, number: u32) -> String {
    let incarnation = names::job_key(jobset.namespace(), jobset.uid());
    format!(
        "{}-{}-names-{}-{number}",
        jobset.name(),
        incarnation.get(..8).unwrap_or_default(),
        family.suffix()
    )
}

#[cfg(test)]
mod tests;
