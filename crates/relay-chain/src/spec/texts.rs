//! From a specification to its file; the schema and the reference of such files.

use std::fmt::Write as _;

use primitives::limits::MAX_VALIDATORS;
use runtime::limits::{MAX_SESSION_LENGTH, MIN_SESSION_LENGTH};
use serde_json::{Value, json};

use super::{
    ChainSpec, FIELDS, FORMAT, Field, MAX_NAME_LEN, PARACHAIN, PARATHREAD, SLOT_MS_RANGE, hex, kind, validator_hex,
};
use crate::slots::PARTS_PER_MILLION;

/// A field outside the configuration: name, what it is for, its schema.
fn top_fields() -> Vec<(&'static str, &'static str, Value)> {
    let bytes = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let key = || bytes("^0x[0-9a-fA-F]{64}$");
    let para = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["id", "kind", "head", "code"],
        "properties": {
            "id": { "type": "integer", "minimum": 0, "maximum": u32::MAX, "description": "Its id; no two are equal." },
            "kind": { "enum": [PARACHAIN, PARATHREAD], "description": "With a core of its own, or with claims." },
            "head": { "type": "string", "pattern": "^0x([0-9a-fA-F]{2})*$", "description": "Its first head." },
            "code": { "type": "string", "pattern": "^0x([0-9a-fA-F]{2})*$", "description": "Its wasm." },
        },
    });
    let number = |min: u64, max: u64| json!({ "type": "integer", "minimum": min, "maximum": max });
    vec![
        ("format", "The format of the file.", json!({ "const": FORMAT })),
        (
            "name",
            "A name for people; it is no part of the genesis.",
            json!({ "type": "string", "minLength": 1, "maxLength": MAX_NAME_LEN }),
        ),
        ("slot_ms", "Length of a slot, in milliseconds.", number(*SLOT_MS_RANGE.start(), *SLOT_MS_RANGE.end())),
        (
            "forks_per_million_slots",
            "Of a million slots, in how many several authors are wanted.",
            number(0, u64::from(PARTS_PER_MILLION)),
        ),
        (
            "session_length_blocks",
            "Length of a session, in blocks; more than `parachain_rotation_frequency_blocks`, so at least three.",
            number(u64::from(MIN_SESSION_LENGTH), u64::from(MAX_SESSION_LENGTH)),
        ),
        (
            "stake_per_validator",
            "What each validator has at stake, as decimal digits; neither 0 nor more than a chain can issue to all.",
            json!({ "type": "string", "pattern": "^[0-9]+$" }),
        ),
        ("randomness", "Seed of all randomness, 32 bytes.", key()),
        (
            "validators",
            "Public keys of the validators of the first two sessions, 32 bytes each.",
            json!({ "type": "array", "minItems": 1, "maxItems": MAX_VALIDATORS, "items": key() }),
        ),
        ("configuration", "The host's configuration; what is left out has its default.", configuration_schema()),
        ("paras", "The paras of the first session.", json!({ "type": "array", "items": para })),
    ]
}

fn configuration_schema() -> Value {
    let properties: serde_json::Map<String, Value> = FIELDS
        .iter()
        .map(|field| {
            let kind = if field.is_optional { json!(["integer", "null"]) } else { json!("integer") };
            let schema = json!({
                "type": kind,
                "minimum": field.min,
                "maximum": field.max,
                "default": field.default_value(),
                "description": field.help.trim(),
                "x-unit": field.unit,
            });
            (field.name.to_owned(), schema)
        })
        .collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// The JSON schema of a chain specification.
pub fn schema() -> String {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for (name, help, schema) in top_fields() {
        let mut schema = schema;
        schema["description"] = json!(help);
        properties.insert(name.to_owned(), schema);
        required.push(name);
    }
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Chain specification of Parahost",
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    });
    // A JSON value can always be printed.
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

/// The reference of a chain specification, in Markdown.
pub fn reference() -> String {
    let mut text = String::from(
        "# Chain specifications\n\n\
         A chain begins with a JSON file. Every node that starts with the same file gets the same genesis, byte by byte; \
         its hash is the chain's name, which `parahost chain-spec validate FILE` prints. The file is made by \
         `parahost chain-spec new`, shown with all values by `parahost chain-spec inspect FILE`; its schema is \
         [chain-spec.schema.json](chain-spec.schema.json). This page and the schema are written by \
         `parahost chain-spec schema`.\n\n\
         ## The file\n\n\
         All of these fields must be there. Bytes are hexadecimal digits behind `0x`.\n\n| field | meaning |\n|---|---|\n",
    );
    for (name, help, _) in top_fields() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{name}` | {help} |");
    }
    text.push_str("| `paras[].id`, `kind`, `head`, `code` | Id, `parachain` or `parathread`, first head, wasm. |\n");
    text.push_str(
        "\n## Configuration\n\nA field that is left out has its default. Governance can change all of them later, at \
         session boundaries.\n\n| field | unit | default | least | most | meaning |\n|---|---|---|---|---|---|\n",
    );
    for field in FIELDS {
        let default = field.default_value().map_or("null".to_owned(), |value| value.to_string());
        let Field { name, unit, help, min, max, .. } = field;
        let _ = writeln!(text, "| `{name}` | {unit} | {default} | {min} | {max} | {} |", help.trim());
    }
    text.push_str(
        "\nThe rotation must be slower than both availability periods and faster than the sessions. If there are cores for \
         parathreads, the lookahead must not be 0, and together with the parachains there are no more cores than the most \
         of `parathread_cores`.\n",
    );
    text
}

pub(super) fn to_json(spec: &ChainSpec) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let genesis = &spec.genesis;
    let mut lines = vec![
        format!("  \"format\": {FORMAT}"),
        format!("  \"name\": {}", quoted(&spec.name)),
        format!("  \"slot_ms\": {}", spec.slot_ms),
        format!("  \"forks_per_million_slots\": {}", spec.forks_per_million),
        format!("  \"session_length_blocks\": {}", genesis.session_length),
        format!("  \"stake_per_validator\": \"{}\"", genesis.stake_per_validator),
        format!("  \"randomness\": \"{}\"", hex(&genesis.randomness)),
    ];
    let validators = genesis.validators.iter().map(|validator| format!("    \"{}\"", validator_hex(validator)));
    lines.push(format!("  \"validators\": [\n{}\n  ]", validators.collect::<Vec<_>>().join(",\n")));
    let fields = FIELDS.iter().map(|field| {
        let value = field.get(&genesis.configuration).map_or("null".to_owned(), |value| value.to_string());
        format!("    \"{}\": {value}", field.name)
    });
    lines.push(format!("  \"configuration\": {{\n{}\n  }}", fields.collect::<Vec<_>>().join(",\n")));
    let paras = genesis.paras.iter().map(|para| {
        let (head, code) = (hex(&para.head_data.0), hex(&para.validation_code.0));
        let (id, kind) = (para.id.0, kind(para));
        format!("    {{ \"id\": {id}, \"kind\": \"{kind}\", \"head\": \"{head}\", \"code\": \"{code}\" }}")
    });
    lines.push(format!("  \"paras\": [\n{}\n  ]", paras.collect::<Vec<_>>().join(",\n")));
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}
