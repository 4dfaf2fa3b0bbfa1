//! What servers answer.

use super::{Client, ClientEvent, State, transaction};
use crate::{
    Closed, Refusal,
    amf::Value,
    command::{Command, command},
    output::code,
};

/// Longer texts are cut: they come from a stranger and end up in logs.
const MAX_TEXT: usize = 512;

impl Client {
    pub(super) fn take_command(&mut self, command: &Command) {
        match &*command.name {
            "_result" => self.take_result(command),
            "_error" => self.take_error(command),
            "onStatus" => self.take_status(command),
            "close" => self.close(Closed::Peer(Some("the server said close".to_owned()))),
            // Flash Media Server measures bandwidth by calls that want an answer.
            "_onbwcheck" | "onBWCheck" if command.transaction > 0.0 => self.answer(command),
            _ => {}
        }
    }

    fn answer(&mut self, call: &Command) {
        let arguments = [Value::Null, Value::Undefined];
        self.link
            .send(command(0, "_result", call.transaction, &arguments));
    }

    fn take_result(&mut self, result: &Command) {
        if self.state == State::Connecting && result.transaction == transaction::CONNECT {
            self.create();
        } else if self.state == State::Creating && result.transaction == transaction::CREATE_STREAM
        {
            self.start(result.number(1).unwrap_or(1.0) as u32);
        }
    }

    /// `releaseStream` and `FCPublish` are courtesy: many servers know neither.
    fn take_error(&mut self, error: &Command) {
        let refused = match self.state {
            State::Connecting => transaction::CONNECT,
            State::Creating => transaction::CREATE_STREAM,
            State::Starting | State::Running => transaction::START,
            State::Closed => return,
        };
        // Some servers refuse `connect` without its number.
        if error.transaction == refused || self.state == State::Connecting {
            self.refused(error);
        }
    }

    fn take_status(&mut self, status: &Command) {
        let information = status.information();
        let text = |name| information.and_then(|value| value.get(name)?.as_str());
        let code = text("code").unwrap_or_default();
        if text("level") == Some("error") {
            return self.refused(status);
        }
        match code {
            "NetStream.Publish.Start" | "NetStream.Play.Start" if self.state == State::Starting => {
                self.run();
            }
            // Some servers leave the level out.
            "NetStream.Publish.BadName"
            | "NetStream.Play.StreamNotFound"
            | "NetStream.Play.Failed"
            | "NetConnection.Connect.Rejected" => self.refused(status),
            "NetStream.Play.UnpublishNotify"
            | "NetStream.Play.Stop"
            | "NetStream.Play.Complete"
            | "NetStream.Unpublish.Success"
            | "NetConnection.Connect.Closed" => {
                self.close(Closed::Peer(Some(cut(code))));
            }
            _ => {}
        }
    }

    fn refused(&mut self, answer: &Command) {
        let information = answer.information();
        let text = |name| information.and_then(|value| value.get(name)?.as_str());
        let redirect = information
            .and_then(|value| value.get("ex")?.get("redirect")?.as_str())
            .map(str::to_owned);
        let refusal = Refusal {
            code: cut(text("code").unwrap_or(code::CONNECT_REJECTED)).into(),
            description: describe(text("description").unwrap_or_default()),
            redirect,
        };
        self.events.push_back(ClientEvent::Refused(refusal));
        self.close(Closed::Peer(None));
    }
}

/// Adobe's and Limelight's challenges come as a description.
fn describe(text: &str) -> String {
    let text = cut(text);
    for (method, name) in [("adobe", "Adobe's"), ("llnw", "Limelight's")] {
        if text.contains(&format!("authmod={method}")) {
            return format!(
                "the server wants a user and a password by {name} method, which is not supported: {text}"
            );
        }
    }
    text
}

fn cut(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_TEXT)
        .collect()
}
