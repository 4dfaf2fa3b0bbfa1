//! How busy this process is, as the kernel sees it.

use std::time::Duration;

use tokio::time::Instant;

/// Linux shows processor time in hundredths of a second on every architecture (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Measures processor use between two looks.
#[derive(Debug, Default)]
pub(crate) struct ProcessLoad {
    last: Option<(Instant, u64)>,
}

impl ProcessLoad {
    /// Cores in use since the last look; 0 at the first.
    pub(crate) fn cpu_cores(&mut self, now: Instant) -> f64 {
        let Some(ticks) = std::fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|stat| cpu_ticks(&stat))
        else {
            return 0.0;
        };
        let Some((then, before)) = self.last.replace((now, ticks)) else {
            return 0.0;
        };
        let seconds = (now - then).as_secs_f64();
        if seconds <= 0.0 {
            return 0.0;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a few ticks more or less do not matter"
        )]
        let used = ticks.saturating_sub(before) as f64 / TICKS_PER_SECOND;
        used / seconds
    }
}

/// Processor time that the process has used, in hundredths of a second; `None` if there is none.
pub(crate) fn process_ticks(process: u32) -> Option<u64> {
    if process == 0 {
        return None;
    }
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    cpu_ticks(&stat)
}

/// Measures what is sent between two looks that are not too close.
#[derive(Debug, Default)]
pub(crate) struct SentRate {
    last: Option<(Instant, u64)>,
    kbit: u64,
}

impl SentRate {
    /// Less says little: media is sent in bursts.
    const LEAST: Duration = Duration::from_secs(1);

    /// Kbit/s, where so many bytes have been sent by now; 0 at the first look.
    pub(crate) fn kbit(&mut self, now: Instant, sent_bytes: u64) -> u64 {
        let Some((then, before)) = self.last else {
            self.last = Some((now, sent_bytes));
            return 0;
        };
        let passed = now - then;
        if passed >= Self::LEAST {
            let bits = u128::from(sent_bytes.saturating_sub(before)) * 8;
            // Bits in a millisecond are kilobits in a second.
            self.kbit = u64::try_from(bits / passed.as_millis()).unwrap_or(u64::MAX);
            self.last = Some((now, sent_bytes));
        }
        self.kbit
    }
}

/// Resident memory in bytes; 0 if the kernel does not tell.
pub(crate) fn memory_bytes() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| resident_bytes(&status))
        .unwrap_or(0)
}

/// User and system time of a `/proc/<pid>/stat` line. The program's name may hold spaces and
/// parentheses, so fields count from the last parenthesis.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_measured_over_a_second_or_more() {
        let mut rate = SentRate::default();
        let start = headworks_bootstrap::Clock::system().monotonic();
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(rate.kbit(start, 1_000_000), 0, "nobody knows since when");
        assert_eq!(rate.kbit(after(2000), 3_000_000), 8000);
        assert_eq!(rate.kbit(after(2010), 3_900_000), 8000, "too soon to say");
        assert_eq!(rate.kbit(after(4000), 4_000_000), 4000);
        assert_eq!(rate.kbit(after(6000), 4_000_000), 0);
    }

    #[test]
    fn the_kernels_words_are_understood() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 9 0 0 0 120 30 0 0 20 0 1 0 5 6 7";
        assert_eq!(cpu_ticks(stat), Some(150));
        assert_eq!(
            resident_bytes("Name:\tx\nVmRSS:\t    12 kB\n"),
            Some(12 * 1024)
        );
        assert_eq!(cpu_ticks(""), None);
        assert!(memory_bytes() > 1 << 20);
    }
}
