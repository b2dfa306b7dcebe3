//! References to other objects and to fields.

use super::pod::NODE_SELECTOR_REQUIREMENT;
use crate::rest::protobuf::field::Kind::{Nested, Quantity, Text};
use crate::rest::protobuf::field::{Message, always, list, omitted, optional};

pub(super) static LOCAL_OBJECT_REFERENCE: Message = Message {
    name: "LocalObjectReference",
    fields: &[omitted(1, "name", Text)],
};

pub(super) static OBJECT_REFERENCE: Message = Message {
    name: "ObjectReference",
    fields: &[
        omitted(1, "kind", Text),
        omitted(2, "namespace", Text),
        omitted(3, "name", Text),
        omitted(4, "uid", Text),
        omitted(5, "apiVersion", Text),
        omitted(6, "resourceVersion", Text),
        omitted(7, "fieldPath", Text),
    ],
};

pub(super) static TYPED_LOCAL_OBJECT_REFERENCE: Message = Message {
    name: "TypedLocalObjectReference",
    fields: &[
        optional(1, "apiGroup", Text),
        always(2, "kind", Text),
        always(3, "name", Text),
    ],
};

pub(super) static TYPED_OBJECT_REFERENCE: Message = Message {
    name: "TypedObjectReference",
    fields: &[
        optional(1, "apiGroup", Text),
        always(2, "kind", Text),
        always(3, "name", Text),
        optional(4, "namespace", Text),
    ],
};

pub(super) static OBJECT_FIELD_SELECTOR: Message = Message {
    name: "ObjectFieldSelector",
    fields: &[omitted(1, "apiVersion", Text), always(2, "fieldPath", Text)],
};

pub(super) static RESOURCE_FIELD_SELECTOR: Message = Message {
    name: "ResourceFieldSelector",
    fields: &[
        omitted(1, "containerName", Text),
        always(2, "resource", Text),
        omitted(3, "divisor", Quantity),
    ],
};

pub(super) static NODE_SELECTOR_TERM: Message = Message {
    name: "NodeSelectorTerm",
    fields: &[
        list(1, "matchExpressions", Nested(&NODE_SELECTOR_REQUIREMENT)),
        list(2, "matchFields", Nested(&NODE_SELECTOR_REQUIREMENT)),
    ],
};
