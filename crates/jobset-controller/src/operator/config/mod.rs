//! The configuration file: its shape, reading, defaults, validation, and how it is shown.
//!
//! ```text
//! file ─► load (strict) ─► defaults ─► validate ─► Configuration
//! ```
//!
//! [`Configuration`] mirrors the file; that a value is there after the defaults is said by the
//! methods that read it.

mod defaults;
mod dump;
mod load;
mod validate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use self::dump::dump;
pub(crate) use self::load::load;
pub(crate) use self::validate::validate;

use super::go_duration;

/// `apiVersion` of the file.
pub(crate) const API_VERSION: &str = "config.jobset.x-k8s.io/v1alpha1";
/// `kind` of the file.
pub(crate) const KIND: &str = "Configuration";

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Configuration {
    pub(crate) api_version: Option<String>,
    pub(crate) kind: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) webhook: Webhook,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leader_election: Option<LeaderElection>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) metrics: Metrics,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) health: Health,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Tls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) internal_cert_management: Option<InternalCertManagement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_connection: Option<ClientConnection>,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub(crate) feature_gates: BTreeMap<String, bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) extensions: Option<Extensions>,
}

/// The webhook server.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Webhook {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) host: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) cert_dir: String,
}

/// Leader election.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct LeaderElection {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leader_elect: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease_duration: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) renew_deadline: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_period: Option<Span>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) resource_lock: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) resource_name: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) resource_namespace: String,
}

/// The metrics server.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Metrics {
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) bind_address: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) cert_dir: String,
}

/// The health probes.
#[expect(clippy::struct_field_names, reason = "the file's names")]
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Health {
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) health_probe_bind_address: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) readiness_endpoint_name: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) liveness_endpoint_name: String,
}

/// TLS of the webhook and metrics servers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Tls {
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) min_version: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) cipher_suites: Vec<String>,
}

/// Certificates that the operator makes itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct InternalCertManagement {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) webhook_service_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) webhook_secret_name: Option<String>,
}

/// How hard the API server may be asked.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ClientConnection {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) qps: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) burst: Option<i32>,
}

/// Settings that only this implementation has. All of them are optional.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Extensions {
    /// JobSets worked on at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workers: Option<u16>,
    /// Most writes of children in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_in_flight: Option<u16>,
    /// Watch and manage this namespace alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    /// Whether webhooks are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) webhooks: Option<bool>,
    /// Further names and addresses that the webhooks' own certificate is for.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) webhook_names: Vec<String>,
    /// A failure is decided about as soon as it is certain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fast_failure_detection: Option<bool>,
    /// What is suspended and has never run gets no Jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lean_suspend: Option<bool>,
    /// Short names of Pods are published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) short_names: Option<bool>,
    /// Finished JobSets of other controllers are removed after their time, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clean_up_managed_elsewhere: Option<bool>,
}

impl Configuration {
    /// Whether the operator makes the certificates of its webhooks itself.
    pub(crate) fn internal_certificates(&self) -> bool {
        self.internal_cert_management
            .as_ref()
            .is_some_and(|management| management.enable.unwrap_or(false))
    }

    /// Whether only the holder of the lease works.
    pub(crate) fn leader_elect(&self) -> bool {
        self.leader_election
            .as_ref()
            .and_then(|election| election.leader_elect)
            .unwrap_or(true)
    }

    /// Whether webhooks are served.
    pub(crate) fn webhooks(&self) -> bool {
        self.extensions
            .as_ref()
            .and_then(|extensions| extensions.webhooks)
            .unwrap_or(true)
    }

    /// Where the certificate of the webhook server is, if it is read from files.
    pub(crate) fn webhook_cert_dir(&self) -> PathBuf {
        directory(&self.webhook.cert_dir, "k8s-webhook-server/serving-certs")
    }

    /// Where the certificate of the metrics server is; `None` if none was provided for.
    pub(crate) fn metrics_cert_dir(&self) -> Option<PathBuf> {
        let provided = !self.metrics.cert_dir.is_empty() || !self.internal_certificates();
        provided.then(|| directory(&self.metrics.cert_dir, "k8s-metrics-server/serving-certs"))
    }
}

/// The configured directory, or this one among the temporary files.
fn directory(configured: &str, default: &str) -> PathBuf {
    if configured.is_empty() {
        std::env::temp_dir().join(default)
    } else {
        Path::new(configured).to_owned()
    }
}

/// A duration as the file writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        go_duration::parse(&text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&go_duration::format(self.0))
    }
}

/// `null` means what a missing field means.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
