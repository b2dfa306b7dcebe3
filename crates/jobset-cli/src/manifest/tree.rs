//! YAML documents with the place of every value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

use super::Problem;
use super::source::Source;

/// A YAML value whose parts know where they stand.
#[derive(Debug)]
pub(super) enum Tree {
    Scalar(Value),
    Sequence(Vec<Spanned<Tree>>),
    Mapping(Vec<(String, Spanned<Tree>)>),
}

impl Tree {
    /// The value as JSON.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Scalar(value) => value.clone(),
            Self::Sequence(items) => items.iter().map(|item| item.value.to_json()).collect(),
            Self::Mapping(fields) => fields
                .iter()
                .map(|(key, field)| (key.clone(), field.value.to_json()))
                .collect::<Map<_, _>>()
                .into(),
        }
    }
}

/// Line and column.
pub(super) type Place = (u64, u64);

/// Where a node stands.
pub(super) fn place(node: &Spanned<Tree>) -> Option<Place> {
    let (line, column) = (node.referenced.line(), node.referenced.column());
    (line > 0).then_some((line, column))
}

/// Where a field path such as `spec.replicatedJobs[0].name` points to; if the field is missing,
/// its nearest parent that is there.
pub(super) fn find(root: &Spanned<Tree>, path: &str) -> Option<Place> {
    let mut node = root;
    let mut rest = path;
    while !rest.is_empty() {
        rest = rest.trim_start_matches('.');
        let next = match (&node.value, rest.strip_prefix('[')) {
            (Tree::Sequence(items), Some(tail)) => {
                tail.split_once(']').and_then(|(index, tail)| {
                    rest = tail;
                    items.get(index.parse::<usize>().ok()?)
                })
            }
            // Keys may contain dots: the longest that fits is meant.
            (Tree::Mapping(fields), None) => fields
                .iter()
                .filter(|(key, _)| {
                    rest.strip_prefix(key.as_str())
                        .is_some_and(|tail| tail.is_empty() || tail.starts_with(['.', '[']))
                })
                .max_by_key(|(key, _)| key.len())
                .map(|(key, field)| {
                    rest = &rest[key.len()..];
                    field
                }),
            _ => None,
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    place(node)
}

/// Splits a source into its documents. Empty documents are left out.
pub(super) fn parse(source: &Source) -> Result<Vec<Spanned<Tree>>, Box<Problem>> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(&source.text, options).map_err(|error| {
        let place = error
            .location()
            .map(|location| (location.line(), location.column()))
            .filter(|(line, _)| *line > 0);
        let text = error.without_snippet().to_string();
        let text = text.lines().next().unwrap_or_default();
        // The place stands in front already; the hint is for callers of the library.
        let text = text.split(" at line ").next().unwrap_or_default();
        let text = text
            .split(", set DuplicateKeyPolicy")
            .next()
            .unwrap_or_default();
        Box::new(Problem {
            file: source.name.clone(),
            place,
            document: place
                .map(|(line, _)| format!("document {}", document_at(&source.text, line))),
            message: format!("is not valid YAML: {text}{}", hint(text)),
            ..Problem::default()
        })
    })
}

/// What to look at, for errors whose words are those of the grammar. Most of them come from a line that is
/// indented otherwise than its neighbours.
fn hint(text: &str) -> &'static str {
    // The key that is there twice may be called anything.
    if text.starts_with("duplicate") {
        ""
    } else if text
        .split_whitespace()
        .any(|word| word.trim_matches([',', ';', '.']) == "tab" || word == "tabs")
    {
        "; YAML is indented with spaces, not with tabs"
    } else if ["did not find expected", "not allowed in this context"]
        .iter()
        .any(|words| text.contains(words))
    {
        "; look at the indentation of this line and of the one before"
    } else {
        ""
    }
}

