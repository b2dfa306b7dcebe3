//! Stopping a Pod or one of its containers: hook, signal, grace period, end.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep_until};

use super::Worker;
use crate::node::lifecycle::{Run, Stop};
use crate::node::probes;

/// Grace period of Pods that do not say.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

impl Worker {
    pub(super) fn take_deletion(&mut self) {
        let meta = &self.pod.metadata;
        if meta.deletion_timestamp.is_some() {
            let grace = meta.deletion_grace_period_seconds;
            let grace = grace.map_or_else(
                || self.grace(),
                |s| Duration::from_secs(s.max(0).cast_unsigned()),
            );
            self.stop(None, grace);
        }
    }

    pub(super) fn grace(&self) -> Duration {
        let spec = self.pod.spec.as_ref();
        spec.and_then(|s| s.termination_grace_period_seconds)
            .map_or(DEFAULT_GRACE, |s| {
                Duration::from_secs(s.max(0).cast_unsigned())
            })
    }

    /// Stops the Pod; a second call can only shorten the grace period.
    pub(super) fn stop(&mut self, failure: Option<(&'static str, String)>, grace: Duration) {
        let by = Instant::now() + grace;
        let sooner = self.stop_by.is_none_or(|present| by < present);
        if sooner {
            self.stop_by = Some(by);
            // Those already being stopped have to hurry.
            for i in 0..self.runs.len() {
                let stopping = self.state.containers.get(i).is_some_and(|c| c.stopping);
                if stopping {
                    self.stop_container(i, grace);
                }
            }
        }
        if self.state.stop.is_none() {
            self.state.stop = Some(Stop { failure });
        }
    }

    /// `preStop` hook, signal, and when the grace period is over, the end.
    pub(super) fn stop_container(&mut self, i: usize, grace: Duration) {
        let container = self.container(i);
        let pod_ip = self.address.to_string();
        let started = self
            .state
            .containers
            .get(i)
            .is_some_and(|c| matches!(c.run, Run::Running { .. }));
        let Some(c) = self.state.containers.get_mut(i) else {
            return;
        };
        let first = !std::mem::replace(&mut c.stopping, true);
        let Some(run) = self.runs.get_mut(i).and_then(Option::as_mut) else {
            return;
        };
        if let Some(stopper) = run.stopper.take() {
            stopper.abort();
        }
        if grace.is_zero() {
            run.control.kill();
            return;
        }
        let control = run.control.clone();
        let stopper = tokio::spawn(async move {
            let lifecycle = container.as_ref().and_then(|c| c.lifecycle.as_ref());
            let by = Instant::now() + grace;
            if let (true, true, Some(container)) = (first, started, &container)
                && let Some(handler) = lifecycle.and_then(|l| l.pre_stop.as_ref())
            {
                // A failed hook does not keep the container from being stopped.
                let _ = probes::hook(handler, container, &control, &pod_ip, grace).await;
            }
            let signal = lifecycle.and_then(|l| l.stop_signal.as_deref());
            control.signal(
                signal
                    .and_then(|s| s.parse().ok())
                    .unwrap_or(Signal::SIGTERM),
            );
            sleep_until(by).await;
            control.kill();
        });
        run.stopper = Some(stopper.abort_handle());
    }
}
