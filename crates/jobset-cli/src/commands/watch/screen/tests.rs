use jobset_api::JobSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};

use super::super::choice::Then;
use super::super::log::{Log, State};
use super::*;
use crate::view::testing;

/// What a screen of this size shows.
fn screen(size: (u16, u16), reading: &Reading, choice: &Choice) -> Buffer {
    screen_of(size, &shown(reading), choice)
}

fn screen_of(size: (u16, u16), shown: &Shown<'_>, choice: &Choice) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| draw(frame, shown, choice)).unwrap();
    terminal.backend().buffer().clone()
}

fn shown(reading: &Reading) -> Shown<'_> {
    Shown {
        reading,
        log: None,
        now: testing::now(),
        interruption: None,
        deleted: None,
        colored: true,
    }
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
    Reading::of(snapshot, &mut view::PodViews::default())
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
default/js  Starting  1 of at most 2 restarts  10m
not ready: workers 0 of 2
leader          │█                                                │          1/1
workers         │x                                                │          0/2
 · pending  | suspended  ░ starting  █ ready  = succeeded  x failed  - deleting
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
    let reading = small();
    let mut choice = Choice {
        pane: Pane::Logs,
        ..Choice::default()
    };
    let pod = choice.pod(&reading.set).unwrap();
    let with = |log: Option<&Log>, choice: &Choice| {
        let shown = Shown {
            log,
            ..shown(&reading)
        };
        text(&screen_of((80, 24), &shown, choice))
    };
    let not_yet = with(None, &choice);
    assert!(not_yet.contains("Log of js-leader-0-0-abcde\nit has not started\n"));
    let mut log = Log {
        pod,
        ..Log::default()
    };
    assert!(with(Some(&log), &choice).contains("abcde\n…\n"));
    log.lines = (0..100).map(|number| format!("line {number}")).collect();
    log.state = State::Open;
    let open = with(Some(&log), &choice);
    assert!(
        open.contains("line 99\n") && !open.contains("line 80\n"),
        "{open}"
    );
    log.state = State::Ended;
    let ended = with(Some(&log), &choice);
    assert!(ended.contains("Log of js-leader-0-0-abcde (ended)\n") && ended.contains("line 99\n"));
    log.state = State::Failed("connection\nreset".to_owned());
    let failed = with(Some(&log), &choice);
    assert!(
        failed.contains("line 99\ncannot be read: connection; reset\n"),
        "{failed}"
    );
    choice.pod = 1;
    let other = with(Some(&log), &choice);
    assert!(!other.contains("line 99"), "that of another Pod: {other}");
}

#[test]
fn what_is_out_of_date_says_so() {
    let reading = small();
    let shown = Shown {
        now: "2026-01-01T00:10:12Z".parse().unwrap(),
        interruption: Some("cannot watch pods: connection refused"),
        ..shown(&reading)
    };
    let drawn = text(&screen_of((80, 24), &shown, &Choice::default()));
    assert!(
        drawn.contains("\nas of 12s ago: cannot watch pods: connection refused; trying again\n"),
        "{drawn}"
    );
    let shown = Shown {
        interruption: None,
        deleted: Some(testing::now()),
        ..shown
    };
    let drawn = text(&screen_of((80, 24), &shown, &Choice::default()));
    assert!(
        drawn.starts_with("default/js  Deleted  ") && drawn.contains("\nit was deleted 12s ago\n"),
        "{drawn}"
    );
}

#[test]
fn times_go_on_without_news() {
    let reading = small();
    let later = Shown {
        now: "2026-01-01T00:00:30Z".parse().unwrap(),
        ..shown(&reading)
    };
    let drawn = text(&screen_of((80, 24), &later, &Choice::default()));
    assert!(drawn.contains("   27s js JobsReady"), "{drawn}");
}

#[test]
fn of_thousands_of_pods_only_those_that_changed_are_looked_at_again() {
    let mut snapshot = testing::snapshot(
        testing::jobset(&json!({})),
        (0..5000)
            .map(|index| testing::job("workers", index, &json!({"active": 1})))
            .collect(),
        (0..5000)
            .map(|index| testing::pod("workers", index, 0, &json!({"phase": "Pending"})))
            .collect(),
        vec![],
    );
    let mut views = view::PodViews::default();
    Reading::of(&snapshot, &mut views);
    assert_eq!(views.made, 5000);
    let running = testing::pod("workers", 4321, 0, &json!({"phase": "Running"}));
    snapshot.pods[4321] = std::sync::Arc::new(running);
    // One is gone, and comes back under the same name.
    let gone = snapshot.pods.remove(7);
    let reading = Reading::of(&snapshot, &mut views);
    assert_eq!(views.made, 5001);
    let workers = &reading.set.roles[1];
    assert_eq!(workers.jobs[4321].pods[0].state, "Running");
    assert!(workers.jobs[7].pods.is_empty());
    snapshot.pods.push(gone);
    Reading::of(&snapshot, &mut views);
    assert_eq!(views.made, 5002);
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
    let rows = shown.lines().filter(|line| line.contains('│'));
    let failed: usize = rows.map(|row| row.matches('x').count()).sum();
    assert_eq!(failed, 1, "one cell: {shown}");
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

#[test]
fn what_a_starting_jobset_waits_for_is_said() {
    let jobset = testing::jobset(&json!({"restarts": 2, "restartsCountTowardsMax": 1}));
    let snapshot = testing::snapshot(jobset, vec![], vec![], vec![]);
    let drawn = text(&screen((80, 24), &reading(&snapshot), &Choice::default()));
    assert!(
        drawn.starts_with(
            "default/js  Starting  2 restarts, 1 of at most 2 counted  10m\n\
             not ready: leader 0 of 1; workers 0 of 2 (starts after leader (Ready))\n"
        ),
        "{drawn}"
    );
}

#[test]
fn long_names_of_roles_are_shown_where_there_is_room() {
    let jobset: JobSet = serde_json::from_value(json!({
        "metadata": {"name": "js", "namespace": "default", "uid": "u"},
        "spec": {"replicatedJobs": [{"name": "workers-with-a-long-name", "template": {}}]},
    }))
    .unwrap();
    let reading = reading(&testing::snapshot(jobset, vec![], vec![], vec![]));
    let drawn = |width| text(&screen((width, 24), &reading, &Choice::default()));
    assert!(drawn(80).contains("\nworkers-with-a-lon… │"));
    assert!(drawn(120).contains("\nworkers-with-a-long-name │"));
}
