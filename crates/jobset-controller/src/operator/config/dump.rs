//! The configuration in force, as YAML for the log.

use std::fmt::Write as _;

use serde_json::Value;

use super::{API_VERSION, Configuration, KIND};

/// The configuration as YAML with sorted keys.
pub(crate) fn dump(configuration: &Configuration) -> String {
    // Strings, numbers and maps by string: it always serialises.
    let mut value = serde_json::to_value(configuration).unwrap_or_default();
    value["apiVersion"] = API_VERSION.into();
    value["kind"] = KIND.into();
    let mut text = String::new();
    write(&value, 0, &mut text);
    text
}

fn write(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            for (key, value) in entries {
                // Writing to a String cannot fail.
                let _ = write!(text, "{indent}{key}:");
                child(value, depth, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                let _ = write!(text, "{indent}-");
                child(item, depth, text);
            }
        }
        scalar => {
            let _ = writeln!(text, "{indent}{}", plain(scalar));
        }
    }
}

fn child(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(map) if map.is_empty() => text.push_str(" {}\n"),
        Value::Array(items) if items.is_empty() => text.push_str(" []\n"),
        Value::Object(_) => {
            text.push('\n');
            write(value, depth + 1, text);
        }
        Value::Array(_) => {
            text.push('\n');
            write(value, depth, text);
        }
        scalar => {
            let _ = writeln!(text, " {}", plain(scalar));
        }
    }
}

/// Numbers without a needless fraction; strings quoted unless they cannot be misread.
fn plain(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => format!("{float:.0}"),
            _ => number.to_string(),
        },
        Value::String(string) if is_plain(string) => string.clone(),
        other => other.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-._/:".contains(c);
    let word = [
        "true", "false", "null", "yes", "no", "on", "off", "y", "n", "~",
    ]
    .contains(&text.to_ascii_lowercase().as_str());
    !text.is_empty()
        && text.chars().all(safe)
        && !word
        && !text.starts_with('-')
        && !text.ends_with(':')
        && text.chars().any(|c| c.is_ascii_alphabetic() || c == ':')
        && !text.starts_with(|c: char| c.is_ascii_digit() && text.parse::<f64>().is_ok())
}
