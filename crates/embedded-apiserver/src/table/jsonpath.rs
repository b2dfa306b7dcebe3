//! The part of JSONPath that printer columns use: fields, indices, wildcards and filters that
//! compare a field with a constant, such as `.status.conditions[?(@.type=="Ready")].status`.

use serde_json::Value;

/// Why a path cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSONPath {path:?}: {why}")]
pub struct JsonPathError {
    path: String,
    why: &'static str,
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    Where {
        path: JsonPath,
        test: Option<(Comparison, Value)>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const COMPARISONS: &[(&str, Comparison)] = &[
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl JsonPath {
    /// Parses a path, with or without braces and `$`.
    ///
    /// # Errors
    /// When brackets or quotes do not match, or a step is none of those known.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        let inner = text.trim();
        let inner = inner
            .strip_prefix('{')
            .and_then(|t| t.strip_suffix('}'))
            .unwrap_or(inner);
        let inner = inner.strip_prefix('$').unwrap_or(inner);
        let steps = steps(inner);
        steps.map(Self).map_err(|why| JsonPathError {
            path: text.to_owned(),
            why,
        })
    }

    /// Every value the path leads to.
    pub fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![object];
        for step in &self.0 {
            let mut next = Vec::new();
            for value in found {
                step.apply(value, &mut next);
            }
            found = next;
        }
        found
    }
}

fn steps(text: &str) -> Result<Vec<Step>, &'static str> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let end = closing(after).ok_or("unterminated bracket")?;
            steps.push(bracket(after[..end].trim())?);
            rest = &after[end + 1..];
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if rest.starts_with('[') {
            continue;
        }
        let mut name = String::new();
        let mut chars = rest.char_indices();
        let mut end = rest.len();
        while let Some((index, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, escaped)) => name.push(escaped),
                    None => return Err("nothing after a backslash"),
                },
                '.' | '[' => {
                    end = index;
                    break;
                }
                other => name.push(other),
            }
        }
        rest = &rest[end..];
        match name.as_str() {
            "" if rest.is_empty() && steps.is_empty() => {}
            "" => return Err("a step without a name"),
            "*" => steps.push(Step::All),
            _ => steps.push(Step::Field(name)),
        }
    }
    Ok(steps)
}

/// Where the bracket that was opened before `text` closes, quotes and nested brackets aside.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0, None, false);
    for (index, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(index),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Result<Step, &'static str> {
    if text == "*" {
        return Ok(Step::All);
    }
    if let Some(name) = unquote(text) {
        return Ok(Step::Field(name));
    }
    if let Some(filter) = text.strip_prefix("?(").and_then(|t| t.strip_suffix(')')) {
        for &(operator, comparison) in COMPARISONS {
            if let Some((left, right)) = filter.split_once(operator) {
                let path = relative(left)?;
                let test = Some((comparison, constant(right.trim())?));
                return Ok(Step::Where { path, test });
            }
        }
        return Ok(Step::Where {
            path: relative(filter)?,
            test: None,
        });
    }
    text.parse()
        .map(Step::Index)
        .map_err(|_| "neither an index, a name nor a filter")
}

fn relative(text: &str) -> Result<JsonPath, &'static str> {
    let text = text
        .trim()
        .strip_prefix('@')
        .ok_or("a filter must begin with @")?;
    steps(text).map(JsonPath)
}

fn constant(text: &str) -> Result<Value, &'static str> {
    match unquote(text) {
        Some(text) => Ok(Value::String(text)),
        None => serde_json::from_str(text).map_err(|_| "a filter must compare with a constant"),
    }
}

fn unquote(text: &str) -> Option<String> {
    let inner = ['"', '\''].iter().find_map(|&quote| {
        text.strip_prefix(quote)
            .and_then(|text| text.strip_suffix(quote))
    })?;
    let mut result = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        result.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Some(result)
}

impl Step {
    fn apply<'a>(&self, value: &'a Value, found: &mut Vec<&'a Value>) {
        match (self, value) {
            (Self::Field(name), Value::Object(map)) => found.extend(map.get(name)),
            (Self::Index(index), Value::Array(list)) => {
                let at = if *index < 0 {
                    *index + list.len() as i64
                } else {
                    *index
                };
                found.extend(usize::try_from(at).ok().and_then(|at| list.get(at)));
            }
            (Self::All, Value::Array(list)) => found.extend(list),
            (Self::All, Value::Object(map)) => found.extend(map.values()),
            (Self::Where { path, test }, Value::Array(list)) => {
                found.extend(list.iter().filter(|item| {
                    let hits = path.find(item);
                    match test {
                        None => !hits.is_empty(),
                        Some((comparison, constant)) => {
                            hits.iter().any(|hit| comparison.holds(hit, constant))
                        }
                    }
                }));
            }
            _ => {}
        }
    }
}

impl Comparison {
    fn holds(self, left: &Value, right: &Value) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let order = match (left, right) {
            (Value::Number(left), Value::Number(right)) => {
                left.as_f64().partial_cmp(&right.as_f64())
            }
            (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            _ => (left == right).then_some(Equal),
        };
        match self {
            Self::Equal => order == Some(Equal),
            Self::NotEqual => order != Some(Equal),
            Self::Less => order == Some(Less),
            Self::LessOrEqual => matches!(order, Some(Less | Equal)),
            Self::Greater => order == Some(Greater),
            Self::GreaterOrEqual => matches!(order, Some(Greater | Equal)),
        }
    }
}