/// The documents before the one that a line belongs to, at the places they have in the source.
pub(super) fn before(source: &Source, line: u64) -> Option<Source> {
    let upto = usize::try_from(line).unwrap_or(usize::MAX);
    let mut end = None;
    let mut start = 0;
    for line in source.text.split_inclusive('\n').take(upto) {
        let text = line.trim_end();
        if text == "---" || text.starts_with("--- ") {
            end = Some(start);
        }
        start += line.len();
    }
    Some(Source {
        name: source.name.clone(),
        text: source.text[..end?].to_owned(),
    })
}

/// The number of the document that a line belongs to.
fn document_at(text: &str, line: u64) -> usize {
    let upto = usize::try_from(line).unwrap_or(usize::MAX);
    let mut count = 1;
    let mut content = false;
    for line in text.lines().take(upto) {
        if line == "---" || line.starts_with("--- ") {
            if content {
                count += 1;
            }
            content = false;
        } else if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            content = true;
        }
    }
    count
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(
            Number::from_f64(value).map_or(Value::Null, Value::Number),
        ))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Tree::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = access.next_entry()? {
            fields.push(field);
        }
        Ok(Tree::Mapping(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Spanned<Tree>>, Box<Problem>> {
        parse(&Source {
            name: "x.yaml".to_owned(),
            text: text.to_owned(),
        })
    }

    #[test]
    fn every_value_knows_its_place() {
        let trees = parsed("a: 1\nb:\n- x\n- c.d: [true]\n---\nsecond: yes\n").unwrap();
        assert_eq!(trees.len(), 2);
        assert_eq!(
            trees[0].value.to_json(),
            serde_json::json!({"a": 1, "b": ["x", {"c.d": [true]}]})
        );
        assert_eq!(find(&trees[0], "a"), Some((1, 4)));
        assert_eq!(find(&trees[0], "b[1].c.d[0]"), Some((4, 9)));
        assert_eq!(find(&trees[0], "b[1].missing.more"), Some((4, 3)));
        assert_eq!(
            trees[1].value.to_json(),
            serde_json::json!({"second": "yes"})
        );
        assert_eq!(find(&trees[1], "second"), Some((6, 9)));
    }

    #[test]
    fn what_is_before_a_broken_document_is_found() {
        let source = Source {
            name: "f.yaml".into(),
            text: "a: 1\n---\nb: |\n  ---\n  x\n--- \nc: [\n".into(),
        };
        for (line, expected) in [
            (1, None),
            (3, Some("a: 1\n")),
            (5, Some("a: 1\n")),
            (7, Some("a: 1\n---\nb: |\n  ---\n  x\n")),
            (99, Some("a: 1\n---\nb: |\n  ---\n  x\n")),
        ] {
            let found = before(&source, line).map(|source| source.text);
            assert_eq!(found.as_deref(), expected, "line {line}");
        }
    }

    #[test]
    fn bad_yaml_is_placed() {
        let problem = parsed("a: 1\n---\nb:\n  - x\n c: 2\n").unwrap_err();
        assert_eq!(problem.place.map(|(line, _)| line), Some(5), "{problem}");
        assert!(problem.to_string().contains("document 2"), "{problem}");
        let indentation = "look at the indentation of this line";
        assert!(problem.message.contains(indentation), "{problem}");
        let problem = parsed("a:\n  b: 1\n   c: 2\n").unwrap_err();
        assert!(problem.message.contains(indentation), "{problem}");
        let problem = parsed("a:\n\tb: 1\n").unwrap_err();
        assert!(problem.message.contains("not with tabs"), "{problem}");
        let problem = parsed("tab: 1\ntab: 2\n").unwrap_err();
        assert!(!problem.message.contains(';'), "{problem}");
        let problem = parsed("a: 1\na: 2\n").unwrap_err();
        assert!(problem.message.contains("duplicate"), "{problem}");
        assert!(parsed("[[[[[[").is_err());
        assert!(parsed(&"[".repeat(100_000)).is_err());
        assert!(parsed("").unwrap().is_empty());
    }
}
