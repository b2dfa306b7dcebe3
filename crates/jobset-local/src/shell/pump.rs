//! Drives a `kube` watcher into a callback.

use std::fmt::Debug;

use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

/// Passes every event of `api`'s watch to `sink`, in order, until `shutdown`.
///
/// Errors are logged and retried with the watcher's back-off: a watch never ends by itself.
pub async fn pump<K>(
    api: Api<K>,
    config: watcher::Config,
    shutdown: CancellationToken,
    mut sink: impl FnMut(Event<K>),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let stream = watcher::watcher(api, config).default_backoff();
    tokio::pin!(stream);
    loop {
        let item = tokio::select! {
            () = shutdown.cancelled() => return,
            item = stream.next() => item,
        };
        match item {
            Some(Ok(event)) => sink(event),
            Some(Err(error)) => tracing::debug!(%error, "watch interrupted; it is started again"),
            None => return,
        }
    }
}
