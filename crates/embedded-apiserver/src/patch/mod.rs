//! Patches: three ways to say what should be different.
//!
//! Pure functions from an old object and a patch to a new object. Whether a kind takes a kind of
//! patch is decided by the caller (custom resources take no strategic merge patch).

mod order;
mod strategic;

pub use strategic::strategic_merge;

use serde_json::Value;

/// Why a patch cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself is malformed; a 400 in HTTP.
    #[error("{0}")]
    Malformed(String),
    /// The patch is well-formed and does not fit the object; a 422 in HTTP.
    #[error("{0}")]
    DoesNotApply(String),
}

/// Applies a JSON patch (RFC 6902), all or nothing.
pub fn json_patch(original: &Value, patch: &Value) -> Result<Value, PatchError> {
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| PatchError::Malformed(format!("invalid JSON patch: {error}")))?;
    let mut result = original.clone();
    json_patch::patch(&mut result, &patch).map_err(|error| {
        PatchError::DoesNotApply(format!(
            "the server rejected our request due to an error in our request: {error}"
        ))
    })?;
    Ok(result)
}

/// Applies a JSON merge patch (RFC 7396). The patch must be an object.
pub fn merge_patch(original: &Value, patch: &Value) -> Result<Value, PatchError> {
    if !patch.is_object() {
        return Err(PatchError::Malformed(
            "the patch must be a JSON object".to_owned(),
        ));
    }
    let mut result = original.clone();
    json_patch::merge(&mut result, patch);
    Ok(result)
}

#[cfg(test)]
pub(crate) mod tests;
