use jobset_core::EventType;
use serde_json::Value;

use super::*;
use crate::lock::lock;
use crate::testing::{Answer, Log, Seen, refusal, requests};

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/ns/events";

fn start(
    answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
) -> (Recorder, tokio::task::JoinHandle<()>, Arc<Stats>, Log) {
    let (requests, stats, log) = requests(answer);
    let reporter = Reporter {
        controller: "jobset".into(),
        instance: "jobset-host".into(),
    };
    let clock = Clock::from_fn(|| Timestamp::from_second(1_700_000_000).unwrap());
    let (recorder, worker) = recorder(requests, stats.clone(), reporter, clock);
    (recorder, tokio::spawn(worker.run()), stats, log)
}

fn about(name: &str, revision: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("jobset.x-k8s.io/v1alpha2".into()),
        kind: Some("JobSet".into()),
        namespace: Some("ns".into()),
        name: Some(name.into()),
        uid: Some("u1".into()),
        resource_version: Some(revision.into()),
        field_path: None,
    }
}

fn accept(_: &Seen) -> Answer {
    Answer::Json(201, Value::Null)
}

fn lines(log: &Log) -> Vec<String> {
    lock(log)
        .iter()
        .map(|seen| {
            let name = seen.path.strip_prefix(EVENTS).unwrap();
            format!("{} {}", seen.method, name.split('.').next().unwrap())
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn an_event_has_the_form_of_the_reference() {
    let (recorder, worker, stats, log) = start(accept);
    recorder.publish(
        about("js", "7"),
        EventType::Warning,
        "JobCreationFailed",
        "100%s",
    );
    drop(recorder);
    worker.await.unwrap();
    let log = lock(&log);
    let event = &log[0].body;
    assert_eq!(log[0].path, EVENTS);
    assert_eq!(event["apiVersion"], "events.k8s.io/v1");
    assert_eq!(event["kind"], "Event");
    assert_eq!(event["metadata"]["namespace"], "ns");
    let name = event["metadata"]["name"].as_str().unwrap();
    let nanos = i128::from_str_radix(name.strip_prefix("js.").unwrap(), 16).unwrap();
    assert_eq!(nanos / 1_000_000_000, 1_700_000_000);
    assert_eq!(event["eventTime"], "2023-11-14T22:13:20.000000Z");
    assert_eq!(event["type"], "Warning");
    assert_eq!(event["reason"], "JobCreationFailed");
    assert_eq!(event["action"], "Reconciling");
    assert_eq!(event["note"], "100%s");
    assert_eq!(event["reportingController"], "jobset");
    assert_eq!(event["reportingInstance"], "jobset-host");
    assert_eq!(event["regarding"]["resourceVersion"], "7");
    assert!(event.get("related").is_none() && event.get("series").is_none());
    assert_eq!(stats.events_sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn repetitions_become_a_series() {
    let (recorder, worker, _, log) = start(accept);
    for note in ["one", "two", "three", "four"] {
        recorder.publish(
            about("js", "7"),
            EventType::Warning,
            "JobCreationFailed",
            note,
        );
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        lines(&log),
        ["POST ", "PATCH /js"],
        "the third and fourth wait"
    );
    tokio::time::sleep(FLUSH_EVERY).await;
    assert_eq!(lines(&log), ["POST ", "PATCH /js", "PATCH /js"]);
    assert_eq!(lock(&log)[1].body["series"]["count"], 2);
    assert_eq!(lock(&log)[2].body["series"]["count"], 4);
    drop(recorder);
    worker.await.unwrap();
    assert_eq!(lines(&log).len(), 3, "nothing is left to send");
}

#[tokio::test(start_paused = true)]
async fn another_reason_state_or_time_is_another_event() {
    let (recorder, worker, _, log) = start(accept);
    recorder.publish(about("js", "7"), EventType::Normal, "A", "");
    recorder.publish(about("js", "7"), EventType::Normal, "B", "");
    recorder.publish(about("js", "8"), EventType::Normal, "A", "");
    tokio::time::sleep(SERIES_IDLE + Duration::from_secs(1)).await;
    recorder.publish(about("js", "7"), EventType::Normal, "A", "");
    drop(recorder);
    worker.await.unwrap();
    assert_eq!(lines(&log), ["POST "; 4]);
    let names: std::collections::BTreeSet<String> = lock(&log)
        .iter()
        .map(|seen| seen.body["metadata"]["name"].to_string())
        .collect();
    assert_eq!(names.len(), 4, "the clock stands still, the names differ");
}

#[tokio::test(start_paused = true)]
async fn the_rest_is_sent_at_the_end() {
    let (recorder, worker, _, log) = start(accept);
    for _ in 0..5 {
        recorder.publish(about("js", "7"), EventType::Normal, "A", "");
    }
    drop(recorder);
    worker.await.unwrap();
    assert_eq!(lock(&log).last().unwrap().body["series"]["count"], 5);
}

#[tokio::test(start_paused = true)]
async fn a_series_whose_event_has_expired_starts_anew() {
    let (recorder, worker, _, log) = start(|seen| match seen.method.as_str() {
        "PATCH" => refusal(404, "NotFound", "gone"),
        _ => Answer::Json(201, Value::Null),
    });
    for _ in 0..3 {
        recorder.publish(about("js", "7"), EventType::Normal, "A", "");
    }
    drop(recorder);
    worker.await.unwrap();
    assert_eq!(lines(&log), ["POST ", "PATCH /js", "POST "]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_counted() {
    let (recorder, worker, stats, log) = start(|_| Answer::Busy(503, 1));
    recorder.publish(about("js", "7"), EventType::Normal, "A", "");
    for _ in 0..=BUFFER {
        recorder.publish(about("js", "7"), EventType::Normal, "A", "");
    }
    assert!(stats.events_dropped() >= 2, "the buffer is bounded");
    worker.abort();
    drop(log);
}

#[test]
fn notes_are_cut_at_characters() {
    assert_eq!(cut("abc", 1024), "abc");
    assert_eq!(cut("abc", 2), "ab");
    assert_eq!(cut("aé", 2), "a");
    assert_eq!(cut("100% %s", 1024), "100% %s");
    assert_eq!(cut(&"é".repeat(600), 1024).len(), 1024);
}
