//! What containers print: kept per run in files, served to API clients and to subscribers.
//!
//! One file per run of a container, one line per record: `<RFC 3339 time> <stream> <text>`. The
//! present run and the one before are kept, as the kubelet does.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::sync::{mpsc, watch};

/// A line longer than this is cut into several.
const LONGEST_LINE: usize = 256 * 1024;
/// Lines a subscriber may be behind before the containers that print have to wait.
const SUBSCRIBER_LAG: usize = 4096;

/// One line of a container's output.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// The Pod's namespace.
    pub namespace: Arc<str>,
    /// The Pod's name.
    pub pod: Arc<str>,
    /// The container's name.
    pub container: Arc<str>,
    /// When the node read it.
    pub time: Timestamp,
    /// Whether it came from standard error.
    pub stderr: bool,
    /// The text without its line end; bytes that are not UTF-8 are replaced.
    pub line: String,
}

/// Receives the lines of all containers of the node, in the order they were read.
///
/// No line is dropped: containers that print wait for a subscriber that lags by more than a few
/// thousand lines. Drop the receiver to let them go on.
pub type LogReceiver = mpsc::Receiver<Arc<LogLine>>;

/// The logs of all containers of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogHub {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    pods: Mutex<HashMap<String, PodLogFiles>>,
    subscribers: Mutex<Vec<mpsc::Sender<Arc<LogLine>>>>,
}

/// The logs of one Pod: container names in order and what each has printed.
#[derive(Debug, Default)]
struct PodLogFiles {
    containers: Vec<String>,
    runs: HashMap<String, VecDeque<Arc<LogFile>>>,
}

/// The output of one run of a container.
#[derive(Debug)]
pub(crate) struct LogFile {
    pub(crate) path: PathBuf,
    /// Bytes written so far, and whether more may come.
    progress: watch::Sender<(u64, bool)>,
}

impl LogFile {
    /// Follows the number of bytes and whether more may come.
    pub(crate) fn progress(&self) -> watch::Receiver<(u64, bool)> {
        self.progress.subscribe()
    }
}

/// Which run of a container is asked for and why there is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoLog {
    #[error("pod {0:?} is not known to the node")]
    Pod(String),
    #[error("a container name must be specified for pod {pod}, choose one of: [{}]", .choices.join(" "))]
    Ambiguous { pod: String, choices: Vec<String> },
    #[error("container {container} is not valid for pod {pod}")]
    Container { container: String, pod: String },
    #[error("container {container:?} in pod {pod:?} is waiting to start")]
    NotStarted { container: String, pod: String },
    #[error("previous terminated container {container:?} in pod {pod:?} not found")]
    NoPrevious { container: String, pod: String },
}

