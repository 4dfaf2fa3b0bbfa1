//! How far an edge was told, as one number that it says when it watches again.
//!
//! The upper bits tell one history of the database from others ([`Horizon::line`]), the lower ones
//! are a transaction. So a cursor from before a standby took over, which may have lost the last
//! second, is not taken for one of now, even when as many transactions have passed.

use crate::db::directory::Horizon;

/// At ten thousand transactions in a second this lasts for 890 years.
const XACT_BITS: u32 = 48;

/// Told of everything that older transactions have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Cursor {
    pub(super) line: u16,
    pub(super) xact: u64,
}

impl Cursor {
    /// As it is said; 0 and what nobody ever said are `None`.
    pub(super) fn parse(number: i64) -> Option<Self> {
        let number = u64::try_from(number).ok().filter(|number| *number > 0)?;
        Some(Self {
            line: u16::try_from(number >> XACT_BITS).ok()?,
            xact: number & ((1 << XACT_BITS) - 1),
        })
    }

    /// To be said.
    pub(super) fn number(self) -> i64 {
        ((u64::from(self.line) << XACT_BITS) | self.xact).cast_signed()
    }
}

impl From<Horizon> for Cursor {
    fn from(horizon: Horizon) -> Self {
        Self {
            line: horizon.line,
            xact: horizon.xact,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_positive_number_and_comes_back_as_it_was() {
        for cursor in [
            Cursor { line: 0, xact: 3 },
            Cursor {
                line: (1 << 15) - 1,
                xact: (1 << 48) - 1,
            },
        ] {
            assert!(cursor.number() > 0);
            assert_eq!(Cursor::parse(cursor.number()), Some(cursor));
        }
        assert_eq!(Cursor::parse(0), None);
        assert_eq!(Cursor::parse(-7), None);
    }
}
