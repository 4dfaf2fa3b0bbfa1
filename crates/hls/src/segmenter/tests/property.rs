//! What players rely on, tried on streams of all shapes.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// What happens next in a stream.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A picture so long after the one before, shown so much later than decoded.
    Picture { after: i64, lead: i64, key: bool },
    /// A packet of sound.
    Sound,
    /// No sound for so many packets.
    Silence(i64),
    /// The source starts anew, perhaps with other parameters.
    Restart(u8),
    /// Nobody watches for a while: another segmenter goes on.
    Resume,
}

/// Streams at one rate or at changing ones, with short, long and irregular GOPs.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let after = prop_oneof![
        8 => 900_i64..12_000,
        1 => 12_000_i64..60_000,
        1 => 60_000_i64..400_000,
    ];
    let picture = (after, 0_i64..20_000, 0_u8..30).prop_map(|(after, lead, key)| Step::Picture {
        after,
        lead,
        key: key == 0,
    });
    let step = prop_oneof![
        60 => picture,
        80 => Just(Step::Sound),
        1 => (1_i64..400).prop_map(Step::Silence),
        1 => (30_u8..32).prop_map(Step::Restart),
    ];
    let steps = prop::collection::vec(step, 200..900);
    (
        steps,
        prop::option::of(1200_i64..20_000),
        1_usize..60,
        prop::bool::ANY,
    )
        .prop_map(|(mut steps, even, gop, regular)| {
            if let Some(even) = even {
                for (index, step) in steps.iter_mut().enumerate() {
                    if let Step::Picture { after, key, .. } = step {
                        *after = even;
                        *key = if regular { index % (gop * 2) < 2 } else { *key };
                    }
                }
            }
            let half = steps.len() / 2;
            steps.insert(half, Step::Resume);
            steps
        })
}

/// A player and the world's memory: what has been seen of the stream.
#[derive(Default)]
struct Watcher {
    target: Option<(u32, Option<u32>)>,
    sequence: (u64, u64),
    parts: HashMap<(u64, u64), Vec<Bytes>>,
    hint: Option<(u64, u64)>,
    /// The lines of the last full playlist, below its head, by segment.
    known: Vec<(u64, String)>,
}

impl Watcher {
    /// Another segmenter goes on.
    fn forget(&mut self) {
        self.target = None;
        self.hint = None;
        self.known.clear();
    }

    fn watch(&mut self, window: &Window) -> Result<(), TestCaseError> {
        let targets = (window.target, window.part_target);
        prop_assert_eq!(*self.target.get_or_insert(targets), targets);
        self.numbers(window)?;
        self.durations(window)?;
        self.bytes(window)?;
        self.playlists(window)
    }

    fn numbers(&mut self, window: &Window) -> Result<(), TestCaseError> {
        let first = window.listed().next().expect("not empty").number;
        let sequence = (first, window.discontinuities);
        prop_assert!(sequence.0 >= self.sequence.0 && sequence.1 >= self.sequence.1);
        self.sequence = sequence;
        let numbers: Vec<_> = window
            .segments
            .iter()
            .map(|segment| segment.number)
            .collect();
        prop_assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        prop_assert!(numbers.len() <= 2 * window.listed + 1);
        // What was hinted comes, in its order.
        let hint = window.next_part();
        if let Some(before) = self.hint
            && Some(before) != hint
        {
            prop_assert!(
                window.part(before.0, before.1).is_some(),
                "{before:?} {hint:?}"
            );
            prop_assert!(window.has(before.0, Some(before.1)));
        }
        self.hint = hint;
        if let Some((segment, part)) = hint {
            prop_assert!(
                !window.has(segment, Some(part)) && !window.is_too_far(segment, Some(part))
            );
        }
        Ok(())
    }

