//! What the project demands of itself, and whether it holds.

use super::{
    Contender::{
        self, BareTcp, BareUdp, Flv, FlvFlushed, Nginx, Rtmp, RtmpFlushed, RtspTcp, RtspUdp,
    },
    Options, Run,
};
use crate::bench::{
    machine,
    statistics::{median, percentile},
};

/// One demand.
struct Bar {
    megabits: u32,
    what: String,
    /// None where every window failed: then the demand is not met.
    value: Option<f64>,
    at_most: f64,
    unit: &'static str,
}

/// All that could be judged.
pub(super) fn of(options: &Options, runs: &[Run]) -> String {
    let bars: Vec<_> = runs.iter().flat_map(|run| bars(options, run)).collect();
    if bars.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n{:<8}{:<48}{:>12}{:>12}\n",
        "Mbit/s", "bar", "measured", "at most"
    );
    for bar in bars {
        let is_met = bar.value.is_some_and(|value| value <= bar.at_most);
        let unit = bar.unit;
        let value = bar.value.map(|value| format!("{value:.2}{unit}"));
        text.push_str(&format!(
            "{:<8}{:<48}{:>12}{:>12}  {}\n",
            bar.megabits,
            bar.what,
            value.as_deref().unwrap_or("none"),
            format!("{:.2}{unit}", bar.at_most),
            machine::mark(is_met),
        ));
    }
    text
}

fn bars(options: &Options, run: &Run) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (contender, to, at_most) in ratios(run.megabits) {
        let (Some(results), Some(measure)) = (run.of(contender), run.of(to)) else {
            continue;
        };
        let what = format!("CPU of {} / {}", contender.name(), to.name());
        let value = median(&results.ratios(measure));
        bars.push(run.bar(what, value, at_most, " ×"));
    }
    for contender in [Rtmp, Flv, RtspTcp, RtspUdp] {
        let Some(results) = run.of(contender) else {
            continue;
        };
        let what = format!("first key frame over {}, p99", contender.name());
        let value = percentile(&results.joins(), 99);
        bars.push(run.bar(what, value, 100.0, " ms"));
        // Demanded of 200 viewers.
        if options.viewers <= 200 {
            let what = format!("added latency over {}, p99", contender.name());
            let value = percentile(&results.delays(), 99);
            bars.push(run.bar(what, value, 20.0, " ms"));
        }
    }
    bars
}

/// Who may cost at most how much of another's processor time.
fn ratios(megabits: u32) -> impl Iterator<Item = (Contender, Contender, f64)> {
    let to_nginx = if megabits >= 8 { 0.65 } else { 1.0 };
    [
        (Rtmp, BareTcp, 0.95),
        (Flv, BareTcp, 0.95),
        (Rtmp, Nginx, to_nginx),
        (Flv, Nginx, to_nginx),
        (RtmpFlushed, Nginx, 0.45),
        (FlvFlushed, Nginx, 0.45),
        (RtspUdp, BareUdp, 0.5),
    ]
    .into_iter()
}

impl Run {
    fn bar(&self, what: String, value: Option<f64>, at_most: f64, unit: &'static str) -> Bar {
        Bar {
            megabits: self.megabits,
            what,
            value,
            at_most,
            unit,
        }
    }
}
