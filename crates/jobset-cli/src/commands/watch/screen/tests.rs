use jobset_api::JobSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};

use super::super::choice::Then;
use super::super::follow::Log;
use super::*;
use crate::view::testing;

/// What a screen of this size shows.
fn screen(size: (u16, u16), reading: &Reading, choice: &Choice) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal
        .draw(|frame| draw(frame, reading, None, choice, true))
        .unwrap();
    terminal.backend().buffer().clone()
}

/// The characters, without spaces at the ends of lines.
fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let lines = buffer.content.chunks(width).map(|line| {
        let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

fn reading(snapshot: &view::Snapshot) -> Reading {
    Reading {
        set: SetView::with_children(snapshot),
        told: view::happenings(snapshot.events(), &snapshot.jobset),
        now: snapshot.now,
        log: None,
    }
}

/// A leader that runs, a worker that has failed, and one that is not there.
fn small() -> Reading {
    let ready = |name, ready: i32| json!({"name": name, "ready": ready, "active": 0, "succeeded": 0, "failed": 0, "suspended": 0});
    let status = json!({"restarts": 1, "restartsCountTowardsMax": 1,
        "replicatedJobsStatus": [ready("leader", 1), ready("workers", 0)]});
    let failed = json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]});
    reading(&testing::snapshot(
        testing::jobset(&status),
        vec![
            testing::job("leader", 0, &json!({"active": 2, "ready": 2})),
            testing::job("workers", 0, &failed),
        ],
        vec![
            testing::pod("leader", 0, 0, &json!({"phase": "Running"})),
            testing::pod("leader", 0, 1, &json!({"phase": "Running"})),
        ],
        vec![
            testing::event(3, ("JobSet", "js"), "Normal", "JobsReady", "all are\nready"),
            testing::event(
                9,
                ("Job", "js-workers-0"),
                "Warning",
                "BackoffLimitExceeded",
                "it failed",
            ),
        ],
    ))
}

#[test]
fn everything_fits_on_80_by_24() {
    let mut choice = Choice::default();
    let shown = text(&screen((80, 24), &small(), &choice));
    assert_eq!(
        shown,
        "\
default/js  Starting  1 restart, 1 of at most 2 counted  10m

leader          │█                                                │          1/1
workers         │x                                                │          0/2

js-leader-0  Running  attempt 0
> js-leader-0-0-abcde  Running 0/1 on node-0
  js-leader-0-1-abcde  Running 0/1 on node-0

Events
 9m57s js JobsReady: all are; ready
 9m51s js-workers-0 BackoffLimitExceeded: it failed











 ←→ Job  ↑↓ role  f failed  p Pod  Tab events/logs  q quit
"
    );
    choice.role = 1;
    choice.job = 1;
    let shown = text(&screen((80, 24), &small(), &choice));
    assert!(
        shown.contains("workers         │x_")
            && shown.contains("workers-1 is not there; workers starts after leader (Ready)"),
        "{shown}"
    );
}

#[test]
fn the_log_of_the_chosen_pod_is_shown() {
    let mut reading = small();
    let mut choice = Choice {
        pane: Pane::Logs,
        ..Choice::default()
    };
    let pod = choice.pod(&reading.set).unwrap();
    assert!(text(&screen((80, 24), &reading, &choice)).contains("Log of js-leader-0-0-abcde\n…\n"));
    reading.log = Some(Log {
        pod,
        lines: Ok((0..100).map(|number| format!("line {number}")).collect()),
    });
    let shown = text(&screen((80, 24), &reading, &choice));
    assert!(
        shown.contains("line 99\n") && !shown.contains("line 80\n"),
        "{shown}"
    );
    choice.pod = 1;
    let shown = text(&screen((80, 24), &reading, &choice));
    assert!(!shown.contains("line 99"), "that of another Pod: {shown}");
}

