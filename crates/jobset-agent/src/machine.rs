//! What the agent does next: a state machine without clock, network or processes.
//!
//! ```text
//!            orders: follow          reported                  current = own
//!  ┌───────┐ ───────────────► chosen ─────────► reported ───────────────────► ┌──────┐
//!  │  up   │                                                                  │ down │ the work runs
//!  └───────┘ ────────────────────── orders: bypass ─────────────────────────► └──────┘
//! ```
//!
//! # Invariants
//!
//! 1. The attempt is chosen once in the life of a process and never changes. A write that failed
//!    may have arrived all the same: repeating another number would restart the whole group.
//! 2. The barrier is lifted once, and only at the current attempt or when the agents are bypassed.
//! 3. Leaving is the only way to restart. Exit code 0 means that the work has succeeded, and
//!    nothing else.

use nix::sys::signal::Signal;

use crate::orders::Orders;

/// What waits behind the barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// The other containers of the Pod: they start when a probe finds the barrier open.
    Containers,
    /// A process of the agent's own.
    Worker,
}

/// How the worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerEnd {
    /// With this status.
    Exited(u8),
    /// By this signal.
    Killed(i32),
}

impl WorkerEnd {
    /// The exit code that says so, as shells do.
    fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => of_signal(signal),
        }
    }
}

/// What the machine is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The JobSet was read or has changed.
    Orders(Orders),
    /// The Pod carries the attempt that was reported last.
    Reported,
    /// It could not be written; whether it arrived is not known.
    ReportFailed,
    /// A signal arrived.
    Signal(Signal),
    /// The worker ended.
    WorkerEnded(WorkerEnd),
    /// The worker could not be started.
    WorkerNotStarted,
    /// The worker's time to end is over.
    GraceOver,
    /// The barrier cannot be answered for: its address is taken, for example.
    BarrierBroken,
}

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write this attempt on the Pod; after a pause if it was tried before.
    Report {
        /// What to write.
        attempt: i64,
        /// How often it has failed in a row.
        failures: u32,
    },
    /// Let the probe succeed from now on.
    OpenBarrier,
    /// Start the worker.
    StartWorker,
    /// Send this signal to the worker and its children.
    SignalWorker(Signal),
    /// Tell when the worker's time to end is over.
    StartGrace,
    /// End this process. Nothing follows.
    Exit {
        /// The exit code.
        code: u8,
        /// For the log.
        why: Why,
    },
}

/// Why the agent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// All Pods restart.
    Outdated {
        /// The attempt of this Pod.
        own: i64,
        /// Pods at this attempt or a lower one have to restart.
        previous: i64,
    },
    /// It was asked to.
    Signal(Signal),
    /// The worker ended.
    Worker(WorkerEnd),
    /// The worker could not be started.
    WorkerNotStarted,
    /// The barrier could not be served.
    BarrierBroken,
}

/// The attempt of this Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// Not known before the JobSet was read.
    Unknown,
    /// Chosen; the Pod may or may not carry it already.
    Chosen {
        attempt: i64,
        failures: u32,
    },
    Reported(i64),
}

impl Attempt {
    fn number(self) -> Option<i64> {
        match self {
            Self::Unknown => None,
            Self::Chosen { attempt, .. } | Self::Reported(attempt) => Some(attempt),
        }
    }
}

/// What became of the barrier and of what is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Barrier {
    Up,
    Down,
}

/// A decision to end that waits for the worker.
#[derive(Clone, Copy, Debug)]
struct Ending {
    code: u8,
    why: Why,
}

/// The agent of one Pod.
#[derive(Debug)]
pub struct Machine {
    behind: Behind,
    restart_code: u8,
    orders: Option<Orders>,
    attempt: Attempt,
    barrier: Barrier,
    ending: Option<Ending>,
    is_over: bool,
}

impl Machine {
    /// A fresh process, which exits with `restart_code` to be restarted.
    pub fn new(behind: Behind, restart_code: u8) -> Self {
        Self {
            behind,
            restart_code,
            orders: None,
            attempt: Attempt::Unknown,
            barrier: Barrier::Up,
            ending: None,
            is_over: false,
        }
    }

