//! From one step to the next.

use std::time::Instant;

use bytes::Bytes;

use super::{Client, Error, Event, Path, Step, Via};
use crate::{
    Start, control,
    header::{Lower, Pair, RtpInfo, Transport},
    message::{Method, Request, Response},
    sdp::Description,
};

impl Client {
    /// The request of the present step is answered well enough.
    pub(super) fn succeed(
        &mut self,
        now: Instant,
        request: &Request,
        response: &Response,
    ) -> Result<(), Error> {
        match self.step {
            Step::Options => {
                if let Some(public) = response.headers.get("Public") {
                    self.keep_alive.set_public(public);
                }
                self.describe(now);
                Ok(())
            }
            Step::Describe if self.recording => {
                self.learn_controls(&request.url.clone());
                self.step = Step::Choose;
                self.event(Event::Announced);
                Ok(())
            }
            Step::Describe => self.described(response),
            Step::Reset => {
                self.begin_setup(now);
                Ok(())
            }
            Step::Setup(at) => self.set_up(now, at, response),
            Step::Start => {
                self.started(now, response);
                Ok(())
            }
            Step::Choose | Step::Running | Step::Closing | Step::Ended => Ok(()),
        }
    }

    fn describe(&mut self, now: Instant) {
        self.step = Step::Describe;
        let url = self.aggregate.clone();
        let request = if self.recording {
            let mut request = Request::new(Method::Announce, url);
            request.headers.push("Content-Type", "application/sdp");
            request.body = Bytes::from(self.description.to_string());
            request
        } else {
            let mut request = Request::new(Method::Describe, url);
            request.headers.push("Accept", "application/sdp");
            request
        };
        self.ask(now, request);
    }

    fn described(&mut self, response: &Response) -> Result<(), Error> {
        self.description = match Description::parse(&response.body) {
            Ok(description) => description,
            Err(error) => return self.fail(error.into()),
        };
        let headers = &response.headers;
        let told = headers
            .get("Content-Base")
            .or_else(|| headers.get("Content-Location"));
        let base = control::base(&self.config.url, told);
        self.learn_controls(&base);
        self.step = Step::Choose;
        self.event(Event::Described(self.description.clone()));
        Ok(())
    }

    fn learn_controls(&mut self, base: &str) {
        let description = &self.description;
        self.aggregate = control::resolve(base, description.control.as_deref());
        let media = description.media.iter();
        self.controls = media
            .map(|media| control::resolve(base, media.control.as_deref()))
            .collect();
    }

    /// Starts on the plan. A session that was begun with another transport is given up first.
    pub(super) fn begin_setup(&mut self, now: Instant) {
        self.tracks.clear();
        if std::mem::take(&mut self.begun) {
            let request = Request::new(Method::Teardown, self.aggregate.clone());
            self.step = Step::Reset;
            self.ask(now, request);
            self.session = None;
        } else {
            self.ask_setup(now, 0);
        }
    }

    fn ask_setup(&mut self, now: Instant, at: usize) {
        let Some(&(track, via)) = self.plan.get(at) else {
            return self.ask_start(now);
        };
        let mut transport = match via {
            Via::Tcp => Transport {
                interleaved: Some(channels(at)),
                ..Transport::new(Lower::Tcp)
            },
            Via::Udp { client } => Transport {
                client_port: Some(client),
                ..Transport::new(Lower::Udp)
            },
        };
        transport.record = self.recording;
        self.step = Step::Setup(at);
        let mut request = Request::new(Method::Setup, self.controls[track].clone());
        request.headers.push("Transport", transport.to_string());
        self.ask(now, request);
    }

