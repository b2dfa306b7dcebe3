//! What all kinds share: metadata, label selectors, conditions, options.

use crate::rest::protobuf::field::Kind::{Bool, Int64, Json, Nested, Text, Time};
use crate::rest::protobuf::field::{Message, always, list, map, omitted, optional};

pub(super) static OBJECT_META: Message = Message {
    name: "ObjectMeta",
    fields: &[
        omitted(1, "name", Text),
        omitted(2, "generateName", Text),
        omitted(3, "namespace", Text),
        omitted(4, "selfLink", Text),
        omitted(5, "uid", Text),
        omitted(6, "resourceVersion", Text),
        omitted(7, "generation", Int64),
        omitted(8, "creationTimestamp", Time),
        optional(9, "deletionTimestamp", Time),
        optional(10, "deletionGracePeriodSeconds", Int64),
        map(11, "labels", Text),
        map(12, "annotations", Text),
        list(13, "ownerReferences", Nested(&OWNER_REFERENCE)),
        list(14, "finalizers", Text),
        list(17, "managedFields", Nested(&MANAGED_FIELDS_ENTRY)),
    ],
};

pub(super) static OWNER_REFERENCE: Message = Message {
    name: "OwnerReference",
    fields: &[
        always(1, "kind", Text),
        always(3, "name", Text),
        always(4, "uid", Text),
        always(5, "apiVersion", Text),
        optional(6, "controller", Bool),
        optional(7, "blockOwnerDeletion", Bool),
    ],
};

pub(super) static MANAGED_FIELDS_ENTRY: Message = Message {
    name: "ManagedFieldsEntry",
    fields: &[
        omitted(1, "manager", Text),
        omitted(2, "operation", Text),
        omitted(3, "apiVersion", Text),
        optional(4, "time", Time),
        omitted(6, "fieldsType", Text),
        optional(7, "fieldsV1", Json),
        omitted(8, "subresource", Text),
    ],
};

pub(super) static CONDITION: Message = Message {
    name: "Condition",
    fields: &[
        always(1, "type", Text),
        always(2, "status", Text),
        omitted(3, "observedGeneration", Int64),
        always(4, "lastTransitionTime", Time),
        always(5, "reason", Text),
        always(6, "message", Text),
    ],
};

pub(super) static LABEL_SELECTOR: Message = Message {
    name: "LabelSelector",
    fields: &[
        map(1, "matchLabels", Text),
        list(2, "matchExpressions", Nested(&LABEL_SELECTOR_REQUIREMENT)),
    ],
};

pub(super) static LABEL_SELECTOR_REQUIREMENT: Message = Message {
    name: "LabelSelectorRequirement",
    fields: &[
        always(1, "key", Text),
        always(2, "operator", Text),
        list(3, "values", Text),
    ],
};

pub(super) static DELETE_OPTIONS: Message = Message {
    name: "DeleteOptions",
    fields: &[
        optional(1, "gracePeriodSeconds", Int64),
        optional(2, "preconditions", Nested(&PRECONDITIONS)),
        optional(3, "orphanDependents", Bool),
        optional(4, "propagationPolicy", Text),
        list(5, "dryRun", Text),
        optional(6, "ignoreStoreReadErrorWithClusterBreakingPotential", Bool),
    ],
};

pub(super) static PRECONDITIONS: Message = Message {
    name: "Preconditions",
    fields: &[
        optional(1, "uid", Text),
        optional(2, "resourceVersion", Text),
    ],
};

pub(super) static FIELD_SELECTOR_REQUIREMENT: Message = Message {
    name: "FieldSelectorRequirement",
    fields: &[
        always(1, "key", Text),
        always(2, "operator", Text),
        list(3, "values", Text),
    ],
};
