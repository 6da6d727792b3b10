//! `parahost chain-spec`, and a network that begins with one.

use crate::parahost;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_specification_is_made_checked_shown_and_begun_with() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("chain.json").display().to_string();
    let made = parahost(&[
        "chain-spec",
        "new",
        "--name",
        "trial",
        "--validators",
        "3",
        "--parachains",
        "1",
        "--slot-ms",
        "500",
        "--set",
        "max_pov_size_bytes=100000",
        "--set",
        "minimum_backing_votes=2",
        "--output",
        &file,
    ]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let hash = text(&made.stdout);
    let again = parahost(&["chain-spec", "validate", &file]);
    assert_eq!((again.status.code(), text(&again.stdout)), (Some(0), hash.clone()), "the same bytes, the same genesis");

    let shown = text(&parahost(&["chain-spec", "inspect", &file]).stdout);
    for line in [hash.trim(), "max_pov_size_bytes = 100000 bytes (default 10485760)", "Largest proof of validity"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let facts = text(&parahost(&["chain-spec", "validate", &file, "--json"]).stdout);
    assert!(facts.contains(&format!("\"genesis_hash\":\"{}\"", hash.trim())), "{facts}");
    let whole = text(&parahost(&["chain-spec", "inspect", &file, "--json"]).stdout);
    assert!(whole.contains("\"max_pov_size_bytes\":100000") && whole.contains(hash.trim()), "{whole}");
    // It is a file that `new` never overwrites.
    assert_eq!(parahost(&["chain-spec", "new", "--output", &file]).status.code(), Some(2));

    let begun = parahost(&[
        "dev",
        "--chain-spec",
        &file,
        "--until-included",
        "1",
        "--pov-size",
        "1KiB",
        "--network",
        "memory",
        "--json",
    ]);
    assert_eq!(begun.status.code(), Some(0), "{}", text(&begun.stderr));
    assert!(text(&begun.stdout).contains("\"event\":\"included\""));
}

#[test]
fn what_is_wrong_with_a_specification_is_said_by_field() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("chain.json").display().to_string();
    let good = text(&parahost(&["chain-spec", "new"]).stdout);
    for (from, to, said) in [
        (
            "\"parathread_retries\": 3",
            "\"parathread_retries\": \"3\"",
            "configuration.parathread_retries is \"3\", expected a number of times",
        ),
        ("max_code_size_bytes", "max_code_bytes", "configuration.max_code_bytes is"),
        (
            "\"parachain_rotation_frequency_blocks\": 10",
            "\"parachain_rotation_frequency_blocks\": 6",
            "configuration.parachain_rotation_frequency_blocks is 6, expected more than chain_availability_period_blocks",
        ),
        (
            "\"acceptance_period_blocks\": 20",
            "\"acceptance_period_blocks\": 601",
            "configuration.acceptance_period_blocks is 601, expected a number of blocks from 0 to 600",
        ),
    ] {
        std::fs::write(&file, good.replacen(from, to, 1)).expect("a writable directory");
        let output = parahost(&["chain-spec", "validate", &file]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
    // A good one that is of no local network: which key is another's is said.
    let foreign = "0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";
    let second = good.lines().skip_while(|line| !line.contains("\"validators\"")).nth(2).expect("a second key");
    std::fs::write(&file, good.replacen(second, &format!("    \"{foreign}\","), 1)).expect("a writable directory");
    let output = parahost(&["dev", "--chain-spec", &file, "--json"]);
    let said = format!("validators[1] is {foreign}, expected the key");
    assert!(text(&output.stderr).contains(&said), "{}", text(&output.stderr));
    for (arguments, said) in [
        (["chain-spec", "new", "--set", "max_pov=1"], "no field of the configuration"),
        (["chain-spec", "new", "--set", "max_pov_size_bytes=big"], "expected a number of bytes"),
        (["chain-spec", "new", "--set", "max_pov_size_bytes=0"], "max_pov_size"),
        (["dev", "--chain-spec", "/nowhere/chain.json", "--json"], "/nowhere/chain.json"),
    ] {
        let output = parahost(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
}
