//! From JSON to a specification, with errors that name the field.

use primitives::{HeadData, HostConfiguration, ParaId, ValidationCode, ValidatorId, crypto::is_public_key};
use runtime::{
    Balance, Genesis, GenesisPara,
    limits::{MAX_SESSION_LENGTH, MIN_SESSION_LENGTH},
};
use serde_json::{Map, Value};

use super::{
    ChainSpec, FIELDS, FORMAT, Field, MAX_NAME_LEN, MAX_SPEC_BYTES, PARACHAIN, PARATHREAD, SLOT_MS_RANGE, SpecError,
    unique::Unique,
};
use crate::slots::PARTS_PER_MILLION;

/// Characters of a found value that an error shows.
const SHOWN: usize = 60;

/// A value and where it stands.
struct At<'a> {
    path: String,
    /// `None` if it is not there.
    value: Option<&'a Value>,
}

impl<'a> At<'a> {
    fn refuse<T>(&self, expected: impl Into<String>) -> Result<T, SpecError> {
        let found = match self.value {
            None => "missing".to_owned(),
            Some(value) => {
                let text = value.to_string();
                match text.char_indices().nth(SHOWN) {
                    None => text,
                    Some((end, _)) => format!("{}…", &text[..end]),
                }
            }
        };
        Err(SpecError::Field { field: self.path.clone(), found, expected: expected.into() })
    }

    fn number(&self, min: u64, max: u64, unit: &str) -> Result<u64, SpecError> {
        match self.value.and_then(Value::as_u64) {
            Some(number) if (min..=max).contains(&number) => Ok(number),
            _ => self.refuse(format!("a number of {unit} from {min} to {max}")),
        }
    }

    fn number_u32(&self, min: u32, max: u32, unit: &str) -> Result<u32, SpecError> {
        let number = self.number(u64::from(min), u64::from(max), unit)?;
        u32::try_from(number).or_else(|_| self.refuse("a smaller number"))
    }

    fn text(&self, expected: &str) -> Result<&'a str, SpecError> {
        self.value.and_then(Value::as_str).map_or_else(|| self.refuse(expected), Ok)
    }

    fn bytes(&self) -> Result<Vec<u8>, SpecError> {
        const EXPECTED: &str = "bytes in hexadecimal, such as \"0x00ff\"";
        let digits = self.text(EXPECTED)?.strip_prefix("0x").unwrap_or("?").as_bytes();
        let pairs = digits.chunks(2).map(|pair| {
            let [high, low] = pair else { return None };
            let digit = |digit: &u8| char::from(*digit).to_digit(16);
            u8::try_from(digit(high)? * 16 + digit(low)?).ok()
        });
        pairs.collect::<Option<_>>().map_or_else(|| self.refuse(EXPECTED), Ok)
    }

    fn bytes_32(&self) -> Result<[u8; 32], SpecError> {
        self.bytes()?.try_into().or_else(|_| self.refuse("32 bytes in hexadecimal"))
    }

    fn list(&self, of: &str) -> Result<Vec<At<'a>>, SpecError> {
        let Some(values) = self.value.and_then(Value::as_array) else { return self.refuse(format!("a list of {of}")) };
        let at = |(index, value)| At { path: format!("{}[{index}]", self.path), value: Some(value) };
        Ok(values.iter().enumerate().map(at).collect())
    }

    /// The object's fields, of which all must be known.
    fn object(&self, known: &[&'static str]) -> Result<Object<'a>, SpecError> {
        let Some(map) = self.value.and_then(Value::as_object) else {
            return self.refuse(format!("an object with the fields {}", known.join(", ")));
        };
        if let Some(unknown) = map.keys().find(|key| !known.contains(&key.as_str())) {
            let at = At { path: join(&self.path, unknown), value: map.get(unknown) };
            return at.refuse(format!("no such field; there are {}", known.join(", ")));
        }
        Ok(Object { path: self.path.clone(), map })
    }
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

struct Object<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    fn get(&self, field: &str) -> At<'a> {
        At { path: join(&self.path, field), value: self.map.get(field) }
    }
}

pub(super) const TOP: [&str; 10] = [
    "format",
    "name",
    "slot_ms",
    "forks_per_million_slots",
    "session_length_blocks",
    "stake_per_validator",
    "randomness",
    "validators",
    "configuration",
    "paras",
];
pub(super) const PARA: [&str; 4] = ["id", "kind", "head", "code"];

