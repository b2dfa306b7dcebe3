//! Message patterns of failure rules: the syntax and meaning of Go's `regexp` (RE2), run by Rust's
//! `regex`.
//!
//! Both engines are automata with the same core, but their surface differs: here `\d` is ASCII
//! only, `\<` is the character `<`, `\Q…\E` quotes, octal escapes exist, a class has no set
//! operators, and repeats end at 1000. So a pattern is parsed by Go's rules and written anew with
//! nothing but constructs that mean the same in both; what Go refuses is refused.

use std::fmt::Write as _;

use regex::{Regex, RegexBuilder};

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadPattern(pub(crate) String);

/// Compiles a pattern for unanchored search.
pub(crate) fn compile(pattern: &str) -> Result<Regex, BadPattern> {
    let translated = Translator::new(pattern).run()?;
    RegexBuilder::new(&translated)
        .nest_limit(1000)
        .build()
        .map_err(|e| BadPattern(e.to_string()))
}

/// Go's limit on repeat counts, nested ones multiplied.
const MAX_REPEAT: u32 = 1000;

/// What is known about the expression that a repetition operator would apply to.
#[derive(Clone, Copy)]
enum Last {
    /// Nothing: start of the pattern, of a group or of an alternative.
    Nothing,
    /// An expression whose nested repeat counts multiply to this.
    Item(u32),
    /// An expression that already has a repetition operator.
    Repeated,
}

/// A group that is still open.
struct Group {
    /// Largest product of repeat counts inside so far.
    product: u32,
}

struct Translator<'p> {
    rest: &'p str,
    out: String,
    groups: Vec<Group>,
    last: Last,
    names: Vec<&'p str>,
}

fn bad<T>(why: impl Into<String>) -> Result<T, BadPattern> {
    Err(BadPattern(why.into()))
}

impl<'p> Translator<'p> {
    fn new(pattern: &'p str) -> Self {
        Self {
            rest: pattern,
            out: String::with_capacity(pattern.len() + 16),
            groups: vec![Group { product: 1 }],
            last: Last::Nothing,
            names: Vec::new(),
        }
    }

