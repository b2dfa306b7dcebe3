use jobset_api::JobSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::view::testing;

/// So many milliseconds after the creation of everything.
fn at(millis: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + SignedDuration::from_millis(millis)
}

/// A Job of an attempt; each attempt has a Job of its own.
fn job(role: &str, index: i64, attempt: i32, status: &Value) -> Job {
    let mut job = testing::job(role, index, status);
    let uid = format!("uid-{role}-{index}-{attempt}");
    job.metadata.uid = Some(uid);
    let labels = job.metadata.labels.as_mut().unwrap();
    labels.insert(
        "jobset.sigs.k8s.io/restart-attempt".to_owned(),
        attempt.to_string(),
    );
    job
}

fn jobset(restarts: i32, condition: Option<(&str, &str)>) -> JobSet {
    let conditions: Vec<Value> = condition
        .into_iter()
        .map(|(type_, time)| {
            json!({"type": type_, "status": "True", "reason": "R", "message": format!("why it has {type_}"),
                "lastTransitionTime": time})
        })
        .collect();
    testing::jobset(&json!({"restarts": restarts, "conditions": conditions}))
}

/// Phase, begin, end of each stretch.
fn spans(row: &Row) -> Vec<(Phase, i64, i64)> {
    row.spans
        .iter()
        .map(|span| (span.phase, span.window.from, span.window.to))
        .collect()
}

/// A worker fails at two seconds, which restarts all; then it completes.
fn recorded() -> Timeline {
    let mut history = History::new(&jobset(0, None), at(0));
    let up = json!({"active": 2, "ready": 2});
    let starting = json!({"active": 2});
    for (role, index) in [("leader", 0), ("workers", 0), ("workers", 1)] {
        history.job(&job(role, index, 0, &json!({})), at(10));
        history.job(&job(role, index, 0, &starting), at(20));
        history.job(&job(role, index, 0, &up), at(500 + index * 100));
    }
    let failed = json!({"conditions": [{"type": "FailureTarget", "status": "True"}]});
    history.job(&job("workers", 1, 0, &failed), at(2000));
    history.jobset(&jobset(1, None), at(2100));
    for (role, index) in [("leader", 0), ("workers", 0), ("workers", 1)] {
        let mut leaving = job(role, index, 0, &up);
        leaving.metadata.deletion_timestamp = Some(Time(at(2200)));
        history.job(&leaving, at(2200));
        history.job_gone(&format!("uid-{role}-{index}-0"), at(2300));
        history.job(&job(role, index, 1, &starting), at(2400));
        history.job(&job(role, index, 1, &up), at(3000 + index * 500));
    }
    let complete = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    for (role, index) in [("leader", 0), ("workers", 0), ("workers", 1)] {
        history.job(&job(role, index, 1, &complete), at(7000));
    }
    let completed = jobset(1, Some(("Completed", "2026-01-01T00:00:08Z")));
    history.jobset(&completed, at(8000));
    history.timeline(at(9000))
}

#[test]
fn what_was_seen_becomes_stretches() {
    let timeline = recorded();
    assert_eq!(timeline.end, 8000, "it ended then");
    let titles: Vec<String> = timeline.groups.iter().map(Group::title).collect();
    assert_eq!(
        titles,
        [
            "leader, attempt 0",
            "leader, attempt 1",
            "workers, attempt 0",
            "workers, attempt 1"
        ]
    );
    assert_eq!(
        spans(&timeline.groups[2].rows[1]),
        [
            (Phase::Pending, 10, 20),
            (Phase::Starting, 20, 600),
            (Phase::Ready, 600, 2000),
            (Phase::Failed, 2000, 2200),
            (Phase::Deleting, 2200, 2300),
        ]
    );
    assert_eq!(
        spans(&timeline.groups[3].rows[1]),
        [
            (Phase::Starting, 2400, 3500),
            (Phase::Ready, 3500, 7000),
            (Phase::Succeeded, 7000, 8000),
        ]
    );
    let lost = Window {
        from: 2000,
        to: 3500,
    };
    assert_eq!(timeline.lost, [lost], "until the last one was ready again");
    let kinds: Vec<_> = timeline
        .marks
        .iter()
        .map(|mark| (mark.at, mark.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            (2100, MarkKind::Restart { attempt: 1 }),
            (8000, MarkKind::Completed)
        ]
    );
    let document = serde_json::to_value(&timeline).unwrap();
    assert_eq!(document["lostSeconds"], 1.5);
    assert_eq!(document["marks"][0]["kind"], "restart");
    assert_eq!(document["marks"][0]["attempt"], 1);
    assert_eq!(
        document["groups"][0]["rows"][0]["spans"][0],
        json!({"phase": "pending", "fromSeconds": 0.01, "toSeconds": 0.02})
    );
}