impl LogHub {
    /// Keeps log files below `directory`.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            inner: Arc::new(Inner {
                directory,
                pods: Mutex::default(),
                subscribers: Mutex::default(),
            }),
        }
    }

    /// Every line printed from now on.
    pub fn subscribe(&self) -> LogReceiver {
        let (sender, receiver) = mpsc::channel(SUBSCRIBER_LAG);
        lock(&self.inner.subscribers).push(sender);
        receiver
    }

    /// Makes a Pod's containers known.
    pub(crate) fn admit(&self, uid: &str, containers: Vec<String>) {
        lock(&self.inner.pods)
            .entry(uid.to_owned())
            .or_default()
            .containers = containers;
    }

    /// Forgets a Pod and removes its files.
    pub(crate) fn forget(&self, uid: &str) {
        if lock(&self.inner.pods).remove(uid).is_some() {
            // Open followers keep reading: the files live until they are closed.
            let _ = std::fs::remove_dir_all(self.inner.directory.join(uid));
        }
    }

    /// Starts the log of a run; older ones than the previous are removed.
    pub(crate) fn begin(
        &self,
        pod: &PodName,
        container: &str,
        attempt: i32,
    ) -> io::Result<LogWriter> {
        let directory = self.inner.directory.join(&pod.uid).join(container);
        std::fs::create_dir_all(&directory)?;
        let path = directory.join(format!("{attempt}.log"));
        let file = File::create(&path)?;
        let log = Arc::new(LogFile {
            path,
            progress: watch::Sender::new((0, true)),
        });
        let mut pods = lock(&self.inner.pods);
        let runs = pods
            .entry(pod.uid.clone())
            .or_default()
            .runs
            .entry(container.to_owned());
        let runs = runs.or_default();
        runs.push_back(Arc::clone(&log));
        while runs.len() > 2 {
            if let Some(old) = runs.pop_front() {
                let _ = std::fs::remove_file(&old.path);
            }
        }
        Ok(LogWriter {
            hub: self.clone(),
            log,
            file: Mutex::new(Sink { file, length: 0 }),
            namespace: Arc::from(pod.namespace.as_str()),
            pod: Arc::from(pod.name.as_str()),
            container: Arc::from(container),
        })
    }

    /// The log of a container's present or previous run.
    pub(crate) fn find(
        &self,
        pod: &str,
        uid: &str,
        container: Option<&str>,
        previous: bool,
    ) -> Result<Arc<LogFile>, NoLog> {
        let pods = lock(&self.inner.pods);
        let known = pods.get(uid).ok_or_else(|| NoLog::Pod(pod.to_owned()))?;
        let pod = pod.to_owned();
        let container = match (container, known.containers.as_slice()) {
            (Some(name), _) => name,
            (None, [only]) => only,
            (None, choices) => {
                return Err(NoLog::Ambiguous {
                    pod,
                    choices: choices.to_vec(),
                });
            }
        }
        .to_owned();
        if !known.containers.contains(&container) {
            return Err(NoLog::Container { container, pod });
        }
        let runs = known.runs.get(&container);
        let mut newest_first = runs.into_iter().flatten().rev();
        if previous {
            let found = newest_first.nth(1).cloned();
            found.ok_or(NoLog::NoPrevious { container, pod })
        } else {
            newest_first
                .next()
                .cloned()
                .ok_or(NoLog::NotStarted { container, pod })
        }
    }

    async fn publish(&self, line: LogLine) {
        let subscribers = lock(&self.inner.subscribers).clone();
        if subscribers.is_empty() {
            return;
        }
        let line = Arc::new(line);
        let mut gone = false;
        for subscriber in subscribers {
            gone |= subscriber.send(Arc::clone(&line)).await.is_err();
        }
        if gone {
            lock(&self.inner.subscribers).retain(|s| !s.is_closed());
        }
    }
}

/// Identifies a Pod to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodName {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// Writes the output of one run.
pub(crate) struct LogWriter {
    hub: LogHub,
    log: Arc<LogFile>,
    file: Mutex<Sink>,
    namespace: Arc<str>,
    pod: Arc<str>,
    container: Arc<str>,
}

struct Sink {
    file: File,
    length: u64,
}

impl LogWriter {
    /// Copies one of the container's streams, line by line, until it ends.
    pub(crate) async fn copy(&self, stream: impl AsyncRead + Unpin, stderr: bool) {
        let mut reader = BufReader::with_capacity(16 * 1024, stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            // Bounded, or a stream without line ends would fill the memory.
            let mut limited = (&mut reader).take(LONGEST_LINE as u64);
            match limited.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            self.line(&line, stderr).await;
        }
    }

    /// Adds one line.
    pub(crate) async fn line(&self, line: &[u8], stderr: bool) {
        let time = Timestamp::now();
        let stream = if stderr { "stderr" } else { "stdout" };
        let mut record = format!("{time:.9} {stream} ").into_bytes();
        record.extend_from_slice(line);
        record.push(b'\n');
        {
            // A write into the page cache is shorter than a hop to another thread.
            let mut sink = lock(&self.file);
            // A full disk loses log lines, not the container.
            if sink.file.write_all(&record).is_ok() {
                sink.length += record.len() as u64;
                self.log.progress.send_replace((sink.length, true));
            }
        }
        self.hub
            .publish(LogLine {
                namespace: Arc::clone(&self.namespace),
                pod: Arc::clone(&self.pod),
                container: Arc::clone(&self.container),
                time,
                stderr,
                line: String::from_utf8_lossy(line).into_owned(),
            })
            .await;
    }

