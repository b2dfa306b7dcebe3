//! Reading request bodies.

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use super::protobuf;
use crate::status::Status;

/// The largest body that is read, in bytes; etcd's default in Kubernetes is similar.
pub(crate) const LIMIT: usize = 3 << 20;

/// Reads a whole body.
pub(crate) async fn read(body: Body) -> Result<Bytes, Status> {
    match Limited::new(body, LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Status::too_large(LIMIT)),
        Err(error) => Err(Status::bad_request(format!(
            "reading the body failed: {error}"
        ))),
    }
}

/// The media type of a body without its parameters; JSON if the client does not say.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let value = value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if value.is_empty() {
        "application/json".to_owned()
    } else {
        value
    }
}

/// Parses a body that must be JSON.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(bytes).map_err(|error| {
        Status::bad_request(format!(
            "the object provided is unrecognized: invalid JSON: {error}"
        ))
    })
}

/// Parses a body that may be YAML. Most of those are JSON, which is read faster.
pub(crate) fn parse_yaml(bytes: &[u8]) -> Result<Value, Status> {
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Status::bad_request("the body is neither JSON nor text"))?;
    serde_saphyr::from_str(text)
        .map_err(|error| Status::bad_request(format!("the body is not valid YAML: {error}")))
}

/// Parses a body in Kubernetes' protobuf encoding.
pub(crate) fn parse_protobuf(bytes: &[u8]) -> Result<Value, Status> {
    protobuf::object(bytes).map_err(|error| match error {
        protobuf::Error::Unsupported(what) => Status::unsupported_media_type(
            &format!("{}: {what}", protobuf::MEDIA_TYPE),
            "application/json, application/yaml",
        ),
        error @ protobuf::Error::Malformed { .. } => Status::bad_request(format!(
            "the object provided is unrecognized: invalid protobuf: {error}"
        )),
    })
}

/// Parses the body of a create or a replace.
pub(crate) fn object(headers: &HeaderMap, bytes: &[u8]) -> Result<Value, Status> {
    let value = match media_type(headers).as_str() {
        "application/json" => parse(bytes)?,
        "application/yaml" => parse_yaml(bytes)?,
        protobuf::MEDIA_TYPE => parse_protobuf(bytes)?,
        other => {
            return Err(Status::unsupported_media_type(
                other,
                "application/json, application/yaml, application/vnd.kubernetes.protobuf",
            ));
        }
    };
    if value.is_object() {
        Ok(value)
    } else {
        Err(Status::bad_request("the body must be a JSON object"))
    }
}
