//! The envelope around an object: `runtime.Unknown`.

use serde_json::{Map, Value};

use super::wire::{MAGIC, Reader, Wire};
use super::{Error, MEDIA_TYPE, decode, tables};

/// Decodes a body into the object's JSON, with its `apiVersion` and `kind`.
pub(crate) fn object(body: &[u8]) -> Result<Value, Error> {
    let unknown = body
        .strip_prefix(MAGIC)
        .ok_or_else(|| Error::malformed("the body does not start as Kubernetes' protobuf does"))?;
    let (mut api_version, mut kind, mut raw) = ("", "", &[][..]);
    let mut reader = Reader::new(unknown);
    while let Some((number, value)) = reader.field()? {
        match (number, value) {
            (1, Wire::Bytes(type_meta)) => (api_version, kind) = type_of(type_meta)?,
            (2, Wire::Bytes(bytes)) => raw = bytes,
            (3, Wire::Bytes(b"")) => {}
            (3, Wire::Bytes(encoding)) => {
                let encoding = String::from_utf8_lossy(encoding);
                return Err(Error::Unsupported(format!(
                    "the object is encoded as {encoding:?}, which is not read"
                )));
            }
            // Go's encoder leaves this empty for the encoding of the envelope.
            (4, Wire::Bytes(media_type))
                if media_type.is_empty() || media_type == MEDIA_TYPE.as_bytes() => {}
            (4, Wire::Bytes(media_type)) => {
                let media_type = String::from_utf8_lossy(media_type);
                return Err(Error::Unsupported(format!(
                    "the object inside the protobuf envelope is {media_type:?}, which is not read"
                )));
            }
            _ => return Err(decode::unknown(number, value, "runtime.Unknown")),
        }
    }
    let message = tables::find(api_version, kind).ok_or_else(|| {
        Error::Unsupported(format!(
            "{kind:?} of {api_version:?} is not read from protobuf"
        ))
    })?;
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    decode::message(message, raw, &mut object)?;
    Ok(Value::Object(object))
}

fn type_of(bytes: &[u8]) -> Result<(&str, &str), Error> {
    let (mut api_version, mut kind) = ("", "");
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.field()? {
        match (number, value) {
            (1, Wire::Bytes(bytes)) => api_version = decode::text(bytes)?,
            (2, Wire::Bytes(bytes)) => kind = decode::text(bytes)?,
            _ => return Err(decode::unknown(number, value, "runtime.TypeMeta")),
        }
    }
    Ok((api_version, kind))
}