    fn durations(&self, window: &Window) -> Result<(), TestCaseError> {
        for segment in &window.segments {
            let rounded = (segment.duration + VIDEO_CLOCK / 2) / VIDEO_CLOCK;
            prop_assert!(
                rounded <= window.target,
                "{} > {}",
                segment.duration,
                window.target
            );
            prop_assert!(window.init(segment.init).is_some());
        }
        let limit = window.part_target.unwrap_or(u32::MAX);
        let mut end = None;
        let open = window.open.iter();
        for segment in window.segments.iter().map(AsRef::as_ref).chain(open) {
            for (index, part) in segment.parts.iter().enumerate() {
                let (base, durations) = pictures(&part.chunks[0]);
                let length: u32 = durations.iter().sum();
                // Also in the bytes, except for a picture that is longer in itself.
                prop_assert!(part.duration <= limit, "{} > {limit}", part.duration);
                prop_assert!(
                    length <= limit || durations.len() == 1,
                    "{length} > {limit}"
                );
                prop_assert_eq!(part.duration, length.min(limit));
                if index > 0 || !segment.discontinuity {
                    prop_assert!(end.is_none_or(|end| end == base), "{end:?} {base}");
                }
                end = Some(base + u64::from(length));
            }
        }
        Ok(())
    }

    /// What once was out stays as it was, and parts make up their segment.
    fn bytes(&mut self, window: &Window) -> Result<(), TestCaseError> {
        let open = window.open.iter();
        for segment in window.segments.iter().map(AsRef::as_ref).chain(open) {
            let mut joined = Vec::new();
            for (index, part) in segment.parts.iter().enumerate() {
                let key = (segment.number, index as u64);
                let chunks = self.parts.entry(key).or_insert_with(|| part.chunks.clone());
                prop_assert_eq!(&*chunks, &part.chunks, "{:?}", key);
                prop_assert_eq!(
                    part.length,
                    chunks.iter().map(Bytes::len).sum::<usize>() as u64
                );
                joined.extend(chunks.iter().cloned());
            }
            prop_assert!(segment.chunks().eq(&joined));
            prop_assert_eq!(
                segment.length(),
                joined.iter().map(Bytes::len).sum::<usize>() as u64
            );
        }
        Ok(())
    }

    /// A player that merges updates has the same as one that loads everything.
    fn playlists(&mut self, window: &Window) -> Result<(), TestCaseError> {
        let full = body(&window.playlist(Flavor::LowLatency));
        let delta = window.playlist(Flavor::Delta);
        let update = body(&delta);
        let merged = match delta.split_once("SKIPPED-SEGMENTS=") {
            None => update,
            Some((head, skipped)) => {
                let lines = skipped.lines().next().expect("a number");
                let count: u64 = lines.parse().expect("a number");
                let first = head.split_once("MEDIA-SEQUENCE:").expect("has it").1;
                let first: u64 = first.lines().next().expect("it").parse().expect("a number");
                let old = self.known.iter();
                let mut merged: Vec<_> = old
                    .filter(|(number, _)| (first..first + count).contains(number))
                    .cloned()
                    .collect();
                prop_assert_eq!(merged.len() as u64, count, "it has what is skipped");
                merged.extend(update);
                merged
            }
        };
        prop_assert_eq!(told(&merged), told(&full));
        self.known = full;
        Ok(())
    }
}

/// The first decoding time of the pictures in a fragment, and how long each is.
fn pictures(header: &[u8]) -> (u64, Vec<u32>) {
    let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("4 bytes"));
    // moof, mfhd, traf, tfhd; then tfdt and trun, whose samples have 16 bytes.
    let (tfdt, trun) = (48, 68);
    assert_eq!(
        (&header[tfdt + 4..][..4], &header[trun + 4..][..4]),
        (&b"tfdt"[..], &b"trun"[..])
    );
    let base = u64::from(number(tfdt + 12)) << 32 | u64::from(number(tfdt + 16));
    let count = number(trun + 12) as usize;
    (
        base,
        (0..count)
            .map(|index| number(trun + 20 + 16 * index))
            .collect(),
    )
}

