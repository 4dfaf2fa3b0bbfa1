//! Requests and answers.

use std::time::Instant;

use url::Url;

use super::{Asked, Client, Error, Event, REPEATS, Step};
use crate::{
    Output,
    auth::Denied,
    header::parse_session,
    message::{Method, Request, Response},
};

impl Client {
    /// Sends a request whose answer is waited for.
    pub(super) fn ask(&mut self, now: Instant, request: Request) {
        self.send(&request);
        self.asked = Some(Asked {
            request,
            deadline: now + self.config.patience,
            repeats: 0,
        });
    }

    /// Sends a request with all that every request has.
    fn send(&mut self, request: &Request) {
        self.cseq += 1;
        let mut full = Request::new(request.method.clone(), &*request.url);
        full.headers.push("CSeq", self.cseq.to_string());
        full.headers.push("User-Agent", &*self.config.user_agent);
        if let Some(session) = &self.session {
            full.headers.push("Session", &**session);
        }
        let method = request.method.as_str();
        if let Some(value) = self.authenticator.authorize(method, &request.url) {
            full.headers.push("Authorization", value);
        }
        for (name, value) in request.headers.iter() {
            full.headers.push(name, value);
        }
        full.body = request.body.clone();
        self.outputs.push_back(Output::Send(full.encode()));
    }

    pub(super) fn send_keep_alive(&mut self, now: Instant) {
        let method = self.keep_alive.method();
        self.send(&Request::new(method, &*self.aggregate.clone()));
        self.keep_alive.sent(now);
    }

    pub(super) fn take_response(&mut self, now: Instant, response: &Response) -> Result<(), Error> {
        if response.status < 200 {
            return Ok(());
        }
        if self.step == Step::Running {
            self.take_keep_alive(now, response);
            return Ok(());
        }
        let Some(asked) = self.asked.take() else {
            return Ok(());
        };
        if self.step == Step::Closing {
            self.end(Event::Closed);
            return Ok(());
        }
        match response.status {
            200..=299 => {
                self.authenticator.accepted();
                self.note_session(response);
                self.succeed(now, &asked.request, response)
            }
            401 => self.sign(now, asked, response),
            300..=399 => self.redirect(&asked.request, response),
            _ => self.refused(now, &asked.request, response),
        }
    }

    /// The server wants a password, or a new signature: asks again with it.
    fn sign(&mut self, now: Instant, asked: Asked, response: &Response) -> Result<(), Error> {
        let challenges = response.headers.get_all("WWW-Authenticate");
        let answer = match self.authenticator.challenged(challenges) {
            Ok(()) if asked.repeats >= REPEATS => Err(Denied::WrongPassword),
            other => other,
        };
        if let Err(denied) = answer {
            return self.fail(denied.into());
        }
        self.ask(now, asked.request);
        if let Some(again) = &mut self.asked {
            again.repeats = asked.repeats + 1;
        }
        Ok(())
    }

    /// The first identifier stays: some cameras tell another one in each answer.
    fn note_session(&mut self, response: &Response) {
        let told = response.headers.get("Session").and_then(parse_session);
        let Some((id, timeout)) = told else {
            return;
        };
        if let Some(timeout) = timeout {
            self.keep_alive.set_timeout(timeout);
        }
        if self.session.is_none() {
            self.session = Some(id);
        }
    }

    fn redirect(&mut self, request: &Request, response: &Response) -> Result<(), Error> {
        let location = response.headers.get("Location");
        match location.and_then(|to| self.config.url.join(to.trim()).ok()) {
            Some(to) => {
                self.end(Event::Redirect(to));
                Ok(())
            }
            None => self.fail(refused(request, response)),
        }
    }

    fn refused(
        &mut self,
        now: Instant,
        request: &Request,
        response: &Response,
    ) -> Result<(), Error> {
        match (self.step, response.status) {
            // Who does not like OPTIONS may like the rest.
            (Step::Options | Step::Reset, _) => self.succeed(now, request, response),
            (Step::Setup(at), 461) => {
                self.refuse_transport(at);
                Ok(())
            }
            (_, 404) => self.fail(Error::NotFound {
                url: request.url.split('?').next().unwrap_or_default().to_owned(),
            }),
            _ => self.fail(refused(request, response)),
        }
    }

    /// Packets flow, so it can only be about a sign of life. Seen in the field: no `CSeq`, that of
    /// another request, 400, 401 with a new nonce, 454 though packets go on.
    fn take_keep_alive(&mut self, now: Instant, response: &Response) {
        match response.status {
            200..300 => self.authenticator.accepted(),
            401 if self.keep_alive.may_repeat() => {
                let challenges = response.headers.get_all("WWW-Authenticate");
                if self.authenticator.challenged(challenges).is_ok() {
                    self.send_keep_alive(now);
                    // The next 401 is left alone until the next regular one.
                    self.keep_alive.may_repeat();
                }
            }
            400 | 405 | 451 | 501 | 551 => self.keep_alive.use_options(),
            _ => {}
        }
    }

    pub(super) fn no_answer(&mut self) -> Result<(), Error> {
        if self.step == Step::Closing {
            self.end(Event::Closed);
            return Ok(());
        }
        let asked = self.asked.take();
        let method = asked.map_or_else(String::new, |asked| asked.request.method.to_string());
        let patience = self.config.patience;
        self.fail(Error::NoAnswer { method, patience })
    }

    /// Servers ask too, now and then.
    pub(super) fn take_request(&mut self, request: &Request) {
        let mut status = 200;
        let mut moved = None;
        match request.method {
            Method::Options | Method::GetParameter | Method::SetParameter | Method::Announce => {}
            Method::Redirect => {
                let to = request.headers.get("Location");
                moved = to.and_then(|to| Url::parse(to.trim()).ok());
            }
            _ => status = 501,
        }
        let mut response = Response::new(status);
        if let Some(cseq) = request.headers.get("CSeq") {
            response.headers.push("CSeq", cseq);
        }
        self.outputs.push_back(Output::Send(response.encode()));
        if let Some(to) = moved {
            self.end(Event::Redirect(to));
        }
    }
}

fn refused(request: &Request, response: &Response) -> Error {
    Error::Refused {
        method: request.method.to_string(),
        status: response.status,
        reason: response.reason.chars().take(200).collect(),
    }
}
