//! Taking up a Pod that ran under an earlier life of the cluster.

use k8s_openapi::api::core::v1::ContainerStateTerminated;
use k8s_openapi::jiff::Timestamp;

use super::Worker;
use crate::node::lifecycle::Ended;
use crate::node::status::BACKS_OFF;
use crate::sandbox::protocol::EXIT_KILLED;

impl Worker {
    /// A Pod that ran under an earlier life of this cluster has lost its processes.
    pub(super) fn recover(&mut self) {
        let Some(status) = &self.pod.status else {
            return;
        };
        let init = status.init_container_statuses.iter().flatten();
        let known: Vec<_> = init
            .chain(status.container_statuses.iter().flatten())
            .collect();
        for i in 0..self.state.units.len() {
            let found = known
                .iter()
                .find(|s| Some(&s.name) == self.state.units.get(i).map(|u| &u.name));
            let Some(found) = found else { continue };
            let Some(state) = &found.state else { continue };
            let last = found.last_state.as_ref();
            let last = last.and_then(|s| s.terminated.as_ref()).map(ended);
            let backs_off = state
                .waiting
                .as_ref()
                .is_some_and(|w| w.reason.as_deref() == Some(BACKS_OFF));
            let ended = if let Some(t) = &state.terminated {
                ended(t)
            } else if backs_off && let Some(last) = last.clone() {
                last
            } else if let Some(running) = &state.running {
                Ended {
                    exit_code: EXIT_KILLED,
                    reason: "ContainerStatusUnknown".to_owned(),
                    message: Some("the cluster was stopped while the container ran".to_owned()),
                    started_at: running.started_at.as_ref().map(|t| t.0),
                    finished_at: Timestamp::now(),
                }
            } else {
                // It did not run; what it went through before still counts.
                if let Some(c) = self.state.containers.get_mut(i) {
                    c.restarts = found.restart_count;
                    c.last = last;
                }
                continue;
            };
            self.state.on_ended(i, ended);
            if let Some(c) = self.state.containers.get_mut(i) {
                c.restarts = found.restart_count;
            }
        }
    }
}

fn ended(t: &ContainerStateTerminated) -> Ended {
    Ended {
        exit_code: t.exit_code,
        reason: t.reason.clone().unwrap_or_default(),
        message: t.message.clone(),
        started_at: t.started_at.as_ref().map(|t| t.0),
        finished_at: t.finished_at.as_ref().map_or_else(Timestamp::now, |t| t.0),
    }
}