    fn run(mut self) -> Result<String, BadPattern> {
        while let Some(c) = self.rest.chars().next() {
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.take(1);
                    self.out.push('|');
                    self.last = Last::Nothing;
                }
                '*' | '+' | '?' => {
                    self.take(1);
                    self.repeat(&c.to_string(), 1)?;
                }
                '{' => match counted(self.rest) {
                    Some((text, min, max)) => {
                        self.take(text.len());
                        let Some(times) = valid_count(min, max) else {
                            return bad(format!("invalid repeat count: {text}"));
                        };
                        self.repeat(text, times)?;
                    }
                    None => {
                        self.take(1);
                        self.literal('{');
                    }
                },
                '.' | '^' | '$' => {
                    self.take(1);
                    self.out.push(c);
                    self.item(1);
                }
                _ => {
                    self.take(c.len_utf8());
                    self.literal(c);
                }
            }
        }
        if self.groups.len() != 1 {
            return bad("missing closing )");
        }
        Ok(self.out)
    }

    fn take(&mut self, bytes: usize) -> &'p str {
        let (head, tail) = self.rest.split_at(bytes);
        self.rest = tail;
        head
    }

    fn item(&mut self, product: u32) {
        self.last = Last::Item(product);
        if let Some(group) = self.groups.last_mut() {
            group.product = group.product.max(product);
        }
    }

    fn literal(&mut self, c: char) {
        push_literal(&mut self.out, c);
        self.item(1);
    }

    /// Writes a repetition operator that repeats at most `times` (1 for the uncounted ones).
    fn repeat(&mut self, operator: &str, times: u32) -> Result<(), BadPattern> {
        let inner = match self.last {
            Last::Nothing => return bad("missing argument to repetition operator"),
            Last::Repeated => return bad("invalid nested repetition operator"),
            Last::Item(product) => product,
        };
        let product = if times == 0 {
            1
        } else {
            inner.saturating_mul(times)
        };
        if product > MAX_REPEAT {
            return bad("invalid repeat count: nested repeats multiply to more than 1000");
        }
        self.out.push_str(operator);
        if self.rest.starts_with('?') {
            self.take(1);
            self.out.push('?');
        }
        self.item(product);
        self.last = Last::Repeated;
        Ok(())
    }

    fn open(&mut self) -> Result<(), BadPattern> {
        self.take(1);
        if !self.rest.starts_with('?') {
            return self.push_group("(?:");
        }
        if self.rest.starts_with("?P<") || self.rest.starts_with("?<") {
            let start = if self.rest.starts_with("?P<") { 3 } else { 2 };
            let Some(end) = self.rest.find('>') else {
                return bad("invalid named capture");
            };
            let name = self.rest.get(start..end).unwrap_or_default();
            if name.is_empty() || !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
                return bad("invalid named capture");
            }
            if self.names.contains(&name) {
                return bad("duplicate capture group name");
            }
            self.names.push(name);
            self.take(end + 1);
            return self.push_group("(?:");
        }
        self.flags()
    }

    /// `(?flags)` and `(?flags:`; anything else after `(?` is not RE2.
    fn flags(&mut self) -> Result<(), BadPattern> {
        self.take(1);
        let mut negative = false;
        let mut seen = false;
        let mut text = String::new();
        while let Some(c) = self.rest.chars().next() {
            self.take(c.len_utf8());
            match c {
                'i' | 'm' | 's' | 'U' => {
                    seen = true;
                    if !text.ends_with(c) {
                        text.push(c);
                    }
                }
                '-' if !negative => {
                    negative = true;
                    seen = false;
                    text.push('-');
                }
                ':' | ')' if !negative || seen => {
                    let text = without_duplicates(&text);
                    if c == ':' {
                        return self.push_group(&format!("(?{text}:"));
                    }
                    if !text.is_empty() {
                        let _ = write!(self.out, "(?{text})");
                    }
                    return Ok(());
                }
                _ => break,
            }
        }
        bad("invalid or unsupported Perl syntax after (?")
    }

    fn push_group(&mut self, text: &str) -> Result<(), BadPattern> {
        if self.groups.len() > 1000 {
            return bad("expression nests too deeply");
        }
        self.out.push_str(text);
        self.groups.push(Group { product: 1 });
        self.last = Last::Nothing;
        Ok(())
    }

    fn close(&mut self) -> Result<(), BadPattern> {
        self.take(1);
        match self.groups.pop() {
            Some(group) if !self.groups.is_empty() => {
                self.out.push(')');
                self.item(group.product);
                Ok(())
            }
            _ => bad("unexpected )"),
        }
    }

    /// An escape outside a class.
    fn escape(&mut self) -> Result<(), BadPattern> {
        let kind = self.rest[1..].chars().next();
        match kind {
            Some('Q') => {
                self.take(2);
                let (quoted, skip) = match self.rest.find("\\E") {
                    Some(end) => (&self.rest[..end], end + 2),
                    None => (self.rest, self.rest.len()),
                };
                for c in quoted.chars() {
                    self.literal(c);
                }
                self.take(skip);
                Ok(())
            }
            Some('A' | 'z' | 'b' | 'B') => {
                let assertion = match self.take(2) {
                    r"\b" => r"(?-u:\b)",
                    r"\B" => r"(?-u:\B)",
                    same => same,
                };
                self.out.push_str(assertion);
                self.item(1);
                Ok(())
            }
            Some('d' | 'D' | 's' | 'S' | 'w' | 'W') => {
                let class = perl_class(self.take(2));
                let _ = write!(self.out, "[{class}]");
                self.item(1);
                Ok(())
            }
            Some('p' | 'P') => {
                let class = self.unicode_class()?;
                self.out.push_str(&class);
                self.item(1);
                Ok(())
            }
            _ => {
                let c = self.escaped_char()?;
                self.literal(c);
                Ok(())
            }
        }
    }

    /// An escape that stands for one character, inside or outside a class.
    fn escaped_char(&mut self) -> Result<char, BadPattern> {
        self.take(1);
        let Some(c) = self.rest.chars().next() else {
            return bad("trailing backslash at end of expression");
        };
        self.take(c.len_utf8());
        match c {
            '1'..='7' if !self.rest.starts_with(|d| matches!(d, '0'..='7')) => {
                bad("back-references are not supported")
            }
            '0'..='7' => {
                let mut value = c as u32 - '0' as u32;
                for _ in 0..2 {
                    let Some(d @ '0'..='7') = self.rest.chars().next() else {
                        break;
                    };
                    self.take(1);
                    value = value * 8 + (d as u32 - '0' as u32);
                }
                character(value)
            }
            'x' => {
                let digits = if self.rest.starts_with('{') {
                    let Some(end) = self.rest.find('}') else {
                        return bad("invalid escape sequence: \\x{");
                    };
                    let braced = self.take(end + 1);
                    &braced[1..end]
                } else {
                    let Some(two) = self.rest.get(..2) else {
                        return bad("invalid escape sequence: \\x");
                    };
                    self.take(2);
                    two
                };
                if digits.is_empty() || !digits.chars().all(|d| d.is_ascii_hexdigit()) {
                    return bad("invalid escape sequence: \\x");
                }
                u32::from_str_radix(digits, 16)
                    .map_err(|_| BadPattern("invalid escape sequence: \\x".to_owned()))
                    .and_then(character)
            }
            'a' => Ok('\x07'),
            'f' => Ok('\x0c'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\x0b'),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(c),
            c => bad(format!("invalid escape sequence: \\{c}")),
        }
    }

    /// `\pN`, `\p{Name}`, `\p{^Name}` and their negations.
    fn unicode_class(&mut self) -> Result<String, BadPattern> {
        let mut negated = self.take(2) == "\\P";
        let Some(c) = self.rest.chars().next() else {
            return bad("invalid character class range: \\p");
        };
        let mut name = if c == '{' {
            let Some(end) = self.rest.find('}') else {
                return bad("invalid character class range: \\p{");
            };
            let braced = self.take(end + 1);
            &braced[1..end]
        } else {
            self.take(c.len_utf8())
        };
        if let Some(positive) = name.strip_prefix('^') {
            negated = !negated;
            name = positive;
        }
        if !name.starts_with(|c: char| c.is_ascii_uppercase())
            || !name.chars().all(|c| c == '_' || c.is_ascii_alphabetic())
        {
            return bad(format!("invalid character class range: \\p{{{name}}}"));
        }
        let p = if negated { 'P' } else { 'p' };
        let property = match name {
            "Any" => "any".to_owned(),
            short if short.len() <= 2 => format!("gc={short}"),
            script => format!("sc={script}"),
        };
        Ok(format!("\\{p}{{{property}}}"))
    }

    /// A bracketed class, written with every character escaped so that no set operator appears.
    fn class(&mut self) -> Result<(), BadPattern> {
        self.take(1);
        self.out.push('[');
        if self.rest.starts_with('^') {
            self.take(1);
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let Some(c) = self.rest.chars().next() else {
                return bad("missing closing ]");
            };
            if c == ']' && !first {
                self.take(1);
                break;
            }
            first = false;
            if self.rest.starts_with("[:")
                && let Some(end) = self.rest.find(":]")
            {
                let name = self.take(end + 2);
                if !is_posix_class(name) {
                    return bad(format!("invalid character class range: {name}"));
                }
                self.out.push_str(name);
                continue;
            }
            if c == '\\' {
                match self.rest[1..].chars().next() {
                    Some('d' | 'D' | 's' | 'S' | 'w' | 'W') => {
                        let class = perl_class(self.take(2));
                        let _ = write!(self.out, "[{class}]");
                        continue;
                    }
                    Some('p' | 'P') => {
                        let class = self.unicode_class()?;
                        self.out.push_str(&class);
                        continue;
                    }
                    _ => {}
                }
            }
            let low = self.class_char()?;
            push_code(&mut self.out, low);
            if self.rest.starts_with('-') && self.rest[1..].starts_with(|c| c != ']') {
                self.take(1);
                let high = self.class_char()?;
                if high < low {
                    return bad(format!("invalid character class range: {low}-{high}"));
                }
                self.out.push('-');
                push_code(&mut self.out, high);
            }
        }
        self.out.push(']');
        self.item(1);
        Ok(())
    }

    fn class_char(&mut self) -> Result<char, BadPattern> {
        match self.rest.chars().next() {
            None => bad("missing closing ]"),
            Some('\\') => self.escaped_char(),
            Some(c) => {
                self.take(c.len_utf8());
                Ok(c)
            }
        }
    }
}

