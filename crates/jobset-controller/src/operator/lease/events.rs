//! Tells users who leads.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::task::JoinHandle;

/// An event is not worth more waiting.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// Records events about the lease.
pub(super) struct Announcer {
    client: Client,
    identity: String,
}

impl Announcer {
    pub(super) fn new(client: Client, identity: &str) -> Self {
        Self {
            client,
            identity: identity.to_owned(),
        }
    }

    /// Records that this replica `did` something, in the background: only the end of the process
    /// waits for an event.
    pub(super) fn announce(&self, lease: Option<&Lease>, did: &str) -> Option<JoinHandle<()>> {
        let lease = lease?;
        let now = Timestamp::now();
        let metadata = &lease.metadata;
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let name = metadata.name.clone().unwrap_or_default();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some("coordination.k8s.io/v1".to_owned()),
                kind: Some("Lease".to_owned()),
                name: Some(name),
                namespace: Some(namespace.clone()),
                uid: metadata.uid.clone(),
                resource_version: metadata.resource_version.clone(),
                ..ObjectReference::default()
            },
            reason: Some("LeaderElection".to_owned()),
            message: Some(format!("{} {did}", self.identity)),
            type_: Some("Normal".to_owned()),
            source: Some(EventSource {
                component: Some(self.identity.clone()),
                host: None,
            }),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(1),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        Some(tokio::spawn(async move {
            let params = PostParams::default();
            let sending = api.create(&params, &event);
            match tokio::time::timeout(TIME_LIMIT, sending).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "event about the lease not recorded"),
                Err(_) => tracing::debug!("event about the lease not recorded in time"),
            }
        }))
    }
}
