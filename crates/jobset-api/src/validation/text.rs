//! Rules for names, in the terms of the Kubernetes API.
//!
//! Each function returns what is wrong as explanations: at most one for the length and one for
//! the form.

/// Longest DNS label and label value, in bytes.
pub(super) const MAX_LABEL_LENGTH: usize = 63;
/// Longest DNS subdomain, in bytes.
const MAX_SUBDOMAIN_LENGTH: usize = 253;

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It is longer than so many bytes.
    TooLong(usize),
    /// It does not have the form that the explanation describes.
    Form(&'static str),
}

impl Problem {
    /// The explanation, with another one for a text that is too long.
    pub(super) fn explain_or(&self, too_long: &str) -> String {
        match self {
            Self::TooLong(_) => too_long.to_owned(),
            Self::Form(text) => (*text).to_owned(),
        }
    }

    /// The explanation.
    pub(super) fn explain(&self) -> String {
        match self {
            Self::TooLong(limit) => format!("must be no more than {limit} characters"),
            Self::Form(text) => (*text).to_owned(),
        }
    }
}

fn problems(
    text: &str,
    limit: usize,
    well_formed: bool,
    explanation: &'static str,
) -> Vec<Problem> {
    let too_long = (text.len() > limit).then_some(Problem::TooLong(limit));
    let form = (!well_formed).then_some(Problem::Form(explanation));
    too_long.into_iter().chain(form).collect()
}