/// What stands below the head of a playlist, segment by segment, without the parts of whole
/// segments: those leave the playlist.
fn body(playlist: &str) -> Vec<(u64, String)> {
    let heads = [
        "#EXTM3U",
        "#EXT-X-VERSION",
        "#EXT-X-INDEPENDENT",
        "#EXT-X-TARGET",
        "#EXT-X-SERVER",
        "#EXT-X-PART-INF",
        "#EXT-X-MEDIA-SEQUENCE",
        "#EXT-X-DISCONTINUITY-SEQUENCE",
        "#EXT-X-SKIP",
    ];
    let mut out = Vec::new();
    let mut waiting: Vec<&str> = Vec::new();
    let is_head = |line: &str| heads.iter().any(|head| line.starts_with(head));
    for line in playlist.lines().filter(|line| !is_head(line)) {
        waiting.push(line);
        if let Some(number) = line.strip_prefix("seg-") {
            let number = number.trim_end_matches(".m4s").parse().expect("a number");
            waiting.retain(|line| !line.starts_with("#EXT-X-PART:"));
            out.push((number, std::mem::take(&mut waiting).join("\n")));
        }
    }
    out.push((u64::MAX, waiting.join("\n")));
    out
}

/// The same as one text, without the first init segment: a full playlist always tells it, and
/// players know it from before.
fn told(body: &[(u64, String)]) -> String {
    let mut lines: Vec<_> = body.iter().flat_map(|(_, text)| text.lines()).collect();
    let first = body.first().map_or(0, |(_, text)| text.lines().count());
    if let Some(map) = lines[..first]
        .iter()
        .position(|line| line.contains("EXT-X-MAP"))
    {
        lines.remove(map);
    }
    lines.join("\n")
}

/// Feeds a segmenter, and knows what should come out.
struct Source {
    config: Config,
    segmenter: Segmenter,
    watcher: Watcher,
    dts: i64,
    sound: i64,
    level: u8,
    started: bool,
    next: u64,
    /// The frames that the present segmenter has taken.
    taken: [Vec<u64>; 2],
    /// The first segment of the present segmenter.
    first: u64,
}

