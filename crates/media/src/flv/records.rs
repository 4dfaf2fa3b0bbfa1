//! Decoder configuration records, as far as a demuxer needs them: the parameter sets, which say
//! all of the rest again. Not mp4-atom's parser: that one refuses the damaged extensions which
//! old encoders write behind them, and says not where.

use super::cursor::Cursor;
use crate::Error;

/// The length of the length before each NAL unit, and the parameter sets.
type Record<'a> = (usize, Vec<&'a [u8]>);

/// ISO/IEC 14496-15 §5.3.3.1.
pub(super) fn avc<'a>(cursor: &mut Cursor<'a>) -> Result<Record<'a>, Error> {
    version(cursor, "avcC")?;
    cursor.take(3, "profile and level")?;
    let length_size = cursor.number(1, "length size")? & 3;
    let mut nals = Vec::new();
    let count = cursor.number(1, "count of SPS")? & 0x1f;
    sets(cursor, count, "SPS", &mut nals)?;
    let count = cursor.number(1, "count of PPS")?;
    sets(cursor, count, "PPS", &mut nals)?;
    Ok((length_size + 1, nals))
}

/// ISO/IEC 14496-15 §8.3.3.1.
pub(super) fn hevc<'a>(cursor: &mut Cursor<'a>) -> Result<Record<'a>, Error> {
    version(cursor, "hvcC")?;
    cursor.take(20, "profile and level")?;
    let length_size = cursor.number(1, "length size")? & 3;
    let arrays = cursor.number(1, "count of arrays")?;
    let mut nals = Vec::new();
    for _ in 0..arrays {
        cursor.take(1, "type of an array")?;
        let count = cursor.number(2, "count of NAL units")?;
        sets(cursor, count, "parameter set", &mut nals)?;
    }
    Ok((length_size + 1, nals))
}

fn version(cursor: &mut Cursor<'_>, record: &str) -> Result<(), Error> {
    let at = cursor.clone();
    match cursor.byte(record)? {
        1 => Ok(()),
        // Encoders from before the standard was final wrote 0.
        0 if record == "hvcC" => Ok(()),
        other => Err(at.error(format!("{record} of version {other}"))),
    }
}

fn sets<'a>(
    cursor: &mut Cursor<'a>,
    count: usize,
    what: &str,
    nals: &mut Vec<&'a [u8]>,
) -> Result<(), Error> {
    for _ in 0..count {
        let length = cursor.number(2, "length of a parameter set")?;
        nals.push(cursor.take(length, what)?);
    }
    Ok(())
}
