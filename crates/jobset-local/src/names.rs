//! What resolves inside Pods: the names of headless Services, through one hosts file per namespace.
//!
//! A Pod with `hostname` and `subdomain`, selected by a headless Service of that name, is found as
//! `<hostname>.<subdomain>`, with or without `.<namespace>`, `.svc` and `.cluster.local`; every
//! Pod is found as its host name within its namespace; a headless Service's own name leads to all
//! its Pods. As with Kubernetes' DNS, Pods that are not ready are left out unless the Service has
//! `publishNotReadyAddresses`.
//!
//! A cluster may be told of [`Aliases`]: further names of Pods, published when the host name with the
//! subdomain is. With the subdomain they resolve in the whole namespace. Alone they resolve in the
//! Pods of the same group only, so Pods of a group have a file of their own. An alias never takes
//! anything from a name that is there without it: one that is the host name of a Pod or the name of
//! a Service is left out.
//!
//! A file is bound into containers, which ties them to its inode: it is always rewritten in
//! place, and Pods are listed in the order in which they came, so that lines move as little as
//! possible under a concurrent reader. A container is started only after the file has its Pod and
//! all present ones; later changes follow within [`DEBOUNCE`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::runtime::watcher::Event;
use kube::{Api, Client};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::node::container::hostname;
use crate::node::logs::PodName;

/// How long a change may wait for others before files are rewritten.
pub const DEBOUNCE: Duration = Duration::from_millis(20);
/// After files are rewritten, nothing is for this many times as long as it took.
const REST: u32 = 4;

/// Names of a Pod beside its host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aliases {
    /// Pods of one group of a namespace find each other by aliases alone.
    pub group: String,
    /// Of this Pod alone.
    pub own: Option<String>,
    /// Of several Pods. Where it is also the `own` alias of a Pod, it leads to that one only.
    pub shared: Vec<String>,
}

/// Says which aliases a Pod has. Asked once per Pod.
#[derive(Clone)]
pub struct AliasRule(Arc<Rule>);

type Rule = dyn Fn(&Pod) -> Option<Aliases> + Send + Sync;

impl AliasRule {
    /// The rule that this function is.
    pub fn new(rule: impl Fn(&Pod) -> Option<Aliases> + Send + Sync + 'static) -> Self {
        Self(Arc::new(rule))
    }
}

impl fmt::Debug for AliasRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AliasRule")
    }
}

