//! For `crates/fuzz`: what other edges say, as functions of bytes.

use std::sync::Arc;

use bytes::BytesMut;
use headworks_media::{Frame, Tracks};
use headworks_types::edge::SlotState;
use uuid::Uuid;

use super::wire::{self, Ask, Decoder, Message, Place, Refusal, Source, Tell};
use crate::hub::Relayed;

/// What an edge makes of what another one says, in pieces as they come.
#[derive(Debug, Default)]
pub struct Reader {
    decoder: Decoder,
    has_failed: bool,
}

impl Reader {
    /// How many messages are whole with this; `None` if there is something that is none. With `asks`,
    /// they are those of an edge that wants a camera, else of one that gives it.
    ///
    /// # Panics
    /// If what was read is written in another way.
    pub fn read(&mut self, piece: &[u8], asks: bool) -> Option<usize> {
        if self.has_failed {
            return None;
        }
        self.decoder.buffer().extend_from_slice(piece);
        let read = match asks {
            true => self.all(Ask::write),
            false => self.all(Tell::write),
        };
        self.has_failed = read.is_none();
        read
    }

    /// How many bytes wait for the rest of their message.
    #[must_use]
    pub fn kept(&mut self) -> usize {
        self.decoder.buffer().len()
    }

    fn all<M: Message + PartialEq + std::fmt::Debug>(
        &mut self,
        write: fn(&M, &mut BytesMut),
    ) -> Option<usize> {
        let mut count = 0;
        while let Some(message) = self.decoder.next::<M>().ok()? {
            count += 1;
            let mut again = Decoder::default();
            write(&message, again.buffer());
            let again = again.next::<M>().expect("what is written can be read");
            assert_eq!(again.as_ref(), Some(&message));
        }
        Some(count)
    }
}

/// A conversation, as the edge says it that wants the camera …
#[must_use]
pub fn asked() -> Vec<u8> {
    let id = Uuid::from_u128(1);
    let mut out = BytesMut::new();
    Ask::Hello {
        version: wire::VERSION,
        camera: id.into(),
        epoch: 1,
        origin: Some(id.into()),
    }
    .write(&mut out);
    let place = Place {
        incarnation: 1,
        sequence: 2,
    };
    for resume in [Some(place), None] {
        Ask::Play { resume }.write(&mut out);
    }
    Ask::Leave {
        epoch: 1,
        origin: None,
    }
    .write(&mut out);
    out.to_vec()
}

/// … and as the other says it.
#[must_use]
pub fn told(tracks: &Tracks, frames: &[Frame]) -> Vec<u8> {
    let id = Uuid::from_u128(1);
    let mut out = BytesMut::new();
    let mut all = vec![
        Tell::Welcome {
            version: wire::VERSION,
        },
        Tell::Status {
            state: SlotState::Connecting,
            words: "connecting".to_owned(),
        },
        Tell::Source(Source {
            epoch: 1,
            incarnation: Some(1),
            path: vec![id.into(); 2],
        }),
        Tell::Tracks(Arc::new(tracks.clone())),
    ];
    let frames = (2..).zip(frames);
    all.extend(frames.map(|(sequence, frame)| {
        Tell::Frame(Relayed {
            sequence,
            starts_session: sequence == 2,
            frame: frame.clone(),
        })
    }));
    all.extend([
        Tell::Alive,
        Tell::Refused {
            why: Refusal::Stops,
        },
    ]);
    all.iter().for_each(|tell| tell.write(&mut out));
    out.to_vec()
}