    /// What to do about it, in order.
    pub fn handle(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.is_over {
            return effects;
        }
        match input {
            Input::Orders(orders) => {
                self.orders = Some(orders);
                self.obey(&mut effects);
            }
            Input::Reported => {
                if let Attempt::Chosen { attempt, .. } = self.attempt {
                    self.attempt = Attempt::Reported(attempt);
                    self.obey(&mut effects);
                }
            }
            Input::ReportFailed => {
                if let Attempt::Chosen { attempt, failures } = self.attempt {
                    let failures = failures.saturating_add(1);
                    self.attempt = Attempt::Chosen { attempt, failures };
                    effects.push(Effect::Report { attempt, failures });
                }
            }
            Input::Signal(signal) => self.on_signal(signal, &mut effects),
            Input::WorkerEnded(end) => {
                let why = Why::Worker(end);
                let code = end.code();
                let Ending { code, why } = self.ending.unwrap_or(Ending { code, why });
                self.exit(code, why, &mut effects);
            }
            Input::WorkerNotStarted => self.exit(1, Why::WorkerNotStarted, &mut effects),
            Input::BarrierBroken => self.exit(1, Why::BarrierBroken, &mut effects),
            // A Pod that is being stopped has its own grace period, which others keep.
            Input::GraceOver => {
                if let Some(Ending {
                    why: Why::Outdated { .. },
                    ..
                }) = self.ending
                {
                    effects.push(Effect::SignalWorker(Signal::SIGKILL));
                }
            }
        }
        effects
    }

    /// Acts on the latest orders.
    fn obey(&mut self, effects: &mut Vec<Effect>) {
        if self.ending.is_some() {
            return;
        }
        let (current, previous) = match self.orders {
            None => return,
            Some(Orders::Bypass) => return self.lift(effects),
            Some(Orders::Follow { current, previous }) => (current, previous),
        };
        if self.attempt == Attempt::Unknown {
            let attempt = match self.barrier {
                // Each life of the container is one attempt further.
                Barrier::Up => current.map_or(0, |current| current.saturating_add(1)),
                // Bypassed until now. The work runs with that of the others and joins them where
                // they are; one attempt further would restart them all.
                Barrier::Down => current.unwrap_or(0),
            };
            self.attempt = Attempt::Chosen {
                attempt,
                failures: 0,
            };
            effects.push(Effect::Report {
                attempt,
                failures: 0,
            });
        }
        if let (Some(own), Some(previous)) = (self.attempt.number(), previous)
            && own <= previous
        {
            let why = Why::Outdated { own, previous };
            self.end(self.restart_code, why, Signal::SIGTERM, effects);
            if self.ending.is_some() {
                effects.push(Effect::StartGrace);
            }
            return;
        }
        if let Attempt::Reported(own) = self.attempt
            && current == Some(own)
        {
            self.lift(effects);
        }
    }

    fn lift(&mut self, effects: &mut Vec<Effect>) {
        if self.barrier == Barrier::Up {
            self.barrier = Barrier::Down;
            effects.push(match self.behind {
                Behind::Containers => Effect::OpenBarrier,
                Behind::Worker => Effect::StartWorker,
            });
        }
    }

    fn on_signal(&mut self, signal: Signal, effects: &mut Vec<Effect>) {
        match signal {
            // A signal must not look like success, and decides over a restart that is under way:
            // the Pod is going.
            Signal::SIGTERM | Signal::SIGINT => {
                let first = !matches!(
                    self.ending,
                    Some(Ending {
                        why: Why::Signal(_),
                        ..
                    })
                );
                if first {
                    let code = of_signal(signal as i32);
                    self.end(code, Why::Signal(signal), signal, effects);
                } else {
                    effects.push(Effect::SignalWorker(signal));
                }
            }
            other if self.has_worker() => effects.push(Effect::SignalWorker(other)),
            _ => {}
        }
    }

    fn has_worker(&self) -> bool {
        self.behind == Behind::Worker && self.barrier == Barrier::Down
    }

    /// Ends when the worker has, if there is one.
    fn end(&mut self, code: u8, why: Why, signal: Signal, effects: &mut Vec<Effect>) {
        if self.has_worker() {
            self.ending = Some(Ending { code, why });
            effects.push(Effect::SignalWorker(signal));
        } else {
            self.exit(code, why, effects);
        }
    }

    fn exit(&mut self, code: u8, why: Why, effects: &mut Vec<Effect>) {
        self.is_over = true;
        effects.push(Effect::Exit { code, why });
    }
}

/// 128 plus the signal's number.
fn of_signal(signal: i32) -> u8 {
    u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests;
