//! Selectors: conjunctions of requirements on labels or fields.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
enum Requirement {
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Exists(String),
    Missing(String),
}

/// A label selector.
#[derive(Clone, Debug)]
pub(crate) struct LabelSelector(Vec<Requirement>);

impl LabelSelector {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        let mut parts = Vec::new();
        let (mut depth, mut current) = (0, String::new());
        for c in text.chars() {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                ',' if depth == 0 => {
                    parts.push(std::mem::take(&mut current));
                    continue;
                }
                _ => {}
            }
            current.push(c);
        }
        parts.push(current);
        for part in parts {
            let part = part.trim();
            let one = |value: &str| BTreeSet::from([value.trim().to_owned()]);
            if part.is_empty() {
                continue;
            }
            if let Some((key, value)) = part.split_once("!=") {
                requirements.push(Requirement::NotIn(key.trim().to_owned(), one(value)));
            } else if let Some((key, value)) =
                part.split_once("==").or_else(|| part.split_once('='))
            {
                requirements.push(Requirement::In(key.trim().to_owned(), one(value)));
            } else if let Some((head, set)) = part.split_once('(') {
                let set = set.strip_suffix(')').ok_or("expected ')'")?;
                let set = set.split(',').map(|v| v.trim().to_owned()).collect();
                match head.split_whitespace().collect::<Vec<_>>().as_slice() {
                    [key, "in"] => requirements.push(Requirement::In((*key).to_owned(), set)),
                    [key, "notin"] => requirements.push(Requirement::NotIn((*key).to_owned(), set)),
                    _ => return Err(format!("unknown operator in {part:?}")),
                }
            } else if let Some(key) = part.strip_prefix('!') {
                requirements.push(Requirement::Missing(key.trim().to_owned()));
            } else if part.contains(char::is_whitespace) {
                return Err(format!("unexpected text in {part:?}"));
            } else {
                requirements.push(Requirement::Exists(part.to_owned()));
            }
        }
        Ok(Self(requirements))
    }

    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, set) => labels.get(key).is_some_and(|value| set.contains(value)),
            Requirement::NotIn(key, set) => {
                labels.get(key).is_none_or(|value| !set.contains(value))
            }
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::Missing(key) => !labels.contains_key(key),
        })
    }
}

/// A field selector.
#[derive(Clone, Debug)]
pub(crate) struct FieldSelector(Vec<(String, bool, String)>);

impl FieldSelector {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (path, equal, value) = if let Some((path, value)) = part.split_once("!=") {
                (path, false, value)
            } else if let Some((path, value)) =
                part.split_once("==").or_else(|| part.split_once('='))
            {
                (path, true, value)
            } else {
                return Err(format!("invalid selector: {part:?}; can't understand it"));
            };
            terms.push((path.to_owned(), equal, value.to_owned()));
        }
        Ok(Self(terms))
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(path, ..)| path.as_str())
    }

    pub(crate) fn matches(&self, get: impl Fn(&str) -> String) -> bool {
        self.0
            .iter()
            .all(|(path, equal, value)| (get(path) == *value) == *equal)
    }
}
