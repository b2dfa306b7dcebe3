//! What resolves inside Pods: the names of headless Services, through one hosts file per namespace.
//!
//! A Pod with `hostname` and `subdomain`, selected by a headless Service of that name, is found as
//! `<hostname>.<subdomain>`, with or without `.<namespace>`, `.svc` and `.cluster.local`; every
//! Pod is found as its host name within its namespace; a headless Service's own name leads to all
//! its Pods. As with Kubernetes' DNS, Pods that are not ready are left out unless the Service has
//! `publishNotReadyAddresses`.
//!
//! The file is bound into containers, which ties them to its inode: it is always rewritten in
//! place, and Pods are listed in the order in which they came, so that lines move as little as
//! possible under a concurrent reader. A container is started only after the file has its Pod and
//! all present ones; later changes follow within [`DEBOUNCE`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::runtime::watcher::Event;
use kube::{Api, Client};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::node::container::hostname;
use crate::node::logs::PodName;

/// How long a change may wait for others before files are rewritten.
pub const DEBOUNCE: Duration = Duration::from_millis(20);

/// What resolves in which namespace, and the files that say so.
pub(crate) struct Names {
    /// Absent when no process will ever look anything up.
    directory: Option<PathBuf>,
    /// What the host itself resolves without a server.
    host: String,
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
    has_file: bool,
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
    ready: bool,
}

