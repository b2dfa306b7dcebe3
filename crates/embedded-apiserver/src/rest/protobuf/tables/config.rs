//! Namespace, ConfigMap, Secret, ServiceAccount.

use super::meta::OBJECT_META;
use super::reference::{LOCAL_OBJECT_REFERENCE, OBJECT_REFERENCE};
use crate::rest::protobuf::field::Kind::{Bool, Bytes, Nested, Text, Time};
use crate::rest::protobuf::field::{Message, always, list, map, omitted, optional};

pub(super) static NAMESPACE: Message = Message {
    name: "Namespace",
    fields: &[
        omitted(1, "metadata", Nested(&OBJECT_META)),
        omitted(2, "spec", Nested(&NAMESPACE_SPEC)),
        omitted(3, "status", Nested(&NAMESPACE_STATUS)),
    ],
};

pub(super) static NAMESPACE_SPEC: Message = Message {
    name: "NamespaceSpec",
    fields: &[list(1, "finalizers", Text)],
};

pub(super) static NAMESPACE_STATUS: Message = Message {
    name: "NamespaceStatus",
    fields: &[
        omitted(1, "phase", Text),
        list(2, "conditions", Nested(&NAMESPACE_CONDITION)),
    ],
};

pub(super) static NAMESPACE_CONDITION: Message = Message {
    name: "NamespaceCondition",
    fields: &[
        always(1, "type", Text),
        always(2, "status", Text),
        omitted(4, "lastTransitionTime", Time),
        omitted(5, "reason", Text),
        omitted(6, "message", Text),
    ],
};

pub(super) static CONFIG_MAP: Message = Message {
    name: "ConfigMap",
    fields: &[
        omitted(1, "metadata", Nested(&OBJECT_META)),
        map(2, "data", Text),
        map(3, "binaryData", Bytes),
        optional(4, "immutable", Bool),
    ],
};

pub(super) static SECRET: Message = Message {
    name: "Secret",
    fields: &[
        omitted(1, "metadata", Nested(&OBJECT_META)),
        map(2, "data", Bytes),
        omitted(3, "type", Text),
        map(4, "stringData", Text),
        optional(5, "immutable", Bool),
    ],
};

pub(super) static SERVICE_ACCOUNT: Message = Message {
    name: "ServiceAccount",
    fields: &[
        omitted(1, "metadata", Nested(&OBJECT_META)),
        list(2, "secrets", Nested(&OBJECT_REFERENCE)),
        list(3, "imagePullSecrets", Nested(&LOCAL_OBJECT_REFERENCE)),
        optional(4, "automountServiceAccountToken", Bool),
    ],
};
