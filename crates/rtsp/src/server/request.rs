//! What each request means.

use url::Url;

use super::{About, Asked, Event, Offer, Server, Session, Setup, State, Waiting};
use crate::{
    Packet,
    auth::{Credentials, Login},
    control,
    header::{Lower, Transport, parse_session},
    message::{Method, Request, Response},
    sdp::Description,
};

/// What a server can do.
const PUBLIC: &str = "OPTIONS, DESCRIBE, ANNOUNCE, SETUP, PLAY, RECORD, PAUSE, TEARDOWN, \
                      GET_PARAMETER, SET_PARAMETER";

/// A status, and words where the usual ones do not say enough.
type Refusal = (u16, Option<String>);

fn refusal<T>(status: u16) -> Result<T, Refusal> {
    Err((status, None))
}

fn explained<T>(status: u16, words: impl Into<String>) -> Result<T, Refusal> {
    Err((status, Some(words.into())))
}

impl Server {
    pub(super) fn take_request(&mut self, request: &Request) {
        if let Err((status, words)) = self.try_request(request) {
            let mut response = Response::new(status);
            if let Some(words) = words {
                response.reason = words;
            }
            if status == 551 {
                response.headers.push("Unsupported", options(request));
            }
            if matches!(status, 405 | 501) {
                response.headers.push("Allow", PUBLIC);
            }
            self.send(&response, Some(request));
        }
    }

    fn try_request(&mut self, request: &Request) -> Result<(), Refusal> {
        // Every request has one (§12.17); without it nobody knows what an answer answers.
        if request.headers.get("CSeq").is_none() {
            return explained(400, "Bad Request: no CSeq");
        }
        // We have none of the options that may be required (§12.32).
        if !options(request).is_empty() {
            return refusal(551);
        }
        let named = request.headers.get("Session").and_then(parse_session);
        if let Some((named, _)) = named
            && self.session_id() != Some(&named)
        {
            return refusal(454);
        }
        match &request.method {
            Method::Options => {
                let mut response = self.response();
                response.headers.push("Public", PUBLIC);
                self.keep_alive(&response, request);
                Ok(())
            }
            Method::GetParameter | Method::SetParameter => {
                if !request.body.trim_ascii().is_empty() {
                    return refusal(451);
                }
                let response = self.response();
                self.keep_alive(&response, request);
                Ok(())
            }
            Method::Describe => self.describe(request),
            Method::Announce => self.announce(request),
            Method::Setup => self.setup(request),
            Method::Play => self.play(request),
            Method::Record => self.record(request),
            Method::Pause => self.pause(request),
            Method::Teardown => self.teardown(request),
            Method::Redirect => refusal(405),
            Method::Other(_) => refusal(501),
        }
    }

    /// 200 with the session, if there is one.
    pub(super) fn response(&self) -> Response {
        let mut response = Response::new(200);
        if let Some(session) = &self.session {
            let timeout = self.config.session_timeout.as_secs();
            let value = format!("{};timeout={timeout}", session.id);
            response.headers.push("Session", value);
        }
        response
    }

    fn keep_alive(&mut self, response: &Response, request: &Request) {
        self.send(response, Some(request));
        if self.session.is_some() {
            self.event(Event::KeepAlive);
        }
    }

    fn wait(&mut self, request: &Request, about: About, event: Event) {
        self.waiting = Some(Waiting {
            request: request.clone(),
            about,
        });
        self.event(event);
    }

    fn describe(&mut self, request: &Request) -> Result<(), Refusal> {
        if self.is_announced() && self.session.is_some() {
            return refusal(455);
        }
        let accept = request
            .headers
            .get("Accept")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let takes_sdp = ["application/sdp", "application/*", "*/*"]
            .iter()
            .any(|kind| accept.contains(kind));
        if !accept.is_empty() && !takes_sdp {
            return refusal(406);
        }
        let asked = asked(request, &request.url)?;
        self.wait(request, About::Describe, Event::Describe(asked));
        Ok(())
    }

    fn announce(&mut self, request: &Request) -> Result<(), Refusal> {
        if self.session.is_some() {
            return refusal(455);
        }
        let kind = request
            .headers
            .get("Content-Type")
            .unwrap_or("application/sdp");
        if !kind.to_ascii_lowercase().contains("sdp") {
            return refusal(415);
        }
        let asked = asked(request, &request.url)?;
        let description = match Description::parse(&request.body) {
            Ok(description) => description,
            Err(error) => return explained(400, format!("Bad Request: {error}")),
        };
        let event = Event::Announce(asked, description.clone());
        self.wait(request, About::Announce(description), event);
        Ok(())
    }

    pub(super) fn is_announced(&self) -> bool {
        self.presentation.as_ref().is_some_and(|p| p.announced)
    }

    fn setup(&mut self, request: &Request) -> Result<(), Refusal> {
        let known = self.presentation.as_ref().is_some_and(|presentation| {
            let (path, _) = control::locate(&request.url, &presentation.controls);
            path == control::path(&presentation.base)
        });
        if known {
            return self.setup_track(request);
        }
        // One connection carries one presentation at a time.
        if self.session.is_some() {
            return refusal(459);
        }
        let asked = asked(request, control::without_track(&request.url))?;
        self.wait(request, About::DescribeToSetup, Event::Describe(asked));
        Ok(())
    }

