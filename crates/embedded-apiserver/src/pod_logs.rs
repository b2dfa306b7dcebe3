//! The hook through which `pods/log` reads what containers wrote.

use std::io;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jiff::Timestamp;

use crate::status::Status;

/// What a `pods/log` request asks for (`core/v1 PodLogOptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Which container; `None` lets the implementation choose when there is only one.
    pub container: Option<String>,
    /// Keep the stream open while the container runs.
    pub follow: bool,
    /// The container's previous run.
    pub previous: bool,
    /// Only the last so many lines.
    pub tail_lines: Option<u64>,
    /// Only lines at most so many seconds old.
    pub since_seconds: Option<u64>,
    /// Only lines written after this moment.
    pub since_time: Option<Timestamp>,
    /// Prefix each line with an RFC 3339 time stamp.
    pub timestamps: bool,
    /// Stop after so many bytes.
    pub limit_bytes: Option<u64>,
}

/// The bytes of a log as they are read.
pub type LogStream = BoxStream<'static, io::Result<Bytes>>;

/// Where container logs come from. Without one, `pods/log` answers 501.
pub trait PodLogs: Send + Sync {
    /// Opens the log of one container of the Pod with this uid.
    fn open(
        &self,
        namespace: &str,
        pod: &str,
        uid: &str,
        options: LogOptions,
    ) -> BoxFuture<'static, Result<LogStream, Status>>;
}
