//! The shell around the state machine: tells it what happens, and does what it says.

use std::io;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;

use crate::machine::{Behind, Effect, Input, Machine, Why};
use crate::orders::JobSetView;
use crate::settings::{Mode, Settings};
use crate::worker::{self, Worker};
use crate::{backoff, barrier, connection};

/// Signals that are passed on to the worker. The first two end the agent.
const SIGNALS: [Signal; 6] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// What arrives from outside.
#[derive(Debug)]
enum Happened {
    Input(Input),
    /// Some child has ended.
    Child,
}

/// The signals of this process, caught from now on: without a handler the first process of a
/// container is deaf to them.
#[derive(Debug)]
pub struct Signals {
    sender: UnboundedSender<Happened>,
    happened: UnboundedReceiver<Happened>,
    tasks: JoinSet<()>,
}

impl Signals {
    /// Begins to catch those that mean something in this mode.
    pub fn catch(mode: &Mode) -> io::Result<Self> {
        let mut signals = Self::none();
        let wanted = match mode {
            Mode::Main(_) => SIGNALS.len(),
            Mode::Sidecar(_) => 2,
        };
        for caught in SIGNALS.into_iter().take(wanted) {
            let input = Input::Signal(caught);
            signals.pass_on(SignalKind::from_raw(caught as i32), move || {
                Happened::Input(input)
            })?;
        }
        signals.pass_on(SignalKind::child(), || Happened::Child)?;
        Ok(signals)
    }

    /// Catches nothing, for an agent that is not a process of its own.
    pub fn none() -> Self {
        let (sender, happened) = mpsc::unbounded_channel();
        Self {
            sender,
            happened,
            tasks: JoinSet::new(),
        }
    }

    fn pass_on(
        &mut self,
        kind: SignalKind,
        what: impl Fn() -> Happened + Send + 'static,
    ) -> io::Result<()> {
        let mut stream = signal(kind)?;
        let sender = self.sender.clone();
        self.tasks.spawn(async move {
            while stream.recv().await.is_some() {
                if sender.send(what()).is_err() {
                    return;
                }
            }
        });
        Ok(())
    }
}

/// Runs the agent to its end and returns its exit code.
pub async fn run(settings: &Settings, client: Client, signals: Signals) -> u8 {
    let Signals {
        sender,
        happened,
        mut tasks,
    } = signals;
    let jobsets: Api<JobSetView> = Api::namespaced(client.clone(), &settings.namespace);
    let (name, orders) = (settings.jobset.clone(), sender.clone());
    tasks.spawn(async move {
        let tell = |jobset: JobSetView| {
            let _ = orders.send(Happened::Input(Input::Orders(jobset.orders())));
        };
        connection::follow(jobsets, &name, tell).await;
    });
    let behind = match settings.mode {
        Mode::Sidecar(_) => Behind::Containers,
        Mode::Main(_) => Behind::Worker,
    };
    let agent = Agent {
        settings,
        pods: Api::namespaced(client, &settings.namespace),
        machine: Machine::new(behind, settings.restart_code),
        sender,
        tasks,
        worker: None,
    };
    agent.run(happened).await
}

struct Agent<'a> {
    settings: &'a Settings,
    pods: Api<Pod>,
    machine: Machine,
    sender: UnboundedSender<Happened>,
    /// End with the agent.
    tasks: JoinSet<()>,
    worker: Option<Worker>,
}

impl Agent<'_> {
    async fn run(mut self, mut happened: UnboundedReceiver<Happened>) -> u8 {
        loop {
            // The agent holds a sender itself.
            let Some(next) = happened.recv().await else {
                return 1;
            };
            while self.tasks.try_join_next().is_some() {}
            let input = match next {
                Happened::Input(input) => Some(input),
                Happened::Child => worker::reap(self.worker.as_mut()).map(Input::WorkerEnded),
            };
            let Some(input) = input else { continue };
            tracing::debug!(?input);
            for effect in self.machine.handle(input) {
                tracing::debug!(?effect);
                if let Some(code) = self.carry_out(effect).await {
                    return code;
                }
            }
        }
    }

    /// Does it; the exit code if that was the last.
    async fn carry_out(&mut self, effect: Effect) -> Option<u8> {
        match effect {
            Effect::Report { attempt, failures } => self.report(attempt, failures),
            Effect::OpenBarrier => self.open_barrier().await,
            Effect::StartWorker => self.start_worker(),
            Effect::SignalWorker(signal) => {
                if let Some(worker) = &self.worker {
                    worker.signal(signal);
                }
            }
            Effect::StartGrace => {
                if let Mode::Main(work) = &self.settings.mode {
                    self.later(work.grace, Input::GraceOver);
                }
            }
            Effect::Exit { code, why } => {
                log_end(code, why);
                return Some(code);
            }
        }
        None
    }

    fn tell(&self, input: Input) {
        // The receiver lives as long as the agent.
        let _ = self.sender.send(Happened::Input(input));
    }

    fn later(&mut self, pause: Duration, input: Input) {
        let sender = self.sender.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            let _ = sender.send(Happened::Input(input));
        });
    }

    fn report(&mut self, attempt: i64, failures: u32) {
        let (pods, pod) = (self.pods.clone(), self.settings.pod.clone());
        let sender = self.sender.clone();
        self.tasks.spawn(async move {
            if failures > 0 {
                tokio::time::sleep(backoff::after(failures)).await;
            }
            let input = match connection::report(&pods, &pod, attempt).await {
                Ok(()) => {
                    tracing::info!(attempt, "reported; waiting for the others");
                    Input::Reported
                }
                Err(error) => {
                    let hint = error.hint();
                    tracing::warn!(attempt, "not reported, trying again: {error}{hint}");
                    Input::ReportFailed
                }
            };
            let _ = sender.send(Happened::Input(input));
        });
    }

    async fn open_barrier(&mut self) {
        let Mode::Sidecar(probe) = &self.settings.mode else {
            return;
        };
        match barrier::listen(probe).await {
            Ok(listener) => {
                let path = probe.path.clone();
                tracing::info!(port = probe.port, path, "the barrier is down");
                self.tasks
                    .spawn(async move { barrier::serve(listener, &path).await });
            }
            Err(error) => {
                tracing::error!("cannot listen on port {}: {error}", probe.port);
                self.tell(Input::BarrierBroken);
            }
        }
    }

    fn start_worker(&mut self) {
        let Mode::Main(work) = &self.settings.mode else {
            return;
        };
        match Worker::start(work) {
            Ok(worker) => {
                tracing::info!("the barrier is down; the worker runs");
                self.worker = Some(worker);
                // It may have ended before anybody knew it.
                let _ = self.sender.send(Happened::Child);
            }
            Err(error) => {
                let shell = work.shell.display();
                tracing::error!("cannot run {shell}: {error}");
                self.tell(Input::WorkerNotStarted);
            }
        }
    }
}

fn log_end(code: u8, why: Why) {
    match why {
        Why::Outdated { own, previous } => tracing::info!(
            code,
            "all Pods restart: this one is at attempt {own}, and those at {previous} or lower have \
             to leave"
        ),
        Why::Signal(signal) => tracing::info!(code, "ended by {signal}"),
        Why::Worker(end) => tracing::info!(code, "the worker has ended: {end:?}"),
        Why::WorkerNotStarted | Why::BarrierBroken => tracing::error!(code, "giving up"),
    }
}
