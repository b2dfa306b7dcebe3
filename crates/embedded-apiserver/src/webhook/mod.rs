//! Dynamic admission: the webhooks that configurations register, called as kube-apiserver does.
//!
//! [`Webhooks`] holds the configurations in compiled form. It is rebuilt when one of them is
//! written, before the write is answered, so that a configuration takes effect at once. A [`Hook`]
//! knows which requests are its own ([`rules`], selectors, conditions) and whom to call
//! ([`client`]); [`review`] is the language of the call. Who asks, and what becomes of the
//! answers, is the business of `rest::webhooks`.

mod client;
mod hook;
mod matcher;
mod review;
mod rules;
mod service;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub(crate) use self::hook::Hook;
pub(crate) use self::matcher::{CONDITION_VARIABLES, Matcher};
pub(crate) use self::review::{
    Attributes, GroupVersionKind, GroupVersionResource, Patched, Review, UserInfo, Verdict, denied,
};
pub(crate) use self::rules::Asked;
pub use self::service::ServiceResolver;

use self::client::Clients;
use crate::store::Store;

/// The group of the configurations. Its objects are never reviewed: otherwise a webhook could
/// keep its own configuration from being mended.
pub(crate) const GROUP: &str = "admissionregistration.k8s.io";
const MUTATING: &str = "mutatingwebhookconfigurations.admissionregistration.k8s.io";
const VALIDATING: &str = "validatingwebhookconfigurations.admissionregistration.k8s.io";

/// Whether the objects of a collection are configurations of webhooks.
pub(crate) fn is_configuration(collection: &str) -> bool {
    collection == MUTATING || collection == VALIDATING
}

/// The webhooks in the order they are called in: configurations by name, then as listed.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    pub(crate) mutating: Vec<Arc<Hook>>,
    pub(crate) validating: Vec<Arc<Hook>>,
}

/// All registered webhooks.
pub(crate) struct Webhooks {
    /// Spares every write the lock while there are no webhooks, which is the rule.
    any: AtomicBool,
    hooks: RwLock<Arc<Hooks>>,
    compiled: Mutex<Compiled>,
}

/// The webhooks of one configuration, with the revision they were compiled from.
type Configured = (u64, Vec<Arc<Hook>>);

/// What is kept from one rebuild to the next.
struct Compiled {
    /// By collection and name.
    configurations: HashMap<(&'static str, String), Configured>,
    clients: Clients,
}

impl Webhooks {
    /// No webhooks yet. `services` finds the Services that configurations may name.
    pub(crate) fn new(services: Option<Arc<dyn ServiceResolver>>) -> Self {
        Self {
            any: AtomicBool::new(false),
            hooks: RwLock::default(),
            compiled: Mutex::new(Compiled {
                configurations: HashMap::new(),
                clients: Clients::new(services),
            }),
        }
    }

    /// The webhooks, if there are any.
    pub(crate) fn hooks(&self) -> Option<Arc<Hooks>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let hooks = self.hooks.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&hooks))
    }

    /// Takes over what the store holds now.
    pub(crate) fn reload(&self, store: &Store) {
        // Held over the reading of the store, so that of two reloads the later one sees more.
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = std::mem::take(&mut compiled.configurations);
        let mut hooks = Hooks::default();
        for (collection, list) in [
            (MUTATING, &mut hooks.mutating),
            (VALIDATING, &mut hooks.validating),
        ] {
            for object in store.list(collection, None, None).objects {
                let key = (collection, object.key.name.to_string());
                let (revision, own) = match known.remove(&key) {
                    Some((revision, own)) if revision == object.revision => (revision, own),
                    _ => {
                        let configuration = object.value();
                        let webhooks = configuration["webhooks"].as_array();
                        let own = webhooks
                            .into_iter()
                            .flatten()
                            .map(|webhook| Arc::new(Hook::compile(webhook, &mut compiled.clients)))
                            .collect();
                        (object.revision, own)
                    }
                };
                list.extend(own.iter().cloned());
                compiled.configurations.insert(key, (revision, own));
            }
        }
        compiled.clients.forget_unused();
        let any = !hooks.mutating.is_empty() || !hooks.validating.is_empty();
        *self.hooks.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(hooks);
        self.any.store(any, Ordering::Release);
    }
}
