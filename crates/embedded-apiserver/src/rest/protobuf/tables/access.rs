//! Questions about what a user may do.

use super::meta::{FIELD_SELECTOR_REQUIREMENT, LABEL_SELECTOR_REQUIREMENT, OBJECT_META};
use crate::rest::protobuf::field::Kind::{Bool, Nested, Text};
use crate::rest::protobuf::field::{Message, always, list, omitted, optional};

pub(super) static SELF_SUBJECT_ACCESS_REVIEW: Message = Message {
    name: "SelfSubjectAccessReview",
    fields: &[
        omitted(1, "metadata", Nested(&OBJECT_META)),
        always(2, "spec", Nested(&SELF_SUBJECT_ACCESS_REVIEW_SPEC)),
        omitted(3, "status", Nested(&SUBJECT_ACCESS_REVIEW_STATUS)),
    ],
};

pub(super) static SELF_SUBJECT_ACCESS_REVIEW_SPEC: Message = Message {
    name: "SelfSubjectAccessReviewSpec",
    fields: &[
        optional(1, "resourceAttributes", Nested(&RESOURCE_ATTRIBUTES)),
        optional(2, "nonResourceAttributes", Nested(&NON_RESOURCE_ATTRIBUTES)),
    ],
};

pub(super) static RESOURCE_ATTRIBUTES: Message = Message {
    name: "ResourceAttributes",
    fields: &[
        omitted(1, "namespace", Text),
        omitted(2, "verb", Text),
        omitted(3, "group", Text),
        omitted(4, "version", Text),
        omitted(5, "resource", Text),
        omitted(6, "subresource", Text),
        omitted(7, "name", Text),
        optional(8, "fieldSelector", Nested(&FIELD_SELECTOR_ATTRIBUTES)),
        optional(9, "labelSelector", Nested(&LABEL_SELECTOR_ATTRIBUTES)),
    ],
};

pub(super) static FIELD_SELECTOR_ATTRIBUTES: Message = Message {
    name: "FieldSelectorAttributes",
    fields: &[
        omitted(1, "rawSelector", Text),
        list(2, "requirements", Nested(&FIELD_SELECTOR_REQUIREMENT)),
    ],
};

pub(super) static LABEL_SELECTOR_ATTRIBUTES: Message = Message {
    name: "LabelSelectorAttributes",
    fields: &[
        omitted(1, "rawSelector", Text),
        list(2, "requirements", Nested(&LABEL_SELECTOR_REQUIREMENT)),
    ],
};

pub(super) static NON_RESOURCE_ATTRIBUTES: Message = Message {
    name: "NonResourceAttributes",
    fields: &[omitted(1, "path", Text), omitted(2, "verb", Text)],
};

pub(super) static SUBJECT_ACCESS_REVIEW_STATUS: Message = Message {
    name: "SubjectAccessReviewStatus",
    fields: &[
        always(1, "allowed", Bool),
        omitted(2, "reason", Text),
        omitted(3, "evaluationError", Text),
        omitted(4, "denied", Bool),
    ],
};

pub(super) static SELF_SUBJECT_RULES_REVIEW: Message = Message {
    name: "SelfSubjectRulesReview",
    fields: &[
        omitted(1, "metadata", Nested(&OBJECT_META)),
        always(2, "spec", Nested(&SELF_SUBJECT_RULES_REVIEW_SPEC)),
        omitted(3, "status", Nested(&SUBJECT_RULES_REVIEW_STATUS)),
    ],
};

pub(super) static SELF_SUBJECT_RULES_REVIEW_SPEC: Message = Message {
    name: "SelfSubjectRulesReviewSpec",
    fields: &[omitted(1, "namespace", Text)],
};

pub(super) static SUBJECT_RULES_REVIEW_STATUS: Message = Message {
    name: "SubjectRulesReviewStatus",
    fields: &[
        list(1, "resourceRules", Nested(&RESOURCE_RULE)),
        list(2, "nonResourceRules", Nested(&NON_RESOURCE_RULE)),
        always(3, "incomplete", Bool),
        omitted(4, "evaluationError", Text),
    ],
};

pub(super) static RESOURCE_RULE: Message = Message {
    name: "ResourceRule",
    fields: &[
        list(1, "verbs", Text),
        list(2, "apiGroups", Text),
        list(3, "resources", Text),
        list(4, "resourceNames", Text),
    ],
};

pub(super) static NON_RESOURCE_RULE: Message = Message {
    name: "NonResourceRule",
    fields: &[list(1, "verbs", Text), list(2, "nonResourceURLs", Text)],
};
