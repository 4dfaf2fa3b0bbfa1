//! Medians and the like.

/// The value that a share of all values is not above; none of none.
pub(super) fn percentile(values: &[f64], percent: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let rank = (sorted.len() * percent).div_ceil(100);
    Some(sorted[rank.saturating_sub(1).min(last)])
}

/// The value in the middle.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    percentile(values, 50)
}

/// The median, the lowest and the highest, in 20 columns.
pub(super) fn spread(values: &[f64], digits: usize) -> String {
    let [middle, low, high] = [50, 0, 100].map(|percent| percentile(values, percent));
    match (middle, low, high) {
        (Some(middle), Some(low), Some(high)) => {
            let range = format!("{low:.digits$}–{high:.digits$}");
            format!("{middle:>7.digits$} {range:<12}")
        }
        _ => format!("{:>7} {:<12}", "–", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occur() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&hundred, 99), Some(99.0));
        assert_eq!(percentile(&hundred, 100), Some(100.0));
        assert_eq!(percentile(&hundred, 0), Some(1.0));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn columns_keep_their_width() {
        for values in [&[][..], &[0.5], &[0.1, 0.25, 0.9]] {
            assert_eq!(spread(values, 3).chars().count(), 20, "{values:?}");
        }
    }
}
