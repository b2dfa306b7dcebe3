//! The worker of one Pod: carries out what the state machine decides and writes the status.
//!
//! `recovery`: what a Pod of an earlier life of the cluster has become; `stopping`: grace periods,
//! hooks and signals; `report`: status and events.

mod recovery;
mod report;
mod stopping;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::Node;
use super::container::{Progress, RunEnd, Start};
use super::fields::PodFacts;
use super::lifecycle::{PodState, Role, Unit};
use super::logs::PodName;
use super::probes::{Finding, ProbeKind};
use super::runtime::process::Control;
use super::runtime::{Runtime, fake};
use super::volumes::{self, Places};
use crate::shell::events::EventType;

/// How long a status may be held back for the start of a container: most take a fraction of it,
/// and then one write tells both.
const HOLD: Duration = Duration::from_millis(200);
/// What a sidecar gets when the main containers have used up the Pod's grace period.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// The Pod's object changed.
    Updated(Arc<Pod>),
    /// The Pod's object is gone: stop without grace, write nothing.
    Gone,
    /// The node stops: stop with at most this grace, write nothing.
    Shutdown(Duration),
    /// From one of the worker's own runs.
    Run {
        unit: usize,
        run: u64,
        progress: Progress,
    },
    /// One of the worker's own runs ended.
    End { unit: usize, run: u64, end: RunEnd },
}

/// One run of a container.
struct LiveRun {
    id: u64,
    control: Control,
    /// The task that stops it, once asked to.
    stopper: Option<AbortHandle>,
}

/// Runs one Pod until nothing of it runs any more and its last status is written.
pub(crate) struct Worker {
    node: Arc<Node>,
    pod: Arc<Pod>,
    name: PodName,
    address: Ipv4Addr,
    state: PodState,
    runs: Vec<Option<LiveRun>>,
    next_run: u64,
    inbox: mpsc::UnboundedReceiver<Message>,
    sender: mpsc::UnboundedSender<Message>,
    volumes: Option<Arc<HashMap<String, PathBuf>>>,
    accepted_at: Timestamp,
    written: Option<Value>,
    /// How a Pod without processes is told to end.
    exit_code: watch::Sender<Option<i32>>,
    stop_by: Option<Instant>,
    /// While a container starts, its status waits for the outcome until then.
    hold_until: Option<Instant>,
    /// No more status is written: the object is gone or the node stops.
    silent: bool,
    said_no_image: bool,
}

impl Worker {
    pub(crate) fn new(
        node: Arc<Node>,
        pod: Arc<Pod>,
        address: Ipv4Addr,
        sender: mpsc::UnboundedSender<Message>,
        inbox: mpsc::UnboundedReceiver<Message>,
    ) -> Self {
        let name = PodName {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
        };
        let state = PodState::new(Unit::all(&pod), node.options.restart_backoff);
        let accepted = pod.status.as_ref().and_then(|s| s.start_time.as_ref());
        let accepted_at = accepted.map_or_else(Timestamp::now, |t| t.0);
        let runs = state.units.iter().map(|_| None).collect();
        let exit_code = watch::Sender::new(fake::exit_code(&pod));
        let mut worker = Self {
            node,
            pod,
            name,
            address,
            state,
            runs,
            next_run: 0,
            inbox,
            sender,
            volumes: None,
            accepted_at,
            written: None,
            exit_code,
            stop_by: None,
            hold_until: None,
            silent: false,
            said_no_image: false,
        };
        worker.recover();
        worker
    }

    /// The worker's whole life.
    pub(crate) async fn run(mut self) {
        self.take_deletion();
        loop {
            let wake_at = self.advance().await;
            let again_in = self.write_status().await;
            if self.state.outcome.is_some() && again_in.is_none() {
                break;
            }
            let sleeps = wake_at.map(until).into_iter().chain(again_in).min();
            let wake = async {
                match sleeps {
                    Some(duration) => sleep(duration).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => self.handle(message),
                    None => return,
                },
                () = wake => {}
            }
            // One status write for everything that is known by now.
            while let Ok(message) = self.inbox.try_recv() {
                self.handle(message);
            }
        }
        let _ = std::fs::remove_dir_all(self.directory().join("volumes"));
        // From now on the node itself answers a deletion; one may have arrived just before.
        self.inbox.close();
        while let Ok(message) = self.inbox.try_recv() {
            self.handle(message);
        }
        if !self.silent && super::awaits_finalizing(&self.pod) {
            super::finalize(&self.node.client, &self.name).await;
        }
    }

