//! Aggregate messages (RTMP 1.0 §7.1.6): several media messages in one, as FLV tags.

use bytes::{Buf, Bytes};

use crate::Message;

/// FLV's tag header and the size behind a tag.
const TAG_HEADER: usize = 11;
const BACK_POINTER: usize = 4;

/// The tags that have not been read yet.
#[derive(Debug)]
pub(super) struct Aggregate {
    rest: Bytes,
    stream: u32,
    timestamp: u32,
    /// The first tag's own time, which stands for the message's.
    first: Option<u32>,
}

impl Aggregate {
    pub(super) fn new(message: Message) -> Self {
        Self {
            rest: message.payload,
            stream: message.stream,
            timestamp: message.timestamp,
            first: None,
        }
    }

    /// The next one, or what is wrong with it.
    pub(super) fn next(&mut self) -> Result<Option<Message>, &'static str> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let Some(&[kind, s0, s1, s2, t0, t1, t2, t3, ..]) = self.rest.first_chunk::<TAG_HEADER>()
        else {
            return Err("an aggregate message ends inside a tag's header");
        };
        let size = u32::from_be_bytes([0, s0, s1, s2]) as usize;
        if self.rest.len() < TAG_HEADER + size {
            return Err("an aggregate message ends inside a tag");
        }
        let time = u32::from_be_bytes([t3, t0, t1, t2]);
        let first = *self.first.get_or_insert(time);
        self.rest.advance(TAG_HEADER);
        let payload = self.rest.split_to(size);
        // Some senders leave the last one out.
        self.rest.advance(BACK_POINTER.min(self.rest.len()));
        Ok(Some(Message {
            kind,
            timestamp: self.timestamp.wrapping_add(time.wrapping_sub(first)),
            stream: self.stream,
            payload,
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn aggregate(payload: impl Into<Bytes>) -> Aggregate {
        Aggregate::new(Message {
            kind: 22,
            timestamp: 1000,
            stream: 1,
            payload: payload.into(),
        })
    }

    #[test]
    fn times_count_from_the_first() {
        let mut tags =
            aggregate(&b"\x09\0\0\x01\0\0\x05\0\0\0\0v\0\0\0\x0c\x08\0\0\x01\0\0\x08\0\0\0\0a"[..]);
        let first = tags.next().unwrap().unwrap();
        let second = tags.next().unwrap().unwrap();
        assert_eq!(
            (first.kind, first.timestamp, &first.payload[..]),
            (9, 1000, &b"v"[..])
        );
        assert_eq!(
            (second.kind, second.timestamp, &second.payload[..]),
            (8, 1003, &b"a"[..])
        );
        assert_eq!(tags.next(), Ok(None));
    }

    proptest! {
        #[test]
        fn garbage_does_not_panic(payload in prop::collection::vec(0_u8..20, 0..200)) {
            let mut tags = aggregate(payload);
            while let Ok(Some(_)) = tags.next() {}
        }
    }
}
