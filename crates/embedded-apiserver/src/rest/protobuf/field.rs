//! How the tables describe a message.

/// A message: its fields by number.
#[derive(Debug)]
pub(crate) struct Message {
    /// The name of the type, for error messages.
    pub(crate) name: &'static str,
    /// In ascending order of the numbers.
    pub(crate) fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// The name in JSON; empty if `shape` is [`Shape::Inline`].
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) shape: Shape,
}

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    Bool,
    Int32,
    Int64,
    /// Base64 in JSON.
    Bytes,
    /// `metav1.Time`: RFC 3339 in JSON.
    Time,
    /// `resource.Quantity`: its text in JSON.
    Quantity,
    /// `intstr.IntOrString`: a number or a text in JSON.
    IntOrString,
    /// `metav1.FieldsV1`: bytes that are JSON already.
    Json,
    Nested(&'static Message),
}

/// How often a field is there, and what its zero value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Part of the JSON object even if it is zero.
    Always,
    /// Go's encoder writes this field even if it is not set, so that its zero value means
    /// absence and is left out of JSON.
    Omitted,
    /// A pointer in Go: there if it was set, whatever it is set to.
    Optional,
    List,
    /// From text to values.
    Map,
    /// A message whose fields are the outer one's in JSON.
    Inline,
}

const fn field(number: u32, name: &'static str, kind: Kind, shape: Shape) -> Field {
    Field {
        number,
        name,
        kind,
        shape,
    }
}

pub(crate) const fn always(number: u32, name: &'static str, kind: Kind) -> Field {
    field(number, name, kind, Shape::Always)
}

pub(crate) const fn omitted(number: u32, name: &'static str, kind: Kind) -> Field {
    field(number, name, kind, Shape::Omitted)
}

pub(crate) const fn optional(number: u32, name: &'static str, kind: Kind) -> Field {
    field(number, name, kind, Shape::Optional)
}

pub(crate) const fn list(number: u32, name: &'static str, kind: Kind) -> Field {
    field(number, name, kind, Shape::List)
}

pub(crate) const fn map(number: u32, name: &'static str, kind: Kind) -> Field {
    field(number, name, kind, Shape::Map)
}

pub(crate) const fn inline(number: u32, message: &'static Message) -> Field {
    field(number, "", Kind::Nested(message), Shape::Inline)
}
