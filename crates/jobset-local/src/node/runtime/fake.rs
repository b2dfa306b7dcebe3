//! Pods that exist only in the books: for trying out large JobSets and for measuring the rest.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::node::container::RunEnd;
use crate::node::lifecycle::{Ended, Role};
use crate::sandbox::protocol::{EXIT_KILLED, Request};

/// Annotation of a Pod without processes: its main containers end with this exit code. It may be
/// there from the beginning or be set while they run.
pub const EXIT_CODE: &str = "fake-node/exit-code";

/// The exit code that a Pod's annotation asks for.
pub(crate) fn exit_code(pod: &Pod) -> Option<i32> {
    pod.metadata
        .annotations
        .as_ref()?
        .get(EXIT_CODE)?
        .parse()
        .ok()
}

/// How Pods without processes behave, unless [`EXIT_CODE`] says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FakeRuntime {
    /// From being bound to running and ready.
    pub start_after: Duration,
    /// From running to succeeded; never, if absent.
    pub succeed_after: Option<Duration>,
}

impl Default for FakeRuntime {
    fn default() -> Self {
        Self {
            start_after: Duration::ZERO,
            succeed_after: Some(Duration::from_secs(1)),
        }
    }
}

impl FakeRuntime {
    /// One run of a container: reports its start, ends by itself or when asked to.
    pub(crate) async fn run(
        self,
        role: Role,
        mut requests: mpsc::UnboundedReceiver<Request>,
        mut told: watch::Receiver<Option<i32>>,
        started: impl FnOnce(),
    ) -> RunEnd {
        let mut started_at = None;
        let life = async {
            if role != Role::Init {
                sleep(self.start_after).await;
            }
            started_at = Some(Timestamp::now());
            started();
            let by_itself = async {
                match (role, self.succeed_after) {
                    (Role::Init, _) => {}
                    (Role::Main, Some(after)) => sleep(after).await,
                    (Role::Main, None) | (Role::Sidecar, _) => std::future::pending().await,
                }
            };
            let when_told = async {
                // What the channel lends must not be held: it would block the sender.
                let code = told.wait_for(Option::is_some).await.ok().and_then(|c| *c);
                match code {
                    Some(code) if role == Role::Main => code,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                code = when_told => code,
                () = by_itself => 0,
            }
        };
        let exit_code = tokio::select! {
            code = life => code,
            request = requests.recv() => match request {
                Some(Request::Signal(signal)) => 128 + signal,
                _ => EXIT_KILLED,
            },
        };
        RunEnd::Ended(Ended {
            exit_code,
            reason: if exit_code == 0 { "Completed" } else { "Error" }.to_owned(),
            message: None,
            started_at,
            finished_at: Timestamp::now(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ends_as_told() {
        let forever = FakeRuntime {
            succeed_after: None,
            ..FakeRuntime::default()
        };
        // (said before the start, said while it runs, runtime, exit code)
        let table = [
            (Some(3), None, forever, 3),
            (None, Some(4), forever, 4),
            (None, None, FakeRuntime::default(), 0),
        ];
        for (before, while_running, runtime, expected) in table {
            let (tell, told) = watch::channel(before);
            let (_keep, requests) = mpsc::unbounded_channel();
            let started = || {
                if while_running.is_some() {
                    tell.send_replace(while_running);
                }
            };
            let end = runtime.run(Role::Main, requests, told, started).await;
            let RunEnd::Ended(ended) = end else {
                panic!("{end:?}");
            };
            assert_eq!(ended.exit_code, expected);
        }
    }
}
