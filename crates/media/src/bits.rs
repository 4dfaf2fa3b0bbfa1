//! Reads bits, the highest first.

/// A position in bytes that counts bits.
#[derive(Debug, Clone, Copy)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    /// Begins at the first bit of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// How many bits have been read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// An unsigned number of at most 32 bits; `None` behind the end.
    pub fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.position / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.position % 8) & 1);
            self.position += 1;
        }
        Some(value)
    }

    /// One bit.
    pub fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    /// Exp-Golomb, ue(v) of H.264 §9.1; the same bits are uvlc() of AV1 §4.10.3. `None` also for
    /// more than 32 zeros in front: no number has them, and zeros are not to be counted for long.
    pub fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 32 {
                return None;
            }
        }
        if zeros == 32 {
            return Some(u32::MAX);
        }
        let low = self.take(zeros)?;
        Some(((1_u64 << zeros) - 1) as u32 + low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes() {
        // 1 | 010 | 011 | 00100 | 0001000
        let bytes = [0b1010_0110, 0b0100_0001, 0b0000_0000];
        let mut bits = Bits::new(&bytes);
        let values: Vec<_> = std::iter::from_fn(|| bits.exp_golomb()).take(5).collect();
        assert_eq!(values, [0, 1, 2, 3, 7]);
        assert_eq!(Bits::new(&[0; 4]).exp_golomb(), None);
        assert_eq!(
            Bits::new(&[0, 0, 0, 1, 0, 0, 0, 0]).exp_golomb(),
            Some((1 << 31) - 1)
        );
    }

    #[test]
    fn no_exp_golomb_code_begins_with_more_than_32_zeros() {
        assert_eq!(Bits::new(&[0, 0, 0, 0, 0x80]).exp_golomb(), Some(u32::MAX));
        let mut bits = Bits::new(&[0, 0, 0, 0, 0x40, 0xff]);
        assert_eq!(bits.exp_golomb(), None);
        assert_eq!(bits.position, 33, "it does not look further");
    }
}