    fn directory(&self) -> PathBuf {
        self.node.pods_dir.join(&self.name.uid)
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Updated(pod) => {
                self.exit_code.send_replace(fake::exit_code(&pod));
                self.pod = pod;
                self.take_deletion();
            }
            Message::Gone => {
                self.silent = true;
                self.stop(None, Duration::ZERO);
            }
            Message::Shutdown(grace) => {
                self.silent = true;
                self.stop(None, grace);
            }
            Message::Run {
                unit,
                run,
                progress,
            } if self.is_current(unit, run) => {
                self.on_progress(unit, progress);
            }
            Message::End { unit, run, end } if self.is_current(unit, run) => {
                self.on_end(unit, end);
            }
            Message::Run { .. } | Message::End { .. } => {}
        }
    }

    fn is_current(&self, unit: usize, run: u64) -> bool {
        self.runs
            .get(unit)
            .and_then(Option::as_ref)
            .is_some_and(|r| r.id == run)
    }

    fn on_progress(&mut self, i: usize, progress: Progress) {
        let name = self.unit_name(i);
        match progress {
            Progress::Started => {
                self.event(
                    EventType::Normal,
                    "Started",
                    format!("Started container {name}"),
                );
                self.state.on_started(i, Timestamp::now());
            }
            Progress::HookFailed(message) => {
                self.event(EventType::Warning, "FailedPostStartHook", message);
                self.stop_container(i, self.grace());
            }
            Progress::Probe(kind, Finding::Failure(message)) => {
                let message = format!("{} probe failed: {message}", kind.word());
                self.event(EventType::Warning, "Unhealthy", message);
            }
            Progress::Probe(ProbeKind::Startup, Finding::Passed) => {
                self.state.on_startup_passed(i);
            }
            Progress::Probe(ProbeKind::Readiness, finding) => {
                self.state.on_readiness(i, finding == Finding::Passed);
            }
            Progress::Probe(kind, Finding::Failed) => {
                let message = format!(
                    "Container {name} failed {} probe, will be restarted",
                    kind.word().to_lowercase()
                );
                self.event(EventType::Normal, "Killing", message);
                let container = self.container(i);
                let probe = container.as_ref().and_then(|c| match kind {
                    ProbeKind::Startup => c.startup_probe.as_ref(),
                    _ => c.liveness_probe.as_ref(),
                });
                let own = probe.and_then(|p| p.termination_grace_period_seconds);
                let grace = own.map_or_else(
                    || self.grace(),
                    |s| Duration::from_secs(s.max(0).cast_unsigned()),
                );
                self.stop_container(i, grace);
            }
            Progress::Probe(_, Finding::Passed) => {}
        }
    }

    fn on_end(&mut self, i: usize, end: RunEnd) {
        if let Some(run) = self.runs.get_mut(i).and_then(Option::take)
            && let Some(stopper) = run.stopper
        {
            stopper.abort();
        }
        let now = Timestamp::now();
        match end {
            RunEnd::Blocked { reason, message } => {
                if self.state.on_blocked(i, reason, message.clone(), now) {
                    self.event(EventType::Warning, "Failed", format!("Error: {message}"));
                }
            }
            RunEnd::NotIsolated(reason) => {
                if self.node.launcher.give_up_isolation() {
                    tracing::warn!(
                        reason,
                        "Pods run without namespaces of their own: the names of headless \
                         Services do not resolve in them and volumes cannot be mounted"
                    );
                    let message = format!(
                        "containers are not isolated on this machine ({reason}): names of \
                         headless Services do not resolve and volumes cannot be mounted"
                    );
                    self.event(EventType::Warning, "NotIsolated", message);
                }
                self.state.on_try_again(i);
            }
            RunEnd::Ended(ended) => {
                let hopeless = ended.reason == "NoCommand";
                if ended.started_at.is_none()
                    && let Some(message) = &ended.message
                {
                    self.event(EventType::Warning, "Failed", format!("Error: {message}"));
                }
                let message = ended.message.clone();
                self.state.on_ended(i, ended);
                if hopeless && self.state.stop.is_none() {
                    // Starting it again cannot help.
                    self.stop(
                        Some(("NoCommand", message.unwrap_or_default())),
                        Duration::ZERO,
                    );
                }
                let will_restart = self
                    .state
                    .units
                    .get(i)
                    .zip(self.state.containers.get(i))
                    .filter(|(u, c)| self.state.will_restart(u, c))
                    .is_some_and(|(_, c)| c.retry_at.is_some_and(|at| at > now));
                if will_restart {
                    let message = format!(
                        "Back-off restarting failed container {} in pod {}",
                        self.unit_name(i),
                        self.name.name
                    );
                    self.event(EventType::Warning, "BackOff", message);
                }
            }
        }
    }

    /// Does what is due and says when to look again.
    async fn advance(&mut self) -> Option<Timestamp> {
        let now = Timestamp::now();
        let mut wake_at = None;
        if self.state.stop.is_none()
            && let Some(deadline) = self.deadline()
        {
            if deadline <= now {
                let message = "Pod was active on the node longer than the specified deadline";
                self.event(EventType::Normal, "DeadlineExceeded", message.to_owned());
                self.stop(Some(("DeadlineExceeded", message.to_owned())), self.grace());
            } else {
                wake_at = Some(deadline);
            }
        }
        let decision = self.state.decide(now);
        if !decision.start.is_empty() {
            if let Err(message) = self.ensure_volumes().await {
                let mut news = false;
                for &i in &decision.start {
                    let reason = "ContainerCreating";
                    news |= self.state.on_blocked(i, reason, message.clone(), now);
                }
                if news {
                    self.event(EventType::Warning, "FailedMount", message);
                }
                return self.state.decide(now).wake_at;
            }
            for &i in &decision.start {
                self.start_container(i);
            }
        }
        for &i in &decision.kill {
            self.say_stopping(i);
            self.stop_container(i, Duration::ZERO);
        }
        for &i in &decision.stop {
            let left = self
                .stop_by
                .map(|by| by.saturating_duration_since(Instant::now()));
            let is_sidecar = self
                .state
                .units
                .get(i)
                .is_some_and(|u| u.role == Role::Sidecar);
            let grace = left.unwrap_or_else(|| self.grace());
            let hurried =
                self.silent || self.stop_by.is_some_and(|_| grace.is_zero() && !is_sidecar);
            let grace = if is_sidecar && !hurried {
                grace.max(LEAST_GRACE)
            } else {
                grace
            };
            self.say_stopping(i);
            self.stop_container(i, grace);
        }
        wake_at.into_iter().chain(decision.wake_at).min()
    }

    fn say_stopping(&self, i: usize) {
        if !self.silent {
            let message = format!("Stopping container {}", self.unit_name(i));
            self.event(EventType::Normal, "Killing", message);
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        let seconds = self.pod.spec.as_ref()?.active_deadline_seconds?;
        self.accepted_at
            .checked_add(SignedDuration::from_secs(seconds))
            .ok()
    }

    async fn ensure_volumes(&mut self) -> Result<(), String> {
        if self.volumes.is_some() {
            return Ok(());
        }
        if matches!(self.node.options.runtime, Runtime::Fake(_)) {
            self.volumes = Some(Arc::default());
            return Ok(());
        }
        std::fs::create_dir_all(self.directory()).map_err(|e| e.to_string())?;
        let places = Places {
            pod: self.directory(),
            claims: self.node.claims_dir.clone(),
        };
        let facts = self.facts();
        let volumes = volumes::prepare(&self.node.client, &places, &self.pod, &facts).await?;
        self.volumes = Some(Arc::new(volumes));
        Ok(())
    }

    fn facts(&self) -> PodFacts {
        PodFacts {
            pod_ip: self.address.to_string(),
            ..self.node.facts.clone()
        }
    }

    fn container(&self, i: usize) -> Option<Container> {
        let name = &self.state.units.get(i)?.name;
        let spec = self.pod.spec.as_ref()?;
        let mut all = spec
            .init_containers
            .iter()
            .flatten()
            .chain(&spec.containers);
        all.find(|c| c.name == *name).cloned()
    }

    fn unit_name(&self, i: usize) -> String {
        self.state
            .units
            .get(i)
            .map(|u| u.name.clone())
            .unwrap_or_default()
    }

    fn start_container(&mut self, i: usize) {
        let Some(container) = self.container(i) else {
            return;
        };
        self.state.on_starting(i);
        let (control, requests) = Control::new();
        let id = self.next_run;
        self.next_run += 1;
        if let Some(slot) = self.runs.get_mut(i) {
            self.hold_until = Some(Instant::now() + HOLD);
            *slot = Some(LiveRun {
                id,
                control: control.clone(),
                stopper: None,
            });
        }
        let sender = self.sender.clone();
        if let Runtime::Fake(fake) = self.node.options.runtime {
            let role = self.state.units.get(i).map_or(Role::Main, |u| u.role);
            let told = self.exit_code.subscribe();
            let (meter, uid) = (self.node.meter.clone(), self.name.uid.clone());
            tokio::spawn(async move {
                let tell = |progress| {
                    sender.send(Message::Run {
                        unit: i,
                        run: id,
                        progress,
                    })
                };
                let mut metered = None;
                let started = || {
                    metered = Some(meter.begin(&uid, &container.name, None));
                    drop(tell(Progress::Started));
                };
                let end = fake.run(role, requests, told, started).await;
                drop(metered);
                let _ = sender.send(Message::End {
                    unit: i,
                    run: id,
                    end,
                });
            });
            return;
        }
        if !self.said_no_image {
            self.said_no_image = true;
            let image = container.image.as_deref().unwrap_or_default();
            let message = format!(
                "Image {image:?} is not pulled: the process runtime runs the command on this host"
            );
            self.event(EventType::Normal, "ImageNotPulled", message);
        }
        let attempt = self.state.containers.get(i).map_or(0, |c| c.restarts);
        let start = Start {
            node: Arc::clone(&self.node),
            pod: Arc::clone(&self.pod),
            name: self.name.clone(),
            facts: self.facts(),
            volumes: self.volumes.clone().unwrap_or_default(),
            directory: self.directory(),
            container,
            attempt,
            control,
            requests,
        };
        tokio::spawn(async move {
            let tell = {
                let sender = sender.clone();
                move |progress| {
                    let _ = sender.send(Message::Run {
                        unit: i,
                        run: id,
                        progress,
                    });
                }
            };
            let end = start.run(tell).await;
            let _ = sender.send(Message::End {
                unit: i,
                run: id,
                end,
            });
        });
    }
}

fn until(at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO)
}
