//! `headworks audit …`

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use futures::TryStreamExt as _;
use headworks_client::{Audited, Call};
use headworks_types::{AuditRecord, AuditResult, CameraId};

use super::{Noun, show_name, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// How many records a list has.
const LIST: u32 = 50;

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// List who did or saw what, or was refused, newest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// How many records, at most 1000
        #[arg(long, value_name = "COUNT", default_value_t = LIST)]
        limit: u32,
    },
    /// Write all of it to stdout: one record of JSON in each line, newest first
    Export {
        #[command(flatten)]
        filter: Filter,
    },
}

/// What to look for.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Only what was done by this user, API key, stream key or node
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// Only this operation: camera_update, session_open, …
    #[arg(long, value_name = "OPERATION")]
    action: Option<String>,
    /// Only what was done to this
    #[arg(long, value_name = "ID", conflicts_with = "camera")]
    object: Option<String>,
    /// Only what was done to this camera, also on edges
    #[arg(long, value_name = "ID")]
    camera: Option<CameraId>,
    /// Only with this result
    #[arg(long, value_enum)]
    result: Option<ResultName>,
    /// Only from this time on: 2026-11-27T22:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ResultName {
    /// It was done
    Ok,
    /// Whoever asked may not
    Refused,
    /// It was begun, and went wrong
    Failed,
}

impl Filter {
    fn narrow<T: Audited>(self, mut call: Call<T>) -> Call<T> {
        if let Some(actor) = self.actor {
            call = call.by(&actor);
        }
        if let Some(action) = self.action {
            call = call.of_action(&action);
        }
        if let Some(object) = self.object {
            call = call.to_object(&object);
        }
        if let Some(camera) = self.camera {
            call = call.to_camera(camera);
        }
        if let Some(result) = self.result {
            call = call.with_result(match result {
                ResultName::Ok => AuditResult::Ok,
                ResultName::Refused => AuditResult::Refused,
                ResultName::Failed => AuditResult::Failed,
            });
        }
        if let Some(since) = self.since {
            call = call.since(since);
        }
        if let Some(until) = self.until {
            call = call.until(until);
        }
        call
    }
}

/// Does it.
pub(crate) async fn run(command: Noun<AuditVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    match command.verb {
        AuditVerb::List { filter, limit } => {
            let page = filter.narrow(client.audit_list()).limit(limit).await?;
            output::list(&page.items, command.api.json)
        }
        // JSON it is anyway.
        AuditVerb::Export { filter } => {
            let mut chunks = filter.narrow(client.audit_export()).chunks().await?;
            while let Some(chunk) = chunks.try_next().await? {
                if !output::raw(&chunk)? {
                    break;
                }
            }
            Ok(())
        }
    }
}

impl Row for AuditRecord {
    const COLUMNS: &'static [&'static str] = &[
        "AT", "WHO", "ACTION", "OBJECT", "RESULT", "WHY", "ADDRESS", "MESSAGE",
    ];

    fn cells(&self) -> Vec<String> {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        vec![
            show_time(self.at),
            or_none(self.actor.clone()),
            self.action.clone(),
            or_none(self.object.clone()),
            show_name(&self.result),
            or_none(self.code.clone()),
            or_none(self.address.map(|address| address.to_string())),
            message(self),
        ]
    }
}

/// What was said about it, and how often it came.
fn message(record: &AuditRecord) -> String {
    let words = record.detail["message"].as_str().map(str::to_owned);
    let protocol = record.detail["protocol"].as_str().map(str::to_owned);
    let count = record.detail["count"].as_i64();
    let times = count.map(|count| format!("{count} times"));
    let parts: Vec<_> = [words, protocol, times].into_iter().flatten().collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(detail: &serde_json::Value) -> AuditRecord {
        let json = serde_json::json!({
            "id": 1, "at": "2026-11-27T10:00:00Z", "action": "session_open", "result": "refused",
            "code": "expired", "address": "192.0.2.7", "detail": detail,
        });
        serde_json::from_value(json).expect("parses")
    }

    #[test]
    fn a_record_of_a_stranger_says_from_where_and_how_often() {
        let record = record(&serde_json::json!({"protocol": "rtsp", "count": 3}));
        assert_eq!(record.cells().len(), AuditRecord::COLUMNS.len());
        assert_eq!(
            record.cells()[1..],
            [
                "-",
                "session_open",
                "-",
                "refused",
                "expired",
                "192.0.2.7",
                "rtsp, 3 times"
            ]
        );
    }
}
