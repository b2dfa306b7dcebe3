//! Which active Pods go when there are too many.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use super::view::{Phase, PodView};

/// Positions of the Pods to delete: at least `surplus` of `active`, and in an indexed Job with
/// `indexes` completions every Pod whose index is out of range or taken by a better Pod.
///
/// The Pod that has come least far goes first: without a node, pending, not ready, restarted
/// more often, younger, higher index.
pub fn to_remove(
    pods: &[Arc<PodView>],
    active: &[usize],
    indexes: Option<u32>,
    surplus: usize,
) -> Vec<usize> {
    let mut ranked: Vec<usize> = active.to_vec();
    ranked.sort_by_key(|&position| {
        let pod = &pods[position];
        (
            pod.scheduled,
            pod.phase == Phase::Running,
            pod.ready,
            Reverse(pod.restarts),
            Reverse(pod.metadata.creation_timestamp.as_ref().map(|time| time.0)),
            Reverse(pod.index),
            Reverse(position),
        )
    });
    let mut removed = Vec::new();
    if let Some(limit) = indexes {
        let mut taken = HashSet::new();
        // From the best Pod to the worst: the first of an index keeps it.
        ranked.reverse();
        ranked.retain(|&position| {
            let keep = pods[position]
                .index
                .is_some_and(|i| i < limit && taken.insert(i));
            if !keep {
                removed.push(position);
            }
            keep
        });
        ranked.reverse();
    }
    let missing = surplus.saturating_sub(removed.len());
    removed.extend(ranked.into_iter().take(missing));
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(index: u32, scheduled: bool, running: bool, ready: bool, restarts: i32) -> Arc<PodView> {
        let phase = if running {
            Phase::Running
        } else {
            Phase::Pending
        };
        Arc::new(PodView {
            index: Some(index),
            scheduled,
            phase,
            ready,
            restarts,
            ..PodView::default()
        })
    }

    #[test]
    fn the_least_advanced_go_first() {
        let pods = vec![
            pod(0, true, true, true, 0),
            pod(1, true, true, true, 3),
            pod(2, true, true, false, 0),
            pod(3, true, false, false, 0),
            pod(4, false, false, false, 0),
        ];
        let all = [0, 1, 2, 3, 4];
        for surplus in 0..=5 {
            let expected: Vec<usize> = [4, 3, 2, 1, 0][..surplus].to_vec();
            assert_eq!(to_remove(&pods, &all, None, surplus), expected);
            assert_eq!(to_remove(&pods, &all, Some(9), surplus), expected);
        }
        assert!(to_remove(&pods, &[], None, 3).is_empty());
    }

    #[test]
    fn a_taken_or_missing_index_goes_always() {
        let pods = vec![
            pod(0, true, true, true, 0),
            pod(0, false, false, false, 0),
            pod(1, true, true, true, 0),
            pod(5, true, true, true, 0),
            Arc::new(PodView {
                scheduled: true,
                ..PodView::default()
            }),
        ];
        let mut removed = to_remove(&pods, &[0, 1, 2, 3, 4], Some(3), 0);
        removed.sort_unstable();
        assert_eq!(removed, [1, 3, 4]);
        assert_eq!(to_remove(&pods, &[0, 1, 2, 3, 4], Some(3), 4).len(), 4);
        assert!(to_remove(&pods, &[0, 2], Some(3), 0).is_empty());
    }
}
