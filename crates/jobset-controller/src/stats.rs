//! What the controller has done so far, readable at any time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::figures::{JobSetFigures, QueueFigures, WorkFigures};
use crate::lock::lock;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Counters since the start of the process. Every method returns the present value.
        #[derive(Debug, Default)]
        pub struct Stats {
            requests: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
            jobsets: JobSetFigures,
            queue: Arc<QueueFigures>,
            work: WorkFigures,
            repair_queue: Arc<QueueFigures>,
            repair_work: WorkFigures,
            $(pub(crate) $name: Counter,)+
        }

        impl Stats {
            $($(#[$doc])* pub fn $name(&self) -> u64 { self.$name.get() })+

            /// Every counter but the requests, by name.
            pub fn counters(&self) -> BTreeMap<&'static str, u64> {
                BTreeMap::from([$((stringify!($name), self.$name.get()),)+])
            }
        }
    };
}

counters! {
    /// Reconciles begun.
    reconciles,
    /// Reconciles that ended with an error and were retried with back-off.
    reconcile_errors,
    /// Panics caught in reconciles and watches.
    panics,
    /// Status writes refused because the JobSet had changed meanwhile. No error: it is planned anew.
    conflicts,
    /// Status writes that were accepted.
    status_writes,
    /// Writes of any kind that the server accepted without changing the object.
    noop_writes,
    /// Jobs, Services and claims created.
    creates,
    /// Creations refused because the object existed.
    duplicate_creates,
    /// Jobs deleted.
    deletes,
    /// Pods deleted because they were in another topology domain than their leader.
    placement_repairs,
    /// EndpointSlices with short names that were created, changed or deleted.
    name_writes,
    /// Looks at the short names of a JobSet that did not succeed and were repeated.
    name_errors,
    /// JobSets that became Completed by a status write of this process.
    completed,
    /// JobSets that became Failed by a status write of this process.
    failed,
    /// Watch errors of any kind, each followed by a new attempt.
    watch_errors,
    /// Events accepted by the server, series updates included.
    events_sent,
    /// Events given up: the buffer was full or the server refused them.
    events_dropped,
}

impl Stats {
    /// What happened to JobSets.
    pub fn jobsets(&self) -> &JobSetFigures {
        &self.jobsets
    }

    /// The queue of JobSets.
    pub fn queue(&self) -> &Arc<QueueFigures> {
        &self.queue
    }

    /// The queue of Jobs whose placement is looked at.
    pub fn repair_queue(&self) -> &Arc<QueueFigures> {
        &self.repair_queue
    }

    /// How looks at the placement of a Job end.
    pub fn repair_work(&self) -> &WorkFigures {
        &self.repair_work
    }

    /// How reconciles of JobSets end.
    pub fn work(&self) -> &WorkFigures {
        &self.work
    }

    /// API requests sent so far by (verb, resource), for example `("create", "jobs")`; a status
    /// write is `("patch", "jobsets/status")`. Each page of a list counts, and each start of a
    /// watch.
    pub fn requests(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        lock(&self.requests).clone()
    }

    pub(crate) fn count_request(&self, verb: &'static str, resource: &'static str) {
        *lock(&self.requests).entry((verb, resource)).or_default() += 1;
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
