//! Generates the CustomResourceDefinition from the types.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::structural::{Inliner, sorted};
use crate::{
    constants::{CRD_NAME, GROUP, KIND, PLURAL, VERSION},
    types::{JobSetSpec, JobSetStatus},
};

/// The CustomResourceDefinition, made from the types. It takes tens of milliseconds; a program
/// uses [`super::crd_value`], which is the same.
pub fn generate() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let spec = generator.subschema_for::<JobSetSpec>().to_value();
    let status = generator.subschema_for::<JobSetStatus>().to_value();
    let inliner = Inliner::new(generator.take_definitions(true));

    sorted(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": CRD_NAME },
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": format!("{KIND}List"),
                "plural": PLURAL,
                "singular": "jobset",
            },
            "scope": "Namespaced",
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "additionalPrinterColumns": printer_columns(),
                "schema": { "openAPIV3Schema": {
                    "description": "A set of replicated Jobs that live, fail and restart together.",
                    "type": "object",
                    "properties": {
                        "apiVersion": {
                            "description": "Version of the schema of this object.",
                            "type": "string",
                        },
                        "kind": {
                            "description": "Kind of this object.",
                            "type": "string",
                        },
                        "metadata": { "type": "object" },
                        "spec": inliner.structural(&spec),
                        "status": inliner.structural(&status),
                    },
                } },
            }],
        },
    }))
}

/// What `kubectl get` shows.
fn printer_columns() -> Value {
    json!([
        {
            "name": "TerminalState",
            "type": "string",
            "jsonPath": ".status.terminalState",
            "description": "Final state of JobSet",
        },
        {
            "name": "Restarts",
            "type": "string",
            "jsonPath": ".status.restarts",
            "description": "Number of restarts",
        },
        {
            "name": "Completed",
            "type": "string",
            "jsonPath": ".status.conditions[?(@.type==\"Completed\")].status",
        },
        {
            "name": "Suspended",
            "type": "string",
            "jsonPath": ".spec.suspend",
            "description": "JobSet suspended",
        },
        {
            "name": "Age",
            "type": "date",
            "jsonPath": ".metadata.creationTimestamp",
            "description": "Time this JobSet was created",
        },
    ])
}
