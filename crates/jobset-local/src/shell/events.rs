//! Best-effort core/v1 Events.
//!
//! Callers never wait: an event goes into a bounded queue that a few writers empty. When the
//! queue is full the event is dropped and counted, because an event must never slow down the
//! work it tells about.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, PostParams};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;

/// Events that may wait to be written.
const CAPACITY: usize = 10_000;
/// Event writes in flight.
const WRITERS: usize = 4;

/// Whether an event tells of something expected or of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Something expected.
    Normal,
    /// Something a user may have to look at.
    Warning,
}

impl EventType {
    /// The value of the event's `type` field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Hands events to the writers started by [`Recorder::start`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    sender: mpsc::Sender<Event>,
    component: Arc<str>,
    clock: Clock,
    dropped: Arc<AtomicU64>,
}

impl Recorder {
    /// Starts the writers. They stop at `shutdown`; what is still queued then is lost.
    pub fn start(
        client: kube::Client,
        component: &str,
        clock: Clock,
        shutdown: CancellationToken,
    ) -> Self {
        let (sender, receiver) = mpsc::channel::<Event>(CAPACITY);
        let stream = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|event| (event, receiver))
        });
        tokio::spawn(async move {
            let write = stream.for_each_concurrent(WRITERS, move |event| {
                let client = client.clone();
                async move {
                    let namespace = event.metadata.namespace.clone().unwrap_or_default();
                    let api: Api<Event> = Api::namespaced(client, &namespace);
                    if let Err(error) = api.create(&PostParams::default(), &event).await {
                        tracing::debug!(%error, reason = event.reason, "event not written");
                    }
                }
            });
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = write => {}
            }
        });
        Self {
            sender,
            component: component.into(),
            clock,
            dropped: Arc::default(),
        }
    }

    /// Queues one event about `object`.
    pub fn publish(&self, object: ObjectReference, kind: EventType, reason: &str, message: String) {
        let now = Time(self.clock.now());
        // Objects without a namespace have their events in the default one, as in Kubernetes.
        let namespace = object
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned());
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!(
                    "{}.{:016x}",
                    object.name.as_deref().unwrap_or("unknown"),
                    fastrand::u64(..)
                )),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            involved_object: object,
            reason: Some(reason.to_owned()),
            message: Some(message),
            type_: Some(kind.as_str().to_owned()),
            count: Some(1),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            source: Some(EventSource {
                component: Some(self.component.to_string()),
                ..EventSource::default()
            }),
            reporting_component: Some(self.component.to_string()),
            ..Event::default()
        };
        if self.sender.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many events were dropped because the queue was full or closed.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
