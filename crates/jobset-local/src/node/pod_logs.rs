//! Container output for `pods/log`.

use std::io::{self, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use embedded_apiserver::{LogOptions, LogStream, PodLogs, Status};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::watch;

use super::logs::{LogFile, LogHub, NoLog, Record};

/// How much of a log is read at once.
const CHUNK: usize = 64 * 1024;

impl PodLogs for LogHub {
    fn open(
        &self,
        _namespace: &str,
        pod: &str,
        uid: &str,
        options: LogOptions,
    ) -> BoxFuture<'static, Result<LogStream, Status>> {
        let found = self.find(pod, uid, options.container.as_deref(), options.previous);
        async move { Ok(read(found.map_err(refusal)?, &options, Timestamp::now()).await) }.boxed()
    }
}

fn refusal(why: NoLog) -> Status {
    match why {
        NoLog::Pod(_) => Status::failure(404, "NotFound", why.to_string()),
        _ => Status::bad_request(why.to_string()),
    }
}

/// Reads a log as the options ask for.
async fn read(log: Arc<LogFile>, options: &LogOptions, now: Timestamp) -> LogStream {
    let since = options.since_time.or_else(|| {
        let seconds = i64::try_from(options.since_seconds?).ok()?;
        now.checked_sub(SignedDuration::from_secs(seconds)).ok()
    });
    let progress = log.progress();
    let file = match File::open(&log.path).await {
        Ok(file) => file,
        Err(error) => return futures::stream::once(async move { Err(error) }).boxed(),
    };
    let mut reader = Reader {
        file,
        progress,
        follow: options.follow,
        position: 0,
        partial: Vec::new(),
        filter: Filter {
            since,
            timestamps: options.timestamps,
            left: options.limit_bytes.unwrap_or(u64::MAX),
        },
    };
    if let Some(lines) = options.tail_lines
        && let Err(error) = reader.skip_to_tail(lines).await
    {
        return futures::stream::once(async move { Err(error) }).boxed();
    }
    futures::stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(reader))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

struct Reader {
    file: File,
    progress: watch::Receiver<(u64, bool)>,
    follow: bool,
    position: u64,
    /// The start of a record whose end has not been read yet.
    partial: Vec<u8>,
    filter: Filter,
}

impl Reader {
    /// The next non-empty piece of output; none at the end.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if self.filter.left == 0 {
                return Ok(None);
            }
            // Looked at before reading: what is written later wakes us again.
            let (length, open) = *self.progress.borrow_and_update();
            let wanted = usize::try_from(length.saturating_sub(self.position)).unwrap_or(CHUNK);
            if wanted == 0 {
                if !(self.follow && open) || self.progress.changed().await.is_err() {
                    return Ok(None);
                }
                continue;
            }
            let mut chunk = vec![0; wanted.min(CHUNK)];
            let read = self.file.read(&mut chunk).await?;
            if read == 0 {
                return Ok(None);
            }
            self.position += read as u64;
            self.partial
                .extend_from_slice(chunk.get(..read).unwrap_or_default());
            let output = self.take_records();
            if !output.is_empty() {
                return Ok(Some(output));
            }
        }
    }

    fn take_records(&mut self) -> Bytes {
        let whole = self
            .partial
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |i| i + 1);
        let rest = self.partial.split_off(whole);
        let records = std::mem::replace(&mut self.partial, rest);
        let mut output = Vec::with_capacity(records.len());
        for record in records.split_inclusive(|&b| b == b'\n') {
            self.filter.pass(record, &mut output);
        }
        output.into()
    }

    /// Moves to the start of the last `lines` records.
    async fn skip_to_tail(&mut self, lines: u64) -> io::Result<()> {
        let (end, _) = *self.progress.borrow();
        let mut start = end;
        let mut line_ends = 0;
        'search: while start > 0 {
            let size = CHUNK.min(usize::try_from(start).unwrap_or(CHUNK));
            let from = start - size as u64;
            self.file.seek(SeekFrom::Start(from)).await?;
            let mut chunk = vec![0; size];
            self.file.read_exact(&mut chunk).await?;
            for (i, _) in chunk.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
                // The end of the last record wanted not is the start of the first one wanted.
                if line_ends == lines {
                    start = from + i as u64 + 1;
                    break 'search;
                }
                line_ends += 1;
            }
            start = from;
        }
        self.position = start;
        self.file.seek(SeekFrom::Start(start)).await?;
        Ok(())
    }
}