/// The text of `{n}`, `{n,}` or `{n,m}` at the start of `s` with its bounds (no upper bound =
/// `None`; a number that does not fit = `u32::MAX`). Anything else is no repeat but a literal `{`.
fn counted(s: &str) -> Option<(&str, u32, Option<u32>)> {
    let end = s.find('}')?;
    let inside = s.get(1..end)?;
    let number = |t: &str| -> Option<u32> {
        let leading_zero = t.len() > 1 && t.starts_with('0');
        if t.is_empty() || leading_zero || !t.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(t.parse().unwrap_or(u32::MAX))
    };
    let (min, max) = match inside.split_once(',') {
        None => (number(inside)?, Some(number(inside)?)),
        Some((min, "")) => (number(min)?, None),
        Some((min, max)) => (number(min)?, Some(number(max)?)),
    };
    Some((&s[..=end], min, max))
}

/// How often a counted repeat repeats at most, or `None` if Go refuses it.
fn valid_count(min: u32, max: Option<u32>) -> Option<u32> {
    let times = max.unwrap_or(min);
    let ordered = max.is_none_or(|max| min <= max);
    (ordered && min <= MAX_REPEAT && times <= MAX_REPEAT).then_some(times)
}

fn character(value: u32) -> Result<char, BadPattern> {
    char::from_u32(value).ok_or_else(|| BadPattern(format!("no character has code {value:#x}")))
}

