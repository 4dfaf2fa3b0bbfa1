//! The handshake (RTMP 1.0 §5.2): three blocks each way.
//!
//! It is the *simple* one: zeros where Flash Player puts its version, and an echo. Clients that
//! sign their block (FFmpeg, Flash) fall back to it when they see those zeros. RTMPE and the
//! verification of players, which need the signed form, are not spoken here.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::Error;

/// C0 and S0 (§5.2.2).
const VERSION: u8 = 3;
/// C1, S1, C2 and S2 (§5.2.3).
const BLOCK: usize = 1536;

/// One end's side of the handshake.
#[derive(Debug)]
pub struct Handshake {
    role: Role,
    stage: Stage,
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Server,
    Client,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The client's own first block is to be sent.
    Start,
    /// The peer's version and first block are to come.
    First,
    /// The peer's echo is to come.
    Second,
    Done,
}

impl Handshake {
    /// Of the end that was called. `seed` fills the block that nobody reads.
    #[must_use]
    pub fn server(seed: u64) -> Self {
        Self {
            role: Role::Server,
            stage: Stage::First,
            seed,
        }
    }

    /// Of the end that calls.
    #[must_use]
    pub fn client(seed: u64) -> Self {
        Self {
            role: Role::Client,
            stage: Stage::Start,
            seed,
        }
    }

    /// Takes what it can from `input` and says what to send. True when it is done; what is left in
    /// `input` are chunks. Until then it is to be called again with the same bytes and more.
    pub fn step(&mut self, input: &mut Bytes, out: &mut VecDeque<Bytes>) -> Result<bool, Error> {
        if self.stage == Stage::Start {
            out.push_back(self.own_block(BLOCK).freeze());
            self.stage = Stage::First;
        }
        if self.stage == Stage::First {
            if let Some(&version) = input.first()
                && version != VERSION
            {
                return Err(Error::Version { offset: 0, version });
            }
            if input.len() < 1 + BLOCK {
                return Ok(false);
            }
            input.advance(1);
            let echo = input.split_to(BLOCK);
            out.push_back(match self.role {
                Role::Client => echo,
                Role::Server => {
                    let mut answer = self.own_block(2 * BLOCK);
                    answer.extend_from_slice(&echo);
                    answer.freeze()
                }
            });
            self.stage = Stage::Second;
        }
        if self.stage == Stage::Second && input.len() >= BLOCK {
            // Not compared: some clients do not echo, and nothing depends on it.
            input.advance(BLOCK);
            self.stage = Stage::Done;
        }
        Ok(self.stage == Stage::Done)
    }

    /// Version, time, zeros, and any bytes (§5.2.3).
    fn own_block(&self, capacity: usize) -> BytesMut {
        let mut block = BytesMut::with_capacity(1 + capacity);
        block.put_u8(VERSION);
        block.put_u64(0);
        let mut state = self.seed | 1;
        while block.len() < 1 + BLOCK {
            // Marsaglia's xorshift: no secret depends on it.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.put_u64(state);
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_ends_agree_however_the_bytes_are_cut() {
        for step in [1, 7, 1536, 1537, 5000] {
            let (mut server, mut client) = (Handshake::server(1), Handshake::client(2));
            let (mut to_server, mut to_client) = (Bytes::new(), Bytes::new());
            let mut queues = [VecDeque::new(), VecDeque::new()];
            let (mut server_done, mut client_done) = (false, false);
            for _ in 0..7000 {
                client_done |= client.step(&mut to_client, &mut queues[0]).unwrap();
                server_done |= server.step(&mut to_server, &mut queues[1]).unwrap();
                for (queue, input) in queues.iter_mut().zip([&mut to_server, &mut to_client]) {
                    if let Some(next) = queue.front_mut() {
                        let part = next.split_to(step.min(next.len()));
                        *input = [&input[..], &part[..]].concat().into();
                        queue.retain(|bytes| !bytes.is_empty());
                    }
                }
            }
            assert!(server_done && client_done, "in steps of {step}");
            assert!(to_server.is_empty() && to_client.is_empty());
        }
    }

    #[test]
    fn other_protocols_are_named() {
        let say = |first: &'static [u8]| {
            Handshake::server(0)
                .step(&mut Bytes::from_static(first), &mut VecDeque::new())
                .unwrap_err()
                .to_string()
        };
        assert!(say(b"GET / HTTP/1.1").contains("HTTP"));
        assert!(say(&[0x16, 3, 1]).contains("TLS"));
        assert!(say(&[6]).contains("RTMPE"));
    }

    proptest! {
        #[test]
        fn garbage_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..4000), client: bool) {
            let mut handshake = if client { Handshake::client(0) } else { Handshake::server(0) };
            let mut input = Bytes::from([&[3], &bytes[..]].concat());
            prop_assert!(handshake.step(&mut input, &mut VecDeque::new()).is_ok());
        }
    }
}