/// Turns stored records into output.
struct Filter {
    since: Option<Timestamp>,
    timestamps: bool,
    /// Bytes that may still be given out.
    left: u64,
}

impl Filter {
    fn pass(&mut self, record: &[u8], output: &mut Vec<u8>) {
        let Some(parsed) = Record::parse(record) else {
            return;
        };
        if let Some(since) = self.since
            && parsed.timestamp().is_some_and(|time| time < since)
        {
            return;
        }
        if self.timestamps {
            self.give(parsed.time, output);
            self.give(b" ", output);
        }
        self.give(parsed.text, output);
    }

    fn give(&mut self, bytes: &[u8], output: &mut Vec<u8>) {
        let room = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        output.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.left -= room as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::super::logs::PodName;
    use super::*;

    async fn collect(mut stream: LogStream) -> String {
        let mut text = Vec::new();
        while let Some(bytes) = stream.next().await {
            text.extend_from_slice(&bytes.unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    fn pod() -> PodName {
        PodName {
            namespace: "n".to_owned(),
            name: "p".to_owned(),
            uid: "u".to_owned(),
        }
    }

    #[tokio::test]
    async fn options_are_honoured() {
        let directory = tempfile::tempdir().unwrap();
        let hub = LogHub::new(directory.path().to_owned());
        hub.admit("u", vec!["c".to_owned()]);
        let writer = hub.begin(&pod(), "c", 0).unwrap();
        for line in ["one", "two", "three"] {
            writer.line(line.as_bytes(), false).await;
        }
        let open = |options: LogOptions| hub.open("n", "p", "u", options);
        let all = LogOptions::default();
        for (options, expected) in [
            (all.clone(), "one\ntwo\nthree\n"),
            (
                LogOptions {
                    tail_lines: Some(2),
                    ..all.clone()
                },
                "two\nthree\n",
            ),
            (
                LogOptions {
                    tail_lines: Some(0),
                    ..all.clone()
                },
                "",
            ),
            (
                LogOptions {
                    tail_lines: Some(9),
                    ..all.clone()
                },
                "one\ntwo\nthree\n",
            ),
            (
                LogOptions {
                    limit_bytes: Some(5),
                    ..all.clone()
                },
                "one\nt",
            ),
            (
                LogOptions {
                    since_time: Some(Timestamp::MAX),
                    ..all.clone()
                },
                "",
            ),
            (
                LogOptions {
                    since_seconds: Some(3600),
                    ..all.clone()
                },
                "one\ntwo\nthree\n",
            ),
        ] {
            let got = collect(open(options.clone()).await.unwrap()).await;
            assert_eq!(got, expected, "{options:?}");
        }
        let stamped = LogOptions {
            timestamps: true,
            tail_lines: Some(1),
            ..all.clone()
        };
        let got = collect(open(stamped).await.unwrap()).await;
        let (time, text) = got.split_once(' ').unwrap();
        assert!(
            time.parse::<Timestamp>().is_ok() && text == "three\n",
            "{got}"
        );
        let previous = LogOptions {
            previous: true,
            ..all
        };
        assert_eq!(open(previous).await.err().unwrap().code, 400);
    }

    #[tokio::test]
    async fn a_follower_hears_everything_and_ends_with_the_container() {
        let directory = tempfile::tempdir().unwrap();
        let hub = LogHub::new(directory.path().to_owned());
        hub.admit("u", vec!["c".to_owned()]);
        let writer = hub.begin(&pod(), "c", 0).unwrap();
        writer.line(b"before", false).await;
        let options = LogOptions {
            follow: true,
            ..LogOptions::default()
        };
        let mut stream = hub.open("n", "p", "u", options).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), "before\n");
        let long = "x".repeat(3 * CHUNK);
        let reading = tokio::spawn(collect(stream));
        writer.copy(format!("{long}\nlast").as_bytes(), true).await;
        drop(writer);
        assert_eq!(reading.await.unwrap(), format!("{long}\nlast\n"));
    }
}
