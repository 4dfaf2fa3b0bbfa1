//! `connect`: who calls, and what both ends can do.

use crate::{
    Target,
    amf::Value,
    command::{Command, information},
    target::Query,
};

/// What a client says when it connects.
#[derive(Debug, Clone, PartialEq)]
pub struct Connect {
    /// The application, without its query.
    pub app: String,
    /// Parameters behind the application or the `tcUrl`.
    pub query: Query,
    /// The URL without the stream's name and without its query.
    pub tc_url: String,
    /// The client's name for itself.
    pub flash_version: String,
    /// The page that the player is on.
    pub page_url: String,
    /// The codecs that the client names by Enhanced RTMP's FourCCs; `*` is all of them.
    pub codecs: Vec<String>,
    /// As sent, for [`Connect::target`].
    raw_app: String,
    raw_tc_url: String,
    /// Enhanced RTMP version 2.
    has_extended_capabilities: bool,
    encoding: f64,
}

impl Connect {
    pub(super) fn read(command: &Command) -> Self {
        let object = command.arguments.first().unwrap_or(&Value::Null);
        let text = |name| {
            let value = object.get(name).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let (app, tc_url) = (text("app"), text("tcUrl"));
        let target = Target::new(&app, "", &tc_url);
        Self {
            app: target.app,
            query: target.query,
            tc_url: crate::target::split(&tc_url).0.to_owned(),
            flash_version: text("flashVer"),
            page_url: text("pageUrl"),
            codecs: codecs(object),
            has_extended_capabilities: object.get("capsEx").is_some(),
            encoding: object
                .get("objectEncoding")
                .and_then(Value::as_number)
                .unwrap_or_default(),
            raw_app: app,
            raw_tc_url: tc_url,
        }
    }

    /// A stream of this application.
    pub(super) fn target(&self, name: &str) -> Target {
        Target::new(&self.raw_app, name, &self.raw_tc_url)
    }

    /// The answer's values (§7.2.1.1), with Enhanced RTMP's if the client knows it: "Enhancing
    /// NetConnection connect Command".
    pub(super) fn answer(&self, codecs: &[String]) -> [Value; 2] {
        let mut properties = vec![
            ("fmsVer".to_owned(), Value::string("FMS/3,0,1,123")),
            ("capabilities".to_owned(), Value::Number(31.0)),
        ];
        let is_enhanced = !self.codecs.is_empty() || self.has_extended_capabilities;
        if is_enhanced {
            let list = codecs.iter().map(Value::string).collect();
            properties.push(("fourCcList".to_owned(), Value::StrictArray(list)));
        }
        if self.has_extended_capabilities {
            properties.extend(capabilities(codecs));
        }
        let mut status = information(
            "status",
            "NetConnection.Connect.Success",
            "Connection succeeded.",
        );
        if let Value::Object(values) = &mut status {
            values.push(("objectEncoding".to_owned(), Value::Number(self.encoding)));
        }
        [Value::Object(properties), status]
    }
}

/// From version 1's list and version 2's maps.
fn codecs(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(Value::StrictArray(list)) = object.get("fourCcList") {
        found.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    for map in ["videoFourCcInfoMap", "audioFourCcInfoMap"] {
        if let Some(Value::Object(map) | Value::EcmaArray(map)) = object.get(map) {
            found.extend(map.iter().map(|(name, _)| name.clone()));
        }
    }
    found
}

/// Version 2's maps and flags. All is passed on as it comes; none of the flags (reconnect request,
/// multitrack, ModEx, nanoseconds) is spoken.
fn capabilities(codecs: &[String]) -> [(String, Value); 3] {
    const CAN_FORWARD: f64 = 4.0;
    let (audio, video): (Vec<_>, Vec<_>) = codecs
        .iter()
        .map(|codec| (codec.clone(), Value::Number(CAN_FORWARD)))
        .partition(|(codec, _)| is_audio(codec));
    [
        ("videoFourCcInfoMap".to_owned(), Value::Object(video)),
        ("audioFourCcInfoMap".to_owned(), Value::Object(audio)),
        ("capsEx".to_owned(), Value::Number(0.0)),
    ]
}

fn is_audio(codec: &str) -> bool {
    ["ac-3", "ec-3", "Opus", ".mp3", "fLaC", "mp4a"].contains(&codec)
}
