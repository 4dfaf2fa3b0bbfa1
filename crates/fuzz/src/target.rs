//! The list of targets, and which one runs.

use std::{env, fs, path::Path, process, sync::OnceLock};

use crate::{
    aac, access, address, flv, hls, memory, parameters, relay, remux, rtmp, rtmp_parts, rtp, rtsp,
    rtsp_parts, ts,
};

/// One parser or engine under attack.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&[u8]),
    /// Inputs that are right or almost right.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// The most bytes that may be held at once, as the crate's limits add up.
    pub(crate) memory: usize,
    /// What text is made of, for the mutator.
    pub(crate) words: &'static [&'static str],
}

/// A parser that keeps little.
pub(crate) const fn target(
    name: &'static str,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
) -> Target {
    Target {
        name,
        run,
        seeds,
        memory: 4 << 20,
        words: &[],
    }
}

/// An engine that makes room for what a stranger has announced, up to its limits.
pub(crate) const fn engine(
    name: &'static str,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
) -> Target {
    Target {
        memory: 32 << 20,
        ..target(name, run, seeds)
    }
}

/// Every target.
pub(crate) const TARGETS: &[Target] = &[
    target("aac", aac::run, aac::seeds),
    Target {
        words: address::WORDS,
        ..target("camera_url", address::camera, address::camera_seeds)
    },
    engine("flv", flv::run, flv::seeds),
    target("flv_bodies", flv::bodies, flv::body_seeds),
    Target {
        words: hls::DIRECTIVE_WORDS,
        ..target("hls_directives", hls::directives, hls::directive_seeds)
    },
    Target {
        words: hls::PLAYLIST_WORDS,
        ..target("hls_playlist", hls::playlist, hls::playlist_seeds)
    },
    Target {
        words: address::WORDS,
        ..target("outbound", address::outbound, address::outbound_seeds)
    },
    target("parameters", parameters::run, parameters::seeds),
    Target {
        words: access::TOKEN_WORDS,
        ..target("playback_claims", access::claims, access::claims_seeds)
    },
    target("playback_ticket", access::ticket, access::ticket_seeds),
    target("playback_token", access::token, access::token_seeds),
    Target {
        words: address::WORDS,
        ..target("playback_url", address::playback, address::playback_seeds)
    },
    target(
        "proxy_headers",
        address::forwarded,
        address::forwarded_seeds,
    ),
    target("relay_asks", relay::asks, relay::ask_seeds),
    engine("relay_tells", relay::tells, relay::tell_seeds),
    target("remux", remux::run, remux::seeds),
    target("rtmp_amf", rtmp_parts::amf, rtmp_parts::amf_seeds),
    engine("rtmp_chunks", rtmp_parts::chunks, rtmp_parts::chunk_seeds),
    engine("rtmp_client", rtmp::client, rtmp::client_seeds),
    target(
        "rtmp_handshake",
        rtmp_parts::handshake,
        rtmp_parts::handshake_seeds,
    ),
    engine("rtmp_server", rtmp::server, rtmp::server_seeds),
    target("rtmp_text", rtmp_parts::text, rtmp_parts::text_seeds),
    target("rtp_aac", rtp::aac, rtp::aac_seeds),
    target("rtp_g711", rtp::g711, rtp::g711_seeds),
    target("rtp_h264", rtp::h264, rtp::h264_seeds),
    target("rtp_h265", rtp::h265, rtp::h265_seeds),
    target("rtp_latm", rtp::latm, rtp::latm_seeds),
    target("rtp_opus", rtp::opus, rtp::opus_seeds),
    target("rtcp", rtp::rtcp, rtp::rtcp_seeds),
    Target {
        words: rtsp_parts::WORDS,
        ..target("rtsp_client", rtsp::client, rtsp::client_seeds)
    },
    Target {
        words: rtsp_parts::WORDS,
        ..target(
            "rtsp_headers",
            rtsp_parts::headers,
            rtsp_parts::header_seeds,
        )
    },
    Target {
        words: rtsp_parts::WORDS,
        ..target(
            "rtsp_messages",
            rtsp_parts::messages,
            rtsp_parts::message_seeds,
        )
    },
    Target {
        words: rtsp_parts::WORDS,
        ..target("rtsp_server", rtsp::server, rtsp::server_seeds)
    },
    Target {
        words: rtsp_parts::WORDS,
        ..target("sdp", rtsp_parts::sdp, rtsp_parts::sdp_seeds)
    },
    target("ts", ts::run, ts::seeds),
];

static CHOSEN: OnceLock<&Target> = OnceLock::new();

/// Chooses by `HEADWORKS_FUZZ_TARGET`. With `HEADWORKS_FUZZ_SEEDS` it writes the seeds of all
/// targets into that directory instead, one directory for each, and ends.
pub(crate) fn start() {
    if let Some(directory) = env::var_os("HEADWORKS_FUZZ_SEEDS") {
        let written = TARGETS
            .iter()
            .try_for_each(|target| write_seeds(target, Path::new(&directory)));
        written.expect("write the seeds");
        process::exit(0);
    }
    let name = env::var("HEADWORKS_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        eprintln!("error: no fuzz target {name:?}; use `cargo xtask fuzz`");
        process::exit(2);
    };
    CHOSEN.get_or_init(|| target);
}

/// One input.
pub(crate) fn run(bytes: &[u8]) {
    let target = CHOSEN.get().expect("chosen at the start");
    let peak = memory::peak(|| (target.run)(bytes));
    let limit = target.memory + 64 * bytes.len();
    assert!(peak <= limit, "{peak} bytes were held, more than {limit}");
}

fn write_seeds(target: &Target, directory: &Path) -> std::io::Result<()> {
    let seeds = directory.join(target.name);
    fs::create_dir_all(&seeds)?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        fs::write(seeds.join(number.to_string()), seed)?;
    }
    // libFuzzer takes no empty dictionary.
    let mut dictionary = "# What inputs consist of.\n".to_owned();
    for word in target.words {
        let word = word.replace('"', "\\\"");
        let word = word.replace('\r', "\\x0d").replace('\n', "\\x0a");
        dictionary.push_str(&format!("\"{word}\"\n"));
    }
    fs::write(directory.join(format!("{}.dict", target.name)), dictionary)
}
