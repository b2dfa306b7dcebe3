//! Pods that exist only in the books: for trying out large JobSets and for measuring the rest.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::node::container::RunEnd;
use crate::node::lifecycle::{Ended, Role};
use crate::sandbox::protocol::{EXIT_KILLED, Request};

/// How Pods without processes behave.
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
        started: impl FnOnce(),
    ) -> RunEnd {
        let mut started_at = None;
        let life = async {
            if role != Role::Init {
                sleep(self.start_after).await;
            }
            started_at = Some(Timestamp::now());
            started();
            match (role, self.succeed_after) {
                (Role::Init, _) => {}
                (Role::Main, Some(after)) => sleep(after).await,
                (Role::Main, None) | (Role::Sidecar, _) => std::future::pending().await,
            }
        };
        let exit_code = tokio::select! {
            () = life => 0,
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
