//! `cargo xtask <task>`: everything that developers and CI do with this repository.
//!
//! It uses few crates, so that it is there quickly: no asynchronous runtime, no argument parser.

#![expect(clippy::print_stdout, reason = "a tool for people at a terminal")]

mod api;
mod bench;
mod cargo;
mod chaos;
mod ci;
mod database;
mod demo;
mod deps;
mod fuzz;
mod interop;
mod openapi;
mod schemathesis;
mod setup;
mod sqlx;
mod stage;
mod test;

use std::{env, process::ExitCode};

const USAGE: &str = "\
cargo xtask <task>

  demo              start Headworks with two cameras and print what to watch
  demo --check      prove with foreign decoders that the demo works; exit 0 or 1
  test [args…]      run the tests on a PostgreSQL of their own; args go to `cargo test`
  setup             install what the demo and the tests need (the others do it themselves)
  ci                run every check, as CI does
  interop           let real peers publish and play, and judge each; see src/interop/README.md
  fuzz [target] [--seconds N]
                    feed generated garbage to every parser, or to one
  fuzz target --replay file
                    feed it one input again
  chaos [scenario…] [--long]
                    break things in a real installation and count what is lost; as root
  bench …           measure what serving viewers and cameras costs

Parts of ci:
  deps              check who depends on whom
  sqlx [--check]    write the metadata of the SQL queries to .sqlx, or compare it
  fuzz --check      build the fuzz targets
  openapi [--check] write the API documents to openapi/, or compare them
  schemathesis      send what the API's description allows, and what it does not, to a controller
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["setup"] => setup::everything(),
        ["demo"] => demo::run(),
        ["demo", "--check"] => demo::check::run(),
        ["test", rest @ ..] => test::run(rest),
        ["ci"] => ci::run(),
        ["deps"] => deps::check(),
        ["sqlx"] => sqlx::write(),
        ["sqlx", "--check"] => sqlx::check(),
        ["openapi"] => openapi::write(),
        ["openapi", "--check"] => openapi::check(),
        ["schemathesis"] => schemathesis::run(),
        ["interop", rest @ ..] => interop::run(rest),
        ["bench", rest @ ..] => bench::run(rest),
        ["chaos", rest @ ..] => chaos::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("error: no such task: {}\n\n{USAGE}", words.join(" "));
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
