//! What is wrong with a value, without the value.

/// Takes the value out of the words in which serde refuses one: it may be a secret that somebody
/// has put into the wrong field. The kind of the value, and what was expected, stay.
#[must_use]
pub fn without_value(words: &str) -> String {
    for begin in ["invalid type: ", "invalid value: "] {
        if let Some(rest) = words.strip_prefix(begin) {
            // What was expected comes last; the value may have the same words in it.
            let (value, expected) = rest.rsplit_once(", expected ").unwrap_or((rest, ""));
            return join(begin, kind(value), expected);
        }
    }
    if let Some(rest) = words.strip_prefix("unknown variant `") {
        let (_, expected) = rest.rsplit_once("`, expected ").unwrap_or_default();
        return join("unknown variant", "", expected);
    }
    // As the `url` crate says it: `invalid port number: "rtsp://…"`.
    let (words, _) = words.split_once(": \"").unwrap_or((words, ""));
    words.to_owned()
}

/// `string "abc"` is a string, and `` integer `5` `` an integer.
fn kind(value: &str) -> &str {
    let end = value.find(['"', '`']).unwrap_or(value.len());
    value[..end].trim_end()
}

fn join(begin: &str, kind: &str, expected: &str) -> String {
    match expected {
        "" => format!("{begin}{kind}"),
        expected => format!("{begin}{kind}, expected {expected}"),
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, de::DeserializeOwned};
    use url::Url;

    use super::*;
    use crate::{CameraSource, Secret, Transport};

    fn refused<T: DeserializeOwned>(json: &str) -> String {
        let error = serde_json::from_str::<T>(json).err().expect("is refused");
        let words = without_value(&error.to_string());
        let (words, _) = words.split_once(" at line").unwrap_or((&words, ""));
        words.to_owned()
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Empty {}

    #[test]
    fn the_kind_and_what_was_expected_stay() {
        assert_eq!(
            refused::<u32>("\"hunter2, expected `nothing\""),
            "invalid type: string, expected u32"
        );
        assert_eq!(
            refused::<Secret>("12345678"),
            "invalid type: integer, expected a string"
        );
        assert_eq!(
            refused::<Secret>("[\"a\"]"),
            "invalid type: sequence, expected a string"
        );
        assert_eq!(
            refused::<Transport>("\"hunter2`, expected `x\""),
            "unknown variant, expected `tcp` or `udp`"
        );
        assert_eq!(
            refused::<CameraSource>("{\"type\": \"hunter2\"}"),
            "unknown variant, expected one of `pull`, `publish`, `file`"
        );
        assert_eq!(
            refused::<Url>("\"rtsp://a:hunter2@b:99999\""),
            "invalid port number"
        );
        assert_eq!(
            refused::<Empty>("{\"nmae\": 1}"),
            "unknown field `nmae`, there are no fields"
        );
        assert!(refused::<Empty>("{").starts_with("EOF while parsing"));
    }
}
