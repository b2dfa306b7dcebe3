//! The live view in a real terminal, that of tmux.

use std::fs;
use std::process::{Command, Output};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use regex::Regex;
use serde_json::json;

use crate::golden::exact;
use crate::support::{Cluster, Place, eventually, has_version, jobset};

/// A terminal of some size that a command runs in. It ends when this is dropped.
struct Terminal {
    place: Place,
}

impl Terminal {
    /// Runs the command in a new terminal; `None`, loudly, where there is no tmux.
    fn run(cluster: &Cluster, words: &[&str], width: u16, height: u16) -> Option<Self> {
        if !has_version("tmux", "-V") {
            return None;
        }
        let terminal = Self {
            place: Place::new(),
        };
        let command = cluster.command(words);
        let mut line = format!(
            "cd {} && exec env",
            quoted(command.get_current_dir().unwrap())
        );
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                line.push_str(&format!(" {}={}", key.display(), quoted(value)));
            }
        }
        line.push_str(&format!(" {}", quoted(command.get_program())));
        for word in command.get_args() {
            line.push_str(&format!(" {}", quoted(word)));
        }
        // What it says after it has given the terminal back stays to be seen.
        let line = format!("sh -c {}; echo \"[exit $?]\"; exec cat", quoted(line));
        let (width, height) = (width.to_string(), height.to_string());
        let size = ["-x", &width, "-y", &height];
        let mut start = vec!["-f", "/dev/null", "new-session", "-d"];
        start.extend(size);
        start.push(&line);
        let output = terminal.tmux(&start);
        assert!(output.status.success(), "{output:?}");
        Some(terminal)
    }

    fn tmux(&self, words: &[&str]) -> Output {
        Command::new("tmux")
            .arg("-S")
            .arg(self.place.path("socket"))
            .args(words)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .output()
            .unwrap()
    }

    /// What is on the screen now.
    fn screen(&self) -> String {
        let output = self.tmux(&["capture-pane", "-p"]);
        String::from_utf8(output.stdout).unwrap()
    }

    fn press(&self, keys: &[&str]) {
        let mut words = vec!["send-keys"];
        words.extend(keys);
        let output = self.tmux(&words);
        assert!(output.status.success(), "{output:?}");
    }

    /// Waits until the screen is as wanted.
    #[track_caller]
    fn until(&self, wanted: impl Fn(&str) -> bool) -> String {
        let mut screen = String::new();
        let reached = eventually(|| {
            screen = self.screen();
            wanted(&screen)
        });
        assert!(reached, "{screen}");
        screen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// A word of a shell.
fn quoted(word: impl AsRef<std::ffi::OsStr>) -> String {
    format!(
        "'{}'",
        word.as_ref().display().to_string().replace('\'', r"'\''")
    )
}

#[test]
fn a_failing_jobset_is_watched_on_the_whole_screen() {
    let place = Place::new();
    let gate = place.path("gate");
    let leader = "for i in 1 2 3; do echo step $i; done; exec sleep 1000";
    let worker = format!(
        "echo loading; while ! test -e {}; do sleep 0.02; done; echo no data >&2; exit 7",
        gate.display()
    );
    let mut manifest = jobset(
        "train",
        &[("leader", leader), ("workers", &worker)],
        &json!({}),
    );
    manifest["spec"]["replicatedJobs"][1]["replicas"] = 3.into();
    let cluster = Cluster::of(&[manifest], &[]);
    cluster.until(&["wait", "train", "--for", "ready"], |ended| {
        ended.code() == Some(0)
    });
    let Some(terminal) = Terminal::run(&cluster, &["watch", "train"], 80, 24) else {
        return;
    };
    let running = terminal.until(|screen| {
        screen.contains("train  Running")
            && screen.contains(" Running 1/1 on node-0")
            && screen.contains("workers         \u{2502}\u{2588}\u{2588}\u{2588}")
    });
    // Events come when they come; they are at the bottom, above the keys.
    let (above, below) = running.split_once("\nEvents\n").unwrap();
    let keys = below.lines().last().unwrap();
    let mut certain = format!("{above}\n{keys}\n");
    for (pattern, replacement) in [
        (r"(-[0-9]+-[0-9]+)-[a-z0-9]{5}\b", "$1-xxxxx"),
        (r"(?m)  [0-9]+(s|m[0-9]+s)$", "  <age>"),
    ] {
        let pattern = Regex::new(pattern).unwrap();
        certain = pattern.replace_all(&certain, replacement).into_owned();
    }
    exact("watch-running", &certain);
    assert_eq!(running.lines().count(), 24);
    terminal.press(&["Tab"]);
    let log = terminal.until(|screen| screen.contains("step 3"));
    assert!(
        log.contains("\nLog of train-leader-0-0-") && log.contains("\nstep 1\nstep 2\n"),
        "{log}"
    );
    // Another Job, another log.
    terminal.press(&["Down"]);
    let log = terminal.until(|screen| screen.contains("\nloading\n"));
    assert!(!log.contains("step 3"), "{log}");
    fs::write(&gate, "").unwrap();
    let failed = terminal.until(|screen| screen.contains("train  Failed"));
    assert!(failed.contains("FailedJobs: "), "{failed}");
    // q gives the terminal back.
    terminal.press(&["q"]);
    let over = terminal.until(|screen| screen.contains("[exit 0]"));
    assert!(!over.contains("workers"), "{over}");
}

#[test]
fn the_terminal_is_given_back_after_an_interrupt() {
    let cluster = Cluster::of(
        &[jobset("js", &[("one", "true")], &json!({}))],
        &["--runtime", "fake", "--fake-duration", "1h"],
    );
    let Some(terminal) = Terminal::run(&cluster, &["watch", "js"], 120, 40) else {
        return;
    };
    let screen = terminal.until(|screen| screen.contains("default/js  Running"));
    assert_eq!(screen.lines().count(), 40);
    let pid = terminal.tmux(&["list-panes", "-F", "#{pane_pid}"]).stdout;
    let shell: i32 = String::from_utf8(pid).unwrap().trim().parse().unwrap();
    let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    let child: i32 = children.split_whitespace().next().unwrap().parse().unwrap();
    kill(Pid::from_raw(child), Signal::SIGTERM).unwrap();
    let over = terminal.until(|screen| screen.contains("[exit 130]"));
    assert!(!over.contains("default/js"), "{over}");
}

#[test]
fn a_jobset_that_is_deleted_says_so_on_the_screen() {
    let cluster = Cluster::of(
        &[jobset("js", &[("one", "true")], &json!({}))],
        &["--runtime", "fake", "--fake-duration", "1h"],
    );
    let Some(terminal) = Terminal::run(&cluster, &["watch", "js"], 80, 24) else {
        return;
    };
    terminal.until(|screen| screen.contains("default/js  Running"));
    cluster.run(&["delete", "js"]).expect_code(0);
    let screen = terminal.until(|screen| screen.contains("default/js  Deleted"));
    assert!(screen.contains("\nit was deleted "), "{screen}");
    terminal.press(&["C-c"]);
    terminal.until(|screen| screen.contains("[exit 130]"));
}