    /// The presentation is known and allowed.
    pub(super) fn setup_track(&mut self, request: &Request) -> Result<(), Refusal> {
        let Some(presentation) = &self.presentation else {
            return refusal(455);
        };
        let count = presentation.controls.len();
        let track = match control::locate(&request.url, &presentation.controls).1 {
            Some(track) => track,
            None if control::path(&request.url) != control::path(&presentation.base) => {
                return refusal(404);
            }
            None if count == 1 => 0,
            None => return refusal(459),
        };
        if let Some(session) = &self.session
            && session.state != State::Ready
        {
            return refusal(455);
        }
        let Some(header) = request.headers.get("Transport") else {
            return explained(400, "Bad Request: no Transport");
        };
        let announced = presentation.announced;
        let wanted = Transport::parse(header);
        if wanted.iter().any(|transport| transport.record) && !announced {
            return refusal(455);
        }
        let offers: Vec<_> = wanted.iter().filter_map(offer).take(8).collect();
        if offers.is_empty() {
            return refusal(461);
        }
        let record = announced;
        let event = Event::Setup(Setup {
            track,
            record,
            offers,
        });
        self.wait(request, About::Setup { track, record }, event);
        Ok(())
    }

    /// The session that a request for it or for its only track means.
    fn whole_session(&self, request: &Request) -> Result<&Session, Refusal> {
        let Some(session) = &self.session else {
            return refusal(454);
        };
        let controls = self
            .presentation
            .iter()
            .flat_map(|p| p.controls.iter().cloned());
        let controls: Vec<_> = controls.collect();
        match control::locate(&request.url, &controls).1 {
            Some(_) if session.tracks.len() > 1 => refusal(460),
            _ => Ok(session),
        }
    }

    fn play(&mut self, request: &Request) -> Result<(), Refusal> {
        let session = self.whole_session(request)?;
        if self.is_announced() {
            return refusal(455);
        }
        let tracks = session.tracks.iter().map(|(track, _)| *track).collect();
        let range = request.headers.get("Range").map(str::to_owned);
        self.wait(request, About::Play, Event::Play { tracks, range });
        Ok(())
    }

    fn record(&mut self, request: &Request) -> Result<(), Refusal> {
        let session = self.whole_session(request)?;
        if !self.is_announced() {
            return refusal(455);
        }
        let tracks = session.tracks.iter().map(|(track, _)| *track).collect();
        self.wait(request, About::Record, Event::Record { tracks });
        Ok(())
    }

    fn pause(&mut self, request: &Request) -> Result<(), Refusal> {
        let was = self.whole_session(request)?.state;
        if let Some(session) = &mut self.session {
            session.state = State::Ready;
        }
        if was != State::Ready {
            self.event(Event::Pause);
        }
        let response = self.response();
        self.send(&response, Some(request));
        Ok(())
    }

    fn teardown(&mut self, request: &Request) -> Result<(), Refusal> {
        self.whole_session(request)?;
        self.session = None;
        self.presentation = None;
        self.setup_by = self.heard + self.config.setup_timeout;
        self.event(Event::Teardown);
        self.send(&Response::new(200), Some(request));
        Ok(())
    }

    pub(super) fn track_of(&self, channel: u8) -> Option<(usize, Packet)> {
        let tracks = &self.session.as_ref()?.tracks;
        tracks.iter().find_map(|(track, channels)| match channels {
            Some((rtp, _)) if *rtp == channel => Some((*track, Packet::Rtp)),
            Some((_, rtcp)) if *rtcp == channel => Some((*track, Packet::Rtcp)),
            _ => None,
        })
    }
}

/// The options that the client requires (§12.32).
fn options(request: &Request) -> String {
    let required = request.headers.get_all("Require");
    let all: Vec<_> = required
        .chain(request.headers.get_all("Proxy-Require"))
        .map(str::trim)
        .filter(|option| !option.is_empty())
        .collect();
    all.join(", ")
}

fn offer(transport: &Transport) -> Option<Offer> {
    match transport.lower {
        _ if !transport.is_rtp_avp => None,
        Lower::Tcp => Some(Offer::Tcp {
            channels: transport.interleaved,
        }),
        Lower::Udp => Some(Offer::Udp {
            // Nobody can be sent anything at port 0.
            client: transport
                .client_port
                .filter(|(rtp, rtcp)| *rtp != 0 && *rtcp != 0)?,
        }),
        Lower::Multicast => None,
    }
}

fn asked(request: &Request, url: &str) -> Result<Asked, Refusal> {
    let (mut url, relative) = match Url::parse(url) {
        Ok(url) => (url, false),
        // Some send the path only.
        Err(_) => match Url::parse("rtsp://0.0.0.0/").and_then(|root| root.join(url)) {
            Ok(url) if url.path() != "/*" => (url, true),
            _ => return explained(400, "Bad Request: not a URL"),
        },
    };
    if !relative && !url.scheme().starts_with("rtsp") {
        return explained(400, "Bad Request: not an RTSP URL");
    }
    let credentials = match request.headers.get("Authorization") {
        Some(value) => Credentials::parse(value),
        None => credentials_in(&url),
    };
    // They fail only for URLs without a host, which have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok(Asked { url, credentials })
}

/// Some players leave user name and password in the URL.
fn credentials_in(url: &Url) -> Option<Credentials> {
    let decode = |text: &str| {
        let form = text.replace('+', "%2B");
        let pair = format!("x={form}");
        url::form_urlencoded::parse(pair.as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    (!url.username().is_empty() || url.password().is_some()).then(|| {
        Credentials::Basic(Login {
            username: decode(url.username()),
            password: decode(url.password().unwrap_or_default()),
        })
    })
}
