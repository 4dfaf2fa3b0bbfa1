//! Fetches playlists and segments.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use headworks_bootstrap::Clock;
use headworks_hls::source::{self, Media, Part, Playlist, Segment};
use headworks_types::Credentials;
use reqwest::{Client, StatusCode, header};
use tokio::{
    sync::mpsc,
    time::{sleep_until, timeout},
};
use url::Url;

use super::Piece;
use crate::{ingest::failure::Failure, outbound::Gate};

/// What is longer is not fetched, bytes.
const MAX_PLAYLIST: usize = 2 << 20;
const MAX_INIT: usize = 1 << 20;
const MAX_SEGMENT: usize = 64 << 20;

/// So many failures in a row are one of the source.
const MAX_FAILURES: u32 = 3;

/// Gets things from one server, or from where it sends us.
pub(super) struct Fetcher<'a> {
    client: Client,
    gate: &'a Gate,
    /// Who alone gets the password.
    origin: url::Origin,
    credentials: Option<&'a Credentials>,
    /// How long an answer may take.
    limit: Duration,
}

/// A media playlist, and where it is.
pub(super) struct Opened {
    url: Url,
    media: Media,
}

impl<'a> Fetcher<'a> {
    pub(super) fn new(
        gate: &'a Gate,
        url: &Url,
        credentials: Option<&'a Credentials>,
        tls_verify: bool,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let client = gate
            .client(tls_verify)
            .connect_timeout(limit)
            .build()
            .map_err(|_| Failure::Internal)?;
        Ok(Self {
            client,
            gate,
            origin: url.origin(),
            credentials,
            limit,
        })
    }

    /// Finds the media playlist.
    pub(super) async fn open(&self, url: &Url) -> Result<Opened, Failure> {
        let url = match self.playlist(url).await? {
            (url, Playlist::Media(media)) => return Ok(Opened { url, media }),
            (_, Playlist::Multivariant(url)) => url,
        };
        match self.playlist(&url).await? {
            (url, Playlist::Media(media)) => Ok(Opened { url, media }),
            (_, Playlist::Multivariant(_)) => Err(Failure::Protocol(
                "one multivariant playlist leads to another".to_owned(),
            )),
        }
    }

    /// Fetches segments as they come, until the stream ends or nobody wants them. What cannot be
    /// had is left out; after some of that in a row it fails.
    pub(super) async fn follow(
        &self,
        opened: Opened,
        clock: &Clock,
        pieces: mpsc::Sender<Piece>,
    ) -> Result<(), Failure> {
        let Opened { url, mut media } = opened;
        let mut loaded = clock.monotonic();
        let mut place = Place::new(&media);
        loop {
            let mut has_news = false;
            while let Some((segment, starts_anew)) = place.next(&media) {
                has_news = true;
                let piece = self.piece(segment, starts_anew, &mut place).await;
                let Some(piece) = place.tolerate(piece)? else {
                    continue;
                };
                place.failures = 0;
                if pieces.send(piece).await.is_err() {
                    return Ok(());
                }
            }
            if media.has_ended {
                return Ok(());
            }
            // RFC 8216 §6.3.4.
            let wait = if has_news {
                media.target
            } else {
                media.target / 2
            };
            tokio::select! {
                () = sleep_until(loaded + wait) => {}
                () = pieces.closed() => return Ok(()),
            }
            loaded = clock.monotonic();
            let again = self.playlist(&url).await;
            match place.tolerate(again)? {
                Some((_, Playlist::Media(new))) => media = new,
                Some((_, Playlist::Multivariant(_))) => {
                    let words = "a media playlist has become a multivariant one";
                    return Err(Failure::Protocol(words.to_owned()));
                }
                None => {}
            }
        }
    }

    async fn piece(
        &self,
        segment: &Segment,
        starts_anew: bool,
        place: &mut Place,
    ) -> Result<Piece, Failure> {
        let init = match &segment.init {
            Some(part) => Some(self.init(part, place).await?),
            None => None,
        };
        Ok(Piece {
            starts_anew,
            init,
            bytes: self.get(&segment.part, MAX_SEGMENT).await?.1,
        })
    }

    /// Most segments have the same one.
    async fn init(&self, part: &Part, place: &mut Place) -> Result<Bytes, Failure> {
        if let Some((known, bytes)) = &place.init
            && known == part
        {
            return Ok(bytes.clone());
        }
        let (_, bytes) = self.get(part, MAX_INIT).await?;
        place.init = Some((part.clone(), bytes.clone()));
        Ok(bytes)
    }

    async fn playlist(&self, url: &Url) -> Result<(Url, Playlist), Failure> {
        let part = Part {
            url: url.clone(),
            range: None,
        };
        let (url, bytes) = self.get(&part, MAX_PLAYLIST).await?;
        let playlist = source::parse(&url, &bytes)?;
        Ok((url, playlist))
    }

    /// Gets it whole; tells where it was in the end.
    async fn get(&self, part: &Part, most: usize) -> Result<(Url, Bytes), Failure> {
        let get = self.get_slowly(part, most);
        let limit = self.limit;
        timeout(limit, get)
            .await
            .map_err(|_| Failure::Timeout(limit))?
    }

