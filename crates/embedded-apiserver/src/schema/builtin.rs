//! The schemas of the built-in kinds, taken from the Kubernetes types.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use k8s_openapi::api::{admissionregistration, batch, coordination, core, discovery, events};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::node::{Definitions, Schema};
use crate::topology::Gvk;

/// Where references point in the generated schemas, as in OpenAPI v3 documents.
const COMPONENTS: &str = "/components/schemas";

/// Group, version, kind, and the definition of each built-in kind.
pub(super) const ROOTS: &[(&str, &str, &str, &str)] = &[
    ("", "v1", "ConfigMap", "io.k8s.api.core.v1.ConfigMap"),
    ("", "v1", "Endpoints", "io.k8s.api.core.v1.Endpoints"),
    ("", "v1", "Event", "io.k8s.api.core.v1.Event"),
    ("", "v1", "Namespace", "io.k8s.api.core.v1.Namespace"),
    ("", "v1", "Node", "io.k8s.api.core.v1.Node"),
    (
        "",
        "v1",
        "PersistentVolumeClaim",
        "io.k8s.api.core.v1.PersistentVolumeClaim",
    ),
    ("", "v1", "Pod", "io.k8s.api.core.v1.Pod"),
    ("", "v1", "Secret", "io.k8s.api.core.v1.Secret"),
    ("", "v1", "Service", "io.k8s.api.core.v1.Service"),
    (
        "",
        "v1",
        "ServiceAccount",
        "io.k8s.api.core.v1.ServiceAccount",
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
        "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
        "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingAdmissionPolicy",
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingAdmissionPolicyBinding",
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    ),
    ("batch", "v1", "Job", "io.k8s.api.batch.v1.Job"),
    (
        "coordination.k8s.io",
        "v1",
        "Lease",
        "io.k8s.api.coordination.v1.Lease",
    ),
    (
        "discovery.k8s.io",
        "v1",
        "EndpointSlice",
        "io.k8s.api.discovery.v1.EndpointSlice",
    ),
    ("events.k8s.io", "v1", "Event", "io.k8s.api.events.v1.Event"),
    (
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    ),
];

/// Every definition the built-in kinds refer to, by name. Generated on first use (milliseconds).
pub(crate) fn definitions() -> &'static BTreeMap<String, Value> {
    static RAW: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
        let settings =
            SchemaSettings::draft2020_12().with(|s| s.definitions_path = COMPONENTS.into());
        let mut generator = settings.into_generator();
        generator.subschema_for::<core::v1::ConfigMap>();
        generator.subschema_for::<core::v1::Endpoints>();
        generator.subschema_for::<core::v1::Event>();
        generator.subschema_for::<core::v1::Namespace>();
        generator.subschema_for::<core::v1::Node>();
        generator.subschema_for::<core::v1::PersistentVolumeClaim>();
        generator.subschema_for::<core::v1::Pod>();
        generator.subschema_for::<core::v1::Secret>();
        generator.subschema_for::<core::v1::Service>();
        generator.subschema_for::<core::v1::ServiceAccount>();
        generator.subschema_for::<admissionregistration::v1::MutatingWebhookConfiguration>();
        generator.subschema_for::<admissionregistration::v1::ValidatingWebhookConfiguration>();
        generator.subschema_for::<admissionregistration::v1::ValidatingAdmissionPolicy>();
        generator.subschema_for::<admissionregistration::v1::ValidatingAdmissionPolicyBinding>();
        generator.subschema_for::<batch::v1::Job>();
        generator.subschema_for::<coordination::v1::Lease>();
        generator.subschema_for::<discovery::v1::EndpointSlice>();
        generator.subschema_for::<events::v1::Event>();
        generator.subschema_for::<apiextensions::v1::CustomResourceDefinition>();
        generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions>();
        generator.take_definitions(false).into_iter().collect()
    });
    &RAW
}

/// The definition of a kind.
pub(crate) fn root_of(gvk: &Gvk) -> Option<&'static str> {
    ROOTS
        .iter()
        .find(|(group, version, kind, _)| {
            *group == gvk.group && *version == gvk.version && *kind == gvk.kind
        })
        .map(|(.., definition)| *definition)
}

/// The schema of a built-in kind, compiled when it is first asked for.
pub fn built_in(gvk: &Gvk) -> Option<&'static Schema> {
    static SHARED: LazyLock<Arc<Definitions>> = LazyLock::new(|| {
        let raw = definitions()
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        Arc::new(Definitions::new(raw))
    });
    static COMPILED: [OnceLock<Schema>; ROOTS.len()] = [const { OnceLock::new() }; ROOTS.len()];
    let definition = root_of(gvk)?;
    let index = ROOTS.iter().position(|(.., name)| *name == definition)?;
    Some(COMPILED[index].get_or_init(|| {
        let root = serde_json::json!({"$ref": format!("#{COMPONENTS}/{definition}")});
        Schema::with_definitions(&root, Arc::clone(&SHARED))
    }))
}
