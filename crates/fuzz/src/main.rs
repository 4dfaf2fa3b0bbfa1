//! Fuzz targets for every parser that strangers feed; run by `cargo xtask fuzz`.
//!
//! One program holds all [`target::TARGETS`]; the environment says which one runs, and libFuzzer
//! does the rest. A target feeds its input to public functions of one crate, as an embedder would,
//! and fails on a panic, on an endless loop, on more outputs than the input can explain
//! ([`input::Budget`]) and on more memory than its limit ([`memory`]). Nothing here is a second
//! implementation: what a parser should answer is tested in its crate.
//!
//! Each target brings seeds that our own writers make, so that mutation starts from what is
//! almost right.

#![no_main]

mod aac;
mod access;
mod address;
mod embedder;
mod flv;
mod hls;
mod input;
mod memory;
mod parameters;
mod relay;
mod remux;
mod rtmp;
mod rtmp_parts;
mod rtp;
mod rtsp;
mod rtsp_parts;
mod sample;
mod target;
mod ts;

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: target::start(), |bytes: &[u8]| target::run(bytes));
