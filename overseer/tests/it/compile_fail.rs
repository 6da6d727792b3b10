//! The error messages that users of the framework see, pinned to the compiler that CI runs.

#[test]
fn wiring_errors_name_subsystem_and_message() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}
