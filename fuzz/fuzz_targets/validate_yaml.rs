//! Arbitrary bytes through the checks of `jobset validate`: nothing panics, and what is printed is
//! the same every time and holds no control characters that a terminal would act on.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let found = jobset_cli::check_manifest("x.yaml", bytes);
    for line in &found {
        assert!(!line.chars().any(|c| c.is_control() && c != '\n'), "{line:?}");
    }
    assert_eq!(found, jobset_cli::check_manifest("x.yaml", bytes));
});
