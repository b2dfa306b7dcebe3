//! Logs for the page: the lines of the chosen Pods, as they are printed.

use std::time::Duration;

use axum::response::sse::Event;
use futures::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::hub::Viewer;
use crate::args::{ConnectionArgs, LogsArgs, OutputKind, PodArgs};
use crate::cluster::{self, Connection};
use crate::commands::logs::{Document, Line, Readers};

/// Containers that are read at once.
const MOST: usize = 100;
/// Lines of each container that are read of what has been printed already; with a filter, those that are
/// looked through.
const TAIL: u32 = 200;
const TAIL_FILTERED: u32 = 5000;
/// Lines that are told at once, and the pause between.
const BATCH: usize = 500;
const PAUSE: Duration = Duration::from_millis(150);
/// Letters of a line that are told.
const WIDEST: usize = 4000;

/// Which lines.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LogQuery {
    role: String,
    job: String,
    pod: String,
    container: String,
    grep: String,
    previous: String,
}

impl LogQuery {
    /// The arguments of `jobset logs` that mean the same.
    pub(super) fn args(&self, name: &str) -> Result<LogsArgs, String> {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let number = |what: &str, text: &str| match text {
            "" => Ok(None),
            _ => text
                .parse::<u32>()
                .map(Some)
                .map_err(|_| format!("{what} {text:?} is not a number")),
        };
        let grep = match self.grep.as_str() {
            "" => None,
            pattern => Some(
                regex::Regex::new(pattern)
                    .map_err(|_| format!("{pattern:?} is not a regular expression"))?,
            ),
        };
        Ok(LogsArgs {
            pods: PodArgs {
                name: name.to_owned(),
                role: text(&self.role),
                job: number("Job", &self.job)?,
                pod: number("Pod", &self.pod)?,
                container: text(&self.container),
            },
            follow: true,
            previous_attempts: !self.previous.is_empty(),
            since: None,
            tail: Some(if grep.is_some() { TAIL_FILTERED } else { TAIL }),
            grep,
            timestamps: true,
            max_containers: MOST,
            output: OutputKind::Json,
            connection: ConnectionArgs::default(),
        })
    }
}

/// What is being read.
struct Reading {
    at: Connection,
    args: LogsArgs,
    viewer: Viewer,
    open: Option<(Readers, mpsc::Receiver<crate::commands::logs::Said>)>,
    earliest: Instant,
    /// What was told last of the logs themselves.
    told: Value,
}

/// The lines. While the browser does not take them, the logs wait.
pub(super) fn lines(
    at: Connection,
    args: LogsArgs,
    viewer: Viewer,
) -> impl Stream<Item = Event> + Send + 'static {
    let reading = Reading {
        at,
        args,
        viewer,
        open: None,
        earliest: Instant::now(),
        told: Value::Null,
    };
    futures::stream::unfold(reading, |mut reading| async {
        let event = reading.next().await;
        Some((event, reading))
    })
}

impl Reading {
    async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.step().await {
                return event;
            }
        }
    }

    /// Waits for one thing; what there is to tell of it.
    async fn step(&mut self) -> Option<Event> {
        let mut said = Vec::new();
        let Some((readers, lines)) = &mut self.open else {
            self.viewer.next().await;
            return self.start();
        };
        let (earliest, room) = (self.earliest, BATCH);
        tokio::select! {
            _ = self.viewer.next() => return self.start(),
            () = readers.ended() => return self.state(),
            count = async {
                sleep_until(earliest).await;
                lines.recv_many(&mut said, room).await
            } => tracing::trace!(count, "lines"),
        }
        self.earliest = Instant::now() + PAUSE;
        // Several logs that begin at once come in no order.
        said.sort_by_key(|(_, line)| line.as_ref().ok().and_then(|line| line.time));
        let mut documents = Vec::new();
        for (source, line) in said {
            match line {
                Ok(line)
                    if self
                        .args
                        .grep
                        .as_ref()
                        .is_none_or(|grep| grep.is_match(&line.text)) =>
                {
                    documents.push(json!(Document::of(&source, &short(line))));
                }
                Ok(_) => {}
                Err(error) => documents.push(json!({
                    "pod": source.pod, "container": source.container,
                    "error": format!("{:#}", cluster::plain(error)),
                })),
            }
        }
        if documents.is_empty() {
            return None;
        }
        Some(event("lines", &Value::Array(documents)))
    }

    /// Begins to read what has come.
    fn start(&mut self) -> Option<Event> {
        let snapshot = self.viewer.snapshot()?;
        let (readers, _) = self.open.get_or_insert_with(|| {
            let status = snapshot.jobset.status.clone();
            Readers::new(self.at.clone(), self.args.clone(), status)
        });
        let refused = readers.start(&snapshot.pods).is_err();
        let state = self.state();
        if refused && state.is_some() {
            let why = format!(
                "These are the logs of more than {MOST} containers, of which {MOST} are shown. Choose a \
                 role, a Job or a Pod."
            );
            let (open, known) = self.count();
            return Some(event(
                "logs",
                &json!({"open": open, "known": known, "refused": why}),
            ));
        }
        state
    }

    fn count(&self) -> (usize, usize) {
        self.open
            .as_ref()
            .map_or((0, 0), |(readers, _)| readers.count())
    }

    /// How many logs there are, if that is news.
    fn state(&mut self) -> Option<Event> {
        let (open, known) = self.count();
        let state = json!({"open": open, "known": known});
        if state == self.told {
            return None;
        }
        let event = event("logs", &state);
        self.told = state;
        Some(event)
    }
}

fn event(name: &str, document: &Value) -> Event {
    Event::default().event(name).data(document.to_string())
}

/// No more of a line than anybody reads.
fn short(mut line: Line) -> Line {
    if let Some((end, _)) = line.text.char_indices().nth(WIDEST) {
        line.text.truncate(end);
        line.text.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_means_what_the_command_line_means() {
        let query = LogQuery {
            role: "workers".to_owned(),
            job: "3".to_owned(),
            grep: "loss|error".to_owned(),
            ..LogQuery::default()
        };
        let args = query.args("train").unwrap();
        assert_eq!(args.pods.role.as_deref(), Some("workers"));
        assert_eq!((args.pods.job, args.pods.pod), (Some(3), None));
        assert_eq!(args.pods.container, None);
        assert!(args.follow && !args.previous_attempts);
        let wrong = |query: LogQuery| query.args("train").unwrap_err();
        let job = LogQuery {
            job: "x".to_owned(),
            ..LogQuery::default()
        };
        assert_eq!(wrong(job), "Job \"x\" is not a number");
        let grep = LogQuery {
            grep: "(".to_owned(),
            ..LogQuery::default()
        };
        assert_eq!(wrong(grep), "\"(\" is not a regular expression");
    }

    #[test]
    fn lines_have_an_end() {
        let long = Line {
            time: None,
            text: "ä".repeat(WIDEST + 5),
        };
        assert_eq!(short(long).text.chars().count(), WIDEST + 1);
    }
}
