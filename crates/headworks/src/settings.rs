//! The whole configuration: one section for each part.

use std::path::Path;

use headworks_bootstrap::{config, telemetry};
use headworks_types::Secret;
use serde::Deserialize;

use crate::failure::Failure;

/// Every knob with its default.
const DEFAULTS: &str = include_str!("../config.default.toml");

/// The configuration of this process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) telemetry: telemetry::Config,
    pub(crate) controller: headworks_controller::Config,
    pub(crate) edge: headworks_edge::Config,
}

impl Settings {
    /// Reads defaults, file and environment.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Failure> {
        let mut settings: Self = config::load(DEFAULTS, file)?;
        if settings.controller.database_url.is_none() {
            settings.controller.database_url = std::env::var("DATABASE_URL").ok().map(Secret::new);
        }
        Ok(settings)
    }
}

/// One failure for all that is wrong.
pub(crate) fn check(found: &[String]) -> Result<(), Failure> {
    config::check(found).map_err(|error| {
        Failure::from(error).with_hint(
            "knobs stand in the file of --config, or in variables such as \
             HEADWORKS__EDGE__NAME for edge.name",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        config::load_from(DEFAULTS, None, variables)
    }

    #[test]
    fn the_defaults_are_complete() {
        let settings = load(&[]).expect("loads");
        assert_eq!(settings.telemetry.validate(), Vec::<String>::new());
        let missing = settings.controller.validate();
        assert_eq!(missing.len(), 2, "database and key only: {missing:?}");
        let missing = settings.edge.validate();
        assert_eq!(
            missing.len(),
            2,
            "directory and controller only: {missing:?}"
        );
    }

    #[test]
    fn every_knob_in_the_file_is_known_also_those_without_a_default() {
        let all = DEFAULTS
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(knob) if knob.contains(" = ") || knob.starts_with('[') => knob,
                _ => line,
            })
            .collect::<Vec<_>>()
            .join("\n");
        let settings: Settings =
            config::load_from(&all, None, std::iter::empty()).expect("all are known");
        assert!(settings.edge.join_token.is_some());
    }

    #[test]
    fn the_file_says_the_defaults_that_the_code_has() {
        let (media, _) = DEFAULTS
            .split_once("[edge.labels]")
            .expect("stands before [edge.pull]");
        let coded: Settings =
            config::load_from(media, None, std::iter::empty()).expect("loads without them");
        let written = load(&[]).expect("loads");
        assert_eq!(format!("{:?}", written.edge), format!("{:?}", coded.edge));
    }

    #[test]
    fn variables_reach_every_section() {
        let settings = load(&[
            ("HEADWORKS__EDGE__LABELS__FLOOR", "2"),
            ("HEADWORKS__CONTROLLER__LISTEN", "127.0.0.1:0"),
            ("HEADWORKS__TELEMETRY__FORMAT", "json"),
        ])
        .expect("loads");
        assert_eq!(settings.edge.labels.0["floor"], "2");
        assert_eq!(settings.controller.listen, "127.0.0.1:0");
    }
}
