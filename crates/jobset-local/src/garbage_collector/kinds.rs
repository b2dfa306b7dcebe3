//! Which resources there are, and the part of an object that the collector reads.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::core::DynamicResourceScope;
use kube::discovery::{Discovery, Scope, verbs};
use kube::{Client, Resource};
use serde::{Deserialize, Deserializer};

pub use kube::core::ApiResource;

/// A kind of object that can own or be owned.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Group, version, kind and plural.
    pub resource: ApiResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.resource.plural, self.resource.group)
    }
}

impl Kind {
    /// Whether this is the kind that defines further kinds.
    pub fn defines_kinds(&self) -> bool {
        self.resource.group == "apiextensions.k8s.io"
            && self.resource.kind == "CustomResourceDefinition"
    }
}

/// Every kind that is served, by group and kind.
#[derive(Debug, Clone, Default)]
pub struct Kinds(HashMap<(String, String), Arc<Kind>>);

impl Kinds {
    /// Asks the API server what it serves.
    ///
    /// Left out are events (they belong to nobody and are many) and what cannot be listed,
    /// watched and deleted.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub async fn discover(client: &Client) -> Result<Self, kube::Error> {
        let discovery = match Discovery::new(client.clone()).run_aggregated().await {
            Ok(discovery) => discovery,
            Err(_) => Discovery::new(client.clone()).run().await?,
        };
        let mut kinds = HashMap::new();
        for (resource, capabilities) in discovery
            .groups()
            .flat_map(kube::discovery::ApiGroup::recommended_resources)
        {
            let is_event = resource.kind == "Event";
            let usable = [verbs::LIST, verbs::WATCH, verbs::DELETE]
                .iter()
                .all(|verb| capabilities.supports_operation(verb));
            if is_event || !usable || resource.plural.contains('/') {
                continue;
            }
            let key = (resource.group.clone(), resource.kind.clone());
            let namespaced = capabilities.scope == Scope::Namespaced;
            kinds.insert(
                key,
                Arc::new(Kind {
                    resource,
                    namespaced,
                }),
            );
        }
        Ok(Self(kinds))
    }

    /// Every kind, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.0.values()
    }

    /// The kind of this group and name.
    pub fn get(&self, group: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.0.get(&(group.to_owned(), kind.to_owned()))
    }

    /// The kind that an owner reference names, whatever version it says.
    pub fn of_owner(&self, owner: &OwnerReference) -> Option<&Arc<Kind>> {
        let group = owner
            .api_version
            .rsplit_once('/')
            .map_or("", |(group, _)| group);
        self.get(group, &owner.kind)
    }

    /// Whether this very kind (also in version and scope) is served.
    pub fn contains(&self, kind: &Kind) -> bool {
        let known = self.get(&kind.resource.group, &kind.resource.kind);
        known.is_some_and(|known| **known == *kind)
    }
}

/// The metadata of an object of any kind, without labels, annotations and managed fields.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Meta {
    /// What is left of the metadata.
    #[serde(deserialize_with = "slim")]
    pub metadata: ObjectMeta,
}

fn slim<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    ObjectMeta::deserialize(deserializer).map(|full| ObjectMeta {
        name: full.name,
        namespace: full.namespace,
        uid: full.uid,
        resource_version: full.resource_version,
        deletion_timestamp: full.deletion_timestamp,
        finalizers: full.finalizers,
        owner_references: full.owner_references,
        ..ObjectMeta::default()
    })
}

impl Meta {
    /// Name of the object.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Uid of the object.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Its owners.
    pub fn owners(&self) -> &[OwnerReference] {
        self.metadata
            .owner_references
            .as_deref()
            .unwrap_or_default()
    }

    /// Whether it is being deleted.
    pub fn deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether it carries `finalizer`.
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.metadata
            .finalizers
            .iter()
            .flatten()
            .any(|name| name == finalizer)
    }
}

impl Resource for Meta {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn metadata_api() -> bool {
        true
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