fn many(failed: &[i64]) -> Reading {
    let jobset: JobSet = serde_json::from_value(json!({
        "metadata": {"name": "js", "namespace": "default", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"replicatedJobs": [
            {"name": "leader", "template": {}},
            {"name": "workers", "replicas": 5000, "template": {}},
        ]},
        "status": {"restarts": 0},
    }))
    .unwrap();
    let jobs = (0..5000).map(|index| {
        let status: Value = if failed.contains(&index) {
            json!({"conditions": [{"type": "Failed", "status": "True"}]})
        } else {
            json!({"active": 2, "ready": 2})
        };
        testing::job("workers", index, &status)
    });
    reading(&testing::snapshot(jobset, jobs.collect(), vec![], vec![]))
}

#[test]
fn five_thousand_jobs_fit_and_a_change_redraws_little() {
    let choice = Choice::default();
    let (before, after) = (many(&[]), many(&[4321]));
    let before = screen((80, 24), &before, &choice);
    let after_screen = screen((80, 24), &after, &choice);
    let shown = text(&after_screen);
    assert_eq!(shown.matches('x').count(), 1, "one cell: {shown}");
    assert!(
        shown.contains("Jobs a cell") && shown.contains("/5000"),
        "{shown}"
    );
    assert!(shown.contains("Events"), "{shown}");
    let changed = before.diff(&after_screen).len();
    assert_eq!(changed, 1, "only what has changed is sent to the terminal");
}

#[test]
fn any_size_and_any_choice_can_be_drawn() {
    for reading in [small(), many(&[1])] {
        for width in [1, 7, 20, 33, 80, 250] {
            for height in [1, 2, 5, 11, 24, 60] {
                for (role, job) in [(0, 0), (1, 1), (9, 9)] {
                    let mut choice = Choice {
                        role,
                        job,
                        ..Choice::default()
                    };
                    screen((width, height), &reading, &choice);
                    choice.fit(&reading.set);
                    screen((width, height), &reading, &choice);
                }
            }
        }
    }
}

#[test]
fn keys_choose_jobs_and_pods() {
    let reading = small();
    let set = &reading.set;
    let mut choice = Choice::default();
    let mut press = |code, wanted: (usize, usize, usize)| {
        let then = choice.press(KeyEvent::new(code, KeyModifiers::NONE), set);
        assert_eq!(then, Then::GoOn);
        assert_eq!((choice.role, choice.job, choice.pod), wanted, "{code:?}");
    };
    press(KeyCode::Left, (0, 0, 0));
    press(KeyCode::Char('p'), (0, 0, 1));
    press(KeyCode::Char('p'), (0, 0, 0));
    press(KeyCode::Right, (0, 0, 0));
    press(KeyCode::Down, (1, 0, 0));
    press(KeyCode::Down, (1, 0, 0));
    press(KeyCode::End, (1, 1, 0));
    press(KeyCode::Up, (0, 0, 0));
    press(KeyCode::Char('f'), (1, 0, 0));
    press(KeyCode::Char('f'), (1, 0, 0));
    let mut end = |code, modifiers| choice.press(KeyEvent::new(code, modifiers), set);
    assert_eq!(
        end(KeyCode::Char('c'), KeyModifiers::CONTROL),
        Then::Interrupt
    );
    assert_eq!(end(KeyCode::Char('q'), KeyModifiers::NONE), Then::Quit);
    end(KeyCode::Tab, KeyModifiers::NONE);
    assert_eq!(choice.pane, Pane::Logs);
}

#[test]
fn a_job_that_leaves_is_seen() {
    let mut job = testing::job("leader", 0, &json!({"active": 2, "ready": 2}));
    job.metadata.deletion_timestamp = Some(Time(testing::now()));
    let snapshot = testing::snapshot(testing::jobset(&json!({})), vec![job], vec![], vec![]);
    let shown = text(&screen((80, 24), &reading(&snapshot), &Choice::default()));
    assert!(shown.contains("leader          │-"), "{shown}");
    assert!(shown.contains("js-leader-0  Terminating"), "{shown}");
}
