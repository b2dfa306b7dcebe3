use super::*;

fn matches(pattern: &str, text: &str) -> bool {
    compile(pattern)
        .unwrap_or_else(|e| panic!("{pattern}: {}", e.0))
        .is_match(text)
}

#[test]
fn d13_digits_are_ascii_and_quotes_are_literal() {
    assert!(matches(r"\d+", "exit 137"));
    assert!(!matches(r"\d+", "exit ١٣٧"));
    assert!(matches(r"a\Q.\Eb", "a.b"));
    assert!(!matches(r"a\Q.\Eb", "axb"));
}

/// Each row was judged by reading Go's `regexp/syntax`.
#[test]
fn means_what_go_means() {
    for (pattern, text, expected) in [
        // Classes are ASCII.
        (r"^\w+$", "abc_9", true),
        (r"^\w+$", "é", false),
        (r"^\W$", "é", true),
        (r"^\D$", "٣", true),
        (r"^\s$", "\u{a0}", false),
        (r"^\s$", "\u{b}", false),
        (r"^\S$", "\u{b}", true),
        (r"^[[:space:]]$", "\u{b}", true),
        (r"é\b", "é", false),
        (r"\bx\b", "éxé", true),
        (r"^\B", "é", true),
        (r"a\Bb", "ab", true),
        (r"a\B", "a", false),
        // The dot and literals take whole characters.
        ("^.$", "é", true),
        ("^.$", "\n", false),
        ("(?s)^.$", "\n", true),
        ("é", "café", true),
        ("(?i)É", "é", true),
        // Word-boundary look-alikes are literals.
        (r"\<b\>", "a <b> c", true),
        (r"\<b\>", "a b c", false),
        // Quoting to the end, and a repeat of the last quoted character.
        (r"\Qa.b", "a.b", true),
        (r"^\Qab\E+$", "abbb", true),
        (r"\Q\E", "", true),
        // Bracketed classes have no set operators.
        ("^[a&&b]+$", "a&b", true),
        ("^[+--]$", ",", true),
        ("^[a~~b]+$", "a~b", true),
        ("^[[a]$", "[", true),
        ("^[[]$", "[", true),
        ("^[]a]+$", "]a", true),
        ("^[^]a]$", "b", true),
        ("^[^a]$", "\n", true),
        ("^[a-]+$", "a-", true),
        ("^[-a]+$", "-a", true),
        (r"^[\d-x]+$", "5-x", true),
        (r"^[\]\\]+$", "]\\", true),
        ("^[[:alpha:][:digit:]]+$", "a1", true),
        ("^[[:^alpha:]]$", "1", true),
        (r"^[\pN]$", "٣", true),
        (r"^[^\D]$", "7", true),
        ("^[#-&]$", "%", true),
        // Escapes.
        (r"^\101$", "A", true),
        (r"^\07$", "\u{7}", true),
        (r"^\x41$", "A", true),
        (r"^\x{e9}$", "é", true),
        (r"^\a\f\t\n\r\v$", "\u{7}\u{c}\t\n\r\u{b}", true),
        (r"^\.\*\_\-$", ".*_-", true),
        (r"a\zb|c\z", "c", true),
        (r"\Aa", "ba", false),
        // Flags.
        ("(?i)ABC", "abc", true),
        ("(?i:A)b", "ab", true),
        ("(?i:A)b", "aB", false),
        ("(?ii)A", "a", true),
        ("(?i-i)A", "a", false),
        ("(?m)^b$", "a\nb\nc", true),
        ("^b$", "a\nb\nc", false),
        ("a$", "a\n", false),
        ("(?U)a+?", "aa", true),
        ("(?)x", "x", true),
        // Repeats.
        ("^a{2,3}$", "aaa", true),
        ("^a{2,3}?$", "aaaa", false),
        ("^a{2,}$", "aaaa", true),
        ("^a{,2}$", "a{,2}", true),
        ("^a{x}$", "a{x}", true),
        ("^a{$", "a{", true),
        ("^a{01}$", "a{01}", true),
        ("^}$", "}", true),
        ("x{1000}", "y", false),
        // Groups.
        ("(?P<n>a)(?<m>b)", "ab", true),
        ("(|a)b", "b", true),
        ("a||b", "", true),
        (r"\p{Greek}", "α", true),
        (r"\p{^Greek}", "α", false),
        (r"\P{Greek}", "a", true),
        (r"\pL", "é", true),
        (r"\p{Any}", "x", true),
        ("#x y", "#x y", true),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
    }
}

#[test]
fn refuses_what_go_refuses() {
    for pattern in [
        "(",
        ")",
        "a)",
        "(a",
        "[",
        "[a",
        "[]",
        "[b-a]",
        "[a--b]",
        r"[a-\d]",
        r"[\b]",
        "*",
        "+a",
        "?",
        "|*",
        "(*)",
        "a**",
        "a+*",
        "a???",
        "a{2}{3}",
        "{2}",
        "a{1001}",
        "a{2,1}",
        "a{1,1001}",
        "(a{100}){11}",
        "((a{10}){10}){11}",
        "a{99999999999}",
        r"\C",
        r"\Z",
        r"\1",
        r"\8",
        r"\E",
        r"\k",
        r"\",
        r"\x",
        r"\x4",
        r"\xZZ",
        r"\x{}",
        r"\x{110000}",
        r"\x{41",
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?<!a)",
        "(?P=n)",
        "(?x)a",
        "(?u)a",
        "(?R)a",
        "(?i",
        "(?-)",
        "(?i-)",
        "(?#c)",
        "(?P<>a)",
        "(?P<a b>c)",
        "(?P<n>a)(?P<n>b)",
        "(?P<n",
        r"\p",
        r"\p{",
        r"\p{Nope}",
        r"\p{greek}",
        "[[:nope:]]",
        r"\é",
    ] {
        assert!(compile(pattern).is_err(), "{pattern:?} must be refused");
    }
}

#[test]
fn repeats_multiply_up_to_the_limit() {
    assert!(compile("(a{10}){100}").is_ok());
    assert!(compile("(a{0}){1000}").is_ok());
    assert!(compile("(a*){1000}").is_ok());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]

    #[test]
    fn never_panics(pattern in "[-\\\\\\[\\](){}?*+.^$|a-cQEPpxdDwbB0-9:<>é&~,]{0,24}", text in ".{0,16}") {
        if let Ok(regex) = compile(&pattern) {
            regex.is_match(&text);
        }
    }

    #[test]
    fn quoted_text_matches_itself_and_nothing_else(text in "[^\\\\]{1,16}", other in "[^\\\\]{1,16}") {
        let regex = compile(&format!("\\A\\Q{text}\\E\\z")).unwrap();
        proptest::prop_assert!(regex.is_match(&text));
        proptest::prop_assert_eq!(regex.is_match(&other), text == other);
    }
}
