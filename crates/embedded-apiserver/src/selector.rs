//! Selectors: conjunctions of requirements on labels or fields.
//!
//! Both parse the text of a query parameter and print it back in a form that parses to the same
//! selector.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

/// Why a selector cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

fn error<T>(message: impl Into<String>) -> Result<T, SelectorError> {
    Err(SelectorError(message.into()))
}

/// What a requirement asks of the value under its key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    Missing,
    Greater(i64),
    Less(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

impl Requirement {
    fn holds(&self, value: Option<&str>) -> bool {
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::Missing => value.is_none(),
            Test::Greater(bound) => number(value).is_some_and(|value| value > *bound),
            Test::Less(bound) => number(value).is_some_and(|value| value < *bound),
        }
    }
}

fn number(value: Option<&str>) -> Option<i64> {
    value.and_then(|value| value.parse().ok())
}

/// A label selector such as `app=web,tier in (front,back),!canary`. Empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

impl LabelSelector {
    /// Reads the text of a `labelSelector` parameter.
    ///
    /// # Errors
    /// When the text is no selector, or a key or value can be no label's.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut tokens = Tokens { rest: text };
        let mut requirements = Vec::new();
        if tokens.peek() == Token::End {
            return Ok(Self::default());
        }
        loop {
            requirements.push(requirement(&mut tokens)?);
            match tokens.next() {
                Token::End => return Ok(Self(requirements)),
                Token::Comma => {}
                other => return error(format!("found '{other}', expected: ',' or the end")),
            }
        }
    }

    /// From the structured form: `matchLabels` and `matchExpressions`.
    ///
    /// # Errors
    /// When an expression has an unknown operator or values that do not fit it.
    pub fn from_value(selector: &Value) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement {
                key: key.clone(),
                test: Test::In(BTreeSet::from([value])),
            });
        }
        for expression in selector["matchExpressions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let key = expression["key"].as_str().unwrap_or_default().to_owned();
            let values: BTreeSet<String> = expression["values"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect();
            let operator = expression["operator"].as_str().unwrap_or_default();
            let test = match (operator, values.is_empty()) {
                ("In", false) => Test::In(values),
                ("NotIn", false) => Test::NotIn(values),
                ("Exists", true) => Test::Exists,
                ("DoesNotExist", true) => Test::Missing,
                ("In" | "NotIn", true) => {
                    return error(format!("operator {operator} needs at least one value"));
                }
                ("Exists" | "DoesNotExist", false) => {
                    return error(format!("operator {operator} takes no values"));
                }
                _ => {
                    return error(format!(
                        "{operator:?} is not a valid label selector operator"
                    ));
                }
            };
            requirements.push(Requirement { key, test });
        }
        Ok(Self(requirements))
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether labels satisfy every requirement.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_by(|key| labels.get(key).map(String::as_str))
    }

    /// Whether labels, looked up by a function, satisfy every requirement.
    pub fn matches_by<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0
            .iter()
            .all(|requirement| requirement.holds(label(&requirement.key)))
    }

    /// Whether the labels in an object's metadata satisfy every requirement.
    pub fn matches_object(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.matches_by(|key| labels.get(key).and_then(Value::as_str))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Comma,
    Open,
    Close,
    Equal,
    NotEqual,
    Bang,
    Greater,
    Less,
    End,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Token::Word(word) => word,
            Token::Comma => ",",
            Token::Open => "(",
            Token::Close => ")",
            Token::Equal => "=",
            Token::NotEqual => "!=",
            Token::Bang => "!",
            Token::Greater => ">",
            Token::Less => "<",
            Token::End => "",
        })
    }
}

struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    fn peek(&self) -> Token<'a> {
        Tokens { rest: self.rest }.next()
    }

    fn next(&mut self) -> Token<'a> {
        self.rest = self.rest.trim_start();
        const SYMBOLS: &[(&str, Token<'static>)] = &[
            ("!=", Token::NotEqual),
            ("==", Token::Equal),
            ("=", Token::Equal),
            ("!", Token::Bang),
            (">", Token::Greater),
            ("<", Token::Less),
            (",", Token::Comma),
            ("(", Token::Open),
            (")", Token::Close),
        ];
        if self.rest.is_empty() {
            return Token::End;
        }
        for &(text, token) in SYMBOLS {
            if let Some(rest) = self.rest.strip_prefix(text) {
                self.rest = rest;
                return token;
            }
        }
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || "=!,()<>".contains(c))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Token::Word(word)
    }
}

fn requirement(tokens: &mut Tokens<'_>) -> Result<Requirement, SelectorError> {
    let mut missing = false;
    let key = loop {
        match tokens.next() {
            Token::Bang if !missing => missing = true,
            Token::Word(word) => break word,
            other => return error(format!("found '{other}', expected: !, identifier")),
        }
    };
    check_key(key)?;
    let test = match tokens.peek() {
        Token::Comma | Token::End => {
            if missing {
                Test::Missing
            } else {
                Test::Exists
            }
        }
        other if missing => return error(format!("found '{other}', expected: ',' or the end")),
        Token::Equal => {
            tokens.next();
            Test::In(BTreeSet::from([value(tokens)?]))
        }
        Token::NotEqual => {
            tokens.next();
            Test::NotIn(BTreeSet::from([value(tokens)?]))
        }
        Token::Greater => {
            tokens.next();
            Test::Greater(bound(tokens)?)
        }
        Token::Less => {
            tokens.next();
            Test::Less(bound(tokens)?)
        }
        Token::Word("in") => {
            tokens.next();
            Test::In(values(tokens)?)
        }
        Token::Word("notin") => {
            tokens.next();
            Test::NotIn(values(tokens)?)
        }
        other => {
            return error(format!(
                "found '{other}', expected: in, notin, =, ==, !=, gt, lt"
            ));
        }
    };
    Ok(Requirement {
        key: key.to_owned(),
        test,
    })
}