/// The content of a bracketed class equal to an ASCII-only Perl class.
fn perl_class(escape: &str) -> &'static str {
    match escape {
        "\\d" => "0-9",
        "\\D" => "^0-9",
        "\\s" => r"\t\n\x0C\r\x20",
        "\\S" => r"^\t\n\x0C\r\x20",
        "\\w" => "0-9A-Za-z_",
        _ => "^0-9A-Za-z_",
    }
}

fn is_posix_class(text: &str) -> bool {
    let name = text.trim_start_matches("[:").trim_end_matches(":]");
    let name = name.strip_prefix('^').unwrap_or(name);
    matches!(
        name,
        "alnum"
            | "alpha"
            | "ascii"
            | "blank"
            | "cntrl"
            | "digit"
            | "graph"
            | "lower"
            | "print"
            | "punct"
            | "space"
            | "upper"
            | "word"
            | "xdigit"
    )
}

/// Rust refuses a flag that is given twice; Go does not mind.
fn without_duplicates(flags: &str) -> String {
    let (on, off) = flags.split_once('-').unwrap_or((flags, ""));
    // A flag that is switched on and off again ends up off.
    let unique = |s: &str, except: &str| {
        let mut out = String::new();
        for c in s.chars().filter(|c| !except.contains(*c)) {
            if !out.contains(c) {
                out.push(c);
            }
        }
        out
    };
    let off_part = unique(off, "");
    let on_part = unique(on, &off_part);
    if off_part.is_empty() {
        on_part
    } else {
        format!("{on_part}-{off_part}")
    }
}

fn push_literal(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() {
        out.push(c);
    } else {
        push_code(out, c);
    }
}

fn push_code(out: &mut String, c: char) {
    let _ = write!(out, "\\x{{{:X}}}", c as u32);
}

#[cfg(test)]
mod tests;
