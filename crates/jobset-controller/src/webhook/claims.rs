//! Looking up the claims that a JobSet would reuse, before it is checked.

use std::collections::HashMap;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::Client;
use serde_json::Value;
use tokio::time::Instant;

use crate::requests::{RequestError, Requests, Resource};

/// Requests at a time for one JobSet.
const CONCURRENCY: usize = 16;

/// What was found, by name.
pub(super) type Found = HashMap<String, Result<Option<Value>, String>>;

/// Reads claims from an API server.
pub(super) struct Claims(Requests);

impl Claims {
    /// `time_limit` is for one claim.
    pub(super) fn new(client: Client, time_limit: Duration) -> Self {
        Self(Requests::new(client, std::sync::Arc::default(), time_limit))
    }

    /// Looks up claims. What is not known by the deadline has an error.
    pub(super) async fn look_up(
        &self,
        namespace: &str,
        names: Vec<String>,
        deadline: Instant,
    ) -> Found {
        let lookups = names.into_iter().map(|name| async move {
            let found = tokio::time::timeout_at(deadline, self.get(namespace, &name)).await;
            let found = found.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            (name, found)
        });
        stream::iter(lookups)
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await
    }

    async fn get(&self, namespace: &str, name: &str) -> Result<Option<Value>, String> {
        match self.0.get(Resource::Claims, namespace, name).await {
            Ok(claim) => Ok(Some(claim)),
            Err(error) if error.is_not_found() => Ok(None),
            // No claim can have such a name. That it is wrong is said by validation.
            Err(RequestError::Invalid(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Answer, Seen, client, refusal};

    #[tokio::test(start_paused = true)]
    async fn every_outcome() {
        let (client, log) = client(|seen| match seen.path.rsplit('/').next() {
            Some("there") => Answer::Json(200, json!({"metadata": {"name": "there"}})),
            Some("gone") => refusal(404, "NotFound", "no such claim"),
            Some("silent") => Answer::Never,
            _ => refusal(403, "Forbidden", "not yours"),
        });
        let claims = Claims::new(client, Duration::from_secs(5));
        let names = ["there", "gone", "silent", "hidden", "no/name", ""].map(str::to_owned);
        let deadline = Instant::now() + Duration::from_secs(3);
        let found = claims.look_up("ns", names.to_vec(), deadline).await;
        assert!(Instant::now() <= deadline + Duration::from_millis(1));
        assert_eq!(
            found["there"],
            Ok(Some(json!({"metadata": {"name": "there"}})))
        );
        assert_eq!(found["gone"], Ok(None));
        assert_eq!(found["silent"], Err("no answer in time".to_owned()));
        assert_eq!(found["hidden"], Err("not yours".to_owned()));
        assert_eq!(found["no/name"], Ok(None));
        assert_eq!(found[""], Ok(None));
        let lines: Vec<_> = log.lock().unwrap().iter().map(Seen::line).collect();
        assert!(
            lines.contains(&"GET /api/v1/namespaces/ns/persistentvolumeclaims/there".to_owned())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_looked_up_concurrently() {
        let (client, log) = client(|_| refusal(404, "NotFound", "no"));
        let claims = Claims::new(client, Duration::from_secs(5));
        let begun = Instant::now();
        let names = (0..64).map(|n| format!("c-{n}")).collect();
        let found = claims
            .look_up("ns", names, begun + Duration::from_secs(3))
            .await;
        assert_eq!((found.len(), log.lock().unwrap().len()), (64, 64));
        // Four rounds of sixteen, a millisecond each.
        assert!(
            begun.elapsed() < Duration::from_millis(16),
            "{:?}",
            begun.elapsed()
        );
    }
}
