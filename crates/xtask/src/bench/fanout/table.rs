//! The table of one run.

use super::{Contender, Options, Results, Run};
use crate::bench::statistics::{percentile, spread};

/// What it says about one run.
pub(super) fn of(options: &Options, run: &Run) -> String {
    let (rounds, seconds) = (options.rounds, options.seconds);
    let mut text = format!(
        "\n{} Mbit/s (H.264, 25 pictures a second; AAC) to {} viewers, {rounds} rounds of {seconds} s\n\n",
        run.megabits, options.viewers,
    );
    text.push_str(&format!(
        "{:<20}{:>7}{:^20}{:^20}{:^20}{:>9}{:>16}{:>16}\n",
        "server",
        "rounds",
        "CPU s / viewer-Gbit",
        "to the bare loop",
        "to nginx-rtmp",
        "memory",
        "key frame",
        "latency"
    ));
    text.push_str(&format!(
        "{:<20}{:>7}{:^20}{:^20}{:^20}{:>9}{:>16}{:>16}\n",
        "",
        "",
        "median low–high",
        "median low–high",
        "median low–high",
        "kB each",
        "p50 / p99 ms",
        "p50 / p99 ms"
    ));
    for results in &run.results {
        text.push_str(&row(options, run, results));
    }
    text
}

fn row(options: &Options, run: &Run, results: &Results) -> String {
    let contender = results.contender;
    let ratio = |to: Option<Contender>| {
        let to = to.filter(|to| *to != contender);
        let to = to.and_then(|to| run.of(to));
        spread(&to.map_or(Vec::new(), |to| results.ratios(to)), 2)
    };
    let memory = percentile(&results.memory(options.viewers), 50);
    format!(
        "{:<20}{:>7}{}{}{}{:>9}{:>16}{:>16}\n",
        label(contender),
        format!("{}/{}", results.costs().len(), results.windows.len()),
        spread(&results.costs(), 3),
        ratio(Some(bare_of(contender))),
        ratio(nginx_of(contender)),
        memory.map_or("–".to_owned(), |memory| format!("{memory:.0}")),
        both(&results.joins()),
        both(&results.delays()),
    )
}

fn both(milliseconds: &[f64]) -> String {
    let (middle, most) = (percentile(milliseconds, 50), percentile(milliseconds, 99));
    match (middle, most) {
        (Some(middle), Some(most)) => format!("{middle:.1} / {most:.1}"),
        _ => "–".to_owned(),
    }
}

/// The loop that does no more than a contender has to do.
pub(super) fn bare_of(contender: Contender) -> Contender {
    match contender {
        Contender::RtspUdp | Contender::BareUdp => Contender::BareUdp,
        _ => Contender::BareTcp,
    }
}

/// nginx does not speak UDP.
fn nginx_of(contender: Contender) -> Option<Contender> {
    let is_udp = matches!(contender, Contender::RtspUdp | Contender::BareUdp);
    (!is_udp).then_some(Contender::Nginx)
}

/// What it is called where people read.
fn label(contender: Contender) -> &'static str {
    match contender {
        Contender::BareTcp => "bare loop, write",
        Contender::Nginx => "nginx-rtmp",
        Contender::Rtmp => "RTMP",
        Contender::Flv => "HTTP-FLV",
        Contender::RtspTcp => "RTSP, TCP",
        Contender::RtmpFlushed => "RTMP, 50 ms",
        Contender::FlvFlushed => "HTTP-FLV, 50 ms",
        Contender::BareUdp => "bare loop, sendmmsg",
        Contender::RtspUdp => "RTSP, UDP",
    }
}
