//! The bars, and what came of a row.

use super::{
    Clip, Direction, Part, Row, Sound,
    clip::FPS,
    watch::{ARRIVAL_GRID, GRID, Watched},
};
use crate::Facts;

/// How far sound and picture may be from each other, in milliseconds.
const OFFSET_MS: f64 = 80.0;
/// How much of the time must be there: a player's first and last pictures may be missing.
const PRESENT: f64 = 0.9;
/// How hls.js begins to say that it waits for media, or has skipped a gap in it.
const HASTE: [&str; 2] = ["bufferStalledError:", "bufferNudgeOnStall:"];
/// How much of an error message goes into a table.
const REASON: usize = 200;

/// What came of a row.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// All bars are cleared.
    Passed,
    /// One is not, or nothing came at all.
    Failed(String),
    /// The peer cannot do this, or is not there.
    Skipped(String),
}

/// What came of a row, with what was measured.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Decoded pictures.
    pub pictures: Option<usize>,
    /// What the decoder complained about.
    pub errors: Vec<String>,
    /// How much later sound comes than the picture; none without sound, or if the player does not
    /// say.
    pub offset_ms: Option<f64>,
    /// For streams with B-frames: whether their composition times are right.
    pub composition: Option<bool>,
    /// What came of it.
    pub verdict: Verdict,
}

/// The error that says that a row cannot be run here.
#[derive(Debug)]
pub(super) struct Unable(pub(super) &'static str);

impl std::fmt::Display for Unable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Unable {}

/// The error, and below it what a program said.
pub(super) fn with_words(error: anyhow::Error, words: &str) -> anyhow::Error {
    if error.is::<Unable>() {
        return error;
    }
    anyhow::anyhow!("{error:#}\n{words}")
}

impl Outcome {
    /// Of a row that could not be judged.
    pub(super) fn of_error(error: &anyhow::Error) -> Self {
        let verdict = match error.downcast_ref::<Unable>() {
            Some(Unable(reason)) => Verdict::Skipped((*reason).to_owned()),
            None => Verdict::Failed(format!("{error:#}")),
        };
        Self {
            pictures: None,
            errors: Vec::new(),
            offset_ms: None,
            composition: None,
            verdict,
        }
    }

    /// Of what a browser has played of `clip`, after `seconds` more of it.
    pub(super) fn of_browser(facts: &Facts, clip: Clip, seconds: u32) -> Self {
        let pictures = usize::try_from(facts.pictures).unwrap_or(usize::MAX);
        let mut failures = enough(pictures, seconds);
        if clip.sound != Sound::None && facts.sound_bytes == 0 {
            failures.push("no sound".to_owned());
        }
        if facts.holes > 0 {
            failures.push(format!("{} holes in what it has buffered", facts.holes));
        }
        // Not what a busy machine does to a browser, which goes on afterwards.
        let is_haste = |error: &&String| HASTE.iter().any(|begin| error.starts_with(begin));
        let mut errors = facts.errors.clone();
        errors.retain(|error| !is_haste(&error));
        failures.extend(errors.first().cloned());
        Self {
            pictures: Some(pictures),
            errors,
            offset_ms: None,
            composition: None,
            verdict: Verdict::of(&failures),
        }
    }

    /// The reason in one line; empty if all is well.
    #[must_use]
    pub fn reason(&self) -> String {
        let (Verdict::Failed(text) | Verdict::Skipped(text)) = &self.verdict else {
            return String::new();
        };
        let line = text.lines().next().unwrap_or_default();
        line.chars().take(REASON).collect()
    }

    /// True if all bars are cleared.
    #[must_use]
    pub fn passed(&self) -> bool {
        matches!(self.verdict, Verdict::Passed)
    }
}

impl Verdict {
    fn of(failures: &[String]) -> Self {
        if failures.is_empty() {
            Self::Passed
        } else {
            Self::Failed(failures.join("; "))
        }
    }
}

impl Row {
    /// Holds what was seen of `seconds` against the bars: no decode errors, nearly all pictures,
    /// sound within 80 ms of the picture, composition times as they were.
    #[must_use]
    pub fn judge(&self, seen: &Watched, seconds: u32) -> Outcome {
        let clip = self.clip;
        let mut failures = enough(seen.pictures(), seconds);
        failures.extend(seen.errors.first().cloned());
        if self.direction() == Direction::In
            && seen
                .codecs
                .first()
                .is_none_or(|codec| codec != clip.codec())
        {
            failures.push(format!("the codecs are {:?}", seen.codecs));
        }
        let offset_ms = seen.offset_ms();
        if clip.sound != Sound::None {
            if seen.sound_seconds() < f64::from(seconds) * PRESENT {
                failures.push(format!("only {:.1} s of sound", seen.sound_seconds()));
            }
            match offset_ms {
                None => failures.push("no beep beside a flash".to_owned()),
                Some(offset) if offset.abs() >= OFFSET_MS => {
                    failures.push(format!("sound is {offset:.0} ms off"));
                }
                Some(_) => {}
            }
        }
        let composition = clip.b_frames.then(|| self.has_composition(seen));
        if composition == Some(false) {
            failures.push(format!(
                "composition times are lost: reordered {}, not even at {:.3?} s",
                seen.is_reordered(),
                seen.uneven(self.grid())
            ));
        }
        Outcome {
            pictures: Some(seen.pictures()),
            errors: seen.errors.clone(),
            offset_ms,
            composition,
            verdict: Verdict::of(&failures),
        }
    }

    fn has_composition(&self, seen: &Watched) -> bool {
        let decoded = matches!(self.part, Part::Play(viewer) if viewer.decodes());
        seen.uneven(self.grid()).is_empty() && (decoded || seen.is_reordered())
    }

    fn grid(&self) -> f64 {
        match self.part {
            Part::Play(viewer) if viewer.goes_by_arrival() => ARRIVAL_GRID,
            _ => GRID,
        }
    }
}

fn enough(pictures: usize, seconds: u32) -> Vec<String> {
    let wanted = f64::from(seconds * FPS) * PRESENT;
    if pictures as f64 >= wanted {
        Vec::new()
    } else {
        vec![format!("only {pictures} pictures in {seconds} s")]
    }
}
