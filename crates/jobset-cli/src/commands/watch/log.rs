//! The log of the Pod that is looked at, as it is written.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::cluster::{self, Connection};

/// Lines that are kept, and asked for at the beginning: more than fit on any screen.
const LINES: usize = 200;
/// News that may wait to be looked at.
const WAITING: usize = 1024;
/// The pause before a stream that was cut off is begun anew.
const PAUSE: Duration = Duration::from_secs(2);

/// One run of a container of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) pod: String,
    pub(super) uid: String,
    pub(super) container: String,
    pub(super) run: i32,
    /// Whether it has begun, so that there is a log.
    pub(super) begun: bool,
}

impl Target {
    /// Whether the other is a run of the same container.
    fn is_same_container(&self, other: &Self) -> bool {
        (&self.uid, &self.pod, &self.container) == (&other.uid, &other.pod, &other.container)
    }
}

/// The end of a Pod's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) pod: String,
    pub(super) lines: VecDeque<String>,
    pub(super) state: State,
}

/// How it is with a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It has been asked for.
    #[default]
    Asked,
    /// Lines are shown as they come.
    Open,
    /// The container has ended.
    Ended,
    /// It cannot be read, and why.
    Failed(String),
}

/// What a stream tells.
#[derive(Debug)]
enum News {
    Opened,
    Line(String),
    Ended,
    Failed(String),
}

impl Log {
    fn apply(&mut self, news: News) {
        self.state = match news {
            News::Opened => {
                // What was there before comes again.
                self.lines.clear();
                State::Open
            }
            News::Line(line) => {
                if self.lines.len() == LINES {
                    self.lines.pop_front();
                }
                self.lines.push_back(line);
                State::Open
            }
            News::Ended => State::Ended,
            News::Failed(why) => State::Failed(why),
        };
    }
}

/// The stream of one log at a time.
pub(super) struct Tail {
    at: Connection,
    open: Option<Open>,
}

