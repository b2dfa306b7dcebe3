//! What a Pod's worker tells the world: status and events.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde_json::json;
use tokio::time::Instant;

use super::Worker;
use crate::node::lifecycle::{ContainerState, Outcome, Role, Run};
use crate::node::runtime::Runtime;
use crate::node::status::{self, Surroundings};
use crate::shell::events::EventType;

/// A failed write of a status is repeated after this time.
const RETRY_WRITE: Duration = Duration::from_millis(500);

impl Worker {
    /// Writes the status if it changed. Says when to come again if it is not written yet.
    pub(super) async fn write_status(&mut self) -> Option<Duration> {
        if self.silent {
            return None;
        }
        let starting = |c: &ContainerState| matches!(c.run, Run::Starting);
        if self.state.outcome.is_none() && self.state.containers.iter().any(starting) {
            let left = self.hold_until?.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Some(left);
            }
        }
        let pod_ip = self.address.to_string();
        let around = Surroundings {
            pod: &self.pod,
            pod_ip: Some(&pod_ip),
            host_ip: &self.node.facts.host_ip,
            started_at: self.accepted_at,
            backoff: &self.node.options.restart_backoff,
        };
        let status = status::build(
            &self.state,
            &around,
            self.written.as_ref(),
            Timestamp::now(),
        );
        if self.written.as_ref() == Some(&status) {
            return None;
        }
        let ready = self.state.units.iter().zip(&self.state.containers);
        let ready = ready
            .filter(|(u, _)| u.role != Role::Init)
            .all(|(_, c)| c.ready);
        self.node
            .names
            .set_ready(&self.name, ready && self.state.outcome.is_none());
        let api: Api<Pod> = Api::namespaced(self.node.client.clone(), &self.name.namespace);
        // The uid keeps a successor of the same name from being written to.
        let patch = json!({"metadata": {"uid": self.name.uid}, "status": status});
        let params = PatchParams {
            field_manager: Some("kubelet".to_owned()),
            ..PatchParams::default()
        };
        match api
            .patch_status(&self.name.name, &params, &Patch::Strategic(&patch))
            .await
        {
            Ok(_) => {
                self.written = Some(status);
                if matches!(
                    self.state.outcome,
                    Some(Outcome::Succeeded | Outcome::Failed { .. })
                ) {
                    self.node.names.remove(&self.name);
                }
                None
            }
            // A Pod that is gone or was replaced ends up here too, until the watch says so.
            Err(error) => {
                tracing::debug!(pod = self.name.name, %error, "status not written; trying again");
                Some(RETRY_WRITE)
            }
        }
    }

    /// Publishes an event about the Pod.
    pub(super) fn event(&self, kind: EventType, reason: &str, message: String) {
        if matches!(self.node.options.runtime, Runtime::Process) {
            self.node
                .recorder
                .publish(self.pod.object_ref(&()), kind, reason, message);
        }
    }
}