#[test]
fn the_text_has_one_line_a_job() {
    assert_eq!(
        text(&recorded(), 70, 1, false),
        "\
JobSet default/js: Completed, 8.0s since 2026-01-01T00:00:00Z, 1 restart, 1.5s lost to restarts

             0                           5s
                         R                                C
leader, attempt 0  1 Job: 1 ready
  leader-0  │░░░██████████-                                │ ready
leader, attempt 1  1 Job: 1 succeeded
  leader-0  │             ░░░░███████████████████████======│ succeeded
workers, attempt 0  2 Jobs: 1 ready, 1 failed
  workers-1 │░░░████████xx-                                │ failed
  … 1 Job not drawn
workers, attempt 1  2 Jobs: 2 succeeded
  workers-0 │             ░░░░███████████████████████======│ succeeded
  … 1 Job not drawn

· pending  ░ starting  █ ready  = succeeded  x failed  - deleting

R   2.1s  restart 1
C   8.0s  completed: why it has Completed
"
    );
}

#[test]
fn what_flickers_or_restarts_for_ever_does_not_fill_the_memory() {
    let mut history = History::new(&jobset(0, None), at(0));
    for round in 0..2000 {
        history.job(&job("leader", 0, 0, &json!({"active": 2})), at(round * 2));
        history.job(
            &job("leader", 0, 0, &json!({"active": 2, "ready": 2})),
            at(round * 2 + 1),
        );
    }
    let failed = json!({"conditions": [{"type": "Failed", "status": "True"}]});
    history.job(&job("leader", 0, 0, &failed), at(5000));
    for restarts in 1..=12_000 {
        history.jobset(&jobset(restarts, None), at(5000 + i64::from(restarts)));
    }
    let timeline = history.timeline(at(20_000));
    let row = &timeline.groups[0].rows[0];
    assert!(row.spans.len() <= 201, "{}", row.spans.len());
    assert_eq!(row.outcome(), Some(Phase::Failed), "its end is not lost");
    assert!(timeline.marks.len() <= 10_000);
    assert!(
        timeline.notes[0].contains("were forgotten"),
        "{:?}",
        timeline.notes
    );
}

/// An event about a Job that is gone.
fn of_gone(second: u32, name: &str, uid: &str, reason: &str) -> Event {
    let mut event = testing::event(second, ("Job", name), "Normal", reason, "");
    event.regarding.as_mut().unwrap().uid = Some(uid.to_owned());
    event
}

