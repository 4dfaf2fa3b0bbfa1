//! Words of other people in messages.

/// Longer messages are of no help to anybody, characters.
const LONGEST: usize = 400;

/// A message that may repeat what somebody at the other end has said: one line, without control
/// characters and what was no text, and not too long.
pub(crate) fn printable(text: &str) -> String {
    let strange = |char: char| char.is_control() || char == char::REPLACEMENT_CHARACTER;
    let mut shown = String::with_capacity(text.len().min(4 * LONGEST));
    let mut was_strange = false;
    for (count, char) in text.chars().enumerate() {
        if count == LONGEST {
            shown.push('…');
            break;
        }
        let is_strange = strange(char);
        if !is_strange {
            shown.push(char);
        } else if !was_strange {
            shown.push(char::REPLACEMENT_CHARACTER);
        }
        was_strange = is_strange;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_short_and_moves_no_cursor() {
        assert_eq!(
            printable("camera refuses: 453 Besetzt, später"),
            "camera refuses: 453 Besetzt, später"
        );
        assert_eq!(printable("a\x1b[2J\r\n\u{fffd}\u{7}b"), "a�[2J�b");
        let long = printable(&"ä".repeat(1000));
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('…'));
    }
}
