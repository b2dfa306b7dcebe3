//! The deadline after which this process must not write any more.
//!
//! A replica may write while it holds the lease. Whether it still does is not a question of what it
//! last heard but of time: when the lease was last renewed, and how long that lasts. So the election
//! moves a deadline forward with each renewal, and every byte of a write is sent only if the
//! deadline lies ahead *at that moment*: the check stands in the connection itself, below TLS, right
//! before the system call. Whatever held the process up before (a full pool, a handshake, a stopped
//! process, a suspended machine), an old write cannot slip out after the deadline.
//!
//! The clock is `CLOCK_BOOTTIME` where there is one: it goes on while the process is stopped and,
//! unlike `CLOCK_MONOTONIC`, while the machine sleeps, and nobody can set it. Clocks of two hosts
//! are never compared. What remains are bytes that the kernel has taken but not yet delivered; the
//! deadline ends well before the lease does (`renewDeadline` against `leaseDuration`) to leave them
//! time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};

/// A deadline that is shared by everything that writes. Cloning gives the same deadline.
#[derive(Debug, Clone)]
pub(crate) struct Fence {
    /// Nanoseconds of [`now`]; 0 before the first lease.
    deadline: Arc<AtomicU64>,
}

/// Why a write was not sent.
#[derive(Debug, thiserror::Error)]
#[error("this replica does not hold the lease (any more); nothing was sent")]
pub(crate) struct Fenced;

impl Fence {
    /// A fence that lets nothing pass until it is moved.
    pub(crate) fn closed() -> Self {
        Self {
            deadline: Arc::new(AtomicU64::new(0)),
        }
    }

    /// A fence that lets everything pass, for an operator without leader election.
    pub(crate) fn open() -> Self {
        Self {
            deadline: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    /// Lets writes pass until `validity` after `from`, a value of [`now`].
    pub(crate) fn extend(&self, from: Duration, validity: Duration) {
        self.deadline
            .store(nanoseconds(from + validity), Ordering::SeqCst);
    }

    /// Lets nothing pass any more.
    pub(crate) fn close(&self) {
        self.deadline.store(0, Ordering::SeqCst);
    }

    /// Whether a write may be sent at this moment.
    pub(crate) fn check(&self) -> Result<(), Fenced> {
        let deadline = self.deadline.load(Ordering::SeqCst);
        if deadline == u64::MAX || nanoseconds(now()) < deadline {
            Ok(())
        } else {
            Err(Fenced)
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    // Enough for 584 years since the machine was started.
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1)
}

/// Time since some fixed moment, measured by the clock that nothing stops.
pub(crate) fn now() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
    match clock_gettime(CLOCK) {
        Ok(time) => Duration::from(time),
        // A clock that cannot be read says that the deadline is over.
        Err(_) => Duration::MAX,
    }
}

/// A connection that sends nothing after the deadline.
pub(crate) struct FencedIo<T> {
    inner: T,
    fence: Fence,
}

impl<T> FencedIo<T> {
    pub(crate) fn new(inner: T, fence: Fence) -> Self {
        Self { inner, fence }
    }
}

fn refused() -> Poll<io::Result<usize>> {
    Poll::Ready(Err(io::Error::other(Fenced)))
}

impl<T: Write + Unpin> Write for FencedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.fence.check().is_err() {
            return refused();
        }
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.fence.check().is_err() {
            return refused();
        }
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A TCP connection has nothing of its own to flush.
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<T: Read + Unpin> Read for FencedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: Connection> Connection for FencedIo<T> {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn deadlines() {
        let fence = Fence::closed();
        assert!(fence.check().is_err());
        fence.extend(now(), Duration::from_mins(1));
        assert!(fence.check().is_ok());
        assert!(fence.clone().check().is_ok());
        fence.extend(
            now().saturating_sub(Duration::from_secs(11)),
            Duration::from_secs(10),
        );
        assert!(fence.check().is_err());
        fence.extend(now(), Duration::from_mins(1));
        fence.close();
        assert!(fence.check().is_err());
        assert!(Fence::open().check().is_ok());
    }

    #[test]
    fn the_clock_goes_forward() {
        let before = now();
        assert!(before > Duration::ZERO && before < Duration::MAX);
        assert!(now() >= before);
    }

    /// What was begun before the deadline is not ended after it.
    #[tokio::test]
    async fn a_connection_goes_silent_at_the_deadline() {
        let (here, mut there) = tokio::io::duplex(1024);
        let fence = Fence::closed();
        fence.extend(now(), Duration::from_mins(1));
        let mut connection = TokioIo::new(FencedIo::new(TokioIo::new(here), fence.clone()));
        connection.write_all(b"half a requ").await.unwrap();
        fence.close();
        let error = connection.write_all(b"est").await.unwrap_err();
        assert!(error.to_string().contains("does not hold the lease"));
        drop(connection);
        let mut arrived = Vec::new();
        there.read_to_end(&mut arrived).await.unwrap();
        assert_eq!(arrived, b"half a requ");
    }
}
