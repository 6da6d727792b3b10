//! Reads the golden values.

use codec::Encode;
use primitives::{Hash, Pair, Signature};
use serde_json::Value;
use std::sync::OnceLock;

pub(crate) fn vectors() -> &'static Value {
    static VECTORS: OnceLock<Value> = OnceLock::new();
    VECTORS.get_or_init(|| serde_json::from_str(include_str!("../vectors.json")).unwrap())
}

/// The rows of a section: an array, or the `rows`/`cases` of an object.
pub(crate) fn rows(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no array: {value}"))
}

pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no text {field} in {value}"))
}

pub(crate) fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))).unwrap()
}

pub(crate) fn bytes(value: &Value, field: &str) -> Vec<u8> {
    hex::decode(text(value, field)).unwrap()
}

pub(crate) fn hash(value: &Value, field: &str) -> Hash {
    text(value, field).parse().unwrap()
}

pub(crate) fn signature(value: &Value, field: &str) -> Signature {
    Signature(bytes(value, field).try_into().unwrap())
}

pub(crate) fn pair(suri: &str) -> Pair {
    let key = rows(&vectors()["keys"]).iter().find(|key| text(key, "suri") == suri).unwrap();
    Pair::from_seed(&bytes(key, "mini_secret_or_seed").try_into().unwrap())
}

/// Encodes to the golden bytes, and decodes from them to the same value.
pub(crate) fn assert_scale<T: codec::Decode + Encode + PartialEq + std::fmt::Debug>(value: &T, golden: &[u8]) {
    assert_eq!(hex::encode(value.encode()), hex::encode(golden));
    assert_eq!(&decode::<T>(golden), value);
}

pub(crate) fn decode<T: codec::Decode>(golden: &[u8]) -> T {
    primitives::decode_limited(golden, golden.len()).unwrap()
}
