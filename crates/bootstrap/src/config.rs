//! Configuration in layers: embedded defaults, then a file, then the environment.
//!
//! * A variable `HEADWORKS__SECTION__KEY` sets `key` of `[section]`.
//! * Beside every `x` stands `x_file`: the value of `x` is then read from that file, without one
//!   newline at its end. A layer that sets either replaces what lower layers say of both.
//! * A key that the program does not know is an error, which names the key and where it stands.

use std::path::Path;

use ::config::{ConfigError, File, FileFormat, Map, Source, Value, ValueKind};
use anyhow::Context as _;
use headworks_types::without_value;
use serde::de::DeserializeOwned;

const PREFIX: &str = "HEADWORKS__";
const FILE_SUFFIX: &str = "_file";

/// Reads the configuration of this process.
///
/// # Errors
/// All that is wrong with it, each with its source.
pub fn load<T: DeserializeOwned>(defaults: &str, file: Option<&Path>) -> anyhow::Result<T> {
    load_from(defaults, file, std::env::vars())
}

/// As [`load`], with the environment as argument.
///
/// # Errors
/// All that is wrong with it, each with its source.
pub fn load_from<T: DeserializeOwned>(
    defaults: &str,
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> anyhow::Result<T> {
    let mut layers = vec![Layer::parse("the built-in defaults", defaults)?];
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("read configuration file {}", path.display()))?;
        layers.push(Layer::parse(&path.display().to_string(), &text)?);
    }
    let mut variables: Vec<_> = environment
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    variables.sort();
    for (name, value) in variables {
        layers.push(Layer::variable(&name, value)?);
    }
    merge(&layers).or_else(|_| explain(&layers))
}

/// Turns what `validate()` functions found into one error; fine if they found nothing.
///
/// # Errors
/// When something was found.
pub fn check(found: &[String]) -> anyhow::Result<()> {
    anyhow::ensure!(
        found.is_empty(),
        "the configuration is not valid:\n  {}",
        found.join("\n  ")
    );
    Ok(())
}

/// What one source says.
#[derive(Debug, Clone)]
struct Layer {
    name: String,
    table: Map<String, Value>,
}

impl Layer {
    fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let table = File::from_str(text, FileFormat::Toml)
            .collect()
            .map_err(|error| anyhow::anyhow!("parse {name}: {}", syntax(&error)))?;
        Self::new(name, table)
    }

    fn variable(name: &str, value: String) -> anyhow::Result<Self> {
        let path: Vec<_> = name[PREFIX.len()..]
            .split("__")
            .map(str::to_lowercase)
            .collect();
        anyhow::ensure!(
            path.iter().all(|part| !part.is_empty()),
            "environment variable {name}: expected {PREFIX}SECTION__KEY"
        );
        let mut kind = ValueKind::String(value);

        let mut table = Map::new();
        for part in path.into_iter().rev() {
            table = Map::from_iter([(part, Value::new(Some(&name.to_owned()), kind))]);
            kind = ValueKind::Table(table.clone());
        }
        Self::new(&format!("environment variable {name}"), table)
    }

    fn new(name: &str, mut table: Map<String, Value>) -> anyhow::Result<Self> {
        read_files(&mut table).with_context(|| name.to_owned())?;
        Ok(Self {
            name: name.to_owned(),
            table,
        })
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.table.clone())
    }
}

/// Replaces each `x_file` by `x` with the content of that file.
fn read_files(table: &mut Map<String, Value>) -> anyhow::Result<()> {
    for value in table.values_mut() {
        if let ValueKind::Table(inner) = &mut value.kind {
            read_files(inner)?;
        }
    }
    let keys: Vec<_> = table
        .keys()
        .filter(|key| key.ends_with(FILE_SUFFIX))
        .cloned()
        .collect();
    for file_key in keys {
        let key = file_key.trim_end_matches(FILE_SUFFIX).to_owned();
        anyhow::ensure!(
            !table.contains_key(&key),
            "`{key}` and `{file_key}` are both set; choose one"
        );
        let Some(value) = table.remove(&file_key) else {
            continue;
        };
        let origin = value.origin().map(str::to_owned);
        let path = value.into_string().with_context(|| file_key.clone())?;
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("`{file_key}`: read {path}"))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text).to_owned();
        table.insert(key, Value::new(origin.as_ref(), ValueKind::String(text)));
    }
    Ok(())
}

fn merge<T: DeserializeOwned>(layers: &[Layer]) -> Result<T, ConfigError> {
    layers
        .iter()
        .fold(::config::Config::builder(), |builder, layer| {
            builder.add_source(layer.clone())
        })
        .build()?
        .try_deserialize()
}

/// Finds out which layers are wrong: those with which the sound ones below do not work any more.
fn explain<T: DeserializeOwned>(layers: &[Layer]) -> anyhow::Result<T> {
    let mut sound = Vec::new();
    let mut found = Vec::new();
    for layer in layers {
        sound.push(layer.clone());
        if let Err(error) = merge::<T>(&sound) {
            found.push(format!("{}: {}", layer.name, words(&error)));
            sound.pop();
        }
    }
    check(&found)?;
    // Every prefix works, so the whole does.
    merge(&sound).context("merge the configuration")
}

/// The error with the path of its key, without the origin, which the caller knows.
fn words(error: &ConfigError) -> String {
    match error {
        ConfigError::At { error, key, .. } => match key {
            Some(key) => format!("`{key}`: {}", words(error)),
            None => words(error),
        },
        ConfigError::Type {
            unexpected,
            expected,
            key,
            ..
        } => {
            let key = key.as_deref().unwrap_or_default();
            let words = format!("invalid type: {unexpected}, expected {expected}");
            format!("`{key}`: {}", without_value(&words))
        }
        other => without_value(&other.to_string()),
    }
}

/// What is wrong with a file, and where: without the line itself, which may have a secret in it.
fn syntax(error: &ConfigError) -> String {
    let words = match error {
        ConfigError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    // The line and what points into it stand behind a gutter.
    let gutter = |c: char| c.is_ascii_digit() || c == ' ';
    let shown = words
        .lines()
        .filter(|line| !line.trim_start_matches(gutter).starts_with('|'));
    shown.collect::<Vec<_>>().join(": ")
}
