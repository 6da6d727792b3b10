use primitives::{HeadData, HostConfiguration, Pair, ParaId, limits::MAX_DELAY_BLOCKS};
use proptest::prelude::*;

use runtime::limits::MAX_SESSION_LENGTH;

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
        (
            "\"chain_availability_period_blocks\": 6",
            "\"chain_availability_period_blocks\": 0",
            "configuration.chain_availability_period_blocks is 0, expected a number of blocks from 1 to 100799",
        ),
        (
            "\"acceptance_period_blocks\": 20",
            "\"acceptance_period_blocks\": 601",
            "configuration.acceptance_period_blocks is 601, expected a number of blocks from 0 to 600",
        ),
        (
            "\"session_length_blocks\": 20",
            "\"session_length_blocks\": 10",
            "configuration.parachain_rotation_frequency_blocks is 10, expected less than the session's 10 blocks",
        ),
        (
            "\"session_length_blocks\": 20",
            "\"session_length_blocks\": 1",
            "session_length_blocks is 1, expected a number",
        ),
        (
            "\"session_length_blocks\": 20",
            "\"session_length_blocks\": 100802",
            "session_length_blocks is 100802, expected a number of blocks from 3 to 100801",
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
    assert!(
        idle.check().unwrap_err().to_string().starts_with("configuration.scheduling_lookahead_blocks is 0, expected")
    );
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

/// The file with one field of the configuration set.
fn with_field(spec: &ChainSpec, name: &str, value: &str) -> String {
    let json = spec.to_json();
    let line = json.lines().find(|line| line.trim_start().starts_with(&format!("\"{name}\":"))).unwrap();
    let comma = if line.ends_with(',') { "," } else { "" };
    json.replacen(line, &format!("    \"{name}\": {value}{comma}"), 1)
}

/// A specification in which every value of a field's range is possible: the availability periods are less than the
/// rotation, the rotation is less than the session, and all cores are those of parathreads.
fn roomy(name: &str) -> ChainSpec {
    let mut spec = spec();
    spec.genesis.session_length = MAX_SESSION_LENGTH;
    spec.genesis.paras.retain(|para| !para.is_parachain);
    let configuration = &mut spec.genesis.configuration;
    if name == "parachain_rotation_frequency_blocks" {
        (configuration.chain_availability_period, configuration.thread_availability_period) = (1, 1);
    } else {
        configuration.parachain_rotation_frequency = MAX_DELAY_BLOCKS;
    }
    spec
}

#[test]
fn the_schema_gives_each_field_the_range_that_is_taken() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let fields = schema["properties"]["configuration"]["properties"].as_object().unwrap();
    assert_eq!(fields.len(), FIELDS.len());
    for (name, field) in fields {
        let spec = roomy(name);
        let (min, max) = (field["minimum"].as_i64().unwrap(), field["maximum"].as_i64().unwrap());
        for beyond in [min - 1, max + 1] {
            let error = ChainSpec::parse(with_field(&spec, name, &beyond.to_string()).as_bytes()).unwrap_err();
            let said = format!("configuration.{name} is {beyond}, expected a number of ");
            assert!(error.to_string().starts_with(&said), "{error}");
            assert!(error.to_string().ends_with(&format!("from {min} to {max}")), "{error}");
        }
        for last in [min, max] {
            let read = ChainSpec::parse(with_field(&spec, name, &last.to_string()).as_bytes());
            // Smaller than the paras' heads and codes may be: what is refused then are these.
            let is_small = last == min && ["max_head_data_size_bytes", "max_code_size_bytes"].contains(&name.as_str());
            assert_eq!(read.is_err(), is_small, "{name} = {last}: {read:?}");
        }
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
    fn what_a_configuration_is_set_to_comes_back(values in prop::collection::vec(0_u64.., FIELDS.len())) {
        let mut spec = spec();
        for (field, value) in FIELDS.iter().zip(values) {
            let in_range = u64::from(field.min) + value % (u64::from(field.max - field.min) + 1);
            field.set(&mut spec.genesis.configuration, u32::try_from(in_range).ok());
        }
        prop_assert_eq!(read::read(spec.to_json().as_bytes()), Ok(spec));
    }
}
