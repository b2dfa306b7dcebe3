//! `spec.successPolicy`: when some succeeded indexes are enough.

use k8s_openapi::api::batch::v1::SuccessPolicy;

use super::indexes::IndexSet;

/// The message of the first rule that `succeeded` meets, out of `completions` indexes.
pub fn met(
    policy: Option<&SuccessPolicy>,
    succeeded: &IndexSet,
    completions: u32,
) -> Option<String> {
    if succeeded.is_empty() {
        return None;
    }
    let position = policy?.rules.iter().position(|rule| {
        let enough = |count: u32| {
            rule.succeeded_count
                .is_some_and(|n| i64::from(count) >= n.into())
        };
        match &rule.succeeded_indexes {
            Some(text) => {
                let wanted = IndexSet::parse(text, completions);
                let got = wanted.overlap(succeeded);
                !wanted.is_empty() && (got == wanted.len() || enough(got))
            }
            None => enough(succeeded.len()),
        }
    })?;
    Some(format!("Matched rules at index {position}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules() {
        for (rules, succeeded, expected) in [
            (json!([{"succeededIndexes": "0,2"}]), "0-2", Some(0)),
            (json!([{"succeededIndexes": "0,2"}]), "0,1", None),
            (
                json!([{"succeededIndexes": "0-4", "succeededCount": 2}]),
                "3,4",
                Some(0),
            ),
            (
                json!([{"succeededIndexes": "0-4", "succeededCount": 3}]),
                "3,4,7",
                None,
            ),
            (json!([{"succeededCount": 3}]), "1,5,9", Some(0)),
            (
                json!([{"succeededCount": 3}, {"succeededIndexes": "9"}]),
                "9",
                Some(1),
            ),
            (json!([{"succeededIndexes": "x"}]), "9", None),
            (json!([{"succeededIndexes": "20"}]), "9", None),
            (json!([{"succeededCount": 1}]), "", None),
            (json!([]), "1", None),
        ] {
            let policy: SuccessPolicy = serde_json::from_value(json!({ "rules": rules })).unwrap();
            let set = IndexSet::parse(succeeded, 10);
            let message = expected.map(|n: u32| format!("Matched rules at index {n}"));
            assert_eq!(
                met(Some(&policy), &set, 10),
                message,
                "{policy:?} {succeeded}"
            );
        }
        assert_eq!(met(None, &IndexSet::parse("0-9", 10), 10), None);
    }
}
