//! The templates inside a JobSet, kept exactly as they were read.
//!
//! A typed `JobTemplateSpec` drops every field that the type library does not know yet. What a
//! user writes into a template must reach the Job untouched, so templates stay JSON. Their schema
//! in the CRD is nevertheless the full one of `batch/v1` and `core/v1`.
//!
//! Accessors never fail: where the JSON has another shape than expected they see nothing.

use std::borrow::Cow;

use k8s_openapi::api::{batch::v1::JobTemplateSpec, core::v1::PersistentVolumeClaim};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Declares a template: raw JSON with the schema of a Kubernetes type.
macro_rules! raw_template {
    ($(#[$meta:meta])* $name:ident of $typed:ty) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Value);

        impl $name {
            /// The template as it is, or will be, on the wire.
            pub fn as_value(&self) -> &Value {
                &self.0
            }

            /// The template for changing it in place.
            pub fn as_value_mut(&mut self) -> &mut Value {
                &mut self.0
            }

            /// The template itself.
            pub fn into_value(self) -> Value {
                self.0
            }

            /// The template as the Kubernetes type, without the fields that type does not know.
            ///
            /// # Errors
            /// When a field has another JSON type than the Kubernetes API prescribes.
            pub fn typed(&self) -> Result<$typed, serde_json::Error> {
                <$typed>::deserialize(&self.0)
            }

            /// Labels of the template's metadata.
            pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
                text_map(self.0.pointer("/metadata/labels"))
            }

            /// Annotations of the template's metadata.
            pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
                text_map(self.0.pointer("/metadata/annotations"))
            }

            /// `spec` of the template.
            pub fn spec(&self) -> Option<&Map<String, Value>> {
                self.0.get("spec")?.as_object()
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self(Value::Object(Map::new()))
            }
        }

        impl From<Value> for $name {
            fn from(value: Value) -> Self {
                Self(value)
            }
        }

        impl From<$typed> for $name {
            fn from(typed: $typed) -> Self {
                // Kubernetes types are plain structs with text keys: writing them as JSON values
                // cannot fail. Should it ever, an empty template is rejected by admission.
                serde_json::to_value(typed).map(Self).unwrap_or_default()
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                <$typed>::schema_name()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                generator.subschema_for::<$typed>()
            }
        }
    };
}

raw_template! {
    /// Template of the Jobs of a replicated job: a raw `batch/v1` `JobTemplateSpec`.
    JobTemplate of JobTemplateSpec
}

raw_template! {
    /// Template of a volume claim: a raw `v1` `PersistentVolumeClaim`.
    ClaimTemplate of PersistentVolumeClaim
}

/// The entries of a JSON object whose values are texts.
fn text_map(value: Option<&Value>) -> impl Iterator<Item = (&str, &str)> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

impl JobTemplate {
    /// Labels of the Pod template.
    pub fn pod_labels(&self) -> impl Iterator<Item = (&str, &str)> {
        text_map(self.as_value().pointer("/spec/template/metadata/labels"))
    }

    /// Annotations of the Pod template.
    pub fn pod_annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        text_map(
            self.as_value()
                .pointer("/spec/template/metadata/annotations"),
        )
    }

    /// The annotation of this key, of the Job (not the Pod) template.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.as_value()
            .get("metadata")?
            .get("annotations")?
            .get(key)?
            .as_str()
    }

    /// `spec.parallelism`; `None` also when it is not a 32-bit number.
    pub fn parallelism(&self) -> Option<i32> {
        self.number("parallelism")
    }

    /// `spec.completions`; `None` also when it is not a 32-bit number.
    pub fn completions(&self) -> Option<i32> {
        self.number("completions")
    }

    /// `spec.backoffLimit`; `None` also when it is not a 32-bit number.
    pub fn backoff_limit(&self) -> Option<i32> {
        self.number("backoffLimit")
    }

    /// `spec.completionMode`.
    pub fn completion_mode(&self) -> Option<&str> {
        self.spec()?.get("completionMode")?.as_str()
    }

    /// Whether `spec.completionMode` is `Indexed`.
    pub fn is_indexed(&self) -> bool {
        self.completion_mode() == Some("Indexed")
    }

    /// `spec.podReplacementPolicy`.
    pub fn pod_replacement_policy(&self) -> Option<&str> {
        self.spec()?.get("podReplacementPolicy")?.as_str()
    }

    /// The Pod's spec, `spec.template.spec`.
    pub fn pod_spec(&self) -> Option<&Map<String, Value>> {
        self.as_value().pointer("/spec/template/spec")?.as_object()
    }

    /// Names of the volumes that init containers and containers mount, in that order.
    pub fn mounted_volume_names(&self) -> impl Iterator<Item = &str> {
        let pod = self.pod_spec();
        let containers = ["initContainers", "containers"]
            .into_iter()
            .filter_map(move |key| pod?.get(key)?.as_array())
            .flatten();
        containers
            .filter_map(|container| container.get("volumeMounts")?.as_array())
            .flatten()
            .filter_map(|mount| mount.get("name")?.as_str())
    }

    fn number(&self, key: &str) -> Option<i32> {
        self.spec()?.get(key)?.as_i64()?.try_into().ok()
    }
}

impl ClaimTemplate {
    /// `metadata.name`, or `""`.
    pub fn name(&self) -> &str {
        self.as_value()
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}
