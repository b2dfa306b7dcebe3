//! The list of built-in resources.

use std::sync::OnceLock;

use super::config::{ConfigMap, Namespace, Secret};
use super::custom::Definition;
use super::event::{CoreEvent, EVENTS, NewEvent};
use super::job::Job;
use super::node::Node;
use super::pod::Pod;
use super::policy;
use super::service::{Claim, Service};
use super::webhook::WebhookConfiguration;
use super::{NameRule, Plain, Resource, Strategy};

/// Starts the description of a resource; the defaults are those of most kinds.
fn resource(api_version: &str, kind: &str, plural: &str, short: &[&str]) -> Resource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let collection = if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    };
    Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: short.iter().map(|&s| s.to_owned()).collect(),
        categories: Vec::new(),
        namespaced: true,
        collection: collection.into(),
        stored_as: api_version.to_owned(),
        has_status: false,
        measured: false,
        has_generation: false,
        name_rule: NameRule::Subdomain,
        strategy: Box::new(Plain),
        custom: None,
        columns: OnceLock::new(),
    }
}

impl Resource {
    fn cluster_wide(mut self) -> Self {
        self.namespaced = false;
        self
    }

    fn with_status(mut self) -> Self {
        self.has_status = true;
        self
    }

    fn with_generation(mut self) -> Self {
        self.has_generation = true;
        self
    }

    fn measured(mut self) -> Self {
        self.measured = true;
        // As metrics-server has it: `kubectl get pod` must mean Pods.
        self.singular = String::new();
        self
    }

    fn in_all(mut self) -> Self {
        self.categories.push("all".to_owned());
        self
    }

    fn extending_the_api(mut self) -> Self {
        self.categories.push("api-extensions".to_owned());
        self
    }

    fn named(mut self, rule: NameRule) -> Self {
        self.name_rule = rule;
        self
    }

    fn special(mut self, strategy: impl Strategy + 'static) -> Self {
        self.strategy = Box::new(strategy);
        self
    }

    /// Shares the objects of another resource.
    fn stored_with(mut self, collection: &str, api_version: &str) -> Self {
        self.collection = collection.into();
        self.stored_as = api_version.to_owned();
        self
    }
}

/// Served where somebody measures.
pub(super) fn metrics() -> Vec<Resource> {
    vec![
        resource("metrics.k8s.io/v1beta1", "NodeMetrics", "nodes", &[])
            .cluster_wide()
            .measured(),
        resource("metrics.k8s.io/v1beta1", "PodMetrics", "pods", &[]).measured(),
    ]
}

pub(super) fn all() -> Vec<Resource> {
    vec![
        resource("v1", "ConfigMap", "configmaps", &["cm"]).special(ConfigMap),
        resource("v1", "Endpoints", "endpoints", &["ep"]),
        resource("v1", "Event", "events", &["ev"]).special(CoreEvent),
        resource("v1", "Namespace", "namespaces", &["ns"])
            .cluster_wide()
            .with_status()
            .named(NameRule::Label)
            .special(Namespace),
        resource("v1", "Node", "nodes", &["no"])
            .cluster_wide()
            .with_status()
            .special(Node),
        resource(
            "v1",
            "PersistentVolumeClaim",
            "persistentvolumeclaims",
            &["pvc"],
        )
        .with_status()
        .special(Claim),
        resource("v1", "Pod", "pods", &["po"])
            .with_status()
            .with_generation()
            .in_all()
            .special(Pod),
        resource("v1", "Secret", "secrets", &[]).special(Secret),
        resource("v1", "Service", "services", &["svc"])
            .with_status()
            .in_all()
            .named(NameRule::Label1035)
            .special(Service::default()),
        resource("v1", "ServiceAccount", "serviceaccounts", &["sa"]),
        resource(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            &["crd", "crds"],
        )
        .cluster_wide()
        .with_status()
        .with_generation()
        .special(Definition),
        resource(
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfigurations",
            &[],
        )
        .cluster_wide()
        .with_generation()
        .extending_the_api()
        .special(WebhookConfiguration { mutating: true }),
        resource(
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
            &[],
        )
        .cluster_wide()
        .with_generation()
        .extending_the_api()
        .special(WebhookConfiguration { mutating: false }),
        resource(
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicy",
            "validatingadmissionpolicies",
            &[],
        )
        .cluster_wide()
        .with_status()
        .with_generation()
        .extending_the_api()
        .special(policy::Policy),
        resource(
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicyBinding",
            "validatingadmissionpolicybindings",
            &[],
        )
        .cluster_wide()
        .with_generation()
        .extending_the_api()
        .special(policy::Binding),
        resource("batch/v1", "Job", "jobs", &[])
            .with_status()
            .with_generation()
            .in_all()
            .special(Job),
        resource("coordination.k8s.io/v1", "Lease", "leases", &[]),
        resource(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            "endpointslices",
            &[],
        )
        .with_generation(),
        resource("events.k8s.io/v1", "Event", "events", &["ev"])
            .stored_with(EVENTS, "v1")
            .special(NewEvent),
    ]
}
