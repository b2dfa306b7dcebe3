//! Reading manifest files.

use std::io::Read as _;
use std::path::Path;

use super::Problem;

/// No manifest is larger: the API server of a cluster takes 3 MiB an object.
const LARGEST: u64 = 16 * 1024 * 1024;

/// The text of a file.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
}

/// Reads a file, or standard input for `-`.
pub(super) fn read(path: &Path) -> Result<Source, Box<Problem>> {
    let stdin = path == Path::new("-");
    let name = if stdin {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    };
    let problem = |message: String| {
        Box::new(Problem {
            file: name.clone(),
            message,
            ..Problem::default()
        })
    };
    let mut bytes = Vec::new();
    if stdin {
        std::io::stdin()
            .lock()
            .take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| problem(format!("cannot be read: {error}")))?;
    } else {
        let file = std::fs::File::open(path).map_err(|error| {
            problem(match error.kind() {
                std::io::ErrorKind::NotFound => "no such file".to_owned(),
                _ => format!("cannot be opened: {error}"),
            })
        })?;
        let directory = file.metadata().is_ok_and(|metadata| metadata.is_dir());
        if directory {
            return Err(problem(directory_message(path)));
        }
        file.take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| problem(format!("cannot be read: {error}")))?;
    }
    from_bytes(name, bytes)
}

/// The text of a file, if it may be a manifest at all.
pub(super) fn from_bytes(name: String, bytes: Vec<u8>) -> Result<Source, Box<Problem>> {
    let problem = |message: String| {
        Box::new(Problem {
            file: name.clone(),
            message,
            ..Problem::default()
        })
    };
    if bytes.len() as u64 > LARGEST {
        return Err(problem(format!(
            "is larger than {} MiB; this is not a manifest",
            LARGEST / 1024 / 1024
        )));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        problem(format!(
            "is not a text file: byte {} is not UTF-8",
            error.utf8_error().valid_up_to()
        ))
    })?;
    if let Some(at) =
        text.find(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}'))
    {
        return Err(problem(format!(
            "is not a text file: byte {at} is a control character"
        )));
    }
    Ok(Source { name, text })
}

/// Points to the manifests inside a directory.
fn directory_message(path: &Path) -> String {
    let mut found: Vec<String> = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|e| extension == *e))
        })
        .map(|file| file.display().to_string())
        .collect();
    found.sort();
    found.truncate(5);
    if found.is_empty() {
        "is a directory, not a manifest file".to_owned()
    } else {
        format!(
            "is a directory; name the files in it, for example: jobset run {}",
            found.join(" ")
        )
    }
}