    async fn get_slowly(&self, part: &Part, most: usize) -> Result<(Url, Bytes), Failure> {
        // The playlist may name any address.
        self.gate.check(&part.url)?;
        let mut request = self.client.get(part.url.clone());
        if let Some(credentials) = self.credentials
            && part.url.origin() == self.origin
        {
            let password = credentials.password.expose();
            request = request.basic_auth(&credentials.username, Some(password));
        }
        let range = part.range;
        if let Some((from, length)) = range {
            let last = from.saturating_add(length).saturating_sub(1);
            request = request.header(header::RANGE, format!("bytes={from}-{last}"));
        }
        let mut answer = request.send().await.map_err(|error| self.failure(&error))?;
        self.check(&answer, range.is_some())?;
        let mut bytes = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.failure(&error))? {
            if bytes.len() + chunk.len() > most {
                return Err(Failure::Protocol(format!("an answer of over {most} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((answer.url().clone(), bytes.freeze()))
    }

    /// Why there is no answer. Never in the words of the library, which tell the URL: that may hold
    /// a secret.
    fn failure(&self, error: &reqwest::Error) -> Failure {
        if error.is_timeout() {
            return Failure::Timeout(self.limit);
        }
        match Failure::of(error) {
            // These are the library's own words.
            Failure::Protocol(_) => Failure::Closed,
            failure => failure,
        }
    }

    fn check(&self, answer: &reqwest::Response, has_range: bool) -> Result<(), Failure> {
        match answer.status() {
            StatusCode::OK if !has_range => Ok(()),
            StatusCode::PARTIAL_CONTENT if has_range => Ok(()),
            StatusCode::OK => Err(Failure::Protocol("it gives no byte ranges".to_owned())),
            StatusCode::UNAUTHORIZED if self.credentials.is_some() => {
                Err(Failure::WrongCredentials)
            }
            StatusCode::UNAUTHORIZED => Err(Failure::NoCredentials),
            StatusCode::FORBIDDEN => Err(Failure::Forbidden),
            StatusCode::NOT_FOUND => Err(Failure::NoSuchPath),
            status => {
                let reason = status.canonical_reason().unwrap_or_default();
                Err(Failure::Status(status.as_u16(), reason.to_owned()))
            }
        }
    }
}

/// How far it has come.
struct Place {
    next: u64,
    /// What comes next does not go on from what was before.
    is_lost: bool,
    /// What could not be had since the last segment.
    failures: u32,
    init: Option<(Part, Bytes)>,
}

impl Place {
    fn new(media: &Media) -> Self {
        Self {
            next: media.start(),
            is_lost: false,
            failures: 0,
            init: None,
        }
    }

    /// Passes a failure on only if it is one of many, or one that does not pass.
    fn tolerate<T>(&mut self, outcome: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(failure) => {
                self.failures += 1;
                self.is_lost = true;
                let is_final = matches!(failure, Failure::ClosedAddress(_));
                if is_final || self.failures == MAX_FAILURES {
                    return Err(failure);
                }
                tracing::debug!(reason = %failure, "a part of HLS is missing");
                Ok(None)
            }
        }
    }

    /// The next segment, and whether it starts anew. Who has fallen behind, or whose server has
    /// begun anew, goes to where a new player would begin.
    fn next<'a>(&mut self, media: &'a Media) -> Option<(&'a Segment, bool)> {
        let first = media.segments.first()?.number;
        if self.next < first || self.next > media.end() {
            self.next = media.start();
            self.is_lost = true;
        }
        let index = usize::try_from(self.next - first).ok()?;
        let segment = media.segments.get(index)?;
        self.next += 1;
        let is_lost = std::mem::take(&mut self.is_lost);
        Some((segment, is_lost || segment.discontinuity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(from: u64, count: u64) -> Media {
        let url: Url = "http://server/a.ts".parse().expect("is a URL");
        let segment = |number| Segment {
            number,
            part: Part {
                url: url.clone(),
                range: None,
            },
            duration: 2.0,
            discontinuity: number == 12,
            init: None,
        };
        Media {
            target: Duration::from_secs(2),
            has_ended: false,
            segments: (from..from + count).map(segment).collect(),
        }
    }

    fn rest(place: &mut Place, media: &Media) -> Vec<(u64, bool)> {
        let next = std::iter::from_fn(|| place.next(media));
        next.map(|(segment, anew)| (segment.number, anew)).collect()
    }

    #[test]
    fn each_segment_is_fetched_once_and_in_order() {
        let mut place = Place::new(&media(5, 6));
        assert_eq!(
            rest(&mut place, &media(5, 6)),
            [(8, false), (9, false), (10, false)]
        );
        assert_eq!(rest(&mut place, &media(5, 6)), []);
        assert_eq!(rest(&mut place, &media(7, 6)), [(11, false), (12, true)]);
    }

    #[test]
    fn who_is_left_behind_goes_on_where_others_begin() {
        let mut place = Place::new(&media(5, 6));
        rest(&mut place, &media(5, 6));
        let behind = rest(&mut place, &media(50, 4));
        assert_eq!(behind, [(51, true), (52, false), (53, false)]);
        let anew = rest(&mut place, &media(0, 3));
        assert_eq!(anew, [(0, true), (1, false), (2, false)]);
    }
}
