//! Telling the user: `events.k8s.io/v1` events about a JobSet.
//!
//! Publishing never waits: it puts the event into a bounded buffer that one worker empties; what
//! does not fit is counted and dropped. The worker folds repetitions into a series: events that
//! agree in everything but their note within six minutes are one object, created at the first
//! occurrence, patched at the second, and from then on counted in memory and patched once in a
//! while. When every [`Recorder`] is gone the worker sends what is left and ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jobset_api::{JobSet, constants};
use jobset_core::EventType;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};

use crate::options::Clock;
use crate::requests::{PatchKind, RequestError, Requests, Resource};
use crate::stats::Stats;

/// Events waiting to be sent; more are dropped.
const BUFFER: usize = 4096;
/// A series ends this long after its last occurrence.
const SERIES_IDLE: Duration = Duration::from_mins(6);
/// How often the counts of running series are sent.
const FLUSH_EVERY: Duration = Duration::from_mins(1);
/// Tries to create one event while the server is overloaded or out of reach.
const TRIES: u32 = 4;
/// What may be spent on leftovers at the end.
const FINAL_FLUSH: Duration = Duration::from_secs(5);
/// The API server's limit for a note, in bytes.
const NOTE_LIMIT: usize = 1024;

/// Hands events to the worker. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recorder {
    sender: mpsc::Sender<Occurrence>,
    stats: Arc<Stats>,
}

/// One thing that happened to one object.
struct Occurrence {
    key: Key,
    note: String,
}

/// What makes two occurrences the same series. The remaining fields of an event are the same for
/// all events of a process.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    type_: EventType,
    reason: String,
    regarding: ObjectReference,
}

impl Recorder {
    /// Tells that something happened to `regarding`. The note is passed on verbatim, cut to the
    /// API's limit.
    pub(crate) fn publish(
        &self,
        regarding: ObjectReference,
        type_: EventType,
        reason: impl Into<String>,
        note: &str,
    ) {
        let key = Key {
            type_,
            reason: reason.into(),
            regarding,
        };
        let occurrence = Occurrence {
            key,
            note: cut(note, NOTE_LIMIT).to_owned(),
        };
        if self.sender.try_send(occurrence).is_err() {
            self.stats.events_dropped.add_one();
        }
    }
}

/// A JobSet as the object of an event.
pub(crate) fn about(jobset: &JobSet, resource_version: Option<String>) -> ObjectReference {
    ObjectReference {
        api_version: Some(constants::API_VERSION.to_owned()),
        kind: Some(constants::KIND.to_owned()),
        namespace: jobset.metadata.namespace.clone(),
        name: jobset.metadata.name.clone(),
        uid: jobset.metadata.uid.clone(),
        resource_version,
        field_path: None,
    }
}

/// Who the events are from.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    pub(crate) controller: String,
    pub(crate) instance: String,
}

/// The recorder and the worker that sends what it is given.
pub(crate) fn recorder(
    requests: Arc<Requests>,
    stats: Arc<Stats>,
    reporter: Reporter,
    clock: Clock,
) -> (Recorder, Worker) {
    let (sender, receiver) = mpsc::channel(BUFFER);
    let worker = Worker {
        receiver,
        requests,
        stats: stats.clone(),
        reporter,
        clock,
        series: HashMap::new(),
        last_nanos: 0,
    };
    (Recorder { sender, stats }, worker)
}

/// Sends events, one after the other.
pub(crate) struct Worker {
    receiver: mpsc::Receiver<Occurrence>,
    requests: Arc<Requests>,
    stats: Arc<Stats>,
    reporter: Reporter,
    clock: Clock,
    /// Running series by the uid of the object they regard; few per object.
    series: HashMap<String, Vec<Series>>,
    last_nanos: i128,
}

struct Series {
    key: Key,
    name: String,
    count: i32,
    sent: i32,
    last: Timestamp,
    touched: Instant,
}