impl Source {
    fn new(config: Config) -> Self {
        Self {
            config,
            segmenter: Segmenter::new(config, tracks(30), 0).expect("starts"),
            watcher: Watcher::default(),
            dts: 10 * SECOND,
            sound: 10 * 48_000,
            level: 30,
            started: false,
            next: 0,
            taken: Default::default(),
            first: 0,
        }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Picture { after, lead, key } => {
                self.dts += after;
                self.started |= key;
                self.push(TrackKind::Video, self.dts, self.dts + lead, key)
            }
            Step::Sound => {
                self.sound += 1024;
                self.push(TrackKind::Audio, self.sound, self.sound, true)
            }
            Step::Silence(packets) => {
                self.sound += 1024 * packets;
                Ok(())
            }
            Step::Restart(level) => {
                self.level = level;
                self.started = false;
                let news = self.segmenter.restart(tracks(level)).expect("restarts");
                self.look(news)
            }
            Step::Resume => {
                self.settle()?;
                let position = self.segmenter.position();
                let tracks = tracks(self.level);
                self.segmenter =
                    Segmenter::resume(self.config, tracks, 0, position).expect("resumes");
                self.watcher.forget();
                self.started = false;
                self.taken = Default::default();
                self.first = position.sequence;
                Ok(())
            }
        }
    }

    fn push(
        &mut self,
        track: TrackKind,
        dts: i64,
        pts: i64,
        key: bool,
    ) -> Result<(), TestCaseError> {
        let payload = Bytes::copy_from_slice(&self.next.to_be_bytes());
        if self.started {
            self.taken[usize::from(track == TrackKind::Audio)].push(self.next);
        }
        self.next += 1;
        let news = self.segmenter.push(Frame {
            track,
            dts,
            pts,
            key,
            payload,
        });
        self.look(news)
    }

    fn look(&mut self, news: bool) -> Result<(), TestCaseError> {
        match self.segmenter.window() {
            Some(window) if news => self.watcher.watch(window),
            _ => Ok(()),
        }
    }

    /// All frames have come out, in their order, except those that wait.
    fn settle(&self) -> Result<(), TestCaseError> {
        if self.segmenter.window().is_none() {
            return Ok(());
        }
        let parts = &self.watcher.parts;
        let mut keys: Vec<_> = parts.keys().filter(|key| key.0 >= self.first).collect();
        keys.sort_unstable();
        let chunks = keys.into_iter().flat_map(|key| &parts[key]);
        let payloads =
            chunks.filter_map(|chunk| Some(u64::from_be_bytes(chunk[..].try_into().ok()?)));
        let (sound, pictures): (Vec<_>, Vec<_>) =
            payloads.partition(|number| self.taken[1].contains(number));
        let waiting = match self.config.part {
            Some(_) => self.segmenter.frames.pictures(),
            None => self.taken[0].len() - pictures.len(),
        };
        let out = self.taken[0].len() - waiting;
        prop_assert_eq!(&self.taken[0][..out], &pictures[..]);
        // Some may be too late, but none comes twice or out of order.
        let mut taken = self.taken[1].iter();
        prop_assert!(
            sound
                .iter()
                .all(|number| taken.any(|taken| taken == number))
        );
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_players_rely_on(steps in steps(), parts in prop::bool::weighted(0.8)) {
        let config = if parts { low_latency() } else { config() };
        let mut source = Source::new(Config { listed: 10, ..config });
        for step in steps {
            source.step(step)?;
        }
        source.settle()?;
    }

    #[test]
    fn at_an_even_rate_parts_are_nearly_as_long_as_the_target(
        step in 1000_i64..60_000,
        gop in 1_usize..100,
        jitter in prop::collection::vec(-2_i64..3, 50),
    ) {
        let mut segmenter = Segmenter::new(low_latency(), tracks(30), 0).expect("starts");
        for index in 0..600_usize {
            let jitter = jitter[index % jitter.len()] * step / 100;
            segmenter.push(picture(10 * SECOND + index as i64 * step + jitter, index % gop == 0));
        }
        let window = segmenter.window().expect("a segment is complete");
        let target = window.part_target.expect("has parts");
        for segment in &window.segments {
            for part in segment.parts.iter().rev().skip(1).filter(|part| !part.independent) {
                prop_assert!(part.duration * 100 >= target * 85, "{} {target}", part.duration);
            }
        }
    }

    #[test]
    fn a_clock_that_stands_still_does_not_fill_the_memory(
        steps in prop::collection::vec((0_i64..2, 0_usize..2000, 0_u8..3, any::<bool>()), 500..3000),
        parts: bool,
    ) {
        let limits = Limits { pictures: 50, segment: 20_000, window: 60_000 };
        let config = if parts { low_latency() } else { config() };
        let config = Config { limits, ..config };
        let mut segmenter = Segmenter::new(config, tracks(30), 0).expect("starts");
        let mut dts = 10 * SECOND;
        let mut sequence = 0;
        for (after, length, sound, key) in steps {
            dts += after;
            segmenter.push(Frame { payload: vec![1; length].into(), ..picture(dts, key) });
            for _ in 0..sound {
                let dts = 10 * 48_000;
                let track = TrackKind::Audio;
                segmenter.push(Frame { track, dts, pts: dts, ..picture(0, true) });
            }
            prop_assert!(segmenter.frames.pictures() <= limits.pictures);
            prop_assert!(segmenter.frames.bytes() < limits.segment + 2000);
            let Some(window) = segmenter.window() else { continue };
            // A picture, its sound and what is written around them may come on top.
            let most = limits.segment + 2000 + 20_000;
            let kept: u64 = window.segments.iter().map(|segment| segment.length()).sum();
            prop_assert!(kept <= limits.window.max(most), "{kept}");
            for segment in window.segments.iter().map(AsRef::as_ref).chain(&window.open) {
                prop_assert!(segment.length() <= most, "{}", segment.length());
                prop_assert!(segment.pictures as usize <= limits.pictures);
            }
            let next = segmenter.position().sequence;
            prop_assert!(next >= sequence);
            sequence = next;
        }
        prop_assert!(sequence > 5, "segments are cut: {sequence}");
    }
}