    fn set_up(&mut self, now: Instant, at: usize, response: &Response) -> Result<(), Error> {
        let Some(&(track, via)) = self.plan.get(at) else {
            return Ok(());
        };
        self.begun = true;
        let header = response.headers.get("Transport");
        let told = header.and_then(|header| Transport::parse(header).into_iter().next());
        let path = match (via, &told) {
            (Via::Tcp, Some(told)) if told.lower != Lower::Tcp && told.interleaved.is_none() => {
                self.refuse_transport(at);
                return Ok(());
            }
            (Via::Udp { .. }, Some(told)) if told.lower != Lower::Udp => {
                self.refuse_transport(at);
                return Ok(());
            }
            (Via::Tcp, told) => Path::Tcp {
                channels: self.agreed_channels(at, told.as_ref()),
            },
            (Via::Udp { client }, told) => Path::Udp {
                client,
                server: told.as_ref().and_then(|t| t.server_port),
                source: told.as_ref().and_then(|t| t.source),
            },
        };
        if self.session.is_none() {
            let lacks = "a Session";
            return self.fail(Error::BadSetup { track, lacks });
        }
        let frames = match path {
            Path::Tcp { channels } => Some(channels),
            Path::Udp { .. } => None,
        };
        self.tracks.push((track, frames));
        let ssrc = told.and_then(|told| told.ssrc);
        self.event(Event::SetUp { track, path, ssrc });
        self.ask_setup(now, at + 1);
        Ok(())
    }

    /// Some tell other channels than we have proposed, some tell none, and some tell the same for
    /// every track but do not mean it.
    fn agreed_channels(&self, at: usize, told: Option<&Transport>) -> Pair<u8> {
        let is_taken = |pair: &Pair<u8>| self.tracks.iter().any(|(_, used)| *used == Some(*pair));
        told.and_then(|told| told.interleaved)
            .filter(|pair| !is_taken(pair))
            .unwrap_or(channels(at))
    }

    pub(super) fn refuse_transport(&mut self, at: usize) {
        if let Some(&(track, tried)) = self.plan.get(at) {
            self.step = Step::Choose;
            self.event(Event::TransportRefused { track, tried });
        }
    }

    fn ask_start(&mut self, now: Instant) {
        self.step = Step::Start;
        let method = if self.recording {
            Method::Record
        } else {
            Method::Play
        };
        let mut request = Request::new(method, self.aggregate.clone());
        request.headers.push("Range", "npt=0.000-");
        self.ask(now, request);
    }

    fn started(&mut self, now: Instant, response: &Response) {
        self.step = Step::Running;
        self.keep_alive.sent(now);
        if self.recording {
            self.event(Event::Recording);
            return;
        }
        let header = response.headers.get("RTP-Info").unwrap_or_default();
        let infos = RtpInfo::parse(header);
        let starts = infos.iter().enumerate().filter_map(|(at, info)| {
            Some(Start {
                track: self.track_named(&info.url, at, infos.len())?,
                seq: info.seq,
                rtptime: info.rtptime,
            })
        });
        let starts = starts.collect();
        self.event(Event::Playing { starts });
    }

    /// The track that a URL in `RTP-Info` means: by its control, else by its place.
    fn track_named(&self, url: &str, at: usize, of: usize) -> Option<usize> {
        let set_up = |track: &usize| self.tracks.iter().any(|(known, _)| known == track);
        let same = |control: &String| control.trim_end_matches('/') == url.trim_end_matches('/');
        let by_url = self.controls.iter().position(same);
        let by_end = || control::locate(url, &self.relative_controls()).1;
        let by_place = || {
            let (track, _) = *self.tracks.get(at)?;
            (of == self.tracks.len()).then_some(track)
        };
        by_url.or_else(by_end).filter(set_up).or_else(by_place)
    }

    fn relative_controls(&self) -> Vec<String> {
        let media = self.description.media.iter();
        media
            .map(|media| media.control.clone().unwrap_or_default())
            .collect()
    }
}

/// What we propose for the entry of the plan.
fn channels(at: usize) -> Pair<u8> {
    let rtp = u8::try_from(2 * at).unwrap_or(u8::MAX - 1);
    (rtp, rtp + 1)
}
