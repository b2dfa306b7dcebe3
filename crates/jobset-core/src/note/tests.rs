use super::*;

#[test]
fn d5_b_note_of_many_errors_is_bounded_and_verbatim() {
    let errors: Vec<String> = (0..200)
        .map(|i| job_creation_failed(&format!("js-a-{i}"), "exceeded quota: 100%s used, é"))
        .collect();
    let note = summary(&errors);
    assert!(note.len() <= MAX_BYTES, "{}", note.len());
    let first = "job \"js-a-0\" creation failed with error: exceeded quota: 100%s used, é\n";
    assert!(note.starts_with(first));
    let shown = note.lines().count() - 1;
    assert!(
        note.ends_with(&format!("\n… and {} more", 200 - shown)),
        "{note}"
    );
    assert!(shown > 10);
}

#[test]
fn few_errors_are_joined() {
    assert_eq!(summary(["a", "b"]), "a\nb");
    assert_eq!(summary(["a"]), "a");
    assert_eq!(summary(Vec::<String>::new()), "");
}

#[test]
fn one_long_error_is_cut_at_a_character() {
    for (first, rest) in [("é", 0), ("e", 3)] {
        let mut errors = vec![first.repeat(3000)];
        errors.extend(vec!["x".to_owned(); rest]);
        let note = summary(&errors);
        assert!(note.len() <= MAX_BYTES && note.len() > 900);
        assert_eq!(note.ends_with(&format!("… and {rest} more")), rest > 0);
    }
}

#[test]
fn truncated_keeps_short_texts() {
    assert_eq!(truncated("50% %d"), "50% %d");
    assert_eq!(truncated(&"x".repeat(1024)).len(), 1024);
    let cut = truncated(&"é".repeat(600));
    assert!(cut.len() <= 1024 && cut.ends_with('…'));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    #[test]
    fn never_longer_than_the_limit(errors in proptest::collection::vec(".{0,400}", 0..40)) {
        proptest::prop_assert!(summary(&errors).len() <= MAX_BYTES);
    }
}
