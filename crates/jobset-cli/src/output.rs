//! Writing results to standard output.

use std::io::{self, Write};

use serde::Serialize;

/// Writes a text. That nobody reads any more, such as `head`, is no error, and `false`.
pub(crate) fn text(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes a value as one JSON document for people and programs.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut document = serde_json::to_string_pretty(value)?;
    document.push('\n');
    text(&document)?;
    Ok(())
}

/// Writes a value as JSON in one line; `false` as of [`text`].
pub(crate) fn json_line(value: &impl Serialize) -> anyhow::Result<bool> {
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    Ok(text(&line)?)
}
