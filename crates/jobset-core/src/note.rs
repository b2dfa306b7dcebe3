//! Texts of events: bounded, verbatim, and the first things first.

use std::fmt::Write as _;

/// The API server refuses events whose note is longer than this many bytes.
pub const MAX_BYTES: usize = jobset_api::constants::events::MAX_NOTE_LENGTH;

/// Room that is kept for "… and N more" after the errors that fit.
const TAIL: usize = 32;

/// The text as it is, or its beginning and an ellipsis if it is longer than [`MAX_BYTES`].
#[must_use]
pub fn truncated(text: &str) -> String {
    if text.len() <= MAX_BYTES {
        text.to_owned()
    } else {
        cut(text, MAX_BYTES)
    }
}

/// One note for many errors: as many as fit, one a line, then "… and N more". At most
/// [`MAX_BYTES`] bytes. The errors appear verbatim: a `%` in one means nothing.
#[must_use]
pub fn summary<I>(errors: I) -> String
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let errors: Vec<I::Item> = errors.into_iter().collect();
    let total: usize = errors
        .iter()
        .map(|e| e.as_ref().len() + 1)
        .sum::<usize>()
        .saturating_sub(1);
    if total <= MAX_BYTES {
        return errors
            .iter()
            .map(AsRef::as_ref)
            .collect::<Vec<_>>()
            .join("\n");
    }
    let mut note = String::new();
    for (i, error) in errors.iter().enumerate() {
        let error = error.as_ref();
        let room = MAX_BYTES - TAIL - note.len();
        if error.len() + 1 > room {
            if i == 0 {
                note = cut(error, MAX_BYTES - TAIL - 1);
                note.push('\n');
                return finish(note, errors.len() - 1);
            }
            return finish(note, errors.len() - i);
        }
        note.push_str(error);
        note.push('\n');
    }
    finish(note, 0)
}

/// The line about one Job that could not be created.
#[must_use]
pub fn job_creation_failed(name: &str, error: &str) -> String {
    format!("job \"{name}\" creation failed with error: {error}")
}

fn finish(mut note: String, rest: usize) -> String {
    if rest == 0 {
        note.pop();
    } else {
        let _ = write!(note, "… and {rest} more");
    }
    note
}

/// The longest beginning of `text` that, with an ellipsis, fits into `max` bytes.
fn cut(text: &str, max: usize) -> String {
    const ELLIPSIS: &str = "…";
    let mut end = max.saturating_sub(ELLIPSIS.len()).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ELLIPSIS}", &text[..end])
}

#[cfg(test)]
mod tests;
