//! The messages of the kinds that can be read: field numbers, JSON names, types.
//!
//! They follow `generated.proto` and the Go types of k8s.io/api and k8s.io/apimachinery 0.37.
//! Field numbers never change there, so that older clients are read as well.

mod access;
mod config;
mod container;
mod job;
mod meta;
mod pod;
mod pod_status;
mod reference;
mod service;
mod volume;
mod webhook;

use super::field::Message;

/// The message of a kind.
pub(crate) fn find(api_version: &str, kind: &str) -> Option<&'static Message> {
    Some(match (api_version, kind) {
        ("v1", "ConfigMap") => &config::CONFIG_MAP,
        ("v1", "Namespace") => &config::NAMESPACE,
        ("v1", "Pod") => &pod::POD,
        ("v1", "Secret") => &config::SECRET,
        ("v1", "Service") => &service::SERVICE,
        ("v1", "ServiceAccount") => &config::SERVICE_ACCOUNT,
        ("batch/v1", "Job") => &job::JOB,
        ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration") => {
            &webhook::MUTATING_WEBHOOK_CONFIGURATION
        }
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration") => {
            &webhook::VALIDATING_WEBHOOK_CONFIGURATION
        }
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => {
            &access::SELF_SUBJECT_ACCESS_REVIEW
        }
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => &access::SELF_SUBJECT_RULES_REVIEW,
        // Part of every group; clients name the one of the object they delete.
        (_, "DeleteOptions") => &meta::DELETE_OPTIONS,
        _ => return None,
    })
}