/// What resolves in which namespace, and the files that say so.
pub(crate) struct Names {
    /// Absent when no process will ever look anything up.
    directory: Option<PathBuf>,
    /// What the host itself resolves without a server.
    host: String,
    aliases: Option<AliasRule>,
    namespaces: Mutex<HashMap<String, Namespace>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Namespace {
    services: BTreeMap<String, Headless>,
    /// By order of arrival.
    pods: BTreeMap<u64, Entry>,
    order_of: HashMap<String, u64>,
    next: u64,
    dirty: bool,
    /// The group of each file that there is; `None` is the file of Pods without one.
    files: BTreeSet<Option<String>>,
    /// Names of services that a new list has not mentioned yet.
    unlisted: HashSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Headless {
    selector: BTreeMap<String, String>,
    publish_not_ready: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    address: Ipv4Addr,
    hostname: String,
    subdomain: Option<String>,
    labels: BTreeMap<String, String>,
    aliases: Option<Aliases>,
    ready: bool,
}

impl Names {
    /// Keeps files below `directory`, or nothing at all without one.
    pub(crate) fn new(directory: Option<PathBuf>, aliases: Option<AliasRule>) -> Self {
        let host = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        Self {
            directory,
            host,
            aliases,
            namespaces: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// A Pod has got its address.
    pub(crate) fn add(&self, name: &PodName, pod: &Pod, address: Ipv4Addr) {
        let spec = pod.spec.as_ref();
        let entry = Entry {
            address,
            hostname: hostname(pod),
            subdomain: spec
                .and_then(|s| s.subdomain.clone())
                .filter(|s| !s.is_empty()),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            aliases: self.aliases_of(pod),
            ready: false,
        };
        self.change(&name.namespace, |namespace| {
            let order = namespace.next;
            namespace.next += 1;
            namespace.order_of.insert(name.uid.clone(), order);
            namespace.pods.insert(order, entry);
            true
        });
    }

    /// A Pod became ready or ceased to be.
    pub(crate) fn set_ready(&self, name: &PodName, ready: bool) {
        self.change(&name.namespace, |namespace| {
            let order = namespace.order_of.get(&name.uid);
            let Some(entry) = order.and_then(|o| namespace.pods.get_mut(o)) else {
                return false;
            };
            std::mem::replace(&mut entry.ready, ready) != ready
        });
    }

    /// A Pod has ended.
    pub(crate) fn remove(&self, name: &PodName) {
        self.change(&name.namespace, |namespace| {
            let order = namespace.order_of.remove(&name.uid);
            order.and_then(|o| namespace.pods.remove(&o)).is_some()
        });
    }

    /// Takes in the watch of Services.
    pub(crate) fn on_service(&self, event: Event<Service>) {
        if self.directory.is_none() {
            return;
        }
        match event {
            Event::Init => {
                for namespace in self.namespaces().values_mut() {
                    namespace.unlisted = namespace.services.keys().cloned().collect();
                }
            }
            Event::InitApply(service) | Event::Apply(service) => self.set_service(&service),
            Event::InitDone => {
                for namespace in self.namespaces().values_mut() {
                    for name in std::mem::take(&mut namespace.unlisted) {
                        namespace.dirty |= namespace.services.remove(&name).is_some();
                    }
                }
                self.changed.notify_one();
            }
            Event::Delete(service) => {
                let name = service.metadata.name.unwrap_or_default();
                self.change(
                    &service.metadata.namespace.unwrap_or_default(),
                    |namespace| namespace.services.remove(&name).is_some(),
                );
            }
        }
    }

    fn set_service(&self, service: &Service) {
        let name = service.metadata.name.clone().unwrap_or_default();
        let spec = service.spec.as_ref();
        let headless = spec.is_some_and(|s| s.cluster_ip.as_deref() == Some("None"));
        let selector = spec.and_then(|s| s.selector.clone()).unwrap_or_default();
        let publish_not_ready = spec.and_then(|s| s.publish_not_ready_addresses) == Some(true);
        self.change(
            service.metadata.namespace.as_deref().unwrap_or_default(),
            |namespace| {
                namespace.unlisted.remove(&name);
                if !headless || selector.is_empty() {
                    return namespace.services.remove(&name).is_some();
                }
                let service = Headless {
                    selector,
                    publish_not_ready,
                };
                let before = namespace.services.insert(name, service.clone());
                before != Some(service)
            },
        );
    }

    /// Makes sure that the Service a Pod names as its subdomain is known, if it exists: the watch
    /// of Services may be behind that of Pods.
    pub(crate) async fn learn_service(&self, client: &Client, pod: &Pod) {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let Some(name) = pod.spec.as_ref().and_then(|s| s.subdomain.as_deref()) else {
            return;
        };
        let known = |n: &Namespace| n.services.contains_key(name);
        if self.namespaces().get(namespace).is_some_and(known) {
            return;
        }
        let api: Api<Service> = Api::namespaced(client.clone(), namespace);
        if let Ok(Some(service)) = api.get_opt(name).await {
            self.set_service(&service);
        }
    }

    /// The hosts file of a Pod, up to date.
    pub(crate) fn hosts_file(&self, namespace: &str, pod: &Pod) -> io::Result<PathBuf> {
        let Some(directory) = &self.directory else {
            return Err(io::Error::other("this runtime has no hosts files"));
        };
        let group = self.aliases_of(pod).map(|aliases| aliases.group);
        let path = path(directory, namespace, group.as_deref());
        {
            let mut namespaces = self.namespaces();
            let state = namespaces.entry(namespace.to_owned()).or_default();
            if !state.files.contains(&group) {
                std::fs::create_dir_all(path.parent().unwrap_or(directory))?;
                state.files.insert(group);
                state.dirty = true;
            }
        }
        self.flush(namespace);
        Ok(path)
    }

    fn aliases_of(&self, pod: &Pod) -> Option<Aliases> {
        let aliases = (self.aliases.as_ref()?.0)(pod)?;
        // It becomes the name of a directory.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let group = aliases.group.as_str();
        let fits = !group.is_empty() && !group.starts_with('.') && group.bytes().all(plain);
        fits.then_some(aliases)
    }

    /// Rewrites the files of a namespace if anything changed.
    pub(crate) fn flush(&self, namespace: &str) {
        let Some(directory) = &self.directory else {
            return;
        };
        // Held over the write, or an older text could overtake a newer one.
        let mut namespaces = self.namespaces();
        let Some(state) = namespaces.get_mut(namespace) else {
            return;
        };
        if state.files.is_empty() || !std::mem::take(&mut state.dirty) {
            return;
        }
        let rendered = state.render(namespace, &self.host);
        for group in &state.files {
            let written = rendered.write(
                &path(directory, namespace, group.as_deref()),
                group.as_ref(),
            );
            if let Err(error) = written {
                state.dirty = true;
                tracing::warn!(%error, namespace, "names of Pods not written");
            }
        }
    }

    /// Rewrites files soon after changes, until `shutdown`.
    pub(crate) async fn keep_flushed(&self, shutdown: CancellationToken) {
        let flushing = async {
            loop {
                self.changed.notified().await;
                tokio::time::sleep(DEBOUNCE).await;
                let started = Instant::now();
                let namespaces: Vec<String> = self.namespaces().keys().cloned().collect();
                for namespace in namespaces {
                    self.flush(&namespace);
                }
                // Many groups are many files, and each has all Pods of the namespace.
                tokio::time::sleep(started.elapsed() * REST).await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = flushing => {}
        }
    }

    fn change(&self, namespace: &str, change: impl FnOnce(&mut Namespace) -> bool) {
        if self.directory.is_none() {
            return;
        }
        let mut namespaces = self.namespaces();
        let state = namespaces.entry(namespace.to_owned()).or_default();
        if change(state) {
            state.dirty = true;
            drop(namespaces);
            self.changed.notify_one();
        }
    }

    fn namespaces(&self) -> MutexGuard<'_, HashMap<String, Namespace>> {
        self.namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the file of a group is.
fn path(directory: &Path, namespace: &str, group: Option<&str>) -> PathBuf {
    let directory = directory.join(namespace);
    match group {
        None => directory.join("hosts"),
        Some(group) => directory.join("groups").join(group).join("hosts"),
    }
}

/// The text of the hosts files of a namespace.
struct Rendered {
    /// What all have.
    common: String,
    /// What those of a group have as well.
    groups: BTreeMap<String, String>,
}

impl Rendered {
    fn write(&self, path: &Path, group: Option<&String>) -> io::Result<()> {
        let own = group.and_then(|group| self.groups.get(group));
        let own = own.map(String::as_str).unwrap_or_default();
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.write_all_at(self.common.as_bytes(), 0)?;
        file.write_all_at(own.as_bytes(), self.common.len() as u64)?;
        file.set_len((self.common.len() + own.len()) as u64)
    }
}

impl Namespace {
    /// The whole hosts files.
    fn render(&self, namespace: &str, host: &str) -> Rendered {
        let mut text = String::with_capacity(host.len() + 200 * self.pods.len() + 64);
        text.push_str(host);
        if !host.is_empty() && !host.ends_with('\n') {
            text.push('\n');
        }
        if !host.contains("localhost") {
            text.push_str("127.0.0.1 localhost\n::1 localhost\n");
        }
        let taken = Taken::new(self, host);
        let mut groups: BTreeMap<String, String> = BTreeMap::new();
        for pod in self.pods.values() {
            let _ = write!(text, "{}", pod.address);
            let published = self.published(pod);
            if let Some(service) = published {
                let _ = forms(&mut text, &format!("{}.{service}", pod.hostname), namespace);
            }
            let _ = write!(text, " {}", pod.hostname);
            for (service, _) in self.services.iter().filter(|(_, s)| s.publishes(pod)) {
                let _ = forms(&mut text, service, namespace);
            }
            if let (Some(service), Some(aliases)) = (published, &pod.aliases) {
                for alias in taken.free(aliases) {
                    let full = format!("{alias}.{service}");
                    if !taken.with_subdomain.contains(&full) {
                        let _ = forms(&mut text, &full, namespace);
                    }
                }
                let alone = taken
                    .free(aliases)
                    .filter(|name| !taken.alone.contains(*name));
                let alone: Vec<&str> = alone.collect();
                if !alone.is_empty() {
                    let group = groups.entry(aliases.group.clone()).or_default();
                    let _ = writeln!(group, "{} {}", pod.address, alone.join(" "));
                }
            }
            text.push('\n');
        }
        Rendered {
            common: text,
            groups,
        }
    }

    /// The Service under which the Pod's host name is published.
    fn published(&self, pod: &Entry) -> Option<&String> {
        let (name, service) = self.services.get_key_value(pod.subdomain.as_ref()?)?;
        service.publishes(pod).then_some(name)
    }
}

/// Names that aliases give way to.
struct Taken<'a> {
    /// Host names, Services, and what the host itself knows.
    alone: HashSet<&'a str>,
    /// `<hostname>.<subdomain>` of all Pods.
    with_subdomain: HashSet<String>,
    /// (group, alias) for aliases of single Pods.
    own: HashSet<(&'a str, &'a str)>,
}

impl<'a> Taken<'a> {
    fn new(namespace: &'a Namespace, host: &'a str) -> Self {
        let pods = || namespace.pods.values();
        let aliases = pods().filter_map(|pod| pod.aliases.as_ref());
        let own: HashSet<_> = aliases
            .filter_map(|aliases| Some((aliases.group.as_str(), aliases.own.as_deref()?)))
            .collect();
        if pods().all(|pod| pod.aliases.is_none()) {
            return Self {
                alone: HashSet::new(),
                with_subdomain: HashSet::new(),
                own,
            };
        }
        let lines = host.lines().filter_map(|line| line.split('#').next());
        let hosts = lines.flat_map(|line| line.split_ascii_whitespace().skip(1));
        Self {
            alone: pods()
                .map(|pod| pod.hostname.as_str())
                .chain(namespace.services.keys().map(String::as_str))
                .chain(hosts)
                .chain(["localhost"])
                .collect(),
            with_subdomain: pods()
                .filter_map(|pod| Some(format!("{}.{}", pod.hostname, pod.subdomain.as_ref()?)))
                .collect(),
            own,
        }
    }

    /// The aliases of a Pod, without those that are the own ones of others.
    fn free<'b>(&'b self, aliases: &'b Aliases) -> impl Iterator<Item = &'b str> {
        let shared = aliases.shared.iter().map(String::as_str);
        let shared = shared.filter(|name| !self.own.contains(&(aliases.group.as_str(), *name)));
        aliases.own.as_deref().into_iter().chain(shared)
    }
}

/// A name as it is found through the search domains of a Pod: the longest form first, because
/// the first name of a line is the canonical one.
fn forms(text: &mut String, name: &str, namespace: &str) -> std::fmt::Result {
    write!(
        text,
        " {name}.{namespace}.svc.cluster.local {name}.{namespace}.svc {name}.{namespace} {name}"
    )
}

impl Headless {
    fn publishes(&self, pod: &Entry) -> bool {
        (pod.ready || self.publish_not_ready)
            && self
                .selector
                .iter()
                .all(|(k, v)| pod.labels.get(k) == Some(v))
    }
}

#[cfg(test)]
mod tests;
