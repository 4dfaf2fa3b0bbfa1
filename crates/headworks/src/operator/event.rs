//! `headworks event …`

use clap::Subcommand;
use headworks_types::Event;

use super::{Noun, show_name, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with events.
#[derive(Debug, Subcommand)]
pub(crate) enum EventVerb {
    /// List what happened, in order
    List {
        /// Only what happened after the event of this id
        #[arg(long, value_name = "ID")]
        after: Option<i64>,
    },
}

/// Does it.
pub(crate) async fn run(command: Noun<EventVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let EventVerb::List { after } = command.verb;
    let mut list = client.event_list().limit(1000);
    if let Some(id) = after {
        list = list.page_token(&id.to_string());
    }
    output::list(&list.await?.items, command.api.json)
}

impl Row for Event {
    const COLUMNS: &'static [&'static str] = &["ID", "AT", "KIND", "SUBJECT", "BY", "MESSAGE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            show_time(self.at),
            show_name(&self.kind),
            self.subject.clone(),
            self.actor.clone(),
            self.message.clone(),
        ]
    }
}
