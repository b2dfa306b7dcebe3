//! Takes out of an answer what no two servers have in common.

use serde_json::{Value, json};

/// The answer with uids, times, versions, addresses and random names replaced, and without the
/// wording of errors: reason, kind, name, fields and codes of an error are compared, its prose and
/// the order of its causes are each server's own.
pub(super) fn form(mut answer: Value) -> Value {
    if answer["body"]["kind"] == "Status"
        && answer["body"]["status"] == "Failure"
        && let Some(body) = answer["body"].as_object_mut()
    {
        body.remove("message");
        let causes = body.get_mut("details").and_then(|d| d.get_mut("causes"));
        if let Some(causes) = causes.and_then(Value::as_array_mut) {
            for cause in causes.iter_mut() {
                cause.as_object_mut().map(|cause| cause.remove("message"));
            }
            // Kubernetes checks the fields of custom resources in another order each time.
            causes.sort_by_cached_key(Value::to_string);
        }
    }
    walk("", &mut answer);
    answer
}

fn walk(key: &str, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("generateName")
                && let Some(Value::String(name)) = fields.get_mut("name")
            {
                name.truncate(name.len().saturating_sub(5));
                name.push_str("<random>");
            }
            for (key, value) in fields {
                walk(key, value);
            }
        }
        Value::Array(items) => {
            for item in items {
                walk(key, item);
            }
        }
        Value::String(text) => {
            if let Some(general) = general(key, text) {
                *value = json!(general);
            }
        }
        _ => {}
    }
}

fn general(key: &str, text: &str) -> Option<&'static str> {
    let is_address = || text.parse::<std::net::IpAddr>().is_ok();
    match key {
        "resourceVersion" => (!text.is_empty()).then_some("<version>"),
        "continue" => (!text.is_empty()).then_some("<continue>"),
        "clusterIP" | "clusterIPs" if is_address() => Some("<address>"),
        _ if is_uuid(text) => Some("<uid>"),
        _ if is_time(text) => Some("<time>"),
        _ => None,
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Seconds, and fractions of them to the digit: how precise a time is matters.
fn is_time(text: &str) -> bool {
    text.len() == 20
        && text.ends_with('Z')
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            10 => byte == b'T',
            13 | 16 => byte == b':',
            19 => true,
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_by_nature_is_replaced() {
        let answer = json!({"body": {
            "metadata": {
                "uid": "0a1b2c3d-0000-4000-8000-0123456789ab", "resourceVersion": "17",
                "creationTimestamp": "2026-01-02T03:04:05Z",
                "generateName": "a-", "name": "a-x7y8z",
            },
            "items": ["2026-01-02T03:04:05.000000Z", "plain"],
        }});
        let expected = json!({"body": {
            "metadata": {
                "uid": "<uid>", "resourceVersion": "<version>", "creationTimestamp": "<time>",
                "generateName": "a-", "name": "a-<random>",
            },
            "items": ["2026-01-02T03:04:05.000000Z", "plain"],
        }});
        assert_eq!(form(answer), expected);
    }
}
