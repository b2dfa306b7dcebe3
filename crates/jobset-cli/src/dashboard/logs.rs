//! Logs for the page: the lines of the chosen Pods, as they are printed.

use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use futures::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::hub::{Hub, Viewer};
use crate::args::{ConnectionArgs, LogsArgs, OutputKind, PodArgs};
use crate::cluster;
use crate::commands::logs::{Document, Line, Readers, Said};

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
    hub: Arc<Hub>,
    namespace: String,
    args: LogsArgs,
    viewer: Viewer,
    open: Option<Open>,
    /// There are more logs than are shown: none of those is added.
    refused: bool,
    earliest: Instant,
    /// What was told last of the logs themselves.
    told: Value,
}

/// The logs of one JobSet.
struct Open {
    uid: String,
    readers: Readers,
    lines: mpsc::Receiver<Said>,
}

/// The lines. While the browser does not take them, the logs wait. The stream ends when the cluster does
/// not answer any more, and when another JobSet has taken the name: the browser asks again, and begins
/// anew.
pub(super) fn lines(
    hub: Arc<Hub>,
    namespace: &str,
    args: LogsArgs,
    viewer: Viewer,
) -> impl Stream<Item = Event> + Send + 'static {
    let reading = Reading {
        hub,
        namespace: namespace.to_owned(),
        args,
        viewer,
        open: None,
        refused: false,
        earliest: Instant::now(),
        told: Value::Null,
    };
    futures::stream::unfold(reading, |mut reading| async {
        loop {
            match reading.step().await {
                Step::Tell(event) => return Some((event, reading)),
                Step::Wait => {}
                Step::End => return None,
            }
        }
    })
}

/// What comes of something that has happened.
enum Step {
    Tell(Event),
    Wait,
    End,
}

impl From<Option<Event>> for Step {
    fn from(event: Option<Event>) -> Self {
        event.map_or(Self::Wait, Self::Tell)
    }
}

impl Reading {
    /// Waits for one thing.
    async fn step(&mut self) -> Step {
        let mut said = Vec::new();
        let Some(Open { readers, lines, .. }) = &mut self.open else {
            let step = self.start();
            if matches!(step, Step::Wait) && self.open.is_none() {
                self.viewer.changed().await;
            }
            return step;
        };
        let (earliest, room) = (self.earliest, BATCH);
        tokio::select! {
            () = self.viewer.changed() => return self.start(),
            () = readers.ended() => return self.state().into(),
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
            return Step::Wait;
        }
        Step::Tell(event("lines", &Value::Array(documents)))
    }

    /// Begins to read what has come.
    fn start(&mut self) -> Step {
        if !self.viewer.is_answered() {
            return if self.open.is_some() {
                Step::End
            } else {
                Step::Wait
            };
        }
        let Some(snapshot) = self.viewer.snapshot() else {
            return Step::Wait;
        };
        let uid = snapshot.jobset.uid();
        let open = self.open.get_or_insert_with(|| {
            let at = self.hub.connection(Some(&self.namespace));
            let status = snapshot.jobset.status.clone();
            let (readers, lines) = Readers::new(at, self.args.clone(), status);
            Open {
                uid: uid.to_owned(),
                readers,
                lines,
            }
        });
        if open.uid != uid {
            return Step::End;
        }
        if !self.refused {
            self.refused = open.readers.start(&snapshot.pods).is_err();
        }
        self.state().into()
    }

    fn count(&self) -> (usize, usize) {
        self.open
            .as_ref()
            .map_or((0, 0), |open| open.readers.count())
    }

    /// How many logs there are, if that is news.
    fn state(&mut self) -> Option<Event> {
        let (open, known) = self.count();
        let refused = self.refused.then(|| {
            format!(
                "These are the logs of more than {MOST} containers, of which {MOST} are shown. Choose a \
                 role, a Job or a Pod."
            )
        });
        let state = json!({"open": open, "known": known, "refused": refused});
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
