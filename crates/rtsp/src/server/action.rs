//! What the embedder decides.

use std::time::Instant;

use bytes::Bytes;
use url::Url;

use super::{About, Error, Grant, Presentation, Server, Session, State, Waiting};
use crate::{
    Start,
    auth::Schemes,
    control,
    header::{Lower, RtpInfo, Transport},
    message::Response,
    sdp::Description,
};

impl Server {
    /// Takes the waiting request if it is one that `action` answers.
    fn answer(
        &mut self,
        now: Instant,
        action: &'static str,
        fits: impl Fn(&About) -> bool,
    ) -> Result<Waiting, Error> {
        let waiting = self
            .waiting
            .take_if(|waiting| fits(&waiting.about))
            .ok_or(Error::NotAsked { action })?;
        self.heard = now;
        Ok(waiting)
    }

    /// Answers `Describe`. Every media of `description` needs a `control`, relative to the
    /// presentation: `trackID=0` say.
    pub fn accept_describe(
        &mut self,
        now: Instant,
        description: &Description,
    ) -> Result<(), Error> {
        let waiting = self.answer(now, "accept_describe", |about| {
            matches!(about, About::Describe | About::DescribeToSetup)
        })?;
        let asked = match waiting.about {
            About::Describe => &*waiting.request.url,
            _ => control::without_track(&waiting.request.url),
        };
        let presentation = Presentation::new(asked, description, false);
        let mut response = self.response();
        // With the slash that lets clients join the tracks' controls to it.
        let base = format!("{}/", presentation.base);
        // A description of something else does not change what a session plays.
        if self.session.is_none() {
            self.presentation = Some(presentation);
        }
        if matches!(waiting.about, About::DescribeToSetup) {
            self.take_request_again(&waiting);
        } else {
            response.headers.push("Content-Base", base);
            response.headers.push("Content-Type", "application/sdp");
            response.headers.push("Cache-Control", "no-cache");
            response.body = Bytes::from(description.to_string());
            self.send(&response, Some(&waiting.request));
        }
        self.go_on(now)
    }

    fn take_request_again(&mut self, waiting: &Waiting) {
        self.take_request(&waiting.request);
        // A URL that is not in the description that was just made would be asked for ever.
        let repeats = |w: &Waiting| matches!(w.about, About::DescribeToSetup);
        if self.waiting.take_if(|w| repeats(w)).is_some() {
            self.outputs.pop_back();
            self.send(&Response::new(404), Some(&waiting.request));
        }
    }

    /// Answers `Announce`.
    pub fn accept_announce(&mut self, now: Instant) -> Result<(), Error> {
        let waiting = self.answer(now, "accept_announce", |a| matches!(a, About::Announce(_)))?;
        if let About::Announce(description) = &waiting.about {
            let presentation = Presentation::new(&waiting.request.url, description, true);
            self.presentation = Some(presentation);
        }
        self.send(&Response::new(200), Some(&waiting.request));
        self.go_on(now)
    }

    /// Answers `Setup`.
    pub fn accept_setup(&mut self, now: Instant, grant: Grant) -> Result<(), Error> {
        let waiting = self.answer(now, "accept_setup", |a| matches!(a, About::Setup { .. }))?;
        let About::Setup { track, record } = waiting.about else {
            return Ok(());
        };
        let channels = match grant {
            Grant::Tcp { channels, .. } => Some(channels),
            Grant::Udp { .. } => None,
        };
        let session = match self.session.take() {
            Some(session) => session,
            None => self.new_session(),
        };
        let session = self.session.insert(session);
        session.tracks.retain(|(known, _)| *known != track);
        session.tracks.push((track, channels));
        session.tracks.sort_unstable_by_key(|(track, _)| *track);
        let mut response = self.response();
        let transport = transport(grant, record).to_string();
        response.headers.push("Transport", transport);
        self.send(&response, Some(&waiting.request));
        self.go_on(now)
    }

    fn new_session(&mut self) -> Session {
        self.sessions += 1;
        Session {
            id: self
                .config
                .realm
                .session_id(self.config.seed, self.sessions),
            tracks: Vec::new(),
            state: State::Ready,
        }
    }

