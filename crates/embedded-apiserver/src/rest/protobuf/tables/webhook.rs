//! MutatingWebhookConfiguration, ValidatingWebhookConfiguration.

use super::meta::{LABEL_SELECTOR, OBJECT_META};
use crate::rest::protobuf::field::Kind::{Bytes, Int32, Nested, Text};
use crate::rest::protobuf::field::{Message, always, inline, list, omitted, optional};

pub(super) static MUTATING_WEBHOOK_CONFIGURATION: Message = Message {
    name: "MutatingWebhookConfiguration",
    fields: &[
        omitted(1, "metadata", Nested(&OBJECT_META)),
        list(2, "webhooks", Nested(&MUTATING_WEBHOOK)),
    ],
};

pub(super) static VALIDATING_WEBHOOK_CONFIGURATION: Message = Message {
    name: "ValidatingWebhookConfiguration",
    fields: &[
        omitted(1, "metadata", Nested(&OBJECT_META)),
        list(2, "webhooks", Nested(&VALIDATING_WEBHOOK)),
    ],
};

pub(super) static MUTATING_WEBHOOK: Message = Message {
    name: "MutatingWebhook",
    fields: &[
        always(1, "name", Text),
        always(2, "clientConfig", Nested(&WEBHOOK_CLIENT_CONFIG)),
        list(3, "rules", Nested(&RULE_WITH_OPERATIONS)),
        optional(4, "failurePolicy", Text),
        optional(5, "namespaceSelector", Nested(&LABEL_SELECTOR)),
        optional(6, "sideEffects", Text),
        optional(7, "timeoutSeconds", Int32),
        list(8, "admissionReviewVersions", Text),
        optional(9, "matchPolicy", Text),
        optional(10, "reinvocationPolicy", Text),
        optional(11, "objectSelector", Nested(&LABEL_SELECTOR)),
        list(12, "matchConditions", Nested(&MATCH_CONDITION)),
    ],
};

pub(super) static VALIDATING_WEBHOOK: Message = Message {
    name: "ValidatingWebhook",
    fields: &[
        always(1, "name", Text),
        always(2, "clientConfig", Nested(&WEBHOOK_CLIENT_CONFIG)),
        list(3, "rules", Nested(&RULE_WITH_OPERATIONS)),
        optional(4, "failurePolicy", Text),
        optional(5, "namespaceSelector", Nested(&LABEL_SELECTOR)),
        optional(6, "sideEffects", Text),
        optional(7, "timeoutSeconds", Int32),
        list(8, "admissionReviewVersions", Text),
        optional(9, "matchPolicy", Text),
        optional(10, "objectSelector", Nested(&LABEL_SELECTOR)),
        list(11, "matchConditions", Nested(&MATCH_CONDITION)),
    ],
};

pub(super) static WEBHOOK_CLIENT_CONFIG: Message = Message {
    name: "WebhookClientConfig",
    fields: &[
        optional(1, "service", Nested(&SERVICE_REFERENCE)),
        omitted(2, "caBundle", Bytes),
        optional(3, "url", Text),
    ],
};

pub(super) static SERVICE_REFERENCE: Message = Message {
    name: "ServiceReference",
    fields: &[
        always(1, "namespace", Text),
        always(2, "name", Text),
        optional(3, "path", Text),
        optional(4, "port", Int32),
    ],
};

pub(super) static RULE_WITH_OPERATIONS: Message = Message {
    name: "RuleWithOperations",
    fields: &[list(1, "operations", Text), inline(2, &RULE)],
};

pub(super) static RULE: Message = Message {
    name: "Rule",
    fields: &[
        list(1, "apiGroups", Text),
        list(2, "apiVersions", Text),
        list(3, "resources", Text),
        optional(4, "scope", Text),
    ],
};

pub(super) static MATCH_CONDITION: Message = Message {
    name: "MatchCondition",
    fields: &[always(1, "name", Text), always(2, "expression", Text)],
};
