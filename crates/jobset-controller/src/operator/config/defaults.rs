//! What a setting is when the file does not say.

use std::time::Duration;

use super::{API_VERSION, Configuration, KIND, Span};

/// Requests per second and at once that are shown as the default.
pub(crate) const RATE: f32 = 500.0;
/// See [`RATE`].
pub(crate) const BURST: i32 = 500;

impl Configuration {
    /// Fills in what the file left out.
    pub(crate) fn fill_defaults(&mut self) {
        self.api_version = Some(API_VERSION.to_owned());
        self.kind = Some(KIND.to_owned());
        self.webhook.port.get_or_insert(9443);
        or(&mut self.metrics.bind_address, ":8443");
        or(&mut self.health.health_probe_bind_address, ":8081");

        let election = self.leader_election.get_or_insert_default();
        election.leader_elect.get_or_insert(true);
        span(&mut election.lease_duration, 15);
        span(&mut election.renew_deadline, 10);
        span(&mut election.retry_period, 2);
        or(&mut election.resource_lock, "leases");
        or(&mut election.resource_name, "6d4f6a47.jobset.x-k8s.io");

        let certificates = self.internal_cert_management.get_or_insert_default();
        if *certificates.enable.get_or_insert(true) {
            certificates
                .webhook_service_name
                .get_or_insert_with(|| "jobset-webhook-service".to_owned());
            certificates
                .webhook_secret_name
                .get_or_insert_with(|| "jobset-webhook-server-cert".to_owned());
        }

        let connection = self.client_connection.get_or_insert_default();
        connection.qps.get_or_insert(RATE);
        connection.burst.get_or_insert(BURST);
    }
}

fn or(value: &mut String, default: &str) {
    if value.is_empty() {
        default.clone_into(value);
    }
}

/// A duration of zero is as good as none, as in the reference.
fn span(value: &mut Option<Span>, seconds: u64) {
    if value.is_none_or(|span| span.0.is_zero()) {
        *value = Some(Span(Duration::from_secs(seconds)));
    }
}
