//! What clients ask for.

use super::{Asked, Connect, Event, Play, Publish, Server, State};
use crate::{
    Error,
    amf::Value,
    command::{Command, command, information},
    wire,
};

impl Server {
    pub(super) fn take_command(&mut self, stream: u32, command: &Command) -> Result<(), Error> {
        if command.name == "connect" {
            return self.take_connect(command);
        }
        if self.connect.is_none() {
            return Err(self.unexpected(command, "comes before connect"));
        }
        match &*command.name {
            "createStream" => self.result(command, Value::Number(wire::STREAM.into())),
            "getStreamLength" => self.result(command, Value::Number(0.0)),
            "releaseStream" | "_checkbw" => self.result(command, Value::Undefined),
            "FCPublish" => self.flash_media(command, "onFCPublish", "NetStream.Publish.Start"),
            "FCSubscribe" => self.flash_media(command, "onFCSubscribe", "NetStream.Play.Start"),
            "FCUnpublish" => {
                self.flash_media(command, "onFCUnpublish", "NetStream.Unpublish.Success");
                self.take_stop();
            }
            "deleteStream" | "closeStream" => self.take_stop(),
            // `publish(false)` is how Flash ends its stream.
            "publish" if command.arguments.get(1) == Some(&Value::Boolean(false)) => {
                self.take_stop();
            }
            "publish" => return self.take_publish(stream, command),
            "play" => return self.take_play(stream, command),
            // A live stream has neither, and players do not wait for an answer.
            "pause" | "pauseRaw" | "seek" | "receiveAudio" | "receiveVideo" => {}
            "_result" | "_error" | "onStatus" => {}
            _ => self.take_unknown(command),
        }
        Ok(())
    }

    fn take_connect(&mut self, command: &Command) -> Result<(), Error> {
        if self.connect.is_some() {
            return Err(self.unexpected(command, "comes twice"));
        }
        let connect = Connect::read(command);
        self.connect = Some(connect.clone());
        if self.config.ask_connect {
            self.state = State::Asking(Asked::Connect(command.transaction));
        } else {
            self.answer_connect(command.transaction);
        }
        self.events.push_back(Event::Connect(connect));
        Ok(())
    }

    fn take_publish(&mut self, stream: u32, command: &Command) -> Result<(), Error> {
        let (name, target) = self.named_stream(command)?;
        self.state = State::Asking(Asked::Publish { name });
        self.events.push_back(Event::Publish(Publish {
            stream,
            target,
            kind: command.text(2).unwrap_or("live").to_owned(),
        }));
        Ok(())
    }

    fn take_play(&mut self, stream: u32, command: &Command) -> Result<(), Error> {
        let (_, target) = self.named_stream(command)?;
        self.state = State::Asking(Asked::Play);
        self.events.push_back(Event::Play(Play { stream, target }));
        Ok(())
    }

    fn named_stream(&self, command: &Command) -> Result<(String, crate::Target), Error> {
        if self.state != State::Idle {
            return Err(self.unexpected(command, "comes while a stream is running"));
        }
        let name = command
            .text(1)
            .ok_or_else(|| self.unexpected(command, "names no stream"))?;
        let connect = self.connect.as_ref();
        let target = connect.map(|connect| connect.target(name));
        let target = target.ok_or_else(|| self.unexpected(command, "comes before connect"))?;
        Ok((target.name.clone(), target))
    }

    fn take_stop(&mut self) {
        if matches!(self.state, State::Publishing | State::Playing) {
            self.state = State::Idle;
            self.setup_by = self.now + self.config.setup_within;
            self.events.push_back(Event::Stopped);
        }
    }

    fn take_unknown(&mut self, unknown: &Command) {
        if unknown.transaction > 0.0 {
            let status = information("error", "NetConnection.Call.Failed", "no such method");
            let arguments = [Value::Null, status];
            self.link
                .send(command(0, "_error", unknown.transaction, &arguments));
        }
    }

    fn result(&mut self, call: &Command, value: Value) {
        self.link.send(command(
            0,
            "_result",
            call.transaction,
            &[Value::Null, value],
        ));
    }

    /// Flash Media Live Encoder and Limelight's players wait for these.
    fn flash_media(&mut self, call: &Command, name: &str, code: &str) {
        let stream = crate::target::split(call.text(1).unwrap_or_default()).0;
        let status = information("status", code, stream);
        self.link
            .send(command(0, name, 0.0, &[Value::Null, status]));
        self.result(call, Value::Undefined);
    }

    fn unexpected(&self, command: &Command, what: &'static str) -> Error {
        Error::Unexpected {
            offset: self.link.offset(),
            name: command.name.chars().take(64).collect(),
            what,
        }
    }
}