impl Worker {
    /// Runs until every recorder is dropped and the rest is sent.
    pub(crate) async fn run(mut self) {
        let mut flush = interval_at(Instant::now() + FLUSH_EVERY, FLUSH_EVERY);
        flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                occurrence = self.receiver.recv() => match occurrence {
                    Some(occurrence) => self.handle(occurrence).await,
                    None => break,
                },
                _ = flush.tick(), if !self.series.is_empty() => self.flush(SERIES_IDLE).await,
            }
        }
        if timeout(FINAL_FLUSH, self.flush(Duration::ZERO))
            .await
            .is_err()
        {
            tracing::debug!("the counts of some events could not be brought up to date");
        }
    }

    async fn handle(&mut self, occurrence: Occurrence) {
        let now = self.clock.now();
        let uid = occurrence.key.regarding.uid.clone().unwrap_or_default();
        let of_object = self.series.entry(uid.clone()).or_default();
        if let Some(position) = of_object
            .iter()
            .position(|known| known.key == occurrence.key && known.touched.elapsed() < SERIES_IDLE)
        {
            let series = &mut of_object[position];
            series.count += 1;
            series.last = now;
            series.touched = Instant::now();
            let second = series.count == 2;
            if second {
                let sent = send_series(&self.requests, &self.stats, series).await;
                if !sent {
                    of_object.remove(position);
                }
            }
            return;
        }
        of_object.retain(|known| known.key != occurrence.key);
        let name = self.name_for(&occurrence.key.regarding, now);
        let created = self.create(&occurrence, &name, now).await;
        if created {
            self.series.entry(uid).or_default().push(Series {
                key: occurrence.key,
                name,
                count: 1,
                sent: 1,
                last: now,
                touched: Instant::now(),
            });
        }
    }

    /// Names an event after its object and the time, like client-go; never the same name twice.
    fn name_for(&mut self, regarding: &ObjectReference, now: Timestamp) -> String {
        self.last_nanos = now.as_nanosecond().max(self.last_nanos + 1);
        let base = regarding.name.as_deref().unwrap_or_default();
        format!("{base}.{:x}", self.last_nanos)
    }

    async fn create(&self, occurrence: &Occurrence, name: &str, now: Timestamp) -> bool {
        let Key {
            type_,
            reason,
            regarding,
        } = &occurrence.key;
        let namespace = regarding
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned());
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(self.reporter.controller.clone()),
            reporting_instance: Some(self.reporter.instance.clone()),
            action: Some("Reconciling".to_owned()),
            reason: Some(reason.clone()),
            regarding: Some(regarding.clone()),
            note: Some(occurrence.note.clone()),
            type_: Some(type_.as_str().to_owned()),
            ..Event::default()
        };
        let mut pause = Duration::from_millis(100);
        for attempt in 1..=TRIES {
            let answer = self
                .requests
                .create::<IgnoredAny>(Resource::Events, &namespace, &event)
                .await;
            match answer {
                // An existing event of this name is this one, sent before an answer was lost.
                Ok(_) => {
                    self.stats.events_sent.add_one();
                    return true;
                }
                Err(error) if error.is_already_exists() => return true,
                Err(error) if attempt < TRIES && worth_repeating(&error) => {
                    tokio::time::sleep(error.retry_after().unwrap_or(pause)).await;
                    pause *= 4;
                }
                Err(error) => {
                    tracing::debug!(%error, reason, "event not recorded");
                    break;
                }
            }
        }
        self.stats.events_dropped.add_one();
        false
    }

    /// Sends the counts that changed and forgets the series that were idle for `idle`.
    async fn flush(&mut self, idle: Duration) {
        for of_object in self.series.values_mut() {
            for series in of_object.iter_mut() {
                if series.count > series.sent {
                    send_series(&self.requests, &self.stats, series).await;
                }
            }
            of_object.retain(|series| series.touched.elapsed() < idle);
        }
        self.series.retain(|_, of_object| !of_object.is_empty());
    }
}

/// Brings the stored event up to date. False when the series has to start anew.
async fn send_series(requests: &Requests, stats: &Stats, series: &mut Series) -> bool {
    let namespace = series
        .key
        .regarding
        .namespace
        .as_deref()
        .unwrap_or("default");
    let body = json!({"series": {
        "count": series.count,
        "lastObservedTime": MicroTime(series.last),
    }});
    let answer = requests
        .patch::<IgnoredAny>(
            Resource::Events,
            namespace,
            &series.name,
            false,
            PatchKind::Merge,
            &body,
        )
        .await;
    match answer {
        Ok(_) => {
            series.sent = series.count;
            stats.events_sent.add_one();
            true
        }
        Err(error) => {
            tracing::debug!(%error, event = series.name, "event series not updated");
            !error.is_not_found()
        }
    }
}

fn worth_repeating(error: &RequestError) -> bool {
    error.is_overload() || matches!(error, RequestError::Transport(_))
}

/// The longest prefix of at most `limit` bytes that ends at a character.
fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
