//! What is shown, made of what the watches have told. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::log::Target;
use crate::view::{Gathered, PodViews, SetView, Snapshot, gathered, happenings};

/// Events, or groups of them, that are kept.
const EVENTS: usize = 200;

/// The JobSet as it was told last.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) set: SetView,
    /// The newest events, oldest first.
    pub(super) told: Vec<Gathered>,
    pods: Vec<Arc<Pod>>,
    /// When it was told.
    pub(super) at: Timestamp,
}

impl Reading {
    /// Of a snapshot; Pods that are as they were are not looked at again.
    pub(super) fn of(snapshot: &Snapshot, views: &mut PodViews) -> Self {
        let mut told = gathered(&happenings(snapshot.events(), &snapshot.jobset));
        told.drain(..told.len().saturating_sub(EVENTS));
        Self {
            set: SetView::with_children_again(snapshot, views),
            told,
            pods: snapshot.pods.clone(),
            at: snapshot.now,
        }
    }

    /// Where the log of a Pod of this name comes from: its first container, as it runs now.
    pub(super) fn target(&self, pod: &str) -> Option<Target> {
        let named = |one: &&Arc<Pod>| one.metadata.name.as_deref() == Some(pod);
        let pod = self.pods.iter().find(named)?;
        let container = pod.spec.as_ref()?.containers.first()?.name.clone();
        let statuses = pod.status.as_ref()?.container_statuses.iter().flatten();
        let status = statuses.into_iter().find(|one| one.name == container);
        let state = status.and_then(|status| status.state.as_ref());
        Some(Target {
            pod: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            container,
            run: status.map_or(0, |status| status.restart_count),
            begun: state.is_some_and(|state| state.running.is_some() || state.terminated.is_some()),
        })
    }
}