/// A label of a domain name that starts with a letter.
pub(super) fn dns1035_label(text: &str) -> Vec<Problem> {
    let well_formed = text.starts_with(|c: char| c.is_ascii_lowercase()) && is_dns_label(text);
    problems(
        text,
        MAX_LABEL_LENGTH,
        well_formed,
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with \
         a letter and end with an alphanumeric character (for example 'my-name'; the regex used \
         for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
    )
}

/// A label of a domain name.
pub(super) fn dns1123_label(text: &str) -> Vec<Problem> {
    problems(
        text,
        MAX_LABEL_LENGTH,
        is_dns_label(text),
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
         and start and end with an alphanumeric character (for example 'my-name'; the regex used \
         for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
    )
}

/// Key of a label or annotation: a name, after a domain and a slash if need be.
pub(super) fn qualified_name(text: &str) -> Vec<Problem> {
    let (mut found, name) = match text.split_once('/') {
        Some((prefix, name)) => (dns1123_subdomain(prefix), name),
        None => (Vec::new(), text),
    };
    let outer = |c: char| c.is_ascii_alphanumeric();
    let well_formed = name.starts_with(outer)
        && name.ends_with(outer)
        && name
            .chars()
            .all(|c| outer(c) || matches!(c, '-' | '_' | '.'));
    found.extend(problems(
        name,
        MAX_LABEL_LENGTH,
        well_formed,
        "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and start \
         and end with an alphanumeric character, with an optional DNS subdomain and '/' before it \
         (for example 'example.com/MyName'; the regex used for validation of the name is \
         '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ));
    found
}

/// Name of a port: at most 15 lower-case letters, digits and single '-' between them, with at
/// least one letter.
pub(super) fn is_port_name(text: &str) -> bool {
    text.len() <= 15
        && is_dns_label(text)
        && !text.contains("--")
        && text.contains(|c: char| c.is_ascii_lowercase())
}

/// Name of an environment variable, as liberal as the newest API servers.
pub(super) fn is_variable_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'=')
}

/// Labels separated by dots.
pub(super) fn dns1123_subdomain(text: &str) -> Vec<Problem> {
    problems(
        text,
        MAX_SUBDOMAIN_LENGTH,
        text.split('.').all(is_dns_label),
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' \
         or '.', and start and end with an alphanumeric character (for example 'example.com'; the \
         regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    )
}

/// Value of a label; may be empty.
pub(super) fn label_value(text: &str) -> Vec<Problem> {
    let alphanumeric = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut chars = text.chars();
    let well_formed = text.chars().all(inner)
        && alphanumeric(chars.next())
        && alphanumeric(text.chars().next_back());
    problems(
        text,
        MAX_LABEL_LENGTH,
        well_formed,
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' \
         or '.', and start and end with an alphanumeric character (for example 'my_value'; the \
         regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    )
}

/// The characters of the path after a domain prefix; at least one.
pub(super) fn is_http_path(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c);
    !text.is_empty() && text.chars().all(allowed)
}

/// Name of a failure policy rule: `^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`.
pub(super) fn is_rule_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(word)
        && text.chars().all(|c| word(c) || matches!(c, ',' | ':'))
}

/// Lower-case letters, digits and '-', not starting or ending with '-'.
fn is_dns_label(text: &str) -> bool {
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(outer) && text.ends_with(outer) && text.chars().all(|c| outer(c) || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns1035() {
        for good in ["a", "a-b", "js-rjob--1", "a1", &"a".repeat(63)] {
            assert_eq!(dns1035_label(good), [], "{good}");
        }
        for bad in ["", "1a", "-a", "a-", "a.b", "A", "ä", "a_b"] {
            assert!(
                matches!(dns1035_label(bad)[..], [Problem::Form(_)]),
                "{bad}"
            );
        }
        assert_eq!(dns1035_label(&"a".repeat(64)), [Problem::TooLong(63)]);
        assert_eq!(dns1035_label(&"A".repeat(64)).len(), 2);
    }

    #[test]
    fn dns1123() {
        for good in ["a", "1", "a.b-c.d", "1a.2b"] {
            assert_eq!(dns1123_subdomain(good), [], "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a.-b", "A", "a_b", "a/b"] {
            assert_eq!(dns1123_subdomain(bad).len(), 1, "{bad}");
        }
        assert_eq!(dns1123_subdomain(&"a".repeat(254)), [Problem::TooLong(253)]);
    }

    #[test]
    fn labels() {
        for good in ["", "a", "A_b.c-d9"] {
            assert_eq!(label_value(good), [], "{good}");
        }
        for bad in ["-", "a-", ".a", "a/b", "ä"] {
            assert_eq!(label_value(bad).len(), 1, "{bad}");
        }
        assert_eq!(label_value(&"a".repeat(64)), [Problem::TooLong(63)]);
    }

    #[test]
    fn keys() {
        for good in ["a", "A_b.c", "example.com/Name", "a/9"] {
            assert_eq!(qualified_name(good), [], "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "/a", "a/", "a/b/c", "A.com/a"] {
            assert_eq!(qualified_name(bad).len(), 1, "{bad}");
        }
        assert_eq!(qualified_name(&"a".repeat(64)), [Problem::TooLong(63)]);
        assert_eq!(qualified_name("A/-").len(), 2);
        assert_eq!(dns1123_label("1-a"), []);
        assert_eq!(dns1123_label("a.b").len(), 1);
    }

    #[test]
    fn ports_and_variables() {
        for good in ["http", "a", "a-1", "1a", "abcdefghijklmno"] {
            assert!(is_port_name(good), "{good}");
        }
        for bad in ["", "1", "A", "a--b", "-a", "a-", "abcdefghijklmnop", "a_b"] {
            assert!(!is_port_name(bad), "{bad}");
        }
        for good in ["A", "a.b-c", "1", "with space"] {
            assert!(is_variable_name(good), "{good}");
        }
        for bad in ["", "a=b", "ä", "a\tb"] {
            assert!(!is_variable_name(bad), "{bad}");
        }
    }

    #[test]
    fn rule_names_and_paths() {
        for good in ["a", "Z_", "a:b,c_d", "a9"] {
            assert!(is_rule_name(good), "{good}");
        }
        for bad in ["", "9a", "_a", "a,", "a:", "a-b", "a b"] {
            assert!(!is_rule_name(bad), "{bad}");
        }
        assert!(is_http_path("foo/bar:1=~"));
        assert!(!is_http_path("") && !is_http_path("a b") && !is_http_path("a?"));
    }
}
