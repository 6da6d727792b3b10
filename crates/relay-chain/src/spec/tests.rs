use primitives::{HeadData, HostConfiguration, Pair, ParaId};
use proptest::prelude::*;

use super::*;

fn spec() -> ChainSpec {
    let para = |id, is_parachain| GenesisPara {
        id: ParaId(id),
        is_parachain,
        head_data: HeadData(vec![1, 2]),
        validation_code: vec![7; 16].into(),
    };
    ChainSpec {
        name: "test".to_owned(),
        slot_ms: 1500,
        forks_per_million: 100_000,
        genesis: Genesis {
            configuration: HostConfiguration::default(),
            validators: (1..=4).map(|byte| ValidatorId(Pair::from_seed(&[byte; 32]).public())).collect(),
            paras: vec![para(2000, true), para(2001, false)],
            stake_per_validator: 1_000_000,
            session_length: 20,
            randomness: [5; 32],
        },
    }
}

#[test]
fn a_file_says_all_of_a_specification() {
    let spec = spec();
    let json = spec.to_json();
    assert_eq!(ChainSpec::parse(json.as_bytes()), Ok(spec.clone()));
    assert_eq!(ChainSpec::parse(json.as_bytes()).unwrap().to_json(), json);
    // Known from the first release on: the same file gives the same chain everywhere.
    assert_eq!(spec.genesis_hash(), ChainSpec::parse(json.as_bytes()).unwrap().genesis_hash());
}

/// What is wrong after a change of the file's text.
fn refused(from: &str, to: &str) -> String {
    let json = spec().to_json();
    assert!(json.contains(from), "{from}");
    ChainSpec::parse(json.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
}

#[test]
fn errors_name_the_field_what_was_found_and_what_was_expected() {
    let cases = [
        ("\"max_pov_size_bytes\": ", "\"max_pov_size\": ", "configuration.max_pov_size is"),
        ("\"slot_ms\": 1500", "\"slot_ms\": \"1500\"", "slot_ms is \"1500\", expected a number of milliseconds"),
        ("\"slot_ms\": 1500", "\"slot_ms\": 7", "slot_ms is 7, expected a number of milliseconds from 200 to 60000"),
        ("\"format\": 1", "\"format\": 2", "format is 2, expected 1"),
        ("\"name\": \"test\"", "\"name\": \"\"", "name is \"\", expected 1 to 64 bytes"),
        ("\"name\": \"test\",\n  ", "", "name is missing, expected a name"),
        ("\"id\": 2001", "\"id\": -1", "paras[1].id is -1, expected a number"),
        ("\"parathread\"", "\"thread\"", "paras[1].kind is \"thread\", expected \"parachain\" or \"parathread\""),
        ("\"0x0102\"", "\"0x010\"", "paras[0].head is \"0x010\", expected bytes in hexadecimal"),
        ("\"0x0102\"", "\"0102\"", "paras[0].head is \"0102\", expected bytes in hexadecimal"),
        ("[\n    \"0x", "[\n    \"0x01", "validators[0] is"),
        ("\"parathread_retries\": 3", "\"parathread_retries\": null", "configuration.parathread_retries is null"),
        ("\"1000000\"", "1000000", "stake_per_validator is 1000000, expected an amount"),
        ("\"id\": 2001", "\"id\": 2000", "para 2000 is already registered"),
        ("\"chain_availability_period_blocks\": 6", "\"chain_availability_period_blocks\": 0", "must not be 0"),
        (
            "\"acceptance_period_blocks\": 20",
            "\"acceptance_period_blocks\": 601",
            "acceptance_period is 601, expected 0 to 600",
        ),
        (
            "\"session_length_blocks\": 20",
            "\"session_length_blocks\": 10",
            "parachain_rotation_frequency 10 must be less than the session length 10",
        ),
        (
            "\"session_length_blocks\": 20",
            "\"session_length_blocks\": 1",
            "session_length_blocks is 1, expected a number",
        ),
        ("\"1000000\"", "\"+7\"", "stake_per_validator is \"+7\", expected an amount as decimal digits"),
        ("\"1000000\"", "\"\"", "stake_per_validator is \"\", expected an amount as decimal digits"),
        ("\"1000000\"", "\"0\"", "stake_per_validator is 0, expected 1 to"),
        ("\"1000000\"", "\"340282366920938463463374607431768211455\"", "expected 1 to"),
        ("\"slot_ms\": 1500", "\"slot_ms\": 1500, \"slot_ms\": 1600", "the field \"slot_ms\" is there twice"),
        ("\"id\": 2001", "\"id\": 2001, \"id\": 2002", "the field \"id\" is there twice, expected once"),
    ];
    for (from, to, expected) in cases {
        let error = refused(from, to);
        assert!(error.contains(expected), "{from} -> {to}: {error}");
    }
    assert!(matches!(ChainSpec::parse(b"{"), Err(SpecError::Json(_))));
    let mut idle = spec();
    (idle.genesis.configuration.parathread_cores, idle.genesis.configuration.scheduling_lookahead) = (1, 0);
    assert!(idle.check().unwrap_err().to_string().contains("scheduling_lookahead is 0, expected 1 to"));
    let mut no_key = spec();
    no_key.genesis.validators[2] = ValidatorId([0xff; 32]);
    let error = no_key.check().unwrap_err().to_string();
    assert!(error.starts_with("validators[2] is 0xff") && error.ends_with("expected an sr25519 public key"), "{error}");
    assert!(ChainSpec::parse(b"[]").unwrap_err().to_string().contains("expected an object"));
}

#[test]
fn the_configuration_may_be_left_to_its_defaults() {
    let json = spec().to_json();
    let begin = json.find("\"configuration\": {").unwrap();
    let end = begin + json[begin..].find('}').unwrap();
    let short = format!("{}\"configuration\": {{{}", &json[..begin], &json[end..]);
    assert_eq!(ChainSpec::parse(short.as_bytes()), Ok(spec()));
}

/// The comments of the struct, by field.
fn comments() -> Vec<(String, String)> {
    let source = include_str!("../../../primitives/src/configuration.rs");
    let body = source.split("pub struct HostConfiguration {").nth(1).unwrap().split("\n}").next().unwrap();
    let mut comment = String::new();
    let mut found = Vec::new();
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            comment.push_str(text);
        } else if let Some((name, _)) = line.strip_prefix("pub ").and_then(|line| line.split_once(':')) {
            found.push((name.to_owned(), std::mem::take(&mut comment)));
        }
    }
    found
}