struct Open {
    target: Target,
    log: Log,
    news: mpsc::Receiver<News>,
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tail {
    pub(super) fn new(at: Connection) -> Self {
        Self { at, open: None }
    }

    /// What there is of the log.
    pub(super) fn log(&self) -> Option<&Log> {
        self.open.as_ref().map(|open| &open.log)
    }

    /// Streams the log of this container from now on, and no other. One whose stream has ended is read
    /// again when it runs anew.
    pub(super) fn choose(&mut self, target: Option<Target>) {
        // The server refuses what has not begun.
        let Some(target) = target.filter(|target| target.begun || target.run > 0) else {
            self.open = None;
            return;
        };
        let mut log = None;
        if let Some(open) = &self.open
            && open.target.is_same_container(&target)
        {
            let over = matches!(open.log.state, State::Ended | State::Failed(_));
            if open.target == target || !over {
                return;
            }
            // What it has said stays until it says more.
            log = Some(open.log.clone());
        }
        let (sender, news) = mpsc::channel(WAITING);
        let task = tokio::spawn(follow(self.at.api(), target.clone(), sender));
        self.open = Some(Open {
            log: log.unwrap_or_else(|| Log {
                pod: target.pod.clone(),
                ..Log::default()
            }),
            target,
            news,
            task,
        });
    }

    /// Waits for news of the log, and takes in all there is. Nothing is lost if the future is dropped.
    pub(super) async fn changed(&mut self) {
        let Some(open) = &mut self.open else {
            return std::future::pending().await;
        };
        match open.news.recv().await {
            Some(news) => open.log.apply(news),
            // The stream has told its end.
            None => std::future::pending().await,
        }
        for _ in 0..WAITING {
            match open.news.try_recv() {
                Ok(news) => open.log.apply(news),
                Err(_) => break,
            }
        }
    }
}

/// Reads a log to its end. A stream that is cut off is begun anew; what the server refuses is not asked
/// for again.
async fn follow(pods: Api<Pod>, target: Target, news: mpsc::Sender<News>) {
    loop {
        let (why, again) = match read(&pods, &target, &news).await {
            Ok(()) => (News::Ended, false),
            Err(error) => {
                let refused = matches!(&error, kube::Error::Api(status) if status.code < 500);
                let why = format!("{:#}", cluster::plain(error));
                (News::Failed(why), !refused)
            }
        };
        if news.send(why).await.is_err() || !again {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn read(pods: &Api<Pod>, target: &Target, news: &mpsc::Sender<News>) -> kube::Result<()> {
    let params = LogParams {
        container: Some(target.container.clone()),
        follow: true,
        tail_lines: Some(LINES as i64),
        ..LogParams::default()
    };
    let mut log = pin!(pods.log_stream(&target.pod, &params).await?);
    if news.send(News::Opened).await.is_err() {
        return Ok(());
    }
    while let Some(line) = cluster::next_line(&mut log).await? {
        if news.send(News::Line(shown(&line))).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// A line as a terminal would leave it: without colours, and of a progress bar its last state.
fn shown(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.trim_end_matches('\r').chars();
    while let Some(character) = characters.next() {
        match character {
            '\r' => text.clear(),
            '\t' => text.push_str("    "),
            '\u{1b}' => {
                // A control sequence ends with a letter or one of @[\]^_`{|}~.
                if characters.next() == Some('[') {
                    characters.find(|end| ('@'..='~').contains(end));
                }
            }
            other => text.push(other),
        }
    }
    crate::manifest::printable(&text)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use embedded_apiserver::{LogOptions, LogStream, PodLogs, Status};
    use futures::StreamExt as _;
    use futures::future::BoxFuture;

    use super::*;
    use crate::cluster::testing::{PATIENCE, World};

    /// The writing end of a log that is being read.
    type Writer = mpsc::UnboundedSender<&'static str>;

    /// Logs that the test writes, in the order in which they were opened.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<(String, LogOptions, Writer)>>>);

    impl PodLogs for Written {
        fn open(
            &self,
            _namespace: &str,
            pod: &str,
            _uid: &str,
            options: LogOptions,
        ) -> BoxFuture<'static, Result<LogStream, Status>> {
            let (writer, lines) = mpsc::unbounded_channel();
            let mut opened = self.0.lock().unwrap();
            opened.push((pod.to_owned(), options, writer));
            let lines = futures::stream::unfold(lines, |mut lines| async {
                let line: &str = lines.recv().await?;
                Some((Ok(line.into()), lines))
            });
            Box::pin(std::future::ready(Ok(lines.boxed())))
        }
    }

    impl Written {
        /// The writer of the n-th log, once it has been opened.
        async fn writer(&self, nth: usize) -> (String, LogOptions, Writer) {
            loop {
                if let Some(opened) = self.0.lock().unwrap().get(nth) {
                    return opened.clone();
                }
                tokio::task::yield_now().await;
            }
        }
    }

    fn target(pod: &Pod, run: i32) -> Target {
        let meta = pod.metadata.clone();
        Target {
            pod: meta.name.unwrap(),
            uid: meta.uid.unwrap(),
            container: "main".to_owned(),
            run,
            begun: true,
        }
    }

    async fn until(tail: &mut Tail, lines: &[&str], state: State) {
        while tail
            .log()
            .is_none_or(|log| log.lines != lines || log.state != state)
        {
            tail.changed().await;
        }
    }

    #[tokio::test]
    async fn the_log_of_the_chosen_pod_is_streamed_and_no_other() {
        let world = World::new().await;
        let jobset = world.create_jobset("js").await;
        let (one, two) = (
            world.create_pod(&jobset, 0).await,
            world.create_pod(&jobset, 1).await,
        );
        let written = Written::default();
        world.api.set_pod_logs(Arc::new(written.clone()));
        let mut tail = Tail::new(world.connection());
        let steps = async {
            tail.choose(Some(target(&one, 0)));
            let (pod, options, first) = written.writer(0).await;
            assert_eq!(pod, target(&one, 0).pod);
            assert!(
                options.follow && options.tail_lines == Some(200),
                "{options:?}"
            );
            first.send("a\nb\n").unwrap();
            until(&mut tail, &["a", "b"], State::Open).await;
            // The same is not asked for again.
            tail.choose(Some(target(&one, 0)));
            tail.choose(Some(target(&one, 1)));
            first.send("c\n").unwrap();
            until(&mut tail, &["a", "b", "c"], State::Open).await;

            tail.choose(Some(target(&two, 0)));
            let (pod, _, second) = written.writer(1).await;
            assert_eq!(pod, target(&two, 0).pod);
            first.closed().await;
            second.send("other\n").unwrap();
            until(&mut tail, &["other"], State::Open).await;

            // Its container ends, and runs again.
            drop(second);
            written.0.lock().unwrap().clear();
            until(&mut tail, &["other"], State::Ended).await;
            tail.choose(Some(target(&two, 0)));
            tail.choose(Some(target(&two, 1)));
            assert_eq!(tail.log().unwrap().lines, ["other"], "until there is more");
            let (_, _, third) = written.writer(0).await;
            third.send("again\n").unwrap();
            until(&mut tail, &["again"], State::Open).await;

            tail.choose(None);
            third.closed().await;
            assert_eq!(tail.log(), None);
        };
        tokio::time::timeout(PATIENCE, steps).await.unwrap();
        let asked = world.read()[&("get".to_owned(), "pods/log".to_owned())];
        assert_eq!(asked, 3);
    }

    #[test]
    fn a_line_is_shown_as_a_terminal_would_leave_it() {
        for (line, expected) in [
            ("plain", "plain"),
            ("a\tb", "a    b"),
            ("\u{1b}[1;31mred\u{1b}[0m text", "red text"),
            ("10%\r20%\r30%", "30%"),
            ("ends\r", "ends"),
            ("cut \u{1b}[", "cut "),
            ("a\u{7}b", "a\u{fffd}b"),
        ] {
            assert_eq!(shown(line), expected, "{line:?}");
        }
    }

    #[test]
    fn only_the_end_is_kept_and_a_new_stream_begins_anew() {
        let mut log = Log::default();
        log.apply(News::Opened);
        for number in 0..LINES + 5 {
            log.apply(News::Line(number.to_string()));
        }
        assert_eq!((log.lines.len(), log.lines[0].as_str()), (LINES, "5"));
        log.apply(News::Failed("cut off".to_owned()));
        assert_eq!(log.lines.len(), LINES, "what is known stays");
        log.apply(News::Opened);
        assert!(log.lines.is_empty());
        log.apply(News::Ended);
        assert_eq!(log.state, State::Ended);
    }
}
