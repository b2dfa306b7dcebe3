//! What a Pod is up to, in one word.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::{at, condition, list};
use super::since;

/// Ready containers, all containers, the word, and restarts.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) ready: usize,
    pub(super) total: usize,
    pub(super) status: String,
    pub(super) restarts: i64,
    last_restart: Option<String>,
}

/// An init container that keeps running beside the others.
fn is_sidecar(pod: &Value, name: &Value) -> bool {
    list(pod, "/spec/initContainers")
        .iter()
        .any(|c| c["name"] == *name && c["restartPolicy"] == "Always")
}

/// The word for a container that ended without a reason.
fn ended(terminated: &Value) -> String {
    let reason = terminated["reason"].as_str().unwrap_or_default();
    let signal = terminated["signal"].as_i64().unwrap_or(0);
    if !reason.is_empty() {
        reason.to_owned()
    } else if signal != 0 {
        format!("Signal:{signal}")
    } else {
        format!("ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or(0))
    }
}

impl Summary {
    pub(super) fn of(pod: &Value) -> Self {
        let mut sum = Self {
            status: at(pod, "/status/phase").to_owned(),
            ..Self::default()
        };
        let reason = at(pod, "/status/reason");
        if !reason.is_empty() {
            reason.clone_into(&mut sum.status);
        }
        if list(pod, "/status/conditions")
            .iter()
            .any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated")
        {
            "SchedulingGated".clone_into(&mut sum.status);
        }
        let init = list(pod, "/spec/initContainers");
        let sidecars = init
            .iter()
            .filter(|c| c["restartPolicy"] == "Always")
            .count();
        sum.total = list(pod, "/spec/containers").len() + sidecars;

        let (initializing, sidecar_restarts) = sum.init_containers(pod, init.len());
        if !initializing || condition(pod, "Initialized") {
            sum.restarts = sidecar_restarts;
            sum.containers(pod);
        }
        if pod["metadata"]["deletionTimestamp"].is_string() {
            let phase = at(pod, "/status/phase");
            if reason == "NodeLost" {
                "Unknown".clone_into(&mut sum.status);
            } else if phase != "Succeeded" && phase != "Failed" {
                "Terminating".clone_into(&mut sum.status);
            }
        }
        sum
    }

    /// Whether an init container still has to finish, and how often sidecars restarted.
    fn init_containers(&mut self, pod: &Value, total: usize) -> (bool, i64) {
        let mut sidecar_restarts = 0;
        for (index, status) in list(pod, "/status/initContainerStatuses")
            .iter()
            .enumerate()
        {
            let restarts = status["restartCount"].as_i64().unwrap_or(0);
            self.restarts += restarts;
            self.restarted(status);
            let sidecar = is_sidecar(pod, &status["name"]);
            if sidecar {
                sidecar_restarts += restarts;
            }
            let terminated = &status["state"]["terminated"];
            if terminated.is_object() && terminated["exitCode"].as_i64().unwrap_or(0) == 0 {
                continue;
            }
            if sidecar && status["started"] == true {
                if status["ready"] == true {
                    self.ready += 1;
                }
                continue;
            }
            let waiting = status["state"]["waiting"]["reason"]
                .as_str()
                .unwrap_or_default();
            self.status = if terminated.is_object() {
                format!("Init:{}", ended(terminated))
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                format!("Init:{waiting}")
            } else {
                format!("Init:{index}/{total}")
            };
            return (true, sidecar_restarts);
        }
        (false, sidecar_restarts)
    }

    fn containers(&mut self, pod: &Value) {
        let mut running = false;
        for status in list(pod, "/status/containerStatuses").iter().rev() {
            self.restarts += status["restartCount"].as_i64().unwrap_or(0);
            self.restarted(status);
            let state = &status["state"];
            let waiting = state["waiting"]["reason"].as_str().unwrap_or_default();
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.status);
            } else if state["terminated"].is_object() {
                self.status = ended(&state["terminated"]);
            } else if status["ready"] == true && state["running"].is_object() {
                running = true;
                self.ready += 1;
            }
        }
        if self.status == "Completed" && running {
            let word = if condition(pod, "Ready") {
                "Running"
            } else {
                "NotReady"
            };
            word.clone_into(&mut self.status);
        }
    }

    fn restarted(&mut self, status: &Value) {
        let time = status["lastState"]["terminated"]["finishedAt"].as_str();
        if let Some(time) = time
            && self.last_restart.as_deref().is_none_or(|last| last < time)
        {
            self.last_restart = Some(time.to_owned());
        }
    }

    /// `2 (5m ago)`.
    pub(super) fn restarts_text(&self, now: Timestamp) -> String {
        match &self.last_restart {
            Some(time) if self.restarts > 0 => {
                format!("{} ({} ago)", self.restarts, since(time, now))
            }
            _ => self.restarts.to_string(),
        }
    }
}