#[test]
fn every_field_is_there_with_the_words_of_its_comment() {
    let ours: Vec<_> = FIELDS.iter().map(|field| (field.field.to_owned(), field.help.to_owned())).collect();
    assert_eq!(ours, comments());
    let names: std::collections::BTreeSet<_> = FIELDS.iter().map(|field| field.name).collect();
    assert_eq!(names.len(), FIELDS.len());
    for field in FIELDS {
        let mut changed = HostConfiguration::default();
        field.set(&mut changed, Some(77));
        assert_eq!(field.get(&changed), Some(77));
        assert_ne!(changed, HostConfiguration::default(), "{}", field.name);
        field.set(&mut changed, field.default_value());
        assert_eq!(changed, HostConfiguration::default(), "{}", field.name);
    }
}

#[test]
fn schema_and_reference_are_those_in_the_documentation() {
    assert_eq!(schema(), include_str!("../../../../docs/reference/chain-spec.schema.json"));
    assert_eq!(reference(), include_str!("../../../../docs/reference/chain-spec.md"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(place in 0_usize..5_000, byte: u8) {
        let mut json = spec().to_json().into_bytes();
        let place = place % json.len();
        json[place] = byte;
        if let Ok(read) = ChainSpec::parse(&json) {
            prop_assert_eq!(ChainSpec::parse(read.to_json().as_bytes()), Ok(read));
        }
    }

    #[test]
    fn what_a_configuration_is_set_to_comes_back(values in prop::collection::vec(1_u32.., FIELDS.len())) {
        let mut spec = spec();
        for (field, value) in FIELDS.iter().zip(values) {
            field.set(&mut spec.genesis.configuration, Some(value));
        }
        prop_assert_eq!(read::read(spec.to_json().as_bytes()), Ok(spec));
    }
}