    /// Answers `Play`. After it the tracks' packets may be sent, on TCP behind the answer.
    pub fn accept_play(&mut self, now: Instant, starts: &[Start]) -> Result<(), Error> {
        let waiting = self.answer(now, "accept_play", |a| matches!(a, About::Play))?;
        let mut response = self.response();
        // Live: it begins now and has no end (§12.29).
        response.headers.push("Range", "npt=now-");
        let infos: Vec<_> = starts
            .iter()
            .filter_map(|start| self.rtp_info(start))
            .collect();
        if !infos.is_empty() {
            response.headers.push("RTP-Info", infos.join(","));
        }
        self.enter(State::Playing);
        self.send(&response, Some(&waiting.request));
        self.go_on(now)
    }

    fn rtp_info(&self, start: &Start) -> Option<String> {
        let presentation = self.presentation.as_ref()?;
        let control = presentation.controls.get(start.track)?;
        let info = RtpInfo {
            url: control::resolve(&presentation.base, Some(control)),
            seq: start.seq,
            rtptime: start.rtptime,
        };
        Some(info.to_string())
    }

    /// Answers `Record`.
    pub fn accept_record(&mut self, now: Instant) -> Result<(), Error> {
        let waiting = self.answer(now, "accept_record", |a| matches!(a, About::Record))?;
        self.enter(State::Recording);
        let response = self.response();
        self.send(&response, Some(&waiting.request));
        self.go_on(now)
    }

    fn enter(&mut self, state: State) {
        if let Some(session) = &mut self.session {
            session.state = state;
        }
    }

    /// Says no to whatever waits: a status, and words for people if the usual ones do not say
    /// enough.
    pub fn refuse(&mut self, now: Instant, status: u16, words: Option<&str>) -> Result<(), Error> {
        let waiting = self.answer(now, "refuse", |_| true)?;
        let mut response = Response::new(status);
        if let Some(words) = words {
            words.clone_into(&mut response.reason);
        }
        self.send(&response, Some(&waiting.request));
        self.go_on(now)
    }

    /// Asks for a password (401). `stale` says that the last one was right but has to be hashed
    /// again. Wrong passwords are counted.
    pub fn challenge(&mut self, now: Instant, schemes: Schemes, stale: bool) -> Result<(), Error> {
        let waiting = self.answer(now, "challenge", |about| {
            matches!(
                about,
                About::Describe | About::DescribeToSetup | About::Announce(_)
            )
        })?;
        let mut response = Response::new(401);
        for value in self.config.realm.challenges(now, schemes, stale) {
            response.headers.push("WWW-Authenticate", value);
        }
        self.send(&response, Some(&waiting.request));
        if waiting.request.headers.get("Authorization").is_some() && !stale {
            self.wrong_logins += 1;
        }
        if self.wrong_logins >= self.config.login_attempts {
            self.ended = true;
            return Err(Error::TooManyLogins {
                attempts: self.wrong_logins,
            });
        }
        self.go_on(now)
    }

    /// Sends the client to another server (302).
    pub fn redirect(&mut self, now: Instant, to: &Url) -> Result<(), Error> {
        let waiting = self.answer(now, "redirect", |_| true)?;
        let mut response = Response::new(302);
        response.headers.push("Location", to.as_str());
        self.send(&response, Some(&waiting.request));
        self.go_on(now)
    }
}

impl Presentation {
    fn new(url: &str, description: &Description, announced: bool) -> Self {
        let base = match Url::parse(url) {
            Ok(mut url) => {
                url.set_query(None);
                url.set_fragment(None);
                // They fail only for URLs without a host, which have none.
                let _ = url.set_username("");
                let _ = url.set_password(None);
                url.to_string()
            }
            Err(_) => url.split('?').next().unwrap_or_default().to_owned(),
        };
        let controls = description.media.iter().map(|media| media.control.clone());
        Self {
            base: base.trim_end_matches('/').to_owned(),
            controls: controls.map(Option::unwrap_or_default).collect(),
            announced,
        }
    }
}

fn transport(grant: Grant, record: bool) -> Transport {
    match grant {
        Grant::Tcp { channels, ssrc } => Transport {
            interleaved: Some(channels),
            ssrc,
            record,
            ..Transport::new(Lower::Tcp)
        },
        Grant::Udp {
            client,
            server,
            source,
            ssrc,
        } => Transport {
            client_port: Some(client),
            server_port: Some(server),
            source,
            ssrc,
            record,
            ..Transport::new(Lower::Udp)
        },
    }
}
