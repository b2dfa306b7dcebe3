use proptest::prelude::*;
use serde_json::json;

use super::*;

fn labels(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[test]
fn label_selectors_match() {
    for (selector, set, expected) in [
        ("", "a=1", true),
        ("a=1", "a=1", true),
        ("a==1", "a=1", true),
        ("a=2", "a=1", false),
        ("a!=2", "a=1", true),
        ("a!=2", "b=1", true),
        ("a in (1, 2)", "a=2", true),
        ("a in (1,2)", "b=2", false),
        ("a notin (1,2)", "b=2", true),
        ("a notin (1,2)", "a=2", false),
        ("a", "a=", true),
        ("a=", "a=", true),
        ("a in ()", "a=", true),
        ("!a", "a=1", false),
        ("!a", "b=1", true),
        ("a>3", "a=4", true),
        ("a<3", "a=4", false),
        ("a>3", "a=x", false),
        ("a=1,b in (x),!c", "a=1,b=x", true),
        ("in in (in)", "in=in", true),
        (
            "jobset.sigs.k8s.io/jobset-name=a",
            "jobset.sigs.k8s.io/jobset-name=a",
            true,
        ),
    ] {
        let parsed = LabelSelector::parse(selector).unwrap();
        assert_eq!(
            parsed.matches(&labels(set)),
            expected,
            "{selector} on {set}"
        );
        assert_eq!(
            LabelSelector::parse(&parsed.to_string()),
            Ok(parsed),
            "{selector}"
        );
    }
}

#[test]
fn bad_label_selectors_are_refused() {
    for text in [
        "a=1 b", "=1", "a in 1", "a in (1", "a,,b", ",", "!a=1", "a>x", "a b", "!!a", "a=b=c",
        "-a=1", "a=?", "x/y/z=1", "/a", "A_/b", "a,",
    ] {
        assert!(LabelSelector::parse(text).is_err(), "{text}");
    }
}

#[test]
fn structured_selectors_are_read() {
    let selector = LabelSelector::from_value(&json!({
        "matchLabels": {"a": "1"},
        "matchExpressions": [
            {"key": "b", "operator": "In", "values": ["x", "y"]},
            {"key": "c", "operator": "DoesNotExist"},
        ],
    }))
    .unwrap();
    assert_eq!(selector.to_string(), "a=1,b in (x,y),!c");
    assert!(selector.matches_object(&json!({"metadata": {"labels": {"a": "1", "b": "y"}}})));
    assert!(LabelSelector::from_value(&json!({"matchExpressions": [{"operator": "In"}]})).is_err());
}

#[test]
fn field_selectors_match() {
    let parsed = FieldSelector::parse("metadata.name=a,status.phase!=Running").unwrap();
    let at = |phase: &'static str| {
        move |path: &str| match path {
            "metadata.name" => "a".to_owned(),
            _ => phase.to_owned(),
        }
    };
    assert!(parsed.matches(at("Pending")));
    assert!(!parsed.matches(at("Running")));
    assert_eq!(parsed.required("metadata.name"), Some("a"));
    assert_eq!(
        parsed.paths().collect::<Vec<_>>(),
        ["metadata.name", "status.phase"]
    );
    let escaped = FieldSelector::parse(r"a=x\,y\=z\\").unwrap();
    assert!(escaped.matches(|_| r"x,y=z\".to_owned()));
    assert_eq!(escaped.to_string(), r"a=x\,y\=z\\");
    for bad in ["a", r"a=\x", "a=b=c"] {
        assert!(FieldSelector::parse(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn parsing_never_panics_and_printing_parses_back(text in "[ab01 =!,()<>innot/.\\\\é-]{0,24}") {
        if let Ok(parsed) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&parsed.to_string()), Ok(parsed));
        }
        if let Ok(parsed) = FieldSelector::parse(&text) {
            prop_assert_eq!(FieldSelector::parse(&parsed.to_string()), Ok(parsed));
        }
    }
}