/// A value, which may be empty and may be any word, `in` too.
fn value(tokens: &mut Tokens<'_>) -> Result<String, SelectorError> {
    match tokens.peek() {
        Token::Word(word) => {
            tokens.next();
            check_value(word)?;
            Ok(word.to_owned())
        }
        Token::Comma | Token::End | Token::Close => Ok(String::new()),
        other => error(format!("found '{other}', expected: identifier")),
    }
}

fn bound(tokens: &mut Tokens<'_>) -> Result<i64, SelectorError> {
    let text = value(tokens)?;
    text.parse().or_else(|_| {
        error(format!(
            "for 'Gt', 'Lt' operators, the value must be an integer, not {text:?}"
        ))
    })
}

fn values(tokens: &mut Tokens<'_>) -> Result<BTreeSet<String>, SelectorError> {
    match tokens.next() {
        Token::Open => {}
        other => return error(format!("found '{other}', expected: '('")),
    }
    let mut values = BTreeSet::new();
    loop {
        values.insert(value(tokens)?);
        match tokens.next() {
            Token::Comma => {}
            Token::Close => return Ok(values),
            other => return error(format!("found '{other}', expected: ',' or ')'")),
        }
    }
}

/// The name part of a label key, or a label value: at most 63 characters, alphanumeric at both
/// ends, with `-`, `_` and `.` between.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn check_key(key: &str) -> Result<(), SelectorError> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let prefix_fits = prefix.is_none_or(|prefix| {
        prefix.len() <= 253
            && prefix.split('.').all(|label| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            })
    });
    if prefix_fits && is_name(name) {
        Ok(())
    } else {
        error(format!(
            "key: Invalid value: {key:?}: must be a qualified name"
        ))
    }
}

fn check_value(value: &str) -> Result<(), SelectorError> {
    if value.is_empty() || is_name(value) {
        Ok(())
    } else {
        error(format!(
            "values: Invalid value: {value:?}: must be a label value"
        ))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { key, test }) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let join = |values: &BTreeSet<String>| {
                values
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(",")
            };
            match test {
                Test::In(values) if values.len() == 1 => write!(f, "{key}={}", join(values))?,
                Test::In(values) => write!(f, "{key} in ({})", join(values))?,
                Test::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", join(values))?,
                Test::NotIn(values) => write!(f, "{key} notin ({})", join(values))?,
                Test::Exists => f.write_str(key)?,
                Test::Missing => write!(f, "!{key}")?,
                Test::Greater(bound) => write!(f, "{key}>{bound}")?,
                Test::Less(bound) => write!(f, "{key}<{bound}")?,
            }
        }
        Ok(())
    }
}

/// A field selector such as `metadata.name=a,status.phase!=Running`. Empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<FieldTest>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldTest {
    path: String,
    value: String,
    equal: bool,
}

impl FieldSelector {
    /// Reads the text of a `fieldSelector` parameter. A backslash takes the special meaning from
    /// `\`, `,` and `=` in a value.
    ///
    /// # Errors
    /// When a term is no comparison, or a value has a bad escape.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut tests = Vec::new();
        for term in split_unescaped(text) {
            if term.is_empty() {
                continue;
            }
            let Some((path, operator, value)) = split_term(term) else {
                return error(format!(
                    "invalid selector: '{text}'; can't understand '{term}'"
                ));
            };
            tests.push(FieldTest {
                path: path.to_owned(),
                value: unescape(value)?,
                equal: operator != "!=",
            });
        }
        Ok(Self(tests))
    }

    /// The field paths this selector asks for.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|test| test.path.as_str())
    }

    /// Whether fields, looked up by path, satisfy every requirement. A field without a value is
    /// the empty string.
    pub fn matches(&self, field: impl Fn(&str) -> String) -> bool {
        self.0
            .iter()
            .all(|test| (field(&test.path) == test.value) == test.equal)
    }

    /// The value an object's field must have to match, if the selector demands one.
    pub fn required(&self, path: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|test| test.equal && test.path == path)
            .map(|test| test.value.as_str())
    }
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, c) in text.char_indices() {
        match c {
            '\\' => escaped = !escaped,
            ',' if !escaped => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => escaped = false,
        }
    }
    parts.push(&text[start..]);
    parts
}

fn split_term(term: &str) -> Option<(&str, &'static str, &str)> {
    let at = term.find(['!', '='])?;
    let (path, rest) = term.split_at(at);
    ["!=", "==", "="].iter().find_map(|&operator| {
        rest.strip_prefix(operator)
            .map(|value| (path, operator, value))
    })
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut result = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => result.push(next),
                _ => {
                    return error(format!(
                        "invalid field selector: invalid escape in {value:?}"
                    ));
                }
            },
            ',' | '=' => {
                return error(format!(
                    "invalid field selector: unescaped '{c}' in {value:?}"
                ));
            }
            other => result.push(other),
        }
    }
    Ok(result)
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, test) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let operator = if test.equal { "=" } else { "!=" };
            write!(f, "{}{operator}", test.path)?;
            for c in test.value.chars() {
                if matches!(c, '\\' | ',' | '=') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