    /// The end of the log so far, for termination messages: at most 80 lines and 2048 bytes.
    pub(crate) fn tail(&self) -> String {
        tail(&self.log.path, 80, 2048)
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.log.progress.send_modify(|(_, open)| *open = false);
    }
}

fn tail(path: &Path, lines: usize, bytes: usize) -> String {
    let Ok(content) = std::fs::read(path) else {
        return String::new();
    };
    let records: Vec<&[u8]> = content.split_inclusive(|&b| b == b'\n').collect();
    let mut text = Vec::new();
    for record in records.iter().skip(records.len().saturating_sub(lines)) {
        text.extend_from_slice(Record::parse(record).map_or(*record, |r| r.text));
    }
    let cut = text.len().saturating_sub(bytes);
    String::from_utf8_lossy(text.get(cut..).unwrap_or_default()).into_owned()
}

/// One line of a log file, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Time and text as stored, for output with time stamps.
    pub(crate) time: &'a [u8],
    /// The text with its line end.
    pub(crate) text: &'a [u8],
}

impl<'a> Record<'a> {
    /// Parses a record with its line end.
    pub(crate) fn parse(record: &'a [u8]) -> Option<Self> {
        let space = record.iter().position(|&b| b == b' ')?;
        let (time, rest) = record.split_at(space);
        // Both stream names have six letters.
        Some(Self {
            time,
            text: rest.get(8..)?,
        })
    }

    /// When the line was read.
    pub(crate) fn timestamp(&self) -> Option<Timestamp> {
        std::str::from_utf8(self.time).ok()?.parse().ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> PodName {
        PodName {
            namespace: "n".to_owned(),
            name: "p".to_owned(),
            uid: "u".to_owned(),
        }
    }

    #[test]
    fn records_are_taken_apart() {
        let record = b"2026-01-02T03:04:05.000000006Z stderr a b\n";
        let parsed = Record::parse(record).unwrap();
        assert_eq!(parsed.text, b"a b\n");
        assert_eq!(parsed.timestamp().unwrap().subsec_nanosecond(), 6);
        assert_eq!(Record::parse(b"short"), None);
    }

    #[tokio::test]
    async fn two_runs_are_kept_and_found() {
        let directory = tempfile::tempdir().unwrap();
        let hub = LogHub::new(directory.path().to_owned());
        hub.admit("u", vec!["c".to_owned(), "d".to_owned()]);
        assert!(matches!(
            hub.find("p", "u", None, false),
            Err(NoLog::Ambiguous { .. })
        ));
        assert!(matches!(
            hub.find("p", "u", Some("x"), false),
            Err(NoLog::Container { .. })
        ));
        assert!(matches!(
            hub.find("p", "u", Some("c"), false),
            Err(NoLog::NotStarted { .. })
        ));
        assert!(matches!(
            hub.find("p", "x", Some("c"), false),
            Err(NoLog::Pod(_))
        ));
        for attempt in 0..3 {
            let writer = hub.begin(&pod(), "c", attempt).unwrap();
            writer
                .copy(format!("run {attempt}\nno end").as_bytes(), false)
                .await;
            assert_eq!(writer.tail(), format!("run {attempt}\nno end\n"));
        }
        let current = hub.find("p", "u", Some("c"), false).unwrap();
        let previous = hub.find("p", "u", Some("c"), true).unwrap();
        assert!(current.path.ends_with("2.log") && previous.path.ends_with("1.log"));
        assert!(
            !current.progress().borrow().1,
            "a dropped writer ends its log"
        );
        assert!(!directory.path().join("u/c/0.log").exists());
        hub.forget("u");
        assert!(!directory.path().join("u").exists());
    }

    #[tokio::test]
    async fn subscribers_see_lines_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let hub = LogHub::new(directory.path().to_owned());
        let mut lines = hub.subscribe();
        let writer = hub.begin(&pod(), "c", 0).unwrap();
        writer.copy(&b"one\ntwo\n\xff\n"[..], true).await;
        let mut got = Vec::new();
        for _ in 0..3 {
            got.push(lines.recv().await.unwrap().line.clone());
        }
        assert_eq!(got, ["one", "two", "\u{fffd}"]);
        drop(lines);
        writer.line(b"nobody listens", false).await;
    }
}
