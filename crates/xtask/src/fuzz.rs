//! `cargo xtask fuzz`: builds the fuzz targets of `crates/fuzz` and runs them.
//!
//! Stable Rust is enough: libFuzzer comes as a crate, and the compiler's coverage pass has flags
//! on every toolchain. What is found and kept is under `target/fuzz`: `seeds` are written anew each
//! time, `corpus` grows from run to run, `crashes` has the inputs that a target failed on.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context, bail, ensure};
use headworks_testkit::tool;

use crate::cargo;

/// What `cargo fuzz` passes too.
const INSTRUMENT: &str = "-Cpasses=sancov-module \
     -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares \
     --cfg fuzzing";

/// Seconds per target where nothing is said.
const SHORT: u32 = 5;
/// For one input, seconds.
const TIMEOUT: u32 = 10;
/// For the whole process, MiB. The targets themselves check tighter limits.
const MEMORY: u32 = 1024;
/// The longest input.
const LENGTH: u32 = 16 << 10;
/// How much of the log of a failed run is shown.
const TAIL: usize = 40;

/// What the arguments say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    target: Option<String>,
    seconds: Option<u32>,
    replay: Option<PathBuf>,
    check: bool,
}

/// `[TARGET] [--seconds N] | TARGET --replay FILE | --check`.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let options = parse(arguments)?;
    let program = Program::build()?;
    if options.check {
        return Ok(());
    }
    let names = program.write_seeds()?;
    if let Some(wanted) = &options.target {
        ensure!(
            names.contains(wanted),
            "no target {wanted}; there are {}",
            names.join(", ")
        );
    }
    if let (Some(target), Some(file)) = (&options.target, &options.replay) {
        return program.replay(target, file);
    }
    let chosen = names
        .iter()
        .filter(|name| options.target.as_ref().is_none_or(|wanted| wanted == *name));
    let mut failed = Vec::new();
    for name in chosen {
        if !program.fuzz(name, options.seconds.unwrap_or(SHORT))? {
            failed.push(name.clone());
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn parse(arguments: &[&str]) -> anyhow::Result<Options> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || {
            let value = rest.next();
            value.with_context(|| format!("{argument} needs a value"))
        };
        match *argument {
            "--check" => options.check = true,
            "--seconds" => {
                let seconds = value()?.parse();
                options.seconds = Some(seconds.context("--seconds needs a number")?);
            }
            "--replay" => options.replay = Some(value()?.into()),
            name if !name.starts_with('-') && options.target.is_none() => {
                options.target = Some(name.to_owned());
            }
            other => bail!("fuzz: {other} is not understood"),
        }
    }
    ensure!(
        options.replay.is_none() || options.target.is_some(),
        "--replay needs a target before it"
    );
    Ok(options)
}

/// The program with all targets, built.
struct Program {
    binary: PathBuf,
    directory: PathBuf,
}

impl Program {
    fn build() -> anyhow::Result<Self> {
        let host = host()?;
        let directory = cargo::target().join("fuzz");
        let manifest = tool::workspace().join("crates/fuzz/Cargo.toml");
        // With `--target`, build scripts are not instrumented.
        let mut build = cargo::cargo(&["build", "--release", "--locked", "--target", &host]);
        build
            .arg("--manifest-path")
            .arg(manifest)
            .arg("--target-dir")
            .arg(directory.join("build"))
            .env("RUSTFLAGS", INSTRUMENT);
        cargo::run(&mut build)?;
        let binary = directory.join("build").join(host).join("release");
        Ok(Self {
            binary: binary.join("headworks-fuzz"),
            directory,
        })
    }

    /// Returns the names of all targets.
    fn write_seeds(&self) -> anyhow::Result<Vec<String>> {
        let seeds = self.directory.join("seeds");
        if seeds.exists() {
            fs::remove_dir_all(&seeds).context("remove the old seeds")?;
        }
        // libFuzzer always warns of sanitizers that are not there.
        let output = Command::new(&self.binary)
            .env("HEADWORKS_FUZZ_SEEDS", &seeds)
            .output()
            .context("run the fuzz program")?;
        ensure!(
            output.status.success(),
            "the seeds cannot be written: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut names = Vec::new();
        for entry in fs::read_dir(&seeds).context("read the seeds")? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn command(&self, target: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env("HEADWORKS_FUZZ_TARGET", target)
            .arg(format!("-timeout={TIMEOUT}"))
            .arg(format!("-rss_limit_mb={MEMORY}"));
        command
    }

    fn replay(&self, target: &str, file: &Path) -> anyhow::Result<()> {
        cargo::run(self.command(target).arg(file))
    }

    /// Runs one target; false if it failed.
    fn fuzz(&self, target: &str, seconds: u32) -> anyhow::Result<bool> {
        let corpus = self.directory.join("corpus").join(target);
        let crashes = self.directory.join("crashes").join(target);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&crashes)?;
        let seeds = self.directory.join("seeds");
        let log = self.directory.join(format!("{target}.log"));
        let status = self
            .command(target)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={LENGTH}"))
            .arg(format!("-artifact_prefix={}/", crashes.display()))
            .arg(format!("-dict={}.dict", seeds.join(target).display()))
            .arg("-print_final_stats=1")
            .args([&corpus, &seeds.join(target)])
            .stdout(Stdio::null())
            .stderr(File::create(&log).context("create the log")?)
            .status()
            .context("run the fuzz target")?;
        report(target, status, &fs::read(&log)?)
    }
}

/// Prints what a run has come to.
fn report(target: &str, status: ExitStatus, log: &[u8]) -> anyhow::Result<bool> {
    let log = String::from_utf8_lossy(log);
    let found = |name: &str| {
        let line = log.lines().find_map(|line| line.strip_prefix(name));
        line.map_or("?", |value| value.trim_start_matches(':').trim())
    };
    if status.success() {
        let executed = found("stat::number_of_executed_units");
        let added = found("stat::new_units_added");
        println!("✓ {target:<16} {executed:>10} inputs, {added} of them new");
        return Ok(true);
    }
    let lines: Vec<_> = log.lines().collect();
    println!("{}", lines[lines.len().saturating_sub(TAIL)..].join("\n"));
    println!("✗ {target} failed ({status})");
    let written = log
        .lines()
        .find_map(|line| line.split_once("Test unit written to "));
    if let Some((_, file)) = written {
        println!("  replay: cargo xtask fuzz {target} --replay {file}");
    }
    Ok(false)
}

/// The compiler's name for this machine.
fn host() -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc).arg("-vV").output();
    let output = output.context("run rustc")?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .context("rustc names its host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_understood_in_any_order() {
        let parsed = |arguments: &[&str]| parse(arguments).ok();
        assert_eq!(parsed(&[]), Some(Options::default()));
        let long = Options {
            target: Some("ts".to_owned()),
            seconds: Some(60),
            ..Options::default()
        };
        assert_eq!(parsed(&["--seconds", "60", "ts"]).as_ref(), Some(&long));
        assert_eq!(parsed(&["ts", "--seconds", "60"]), Some(long));
        assert!(parsed(&["ts", "--replay", "file"]).is_some());
        for bad in [
            &["--replay", "file"][..],
            &["--seconds"],
            &["--seconds", "x"],
            &["ts", "flv"],
            &["--what"],
        ] {
            assert_eq!(parsed(bad), None, "{bad:?}");
        }
    }
}