pub(super) fn read(bytes: &[u8]) -> Result<ChainSpec, SpecError> {
    if bytes.len() > MAX_SPEC_BYTES {
        return Err(SpecError::TooLarge { found: bytes.len() });
    }
    let Unique(value) = serde_json::from_slice(bytes).map_err(|error| SpecError::Json(error.to_string()))?;
    let file = At { path: String::new(), value: Some(&value) };
    if !value.is_object() {
        let at = At { path: "the file".to_owned(), value: Some(&value) };
        return at.refuse("an object");
    }
    let top = file.object(&TOP)?;
    let format = top.get("format");
    if format.number_u32(1, u32::MAX, "the format")? != FORMAT {
        return format.refuse(format!("{FORMAT}, the only format that this program reads"));
    }
    let validators = top.get("validators").list("validators' public keys")?;
    let validators = validators.iter().map(|key| key.bytes_32().map(ValidatorId)).collect::<Result<_, _>>()?;
    let paras = top.get("paras").list("paras")?;
    let genesis = Genesis {
        configuration: configuration(&top.get("configuration"))?,
        validators,
        paras: paras.iter().map(para).collect::<Result<_, _>>()?,
        stake_per_validator: amount(&top.get("stake_per_validator"))?,
        session_length: top.get("session_length_blocks").number_u32(
            MIN_SESSION_LENGTH,
            MAX_SESSION_LENGTH,
            "blocks",
        )?,
        randomness: top.get("randomness").bytes_32()?,
    };
    let parts = top.get("forks_per_million_slots").number(0, u64::from(PARTS_PER_MILLION), "slots")?;
    let spec = ChainSpec {
        name: top.get("name").text("a name in quotes")?.to_owned(),
        slot_ms: top.get("slot_ms").number(*SLOT_MS_RANGE.start(), *SLOT_MS_RANGE.end(), "milliseconds")?,
        forks_per_million: u32::try_from(parts).unwrap_or(PARTS_PER_MILLION),
        genesis,
    };
    Ok(spec)
}

/// Digits alone: a number for a machine may have a sign, an amount has none.
fn amount(at: &At<'_>) -> Result<Balance, SpecError> {
    const EXPECTED: &str = "an amount as decimal digits in quotes";
    let digits = at.text(EXPECTED)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return at.refuse(EXPECTED);
    }
    digits.parse().or_else(|_| at.refuse(EXPECTED))
}

fn configuration(at: &At<'_>) -> Result<HostConfiguration, SpecError> {
    let names: Vec<&'static str> = FIELDS.iter().map(|field| field.name).collect();
    let object = at.object(&names)?;
    let mut configuration = HostConfiguration::default();
    for field in FIELDS {
        let at = object.get(field.name);
        if at.value.is_some() {
            field.set(&mut configuration, number_of(&at, field)?);
        }
    }
    Ok(configuration)
}

fn number_of(at: &At<'_>, field: &Field) -> Result<Option<u32>, SpecError> {
    if field.is_optional && at.value.is_some_and(Value::is_null) {
        return Ok(None);
    }
    at.number_u32(field.min, field.max, field.unit).map(Some)
}

fn para(at: &At<'_>) -> Result<GenesisPara, SpecError> {
    let object = at.object(&PARA)?;
    let kind = object.get("kind");
    let is_parachain = match kind.value.and_then(Value::as_str) {
        Some(PARACHAIN) => true,
        Some(PARATHREAD) => false,
        _ => return kind.refuse(format!("\"{PARACHAIN}\" or \"{PARATHREAD}\"")),
    };
    Ok(GenesisPara {
        id: ParaId(object.get("id").number_u32(0, u32::MAX, "the para")?),
        is_parachain,
        head_data: HeadData(object.get("head").bytes()?),
        validation_code: ValidationCode(object.get("code").bytes()?.into()),
    })
}

/// What a program may have set and a file cannot say.
pub(super) fn check_ranges(spec: &ChainSpec) -> Result<(), SpecError> {
    let refuse = |field: &str, found: String, expected: String| {
        Err(SpecError::Field { field: field.to_owned(), found, expected })
    };
    if spec.name.is_empty() || spec.name.len() > MAX_NAME_LEN || spec.name.chars().any(char::is_control) {
        return refuse(
            "name",
            format!("{:?}", spec.name),
            format!("1 to {MAX_NAME_LEN} bytes without control characters"),
        );
    }
    if !SLOT_MS_RANGE.contains(&spec.slot_ms) {
        return refuse("slot_ms", spec.slot_ms.to_string(), "200 to 60000 milliseconds".to_owned());
    }
    if spec.forks_per_million > PARTS_PER_MILLION {
        let found = spec.forks_per_million.to_string();
        return refuse("forks_per_million_slots", found, "0 to 1000000 slots".to_owned());
    }
    let mut validators = spec.genesis.validators.iter().enumerate();
    if let Some((index, validator)) = validators.find(|(_, validator)| !is_public_key(&validator.0)) {
        return refuse(&format!("validators[{index}]"), validator.to_string(), "an sr25519 public key".to_owned());
    }
    Ok(())
}
