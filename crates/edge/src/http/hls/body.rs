//! Answers with media, piece by piece, without joining the pieces.

use std::{
    collections::VecDeque,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::range::Wanted;

const MEDIA: &str = "video/mp4";

/// The pieces, or the range of them that the request wants.
pub(super) fn media<'a>(
    chunks: impl IntoIterator<Item = &'a Bytes>,
    headers: &HeaderMap,
) -> Response {
    let chunks: VecDeque<_> = chunks.into_iter().cloned().collect();
    let length = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    // Nothing here has a validator, so that If-Range never holds (RFC 9110 §13.1.5).
    let range = headers
        .get(header::RANGE)
        .filter(|_| !headers.contains_key(header::IF_RANGE))
        .and_then(|range| range.to_str().ok());
    let common = [
        (header::CONTENT_TYPE, MEDIA),
        (header::ACCEPT_RANGES, "bytes"),
    ];
    match range.map_or(Wanted::All, |range| Wanted::parse(range, length)) {
        Wanted::All => (common, Chunks::body(chunks)).into_response(),
        Wanted::Part(range) => {
            let place = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            let headers = [(header::CONTENT_RANGE, place)];
            let body = Chunks::body(slice(chunks, range));
            (StatusCode::PARTIAL_CONTENT, common, headers, body).into_response()
        }
        Wanted::Nothing => {
            let headers = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
            (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response()
        }
    }
}

/// The bytes of `range`, which is within the chunks.
fn slice(chunks: VecDeque<Bytes>, range: Range<u64>) -> VecDeque<Bytes> {
    let mut start = 0;
    let mut out = VecDeque::with_capacity(chunks.len());
    for chunk in chunks {
        let end = start + chunk.len() as u64;
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            out.push_back(chunk.slice((from - start) as usize..(to - start) as usize));
        }
        start = end;
    }
    out
}

struct Chunks {
    chunks: VecDeque<Bytes>,
    left: u64,
}

impl Chunks {
    fn body(chunks: VecDeque<Bytes>) -> Body {
        let left = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Body::new(Self { chunks, left })
    }
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let chunk = self.chunks.pop_front();
        self.left -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_slice_of_the_pieces_is_the_slice_of_the_whole(
            sizes in prop::collection::vec(0_usize..20, 1..10),
            a in 0_usize..200,
            b in 0_usize..200,
        ) {
            let whole: Vec<u8> = (0..sizes.iter().sum::<usize>()).map(|index| index as u8).collect();
            let bytes = Bytes::from(whole.clone());
            let mut start = 0;
            let chunks = sizes.iter().map(|size| {
                start += size;
                bytes.slice(start - size..start)
            });
            let (a, b) = (a.min(b).min(whole.len()), a.max(b).min(whole.len()));
            let sliced = slice(chunks.collect(), a as u64..b as u64);
            prop_assert_eq!(sliced.into_iter().flatten().collect::<Vec<_>>(), &whole[a..b]);
        }
    }
}
