//! Bodies in Kubernetes' protobuf encoding, as kubectl's typed commands (`create configmap`,
//! `create job`, …) and typed Go clients send them.
//!
//! A body is an envelope, [`wire::MAGIC`] and a `runtime.Unknown` message with the type and the
//! bytes of the object. [`tables`] say which field has which JSON name, [`decode`] turns the
//! object into the JSON the rest of the server works with. What the tables do not know is
//! refused, so that nothing a client sent is lost without a word. Answers are always JSON.

mod decode;
mod envelope;
mod error;
mod field;
mod tables;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use self::envelope::object;
pub(crate) use self::error::Error;

/// The media type of this encoding.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
