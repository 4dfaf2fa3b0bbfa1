//! Logs on stderr, and traces to an OpenTelemetry collector where one is configured.

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use serde::Deserialize;
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// Section `[telemetry]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is logged: `info`, or by module: `info,headworks_edge::ingest=debug`.
    pub log: String,
    /// How a log line looks.
    pub format: Format,
    /// Base URL of an OTLP/HTTP collector, e.g. `http://127.0.0.1:4318`. No traces without it.
    #[serde(default)]
    pub otlp_endpoint: Option<String>,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line, for log collectors.
    Json,
}

impl Config {
    /// Says what is wrong with it.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Err(error) = EnvFilter::try_new(&self.log) {
            found.push(format!("telemetry.log: {error}"));
        }
        if let Some(endpoint) = &self.otlp_endpoint
            && !endpoint.starts_with("http://")
            && !endpoint.starts_with("https://")
        {
            found.push("telemetry.otlp_endpoint: must start with http:// or https://".to_owned());
        }
        found
    }
}

/// Sends what is not yet sent when it is dropped. Keep it until the end of main.
#[must_use]
#[derive(Debug)]
pub struct Guard(Option<SdkTracerProvider>);

/// Starts logging and tracing of this process.
///
/// # Errors
/// When the filter does not parse, the exporter cannot be built, or it was called before.
pub fn init(config: &Config, service_name: &'static str) -> anyhow::Result<Guard> {
    let filter = EnvFilter::try_new(&config.log).context("telemetry.log")?;
    let to_stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        Format::Text => to_stderr
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .boxed(),
        Format::Json => to_stderr.json().flatten_event(true).boxed(),
    };
    let provider = config
        .otlp_endpoint
        .as_deref()
        .map(|endpoint| provider(endpoint, service_name))
        .transpose()?;
    let spans = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer(service_name)));
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(spans)
        .try_init()
        .context("start logging")?;
    Ok(Guard(provider))
}

fn provider(endpoint: &str, service_name: &'static str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .build()
        .context("telemetry.otlp_endpoint")?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name(service_name).build())
        .build())
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_named() {
        let config = Config {
            log: "headworks=loud".to_owned(),
            format: Format::Text,
            otlp_endpoint: Some("collector:4318".to_owned()),
        };
        let found = config.validate();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("telemetry.log: "), "{found:?}");
    }
}
