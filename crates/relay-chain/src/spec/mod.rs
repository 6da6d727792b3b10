//! Chain specifications: the file that a chain begins with, the same genesis from the same file everywhere.
//!
//! [`ChainSpec::parse`] reads JSON by hand, so that each error names the field and what was expected of it; fields that
//! are not known are refused. The configuration's fields may be left out and then have their defaults; nothing else may.
//! [`schema`] and [`reference()`] say the same to programs and people.
//!
//! **Limits**: [`MAX_SPEC_BYTES`], those of the genesis, [`MAX_NAME_LEN`].

mod read;
#[cfg(test)]
mod tests;
mod texts;
mod unique;

use primitives::{ConfigurationError, Hash, Header, ValidatorId};
use runtime::{Genesis, GenesisError, GenesisPara, State, genesis};

pub use primitives::configuration::{FIELDS, Field};
pub use texts::{reference, schema};

use crate::slots::PARTS_PER_MILLION;

/// The version of the format, which each file names.
pub const FORMAT: u32 = 1;
/// Largest file, in bytes: a hundred paras with large codes in hexadecimal.
pub const MAX_SPEC_BYTES: usize = 512 * 1024 * 1024;
/// Longest name of a chain, in bytes.
pub const MAX_NAME_LEN: usize = 64;
/// Shortest and longest slot, in milliseconds.
pub const SLOT_MS_RANGE: std::ops::RangeInclusive<u64> = 200..=60_000;

/// What all nodes of a chain must agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSpec {
    /// A name for people; it is no part of the genesis.
    pub name: String,
    /// Length of a slot, in milliseconds.
    pub slot_ms: u64,
    /// Wanted share of slots with several authors, in parts per million.
    pub forks_per_million: u32,
    /// The first state.
    pub genesis: Genesis,
}

/// Why a file is no chain specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// It is too long.
    #[error("the file has {found} bytes, expected at most {MAX_SPEC_BYTES}")]
    TooLarge {
        /// How long it is.
        found: usize,
    },
    /// It is no JSON, or one of its objects has two fields of one name.
    #[error("the file cannot be read as JSON: {0}")]
    Json(String),
    /// A field has a value that it cannot have, or is not there.
    #[error("{field} is {found}, expected {expected}")]
    Field {
        /// Where, such as `paras[1].head`.
        field: String,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// The configuration.
    #[error("configuration.{0}")]
    Configuration(ConfigurationError),
    /// Each field is as it should be and together they make no chain.
    #[error("no chain can begin like this: {0}")]
    Genesis(GenesisError),
}

impl From<GenesisError> for SpecError {
    fn from(error: GenesisError) -> Self {
        match error {
            GenesisError::Configuration(error) => Self::Configuration(error),
            error => Self::Genesis(error),
        }
    }
}

impl ChainSpec {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, SpecError> {
        let spec = read::read(bytes)?;
        spec.check()?;
        Ok(spec)
    }

    /// Checks what a program has put together.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(&self) -> Result<(), SpecError> {
        read::check_ranges(self)?;
        self.first_block().map(|_| ())
    }

    /// The first state, and the header whose hash names the chain.
    ///
    /// # Errors
    /// [`SpecError::Configuration`], [`SpecError::Genesis`].
    pub fn first_block(&self) -> Result<(State, Header), SpecError> {
        Ok(genesis(&self.genesis)?)
    }

    /// The chain's name: the hash of its first header.
    ///
    /// # Errors
    /// [`SpecError::Configuration`], [`SpecError::Genesis`].
    pub fn genesis_hash(&self) -> Result<Hash, SpecError> {
        self.first_block().map(|(_, header)| header.hash())
    }

    /// Wanted share of slots with several authors, 0 to 1.
    pub fn fork_probability(&self) -> f64 {
        f64::from(self.forks_per_million) / f64::from(PARTS_PER_MILLION)
    }

    /// The file, with every field of the configuration: equal specifications give the same bytes.
    pub fn to_json(&self) -> String {
        texts::to_json(self)
    }
}

/// `0x` and hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn kind(para: &GenesisPara) -> &'static str {
    if para.is_parachain { PARACHAIN } else { PARATHREAD }
}

fn validator_hex(validator: &ValidatorId) -> String {
    hex(&validator.0)
}

const PARACHAIN: &str = "parachain";
const PARATHREAD: &str = "parathread";