#[test]
fn a_cluster_is_asked_for_what_it_still_knows() {
    let restart = |second| {
        let reason = "RestartJobSetFailurePolicyAction";
        testing::event(second, ("JobSet", "js"), "Warning", reason, "why\nthis")
    };
    let now_there = |role: &str, index, status: Value| {
        let mut job = job(role, index, 1, &status);
        job.metadata.creation_timestamp = Some(Time(at(20_000)));
        job
    };
    let ready = |role: &str, second: u32| {
        let mut pod = testing::pod(
            role,
            0,
            0,
            &json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True",
                "lastTransitionTime": format!("2026-01-01T00:00:{second:02}Z")}]}),
        );
        pod.metadata.creation_timestamp = Some(Time(at(22_000)));
        pod
    };
    let mut second = ready("leader", 31);
    second.metadata.name = Some("js-leader-0-1-abcde".to_owned());
    let snapshot = testing::snapshot(
        jobset(1, None),
        vec![
            now_there("leader", 0, json!({"active": 2, "ready": 2})),
            now_there("workers", 0, json!({})),
        ],
        vec![ready("leader", 25), second],
        vec![
            of_gone(2, "js-leader-0", "old", "SuccessfulCreate"),
            of_gone(3, "js-workers-0", "older", "SuccessfulCreate"),
            of_gone(20, "js-workers-0", "older", "BackoffLimitExceeded"),
            restart(20),
        ],
    );
    let timeline = of_snapshot(&snapshot);
    let of = |title: &str| {
        let group = timeline.groups.iter().find(|group| group.title() == title);
        spans(
            &group
                .unwrap_or_else(|| panic!("{title}: {timeline:#?}"))
                .rows[0],
        )
    };
    assert_eq!(of("leader, attempt 0"), [(Phase::Active, 2000, 20_000)]);
    assert_eq!(
        of("workers, attempt 0"),
        [
            (Phase::Active, 3000, 20_000),
            (Phase::Failed, 20_000, 20_000),
        ]
    );
    assert_eq!(
        of("leader, attempt 1"),
        [
            (Phase::Pending, 20_000, 22_000),
            (Phase::Starting, 22_000, 31_000),
            (Phase::Ready, 31_000, 600_000),
        ],
        "ready with the last of its Pods"
    );
    assert_eq!(
        of("workers, attempt 1"),
        [(Phase::Pending, 20_000, 600_000)]
    );
    let lost = Window {
        from: 20_000,
        to: 600_000,
    };
    assert_eq!(timeline.lost, [lost], "the worker is not back yet");
    assert_eq!(timeline.marks[0].message, "why; this");
    assert!(timeline.notes.is_empty(), "{:?}", timeline.notes);
}

#[test]
fn what_is_not_known_any_more_is_said() {
    let snapshot = testing::snapshot(
        jobset(3, None),
        vec![job("leader", 0, 3, &json!({}))],
        vec![],
        vec![],
    );
    assert_eq!(
        of_snapshot(&snapshot).notes,
        [
            "3 restarts are not known any more, nor what they have cost",
            "nothing is known any more of the Jobs of earlier attempts"
        ]
    );
}

#[test]
fn the_restart_of_one_job_costs_its_own_time() {
    let mut history = History::new(&jobset(0, None), at(0));
    let up = json!({"active": 2, "ready": 2});
    history.job(&job("workers", 0, 0, &up), at(0));
    let failed = json!({"conditions": [{"type": "Failed", "status": "True"}]});
    history.job(&job("workers", 0, 0, &failed), at(1000));
    history.job_gone("uid-workers-0-0", at(1100));
    let mut again = job("workers", 0, 0, &json!({}));
    again.metadata.uid = Some("again".to_owned());
    let labels = again.metadata.labels.as_mut().unwrap();
    labels.insert(
        jobset_api::constants::JOB_RESTART_ATTEMPT_KEY.to_owned(),
        "1".to_owned(),
    );
    history.job(&again, at(1200));
    again.status = serde_json::from_value(up).unwrap();
    history.job(&again, at(1700));
    let timeline = history.timeline(at(5000));
    assert_eq!(timeline.lost_total, 700);
    assert_eq!(timeline.marks[0].kind, MarkKind::JobRestart);
    assert_eq!(timeline.groups[0].rows.len(), 2);
    assert_eq!(timeline.groups[0].rows[1].label(), "workers-0 (1)");
}

/// A JobSet of this many Jobs that fail one after the other.
fn large(jobs: i64) -> Timeline {
    let mut history = History::new(&jobset(0, None), at(0));
    let failed = json!({"conditions": [{"type": "Failed", "status": "True"}]});
    for index in 0..jobs {
        history.job(&job("workers", index, 0, &json!({})), at(index));
        history.job(&job("workers", index, 0, &failed), at(100_000 - index));
    }
    history.timeline(at(200_000))
}

