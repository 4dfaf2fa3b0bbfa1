//! AMF0 (Action Message Format, version 0): the subset that RTMP's commands use.
//!
//! Reading is bounded in depth and count, and by its input in length. Strings that are not UTF-8
//! (encoders in the field send Latin-1) are read with replacement characters.

mod read;
mod write;

pub use read::{Limits, Reader, read_all};
pub use write::{write, write_string};

/// Type markers (§2.1).
mod marker {
    pub(super) const NUMBER: u8 = 0;
    pub(super) const BOOLEAN: u8 = 1;
    pub(super) const STRING: u8 = 2;
    pub(super) const OBJECT: u8 = 3;
    pub(super) const NULL: u8 = 5;
    pub(super) const UNDEFINED: u8 = 6;
    pub(super) const ECMA_ARRAY: u8 = 8;
    pub(super) const OBJECT_END: u8 = 9;
    pub(super) const STRICT_ARRAY: u8 = 10;
    pub(super) const DATE: u8 = 11;
    pub(super) const LONG_STRING: u8 = 12;
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A double, also for integers.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A string of any length; written as a long string above 65,535 bytes.
    String(String),
    /// Named values in their order.
    Object(Vec<(String, Value)>),
    /// Nothing, on purpose.
    Null,
    /// Nothing.
    Undefined,
    /// Named values with a count in front.
    EcmaArray(Vec<(String, Value)>),
    /// Values without names.
    StrictArray(Vec<Value>),
    /// A point in time.
    Date {
        /// Milliseconds since 1970 in UTC.
        milliseconds: f64,
        /// Minutes east of UTC; by the specification always zero.
        zone: i16,
    },
}

impl Value {
    /// A string.
    #[must_use]
    pub fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// An object of the named values.
    #[must_use]
    pub fn object<const N: usize>(values: [(&str, Value); N]) -> Self {
        Self::Object(values.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// The text, if it is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The value of this name, if it is an object or an ECMA array that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Object(values) | Self::EcmaArray(values) => values
                .iter()
                .find_map(|(key, value)| (key == name).then_some(value)),
            _ => None,
        }
    }
}

/// What is wrong with AMF, at an offset from the start of what was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end inside a value.
    #[error("AMF at {offset}: {wanted} more bytes expected, {left} left")]
    Short {
        /// Where reading stopped.
        offset: usize,
        /// How many bytes were needed.
        wanted: usize,
        /// How many there are.
        left: usize,
    },
    /// A type that is not read here.
    #[error("AMF at {offset}: type {marker:#04x} is not supported")]
    Marker {
        /// Where it stands.
        offset: usize,
        /// Which it is.
        marker: u8,
    },
    /// Values nest too deeply, or there are too many.
    #[error("AMF at {offset}: more than {limit} {what}")]
    Limit {
        /// Where the first one too many stands.
        offset: usize,
        /// What there are too many of.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
}
