//! Commands (RTMP 1.0 §7.2): a name, a number to answer to, and values.

use bytes::Bytes;

use crate::amf::{self, Value};

/// A call, or an answer to one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Command {
    pub(crate) name: String,
    /// Zero if no answer is wanted.
    pub(crate) transaction: f64,
    /// The first one is the *command object*, mostly null.
    pub(crate) arguments: Vec<Value>,
}

impl Command {
    /// In the AMF3 form it is AMF0 after one byte (§7.1.1).
    pub(crate) fn read(
        payload: &[u8],
        is_amf3: bool,
        limits: amf::Limits,
    ) -> Result<Self, amf::Error> {
        let payload = match payload.split_first() {
            Some((0, rest)) if is_amf3 => rest,
            _ => payload,
        };
        let mut values = amf::read_all(payload, limits)?.into_iter();
        let name = match values.next() {
            Some(Value::String(name)) => name,
            _ => String::new(),
        };
        // Some clients leave the number out of `onStatus` and the like.
        let transaction = values.next().and_then(|value| value.as_number());
        Ok(Self {
            name,
            transaction: transaction.unwrap_or_default(),
            arguments: values.collect(),
        })
    }

    /// The text at `index`, where 0 is the command object.
    pub(crate) fn text(&self, index: usize) -> Option<&str> {
        self.arguments.get(index)?.as_str()
    }

    /// The number at `index`.
    pub(crate) fn number(&self, index: usize) -> Option<f64> {
        self.arguments.get(index)?.as_number()
    }

    /// The information object of `onStatus` and `_error`: the last value that has a code.
    pub(crate) fn information(&self) -> Option<&Value> {
        self.arguments
            .iter()
            .rev()
            .find(|value| value.get("code").is_some())
    }
}

/// A command message's bytes.
pub(crate) fn command(stream: u32, name: &str, transaction: f64, arguments: &[Value]) -> Bytes {
    let mut out = Vec::new();
    amf::write_string(&mut out, name);
    amf::write(&mut out, &Value::Number(transaction));
    for argument in arguments {
        amf::write(&mut out, argument);
    }
    crate::wire::command(stream, &out)
}

/// `onStatus` of the one message stream (§7.2.2).
pub(crate) fn status(level: &str, code: &str, description: &str) -> Bytes {
    let arguments = [Value::Null, information(level, code, description)];
    command(crate::wire::STREAM, "onStatus", 0.0, &arguments)
}

/// An information object (§7.2.2).
pub(crate) fn information(level: &str, code: &str, description: &str) -> Value {
    Value::object([
        ("level", Value::string(level)),
        ("code", Value::string(code)),
        ("description", Value::string(description)),
    ])
}