#[test]
fn five_thousand_jobs_are_cut_to_those_that_failed_first() {
    let timeline = large(5000);
    let lines = text(&timeline, 80, 20, false);
    assert!(lines.lines().count() < 40, "{lines}");
    assert!(lines.contains("workers-4999 │") && lines.contains("… 4980 Jobs not drawn"));
    assert!(
        lines.lines().all(|line| line.chars().count() <= 80),
        "{lines}"
    );
    let picture = svg(&timeline, 0);
    assert_eq!(picture.matches("class=\"failed\"").count(), 5001);
}

#[test]
fn pictures_and_pages_load_nothing_and_let_nothing_in() {
    let mut timeline = recorded();
    timeline.name = "<script>alert(1)</script>".to_owned();
    timeline.marks[0].message = "a & b \"<img src=x>\" \u{1b}[2J".to_owned();
    let mut page = Page::new("<b>");
    page.timeline(&timeline, 0);
    page.lines("</pre><i>");
    for file in [svg(&timeline, 0), page.html()] {
        assert!(!file.contains("<script") && !file.contains("<img") && !file.contains("<i>"));
        assert!(!file.contains('\u{1b}'));
        let addresses = file.matches("http").count();
        let namespaces = file.matches("xmlns=\"http://www.w3.org/2000/svg\"").count();
        assert_eq!((addresses, namespaces), (1, 1));
        for tag in ["svg", "style", "text", "title"] {
            let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
            // A closing tag has a slash, so it is not counted as an opening one.
            assert_eq!(
                file.matches(&open).count(),
                file.matches(&close).count(),
                "{tag}"
            );
        }
        assert!(file.contains("prefers-color-scheme:dark"));
    }
}

proptest! {
    /// However long it took, the axis has few and round times.
    #[test]
    fn the_axis_is_readable(end in 1..i64::MAX / 4, most in 1..20_i64) {
        let ticks = ticks(end, most);
        prop_assert!(ticks.len() as i64 <= most + 1, "{ticks:?}");
        prop_assert!(ticks.iter().all(|at| (0..=end).contains(at)));
    }

    /// Whatever comes in whatever order: stretches are without gaps and overlaps, and no text is too wide.
    #[test]
    fn any_history_can_be_drawn(
        changes in prop::collection::vec((0..3_i64, 0..3_i32, 0..7_u8, 0..20_000_i64), 0..60),
        width in 0..200_usize,
    ) {
        let mut history = History::new(&jobset(0, None), at(0));
        for (index, attempt, what, time) in changes {
            let conditions = |type_: &str| json!({"conditions": [{"type": type_, "status": "True"}]});
            let status = match what {
                0 => json!({}),
                1 => json!({"active": 2}),
                2 => json!({"active": 2, "ready": 2}),
                3 => conditions("Failed"),
                4 => conditions("Complete"),
                5 => {
                    history.job_gone(&format!("uid-workers-{index}-{attempt}"), at(time));
                    continue;
                }
                _ => {
                    history.jobset(&jobset(attempt, None), at(time));
                    continue;
                }
            };
            history.job(&job("workers", index, attempt, &status), at(time));
        }
        let timeline = history.timeline(at(10_000));
        for row in timeline.groups.iter().flat_map(|group| &group.rows) {
            for pair in row.spans.windows(2) {
                prop_assert_eq!(pair[0].window.to, pair[1].window.from);
            }
            for span in &row.spans {
                let Window { from, to } = span.window;
                prop_assert!(0 <= from && from <= to && to <= timeline.end, "{:?}", row);
            }
        }
        for pair in timeline.lost.windows(2) {
            prop_assert!(pair[0].to < pair[1].from);
        }
        prop_assert!(timeline.lost_total <= timeline.end);
        let drawn = text(&timeline, width, 0, false);
        let bars = drawn.lines().filter(|line| line.contains('│'));
        for bar in bars {
            prop_assert!(bar.chars().count() <= width.max(60), "{}", bar);
        }
        prop_assert!(svg(&timeline, 0).ends_with("</svg>\n"));
    }
}
