//! Bytes to values.

use super::{Error, Value, marker};

/// Bounds on what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Objects and arrays inside each other.
    pub depth: usize,
    /// Values in all, names not counted.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 8,
            values: 512,
        }
    }
}

/// Reads one value after the other.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    limits: Limits,
    values: usize,
}

/// All values in `bytes`.
pub fn read_all(bytes: &[u8], limits: Limits) -> Result<Vec<Value>, Error> {
    let mut reader = Reader::new(bytes, limits);
    let mut values = Vec::new();
    while let Some(value) = reader.value()? {
        values.push(value);
    }
    Ok(values)
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    #[must_use]
    pub fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self {
            bytes,
            offset: 0,
            limits,
            values: 0,
        }
    }

    /// The next value; none at the end.
    pub fn value(&mut self) -> Result<Option<Value>, Error> {
        if self.offset == self.bytes.len() {
            return Ok(None);
        }
        self.nested(0).map(Some)
    }

    fn nested(&mut self, depth: usize) -> Result<Value, Error> {
        self.within("levels of values", depth, self.limits.depth)?;
        self.within("values", self.values, self.limits.values)?;
        self.values += 1;
        let offset = self.offset;
        let [marker] = self.array()?;
        Ok(match marker {
            marker::NUMBER => Value::Number(f64::from_be_bytes(self.array()?)),
            marker::BOOLEAN => Value::Boolean(self.array::<1>()? != [0]),
            marker::STRING => Value::String(self.name()?),
            marker::LONG_STRING => {
                let length = u32::from_be_bytes(self.array()?);
                Value::String(self.text(length as usize)?)
            }
            marker::OBJECT => Value::Object(self.named(depth)?),
            marker::NULL => Value::Null,
            marker::UNDEFINED => Value::Undefined,
            marker::ECMA_ARRAY => {
                // The count is a hint that encoders get wrong; the end marker counts (§2.10).
                self.array::<4>()?;
                Value::EcmaArray(self.named(depth)?)
            }
            marker::STRICT_ARRAY => {
                let count = u32::from_be_bytes(self.array()?);
                let values = (0..count).map(|_| self.nested(depth + 1));
                Value::StrictArray(values.collect::<Result<_, _>>()?)
            }
            marker::DATE => Value::Date {
                milliseconds: f64::from_be_bytes(self.array()?),
                zone: i16::from_be_bytes(self.array()?),
            },
            marker => return Err(Error::Marker { offset, marker }),
        })
    }

    /// Names and values up to an empty name and the end marker.
    fn named(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Error> {
        let mut values = Vec::new();
        loop {
            let name = self.name()?;
            if name.is_empty() && self.bytes.get(self.offset) == Some(&marker::OBJECT_END) {
                self.offset += 1;
                return Ok(values);
            }
            values.push((name, self.nested(depth + 1)?));
        }
    }

    fn name(&mut self) -> Result<String, Error> {
        let length = u16::from_be_bytes(self.array()?);
        self.text(length.into())
    }

    fn text(&mut self, length: usize) -> Result<String, Error> {
        self.take(length)
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn take(&mut self, wanted: usize) -> Result<&'a [u8], Error> {
        let rest = &self.bytes[self.offset..];
        let taken = rest.get(..wanted).ok_or(Error::Short {
            offset: self.offset,
            wanted,
            left: rest.len(),
        })?;
        self.offset += wanted;
        Ok(taken)
    }

    fn within(&self, what: &'static str, used: usize, limit: usize) -> Result<(), Error> {
        if used < limit {
            return Ok(());
        }
        Err(Error::Limit {
            offset: self.offset,
            what,
            limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::amf::write;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<f64>()
                .prop_filter("equal to itself", |n| !n.is_nan())
                .prop_map(Value::Number),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,9}".prop_map(Value::String),
            Just(Value::String("long".repeat(20_000))),
            Just(Value::Null),
            Just(Value::Undefined),
            (0.0..1e12, any::<i16>())
                .prop_map(|(milliseconds, zone)| Value::Date { milliseconds, zone }),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let named = prop::collection::vec(("[a-z]{1,5}", inner.clone()), 0..4);
            prop_oneof![
                named.clone().prop_map(Value::Object),
                named.prop_map(Value::EcmaArray),
                prop::collection::vec(inner, 0..4).prop_map(Value::StrictArray),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(values in prop::collection::vec(values(), 0..4)) {
            let mut bytes = Vec::new();
            for value in &values {
                write(&mut bytes, value);
            }
            prop_assert_eq!(read_all(&bytes, Limits { depth: 8, values: 512 }), Ok(values));
        }

        #[test]
        fn garbage_does_not_panic(bytes in prop::collection::vec(0_u8..13, 0..300)) {
            let _ = read_all(&bytes, Limits::default());
        }
    }

    #[test]
    fn a_bomb_of_levels_or_values_is_refused_where_it_goes_too_far() {
        let nested = [3, 0, 1, b'a'].repeat(100);
        assert_eq!(
            read_all(&nested, Limits::default()),
            Err(Error::Limit {
                offset: 32,
                what: "levels of values",
                limit: 8
            })
        );
        let mut wide = vec![10, 0xff, 0xff, 0xff, 0xff];
        wide.resize(2000, 5);
        assert_eq!(
            read_all(&wide, Limits::default()).unwrap_err().to_string(),
            "AMF at 516: more than 512 values"
        );
    }

    #[test]
    fn errors_tell_where() {
        let read = |bytes: &[u8]| read_all(bytes, Limits::default()).unwrap_err().to_string();
        assert_eq!(
            read(&[5, 2, 0, 9, b'x']),
            "AMF at 4: 9 more bytes expected, 1 left"
        );
        assert_eq!(read(&[5, 0x11]), "AMF at 1: type 0x11 is not supported");
    }

    #[test]
    fn text_in_latin_1_is_read() {
        assert_eq!(
            read_all(&[2, 0, 2, b'a', 0xe4], Limits::default()),
            Ok(vec![Value::string("a\u{fffd}")])
        );
    }
}
