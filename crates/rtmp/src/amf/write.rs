//! Values to bytes.

use bytes::BufMut;

use super::{Value, marker};

/// Appends `value`.
pub fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Number(number) => {
            out.push(marker::NUMBER);
            out.put_f64(*number);
        }
        Value::Boolean(value) => out.extend_from_slice(&[marker::BOOLEAN, u8::from(*value)]),
        Value::String(text) => write_string(out, text),
        Value::Object(values) => {
            out.push(marker::OBJECT);
            write_named(out, values);
        }
        Value::Null => out.push(marker::NULL),
        Value::Undefined => out.push(marker::UNDEFINED),
        Value::EcmaArray(values) => {
            out.push(marker::ECMA_ARRAY);
            out.put_u32(values.len() as u32);
            write_named(out, values);
        }
        Value::StrictArray(values) => {
            out.push(marker::STRICT_ARRAY);
            out.put_u32(values.len() as u32);
            for value in values {
                write(out, value);
            }
        }
        Value::Date { milliseconds, zone } => {
            out.push(marker::DATE);
            out.put_f64(*milliseconds);
            out.put_i16(*zone);
        }
    }
}

/// Appends a string, as a long one where it has to be.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    if let Ok(length) = u16::try_from(text.len()) {
        out.push(marker::STRING);
        out.put_u16(length);
    } else {
        out.push(marker::LONG_STRING);
        out.put_u32(text.len() as u32);
    }
    out.extend_from_slice(text.as_bytes());
}

fn write_named(out: &mut Vec<u8>, values: &[(String, Value)]) {
    for (name, value) in values {
        write_name(out, name);
        write(out, value);
    }
    write_name(out, "");
    out.push(marker::OBJECT_END);
}

/// A name has no long form: one that does not fit is cut.
fn write_name(out: &mut Vec<u8>, name: &str) {
    let mut length = name.len().min(usize::from(u16::MAX));
    while !name.is_char_boundary(length) {
        length -= 1;
    }
    out.put_u16(length as u16);
    out.extend_from_slice(&name.as_bytes()[..length]);
}
