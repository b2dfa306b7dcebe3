//! Which resources are served at this moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

use super::{Resource, kinds, resources_of_crd};

/// The served resources by group, version and plural name.
#[derive(Debug)]
pub(crate) struct Registry {
    served: RwLock<Served>,
}

#[derive(Debug, Default)]
struct Served {
    by_path: HashMap<(String, String, String), Arc<Resource>>,
    /// In the order discovery lists them: group, then version, then the order of registration.
    order: BTreeMap<(String, String), Vec<Arc<Resource>>>,
}

impl Registry {
    /// The built-in resources.
    pub(crate) fn builtin() -> Self {
        let registry = Self {
            served: RwLock::default(),
        };
        registry.replace(|_| false, kinds::all());
        registry
    }

    /// Serves what Pods and nodes use, from now on.
    pub(crate) fn serve_metrics(&self) {
        self.replace(|old| old.measured, kinds::metrics());
    }

    /// The resource that a path names.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        let key = (group.to_owned(), version.to_owned(), plural.to_owned());
        served.by_path.get(&key).cloned()
    }

    /// Every group and version with its resources.
    pub(crate) fn groups(&self) -> BTreeMap<(String, String), Vec<Arc<Resource>>> {
        self.served
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .order
            .clone()
    }

    /// What field selectors can ask of a stored object of a collection.
    pub(crate) fn fields(&self, collection: &str, object: &Value) -> BTreeMap<String, String> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        let resource = served
            .by_path
            .values()
            .find(|resource| *resource.collection == *collection);
        resource
            .map(|resource| resource.selectable_fields(object))
            .unwrap_or_default()
    }

    /// Other resources that are the same objects: other versions, or another group's name for them.
    pub(crate) fn equivalents(&self, resource: &Resource) -> Vec<Arc<Resource>> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        let all = served.order.values().flatten();
        all.filter(|other| other.collection == resource.collection)
            .filter(|other| other.api_version() != resource.api_version())
            .cloned()
            .collect()
    }

    /// Serves the resources of a definition from now on, in place of what it brought before.
    pub(crate) fn define(&self, crd: &Value) {
        let resources = resources_of_crd(crd);
        let collection = crd["metadata"]["name"].as_str().unwrap_or_default();
        self.replace(
            |old| old.custom.is_some() && *old.collection == *collection,
            resources,
        );
    }

    /// No longer serves what a definition brought.
    pub(crate) fn undefine(&self, collection: &str) {
        self.replace(
            |old| old.custom.is_some() && *old.collection == *collection,
            Vec::new(),
        );
    }

    /// All namespaced resources, once per collection.
    pub(crate) fn namespaced(&self) -> Vec<Arc<Resource>> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: BTreeMap<Arc<str>, Arc<Resource>> = BTreeMap::new();
        for resource in served.by_path.values().filter(|r| r.namespaced) {
            let slot = found
                .entry(resource.collection.clone())
                .or_insert_with(|| resource.clone());
            if !resource.converts() {
                *slot = resource.clone();
            }
        }
        found.into_values().collect()
    }

    /// Removes the resources that `obsolete` picks and adds others, in one step.
    fn replace(&self, obsolete: impl Fn(&Resource) -> bool, new: Vec<Resource>) {
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        served.by_path.retain(|_, resource| !obsolete(resource));
        for list in served.order.values_mut() {
            list.retain(|resource| !obsolete(resource));
        }
        for resource in new {
            let resource = Arc::new(resource);
            let key = (
                resource.group.clone(),
                resource.version.clone(),
                resource.plural.clone(),
            );
            served.by_path.insert(key, resource.clone());
            served
                .order
                .entry((resource.group.clone(), resource.version.clone()))
                .or_default()
                .push(resource);
        }
        served.order.retain(|_, list| !list.is_empty());
    }
}