impl Names {
    /// Keeps files below `directory`, or nothing at all without one.
    pub(crate) fn new(directory: Option<PathBuf>) -> Self {
        let host = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        Self {
            directory,
            host,
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

    /// The hosts file of a namespace, up to date.
    pub(crate) fn hosts_file(&self, namespace: &str) -> io::Result<PathBuf> {
        let Some(directory) = &self.directory else {
            return Err(io::Error::other("this runtime has no hosts files"));
        };
        let directory = directory.join(namespace);
        let path = directory.join("hosts");
        {
            let mut namespaces = self.namespaces();
            let state = namespaces.entry(namespace.to_owned()).or_default();
            if !state.has_file {
                std::fs::create_dir_all(&directory)?;
                state.has_file = true;
                state.dirty = true;
            }
        }
        self.flush(namespace);
        Ok(path)
    }

    /// Rewrites the file of a namespace if anything changed.
    pub(crate) fn flush(&self, namespace: &str) {
        let Some(directory) = &self.directory else {
            return;
        };
        // Held over the write, or an older text could overtake a newer one.
        let mut namespaces = self.namespaces();
        let Some(state) = namespaces.get_mut(namespace) else {
            return;
        };
        if !state.has_file || !std::mem::take(&mut state.dirty) {
            return;
        }
        let text = state.render(namespace, &self.host);
        let path = directory.join(namespace).join("hosts");
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .and_then(|file| {
                file.write_all_at(text.as_bytes(), 0)?;
                file.set_len(text.len() as u64)
            });
        if let Err(error) = written {
            state.dirty = true;
            tracing::warn!(%error, namespace, "names of Pods not written");
        }
    }

    /// Rewrites files soon after changes, until `shutdown`.
    pub(crate) async fn keep_flushed(&self, shutdown: CancellationToken) {
        let flushing = async {
            loop {
                self.changed.notified().await;
                tokio::time::sleep(DEBOUNCE).await;
                let namespaces: Vec<String> = self.namespaces().keys().cloned().collect();
                for namespace in namespaces {
                    self.flush(&namespace);
                }
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

impl Namespace {
    /// The whole hosts file.
    fn render(&self, namespace: &str, host: &str) -> String {
        let mut text = String::with_capacity(host.len() + 200 * self.pods.len() + 64);
        text.push_str(host);
        if !host.is_empty() && !host.ends_with('\n') {
            text.push('\n');
        }
        if !host.contains("localhost") {
            text.push_str("127.0.0.1 localhost\n::1 localhost\n");
        }
        for pod in self.pods.values() {
            let _ = write!(text, "{}", pod.address);
            let subdomain = pod.subdomain.as_ref();
            if let Some((name, service)) = subdomain.and_then(|s| self.services.get_key_value(s))
                && service.publishes(pod)
            {
                let _ = forms(&mut text, &format!("{}.{name}", pod.hostname), namespace);
            }
            let _ = write!(text, " {}", pod.hostname);
            for (service, _) in self.services.iter().filter(|(_, s)| s.publishes(pod)) {
                let _ = forms(&mut text, service, namespace);
            }
            text.push('\n');
        }
        text
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
mod tests {
    use super::*;
    use serde_json::json;

    fn pod_name(n: u8) -> PodName {
        PodName {
            namespace: "ns".to_owned(),
            name: format!("p-{n}"),
            uid: n.to_string(),
        }
    }

    fn pod(n: u8, subdomain: Option<&str>) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": format!("p-{n}"), "namespace": "ns", "labels": {"app": "x"}},
            "spec": {"containers": [], "hostname": format!("h-{n}"), "subdomain": subdomain}
        }))
        .unwrap()
    }

    fn service(name: &str, publish: bool, cluster_ip: &str) -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "ns"},
            "spec": {"clusterIP": cluster_ip, "selector": {"app": "x"},
                     "publishNotReadyAddresses": publish}
        }))
        .unwrap()
    }

    fn names(directory: &tempfile::TempDir) -> Names {
        let mut names = Names::new(Some(directory.path().to_owned()));
        names.host = "127.0.0.1 localhost".to_owned();
        names
    }

    fn read(names: &Names) -> Vec<String> {
        let path = names.hosts_file("ns").unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn pods_and_services_resolve() {
        let directory = tempfile::tempdir().unwrap();
        let names = names(&directory);
        names.on_service(Event::Apply(service("svc", true, "None")));
        names.on_service(Event::Apply(service("vip", true, "10.0.0.1")));
        names.add(
            &pod_name(1),
            &pod(1, Some("svc")),
            Ipv4Addr::new(127, 9, 0, 1),
        );
        names.add(&pod_name(2), &pod(2, None), Ipv4Addr::new(127, 9, 0, 2));
        let service = "svc.ns.svc.cluster.local svc.ns.svc svc.ns svc";
        assert_eq!(
            read(&names),
            [
                format!(
                    "127.9.0.1 h-1.svc.ns.svc.cluster.local h-1.svc.ns.svc h-1.svc.ns h-1.svc \
                     h-1 {service}"
                ),
                format!("127.9.0.2 h-2 {service}"),
            ]
        );
    }

    #[test]
    fn unready_pods_are_published_only_on_request() {
        let directory = tempfile::tempdir().unwrap();
        let names = names(&directory);
        names.on_service(Event::Apply(service("svc", false, "None")));
        names.add(
            &pod_name(1),
            &pod(1, Some("svc")),
            Ipv4Addr::new(127, 9, 0, 1),
        );
        assert_eq!(read(&names), ["127.9.0.1 h-1"]);
        names.set_ready(&pod_name(1), true);
        assert!(read(&names)[0].contains(" h-1.svc "));
        names.set_ready(&pod_name(1), false);
        assert_eq!(read(&names), ["127.9.0.1 h-1"]);
        names.remove(&pod_name(1));
        assert!(read(&names).is_empty());
    }

    #[test]
    fn a_file_keeps_its_inode_and_shrinks() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().unwrap();
        let names = names(&directory);
        names.add(&pod_name(1), &pod(1, None), Ipv4Addr::new(127, 9, 0, 1));
        let path = names.hosts_file("ns").unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        names.remove(&pod_name(1));
        assert!(read(&names).is_empty());
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
    }

    #[test]
    fn services_that_a_new_list_lacks_are_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let names = names(&directory);
        names.on_service(Event::Apply(service("a", true, "None")));
        names.on_service(Event::Apply(service("b", true, "None")));
        names.add(&pod_name(1), &pod(1, None), Ipv4Addr::new(127, 9, 0, 1));
        names.on_service(Event::Init);
        names.on_service(Event::InitApply(service("b", true, "None")));
        names.on_service(Event::InitDone);
        let lines = read(&names);
        assert!(
            lines[0].ends_with(" b") && !lines[0].contains(" a"),
            "{lines:?}"
        );
    }

    #[test]
    fn without_a_directory_nothing_is_kept() {
        let names = Names::new(None);
        names.add(&pod_name(1), &pod(1, None), Ipv4Addr::LOCALHOST);
        assert!(names.namespaces().is_empty() && names.hosts_file("ns").is_err());
    }
}
