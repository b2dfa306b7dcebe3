//! What containers use, measured as metrics-server does it: processor time between two readings, memory at the
//! second. Figures are for whoever asks for them through `metrics.k8s.io`; nothing is decided by them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use embedded_apiserver::{ContainerUsage, Metrics, PodUsage, Usage};
use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::runtime::process::Started;
use crate::sandbox::tree::{Tree, Used};

/// Processor time is counted in hundredths of a second: over less than this, figures would jump.
const SHORTEST: Duration = Duration::from_secs(1);
/// A figure is about this time at most, as long as anything runs.
const LONGEST: Duration = Duration::from_secs(15);

/// Measures the containers that run. Clones are the same meter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    next: u64,
    containers: HashMap<u64, Container>,
    /// When all of them were last looked at.
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Container {
    pod: String,
    name: String,
    /// What its processes come from; absent if it has none.
    root: Option<Started>,
    before: Option<Reading>,
    last: Reading,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    at: Instant,
    used: Used,
}

/// Ends the measuring of a container when it is dropped.
#[derive(Debug)]
pub(crate) struct Metered {
    meter: Meter,
    id: u64,
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.meter.lock().containers.remove(&self.id);
    }
}

impl Meter {
    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Measures a container of the Pod with this uid from now on. One without processes uses nothing.
    pub(crate) fn begin(&self, pod: &str, name: &str, root: Option<Started>) -> Metered {
        let mut running = self.lock();
        let id = running.next;
        running.next += 1;
        let container = Container {
            pod: pod.to_owned(),
            name: name.to_owned(),
            root,
            before: None,
            // At its start it has used nothing.
            last: Reading {
                at: Instant::now(),
                used: Used::default(),
            },
        };
        running.containers.insert(id, container);
        Metered {
            meter: self.clone(),
            id,
        }
    }

    /// Takes a reading of every container, unless the last one was a moment ago.
    fn look(&self) {
        let now = Instant::now();
        let roots: Vec<(u64, Option<Started>)> = {
            let mut running = self.lock();
            let recent = |at: Instant| now.saturating_duration_since(at) < SHORTEST;
            if running.looked.is_some_and(recent) || running.containers.is_empty() {
                return;
            }
            running.looked = Some(now);
            let containers = running.containers.iter();
            containers.map(|(id, one)| (*id, one.root)).collect()
        };
        // Without the lock: containers start and end meanwhile.
        let with_processes = roots.iter().any(|(_, root)| root.is_some());
        let tree = if with_processes {
            Tree::read()
        } else {
            Tree::default()
        };
        let at = Instant::now();
        let readings = roots.into_iter().map(|(id, root)| {
            let used = root.map(|root| tree.used(root.launcher, root.machinery));
            let used = used.unwrap_or_default();
            (id, Reading { at, used })
        });
        let readings: Vec<(u64, Reading)> = readings.collect();
        let mut running = self.lock();
        for (id, reading) in readings {
            if let Some(container) = running.containers.get_mut(&id) {
                container.read(reading);
            }
        }
    }

    /// Figures of the last readings.
    fn figures(&self) -> Usage {
        let (now, clock) = (Instant::now(), Timestamp::now());
        let mut usage = Usage::new();
        let running = self.lock();
        let mut containers: Vec<_> = running.containers.iter().collect();
        containers.sort_by_key(|(id, _)| **id);
        for (_, container) in containers {
            let Some((nano_cpus, window)) = container.rate() else {
                continue;
            };
            let age = now.saturating_duration_since(container.last.at);
            let at = clock.saturating_sub(age).unwrap_or(clock);
            let pod = usage
                .entry(container.pod.clone())
                .or_insert_with(|| PodUsage {
                    at,
                    window,
                    containers: Vec::new(),
                });
            pod.containers.push(ContainerUsage {
                name: container.name.clone(),
                nano_cpus,
                memory_bytes: container.last.used.memory_bytes,
            });
        }
        usage
    }

    /// Takes readings from time to time, so that who asks is told of the last moments, not of the time
    /// since somebody asked before.
    pub(crate) async fn keep(&self, shutdown: CancellationToken) {
        let mut every = tokio::time::interval(LONGEST);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = every.tick() => {}
            }
            let meter = self.clone();
            let _ = tokio::task::spawn_blocking(move || meter.look()).await;
        }
    }
}

impl Container {
    fn read(&mut self, reading: Reading) {
        if reading.at.saturating_duration_since(self.last.at) >= SHORTEST {
            self.before = Some(std::mem::replace(&mut self.last, reading));
        }
    }

    /// Billionths of a processor between the last two readings, and the time between them.
    fn rate(&self) -> Option<(u64, Duration)> {
        let before = self.before?;
        let window = self.last.at.saturating_duration_since(before.at);
        // Of processes that nobody waits for, nothing is left when they end.
        let used = self
            .last
            .used
            .processor_time
            .saturating_sub(before.used.processor_time);
        let nano = used.as_nanos() * 1_000_000_000 / window.as_nanos().max(1);
        Some((u64::try_from(nano).unwrap_or(u64::MAX), window))
    }
}

impl Metrics for Meter {
    fn usage(&self) -> BoxFuture<'static, Usage> {
        let meter = self.clone();
        Box::pin(async move {
            let looking = meter.clone();
            // Thousands of files may be read.
            let _ = tokio::task::spawn_blocking(move || looking.look()).await;
            meter.figures()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(start: Instant, milliseconds: u64, used_milliseconds: u64) -> Reading {
        Reading {
            at: start + Duration::from_millis(milliseconds),
            used: Used {
                processor_time: Duration::from_millis(used_milliseconds),
                memory_bytes: 7,
            },
        }
    }

    #[test]
    fn the_rate_is_that_between_two_readings_that_are_far_enough_apart() {
        let start = Instant::now();
        let mut container = Container {
            pod: "uid".to_owned(),
            name: "main".to_owned(),
            root: None,
            before: None,
            last: reading(start, 0, 0),
        };
        container.read(reading(start, 999, 500));
        assert_eq!(container.rate(), None, "it has just started");
        container.read(reading(start, 2000, 3000));
        let two = Duration::from_secs(2);
        assert_eq!(container.rate(), Some((1_500_000_000, two)));
        container.read(reading(start, 2500, 9000));
        assert_eq!(container.rate(), Some((1_500_000_000, two)), "too soon");
        container.read(reading(start, 6000, 3100));
        let four = Duration::from_secs(4);
        assert_eq!(container.rate(), Some((25_000_000, four)));
        // A process has ended unseen.
        container.read(reading(start, 10_000, 100));
        assert_eq!(container.rate(), Some((0, four)));
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let meter = Meter::default();
        let metered = meter.begin("uid", "main", None);
        meter.lock().containers.get_mut(&0).unwrap().before = Some(reading(Instant::now(), 0, 0));
        assert_eq!(meter.figures()["uid"].containers[0].name, "main");
        drop(metered);
        assert!(meter.figures().is_empty());
    }
}
