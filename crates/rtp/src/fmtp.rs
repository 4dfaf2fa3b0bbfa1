//! The parameters of formats in SDP, and the encodings of their values.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;

/// More than any parameter of a format has.
const MAX_PARAMETER: usize = 64 << 10;

/// The parameters of a format: `name=value;…`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fmtp<'a>(pub(crate) &'a str);

impl<'a> Fmtp<'a> {
    /// The value of a parameter, whatever the case of its name.
    pub(crate) fn get(self, name: &str) -> Option<&'a str> {
        let mut parameters = self.0.split(';').filter_map(|pair| pair.split_once('='));
        let (_, value) = parameters.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
        Some(value.trim().trim_matches('"').trim())
    }

    /// The NAL units in a list of base64, without those that are empty.
    pub(crate) fn units(self, name: &str) -> impl Iterator<Item = Bytes> {
        let list = self.get(name).unwrap_or_default();
        list.split(',').filter_map(from_base64).filter_map(|unit| {
            // Some cameras leave the start code in front.
            let zeros = unit.iter().take_while(|byte| **byte == 0).count();
            let start = match unit.get(zeros) {
                Some(1) if zeros >= 2 => zeros + 1,
                _ => 0,
            };
            let unit = unit.slice(start..);
            (!unit.is_empty()).then_some(unit)
        })
    }
}

/// With or without padding, with spaces in it.
fn from_base64(text: &str) -> Option<Bytes> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let text: String = text
        .chars()
        .take(MAX_PARAMETER)
        .filter(|c| !c.is_whitespace() && *c != '=')
        .collect();
    LENIENT.decode(text).ok().map(Bytes::from)
}

/// Digits of either case; half a byte at the end is dropped.
pub(crate) fn from_hex(text: &str) -> Option<Bytes> {
    let digits: Vec<_> = text
        .chars()
        .take(MAX_PARAMETER)
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    Some(
        digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}
