//! ADTS, AudioSpecificConfig and Opus packets.

use bytes::Bytes;
use headworks_media::{AudioParameters, AudioSpecificConfig, aac::AdtsReader, opus};

use crate::input::{Budget, Input};

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.byte();
    let rest = input.0;
    if let Ok(config) = AudioSpecificConfig::parse(rest) {
        let _ = config.adts_header(rest.len());
    }
    if let Ok(audio) = AudioParameters::aac(Bytes::copy_from_slice(rest), 48_000) {
        let _ = (audio.codec_string(), audio.channels());
    }
    if let Some(length) = opus::packet_length(rest) {
        // RFC 6716 §3.4 [R5]: at most 120 ms.
        assert!(length <= 5760, "{length} samples in a packet of Opus");
    }
    let (mut reader, mut budget) = (AdtsReader::default(), Budget::new());
    for piece in input.pieces(how) {
        reader.push(piece);
        budget.fed(piece.len());
        while let Some(frame) = reader.poll() {
            budget.spend();
            AudioSpecificConfig::parse(&frame.config).expect("a header has a right configuration");
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let config = AudioSpecificConfig::parse(&[0x11, 0x90]).expect("parses");
    let unit = [0x21, 0x10, 4, 0x60, 0x8c, 0x1c];
    let header = config.adts_header(unit.len()).expect("fits");
    let frame = [&header[..], &unit].concat();
    vec![
        [&[5][..], &frame, &frame, &[0xff], &frame].concat(),
        vec![0, 0x11, 0x90, 0x56, 0xe5, 0],
        vec![0, 0x2b, 0x92, 8, 0],
        vec![0, 0xff, 3, 0xfe, 0xff],
    ]
}
