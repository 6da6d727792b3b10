//! What the command line refuses, and how: what is wrong is said, and nothing is started.

use crate::parahost;

/// That a command ends with a code and says something.
fn ends(arguments: &[&str], code: i32, said: &str) {
    let output = parahost(arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(text.contains(said), "{arguments:?}: {text}");
}

#[test]
fn wrong_numbers_are_named() {
    for command in [&["dev"][..], &["chain-spec", "new"]] {
        for (flag, value, said) in [
            ("--validators", "-3", "invalid value '-3' for '--validators"),
            ("--validators", "99999999999", "expected a whole number, 0 to 4294967295"),
            ("--validators", "-3x", "invalid value '-3x' for '--validators"),
            ("--parachains", "two", "expected a whole number, 0 to 4294967295"),
            ("--validators", "0", "number of validators is 0, expected 1 to 100"),
            ("--slot-ms", "-1", "invalid value '-1' for '--slot-ms"),
            ("--slot-ms", "0", "slot length is 0 ms, expected 200 to 60000 ms"),
            ("--session-blocks", "-1", "invalid value '-1' for '--session-blocks"),
            ("--fork-probability", "-0.5", "fork probability is -0.5, expected 0 to 1"),
            ("--fork-probability", "often", "expected a number, 0 to 1"),
            ("--fork-probability", "NaN", "fork probability is NaN, expected 0 to 1"),
        ] {
            ends(&[command, &[flag, value]].concat(), 2, said);
        }
    }
    ends(&["dev", "--until-included", "0"], 2, "--until-included is 0, expected at least 1");
    ends(&["dev", "--until-included", "-1"], 2, "invalid value '-1' for '--until-included");
    ends(&["dev", "--until-included", "99999999999999999999"], 2, "expected a whole number, 0 to 18446744073709551615");
    for (size, said) in [
        ("99999999999999999999", "size is out of range"),
        ("18446744073709551615KiB", "size is out of range"),
        (
            "-4KiB",
            "invalid value '-4KiB' for '--pov-size <SIZE>': expected a number of bytes, such as 65536, 64KiB, 5MiB",
        ),
        ("KiB", "expected a number of bytes, such as 65536, 64KiB, 5MiB"),
        ("4GiB", "unit \"GiB\" is not known, expected B, KiB or MiB"),
        ("0", "PoV size is 0 bytes"),
    ] {
        ends(&["dev", "--pov-size", size], 2, said);
    }
}

#[test]
fn files_and_paths_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (missing, torn) = (path("missing.json"), path("torn.json"));
    std::fs::write(&torn, "{").expect("a file");
    ends(&["chain-spec", "validate", &missing], 2, "missing.json: No such file");
    ends(&["chain-spec", "validate", &torn], 1, "torn.json: the file cannot be read as JSON");
    ends(&["dev", "--chain-spec", &missing], 2, "missing.json: No such file");
    ends(&["chain-spec", "inspect", &torn], 1, "torn.json: the file cannot be read as JSON");
    ends(&["dev", "--chain-spec", &torn], 1, "torn.json: the file cannot be read as JSON");
    // It says that it is empty, and never ends.
    ends(&["chain-spec", "validate", "/dev/zero"], 1, "/dev/zero: the file has more than");
    // Somebody else's directory, a file, and a place where nothing can be made.
    let others = folder.path().display().to_string();
    ends(&["dev", "--base-path", &others], 2, "holds other things");
    ends(&["dev", "--base-path", &torn], 2, "torn.json: File exists");
    ends(&["dev", "--base-path", "/proc/parahost"], 2, "base path /proc/parahost");
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 1, "nothing was added");
}
