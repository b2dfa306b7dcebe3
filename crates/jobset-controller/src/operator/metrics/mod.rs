//! The metrics page: names, types, labels and buckets that dashboards of the reference rely on, and
//! some of our own.

pub(crate) mod access;
mod process;
mod text;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use jobset_controller::Stats;
use jobset_controller::figures::{Distribution, Histogram, QueueFigures, WorkFigures};
use jobset_controller::webhook::{self, Certificates};

use self::text::{Labels, Page};

pub(crate) use self::text::CONTENT_TYPE;

/// Upper bounds of the buckets for the time until an answer begins, in seconds.
const LATENCY: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Controllers whose series are there from the start.
const CONTROLLERS: [&str; 4] = ["jobset", "pod", "cert-rotator", "cert-rotator-bootstrap"];
/// What the reference calls the priorities of its queue.
const PRIORITIES: [&str; 2] = ["0", "-100"];

/// Counts API requests as they leave the process.
#[derive(Debug, Default)]
pub(crate) struct Transport {
    counts: Mutex<BTreeMap<(String, String, String), u64>>,
    times: Mutex<BTreeMap<String, Arc<Histogram>>>,
}

impl Transport {
    /// Counts a request; without a code if there was no answer.
    pub(crate) fn count(
        &self,
        host: &str,
        method: &Method,
        code: Option<StatusCode>,
        took: Duration,
    ) {
        let code = code.map_or("<error>".to_owned(), |code| code.as_u16().to_string());
        let key = (code, method.to_string(), host.to_owned());
        *lock(&self.counts).entry(key).or_default() += 1;
        let times = lock(&self.times)
            .entry(method.to_string())
            .or_insert_with(|| Arc::new(Histogram::new(LATENCY)))
            .clone();
        times.observe(took);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that is counted.
pub(crate) struct Sources {
    pub(crate) stats: Arc<Stats>,
    pub(crate) transport: Arc<Transport>,
    pub(crate) webhook: Arc<webhook::Stats>,
    /// Of the webhook server and of this one.
    pub(crate) certificates: [Arc<Certificates>; 2],
    /// Checks of the certificates that went well, and that did not.
    pub(crate) rotations: Arc<[AtomicU64; 2]>,
    pub(crate) leading: Arc<AtomicBool>,
    /// Name of the lease; `None` without leader election.
    pub(crate) lease: Option<String>,
}

impl Sources {
    /// The page.
    pub(crate) fn page(&self) -> String {
        let mut page = Page::default();
        self.jobsets(&mut page);
        self.reconciles(&mut page);
        self.queues(&mut page);
        self.webhooks(&mut page);
        self.requests(&mut page);
        self.rest(&mut page);
        process::write(&mut page);
        page.finish()
    }

    fn jobsets(&self, page: &mut Page) {
        let figures = self.stats.jobsets();
        let ended = figures.ended();
        let labels: Vec<_> = ended
            .iter()
            .map(|ended| {
                [
                    ("jobset_name", &*ended.name),
                    ("namespace", &*ended.namespace),
                ]
            })
            .collect();
        let rows = || labels.iter().zip(&ended);
        page.counter(
            "jobset_failed_total",
            "The total number of failed JobSets",
            rows()
                .filter(|(_, ended)| ended.failed > 0)
                .map(|(labels, ended)| (&labels[..], ended.failed as f64)),
        );
        page.counter(
            "jobset_completed_total",
            "The total number of completed JobSets",
            rows()
                .filter(|(_, ended)| ended.completed > 0)
                .map(|(labels, ended)| (&labels[..], ended.completed as f64)),
        );
        let restarts = figures.restarts();
        let labels: Vec<_> = restarts
            .iter()
            .map(|((rule, action), count)| ([("rule", &**rule), ("action", &**action)], count))
            .collect();
        page.counter(
            "jobset_restarts_total",
            "Restarts by the rule and the action of the failure policy that decided on them",
            labels
                .iter()
                .map(|(labels, count)| (&labels[..], **count as f64)),
        );
        page.counter(
            "jobset_restart_lost_seconds_total",
            "Time between failures that restarted whole JobSets and all Jobs being ready again",
            [(&[][..], figures.lost())],
        );
        page.histogram(
            "jobset_jobs_created_seconds",
            "Time from the creation of a JobSet until all its Jobs existed",
            [(&[][..], figures.created())],
        );
        page.histogram(
            "jobset_ready_seconds",
            "Time from the creation of a JobSet until all its Jobs were ready",
            [(&[][..], figures.ready())],
        );
    }

    fn reconciles(&self, page: &mut Page) {
        let (jobsets, pods) = (self.stats.work(), self.stats.repair_work());
        let [rotated, not_rotated] =
            [0, 1].map(|position| self.rotations[position].load(Ordering::Relaxed));
        let mut totals = Vec::new();
        for controller in CONTROLLERS {
            let counts = match controller {
                "jobset" => jobsets.ended(),
                "pod" => pods.ended(),
                "cert-rotator" => [rotated, not_rotated, 0, 0],
                _ => [0; 4],
            };
            for (result, count) in ["success", "error", "requeue", "requeue_after"]
                .into_iter()
                .zip(counts)
            {
                totals.push(([("controller", controller), ("result", result)], count));
            }
        }
        page.counter(
            "controller_runtime_reconcile_total",
            "Total number of reconciliations per controller",
            totals
                .iter()
                .map(|(labels, count)| (&labels[..], *count as f64)),
        );
        let per_controller = |jobset: u64, pod: u64, rotator: u64| {
            CONTROLLERS.map(|controller| {
                let count = match controller {
                    "jobset" => jobset,
                    "pod" => pod,
                    "cert-rotator" => rotator,
                    _ => 0,
                };
                ([("controller", controller)], count)
            })
        };
        for (name, help, samples) in [
            (
                "controller_runtime_reconcile_errors_total",
                "Total number of reconciliation errors per controller",
                per_controller(jobsets.ended()[1], pods.ended()[1], not_rotated),
            ),
            (
                "controller_runtime_terminal_reconcile_errors_total",
                "Total number of terminal reconciliation errors per controller",
                per_controller(0, 0, 0),
            ),
            (
                "controller_runtime_reconcile_panics_total",
                "Total number of reconciliation panics per controller",
                per_controller(jobsets.panics(), pods.panics(), 0),
            ),
            (
                "controller_runtime_reconcile_timeouts_total",
                "Total number of reconciliation timeouts per controller",
                per_controller(0, 0, 0),
            ),
        ] {
            page.counter(
                name,
                help,
                samples
                    .iter()
                    .map(|(labels, count)| (&labels[..], *count as f64)),
            );
        }
        let both: [(Labels<'_>, &WorkFigures); 2] = [
            (&[("controller", "jobset")], jobsets),
            (&[("controller", "pod")], pods),
        ];
        page.histogram(
            "controller_runtime_reconcile_time_seconds",
            "Length of time per reconciliation per controller",
            both.map(|(labels, work)| (labels, work.time())),
        );
        page.gauge(
            "controller_runtime_max_concurrent_reconciles",
            "Maximum number of concurrent reconciles per controller",
            both.map(|(labels, work)| (labels, work.workers() as f64)),
        );
        page.gauge(
            "controller_runtime_active_workers",
            "Number of currently used workers per controller",
            both.map(|(labels, work)| (labels, work.active() as f64)),
        );
    }

    fn queues(&self, page: &mut Page) {
        let both: [(Labels<'_>, &QueueFigures); 2] = [
            (
                &[("name", "jobset"), ("controller", "jobset")],
                self.stats.queue(),
            ),
            (
                &[("name", "pod"), ("controller", "pod")],
                self.stats.repair_queue(),
            ),
        ];
        let mut depths = Vec::new();
        for (labels, queue) in both {
            let (normal, low) = queue.depth();
            for (priority, depth) in PRIORITIES.into_iter().zip([normal, low]) {
                depths.push(([labels[0], labels[1], ("priority", priority)], depth));
            }
        }
        page.gauge(
            "workqueue_depth",
            "Current depth of workqueue",
            depths
                .iter()
                .map(|(labels, depth)| (&labels[..], *depth as f64)),
        );
        page.counter(
            "workqueue_adds_total",
            "Total number of adds handled by workqueue",
            both.map(|(labels, queue)| (labels, queue.adds() as f64)),
        );
        page.counter(
            "workqueue_retries_total",
            "Total number of retries handled by workqueue",
            both.map(|(labels, queue)| (labels, queue.retries() as f64)),
        );
        page.histogram(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested",
            both.map(|(labels, queue)| (labels, queue.wait())),
        );
        page.histogram(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes",
            both.map(|(labels, queue)| (labels, queue.work())),
        );
        let unfinished = both.map(|(labels, queue)| (labels, queue.unfinished()));
        page.gauge(
            "workqueue_unfinished_work_seconds",
            "How many seconds of work is in progress and has not been counted yet",
            unfinished.map(|(labels, (sum, _))| (labels, sum.as_secs_f64())),
        );
        page.gauge(
            "workqueue_longest_running_processor_seconds",
            "How many seconds the longest running processor has been running",
            unfinished.map(|(labels, (_, longest))| (labels, longest.as_secs_f64())),
        );
    }

    fn webhooks(&self, page: &mut Page) {
        let requests = self.webhook.requests();
        let rows: Vec<_> = requests
            .iter()
            .map(|((path, code), count)| (*path, code.to_string(), *count))
            .collect();
        let rows: Vec<_> = rows
            .iter()
            .map(|(path, code, count)| ([("webhook", *path), ("code", &**code)], *count))
            .collect();
        page.counter(
            "controller_runtime_webhook_requests_total",
            "Total number of admission requests by HTTP status code",
            rows.iter()
                .map(|(labels, count)| (&labels[..], *count as f64)),
        );
        let in_flight = self.webhook.in_flight();
        let rows: Vec<_> = in_flight
            .iter()
            .map(|(path, count)| ([("webhook", *path)], *count))
            .collect();
        page.gauge(
            "controller_runtime_webhook_requests_in_flight",
            "Current number of admission requests being served",
            rows.iter()
                .map(|(labels, count)| (&labels[..], *count as f64)),
        );
        let latency = self.webhook.latency();
        let rows: Vec<_> = latency
            .into_iter()
            .map(|(path, latency)| {
                let mut below = latency.buckets;
                let count = below.pop().map_or(0, |(_, count)| count);
                let sum = latency.sum;
                ([("webhook", path)], Distribution { below, count, sum })
            })
            .collect();
        page.histogram(
            "controller_runtime_webhook_latency_seconds",
            "Histogram of the latency of processing admission requests",
            rows.iter()
                .map(|(labels, times)| (&labels[..], times.clone())),
        );
        for (name, help, value) in [
            (
                "controller_runtime_webhook_panics_total",
                "Total number of webhook panics",
                self.webhook.panics(),
            ),
            (
                "controller_runtime_conversion_webhook_panics_total",
                "Total number of conversion webhook panics",
                0,
            ),
            (
                "jobset_webhook_evicted_connections_total",
                "Idle connections that were closed because there were too many",
                self.webhook.evictions(),
            ),
        ] {
            page.counter(name, help, [(&[][..], value as f64)]);
        }
    }

    fn requests(&self, page: &mut Page) {
        let counts = lock(&self.transport.counts).clone();
        let rows: Vec<_> = counts
            .iter()
            .map(|((code, method, host), count)| {
                let labels = [("code", &**code), ("method", &**method), ("host", &**host)];
                (labels, *count)
            })
            .collect();
        page.counter(
            "rest_client_requests_total",
            "Number of HTTP requests, partitioned by status code, method, and host",
            rows.iter()
                .map(|(labels, count)| (&labels[..], *count as f64)),
        );
        let times: Vec<(String, Distribution)> = lock(&self.transport.times)
            .iter()
            .map(|(method, times)| (method.clone(), times.snapshot()))
            .collect();
        let rows: Vec<_> = times
            .iter()
            .map(|(method, times)| ([("method", &**method)], times))
            .collect();
        page.histogram(
            "jobset_api_request_duration_seconds",
            "Time until the API server's answer began, by HTTP method",
            rows.iter()
                .map(|(labels, times)| (&labels[..], (*times).clone())),
        );
        let requests = self.stats.requests();
        let rows: Vec<_> = requests
            .iter()
            .map(|((verb, resource), count)| ([("verb", *verb), ("resource", *resource)], *count))
            .collect();
        page.counter(
            "jobset_api_requests_total",
            "API requests of the JobSet controller by verb and resource",
            rows.iter()
                .map(|(labels, count)| (&labels[..], *count as f64)),
        );
        let counters = self.stats.counters();
        let rows: Vec<_> = [
            "conflicts",
            "status_writes",
            "noop_writes",
            "creates",
            "duplicate_creates",
            "deletes",
            "placement_repairs",
            "watch_errors",
            "events_sent",
            "events_dropped",
        ]
        .into_iter()
        .filter_map(|kind| Some(([("kind", kind)], *counters.get(kind)?)))
        .collect();
        page.counter(
            "jobset_controller_operations_total",
            "What the JobSet controller has done, and what went wrong with it, by kind",
            rows.iter()
                .map(|(labels, count)| (&labels[..], *count as f64)),
        );
    }

    fn rest(&self, page: &mut Page) {
        if let Some(lease) = &self.lease {
            let leading = f64::from(u8::from(self.leading.load(Ordering::Relaxed)));
            page.gauge(
                "leader_election_master_status",
                "Whether this replica holds the lease: 1 if it does, 0 if it waits for it",
                [(&[("name", &**lease)][..], leading)],
            );
        }
        for (name, help, value) in [
            (
                "certwatcher_read_certificate_total",
                "Total number of certificate reads",
                self.certificates.each_ref().map(|c| c.reads()),
            ),
            (
                "certwatcher_read_certificate_errors_total",
                "Total number of certificate read errors",
                self.certificates.each_ref().map(|c| c.read_errors()),
            ),
        ] {
            page.counter(name, help, [(&[][..], value.iter().sum::<u64>() as f64)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> String {
        let transport = Transport::default();
        let took = Duration::from_millis(3);
        transport.count(
            "10.0.0.1:443",
            &Method::POST,
            Some(StatusCode::CREATED),
            took,
        );
        transport.count("10.0.0.1:443", &Method::POST, None, took);
        Sources {
            stats: Arc::default(),
            transport: Arc::new(transport),
            webhook: Arc::default(),
            certificates: Default::default(),
            rotations: Arc::default(),
            leading: Arc::new(AtomicBool::new(true)),
            lease: Some("6d4f6a47.jobset.x-k8s.io".to_owned()),
        }
        .page()
    }

    #[test]
    fn series_that_are_there_from_the_start() {
        let page = page();
        for line in [
            "controller_runtime_reconcile_total{controller=\"jobset\",result=\"success\"} 0",
            "controller_runtime_reconcile_total{controller=\"pod\",result=\"requeue_after\"} 0",
            "controller_runtime_reconcile_errors_total{controller=\"cert-rotator\"} 0",
            "controller_runtime_terminal_reconcile_errors_total{controller=\"jobset\"} 0",
            "controller_runtime_reconcile_panics_total{controller=\"jobset\"} 0",
            "controller_runtime_reconcile_timeouts_total{controller=\"jobset\"} 0",
            "controller_runtime_reconcile_time_seconds_bucket{controller=\"jobset\",le=\"0.005\"} 0",
            "controller_runtime_reconcile_time_seconds_bucket{controller=\"jobset\",le=\"60\"} 0",
            "controller_runtime_max_concurrent_reconciles{controller=\"jobset\"} 0",
            "controller_runtime_active_workers{controller=\"jobset\"} 0",
            "workqueue_depth{name=\"jobset\",controller=\"jobset\",priority=\"0\"} 0",
            "workqueue_depth{name=\"pod\",controller=\"pod\",priority=\"-100\"} 0",
            "controller_runtime_reconcile_time_seconds_count{controller=\"pod\"} 0",
            "workqueue_adds_total{name=\"jobset\",controller=\"jobset\"} 0",
            "workqueue_retries_total{name=\"jobset\",controller=\"jobset\"} 0",
            "workqueue_queue_duration_seconds_bucket{name=\"jobset\",controller=\"jobset\",le=\"1e-08\"} 0",
            "workqueue_work_duration_seconds_bucket{name=\"jobset\",controller=\"jobset\",le=\"1000\"} 0",
            "workqueue_unfinished_work_seconds{name=\"jobset\",controller=\"jobset\"} 0",
            "workqueue_longest_running_processor_seconds{name=\"jobset\",controller=\"jobset\"} 0",
            "rest_client_requests_total{code=\"201\",method=\"POST\",host=\"10.0.0.1:443\"} 1",
            "rest_client_requests_total{code=\"<error>\",method=\"POST\",host=\"10.0.0.1:443\"} 1",
            "leader_election_master_status{name=\"6d4f6a47.jobset.x-k8s.io\"} 1",
            "controller_runtime_webhook_requests_total{webhook=\"/mutate--v1-pod\",code=\"200\"} 0",
            "controller_runtime_webhook_requests_total{webhook=\"/validate--v1-pod\",code=\"500\"} 0",
            "controller_runtime_webhook_requests_in_flight{webhook=\"/mutate--v1-pod\"} 0",
            "controller_runtime_webhook_latency_seconds_bucket{webhook=\"/mutate--v1-pod\",le=\"1000\"} 0",
            "controller_runtime_webhook_panics_total 0",
            "controller_runtime_conversion_webhook_panics_total 0",
            "certwatcher_read_certificate_total 0",
            "certwatcher_read_certificate_errors_total 0",
            "jobset_api_request_duration_seconds_count{method=\"POST\"} 2",
        ] {
            assert!(
                page.lines().any(|found| found == line),
                "{line}\nin\n{page}"
            );
        }
        let buckets = "controller_runtime_reconcile_time_seconds_bucket{controller=\"jobset\"";
        let count = page
            .lines()
            .filter(|line| line.starts_with(buckets))
            .count();
        assert_eq!(count, 41);
    }

    #[test]
    fn each_family_is_declared_once() {
        let page = page();
        let mut families = std::collections::BTreeSet::new();
        for line in page.lines().filter(|line| line.starts_with("# TYPE ")) {
            assert!(families.insert(line.to_owned()), "{line}");
        }
        assert!(families.contains("# TYPE jobset_restart_lost_seconds_total counter"));
    }
}
