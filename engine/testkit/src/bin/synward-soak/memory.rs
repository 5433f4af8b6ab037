//! How large the process is, and whether it grows.

use anyhow::{Context, Result};

const MIB: f64 = 1024.0 * 1024.0;
/// The last quarter of a soak may be so much larger than the second: the worlds differ in size.
const SLACK: f64 = 1.15;
/// And so many MiB more.
const SLACK_MIB: f64 = 8.0;
/// Samples, one a second, without which nothing can be said.
const ENOUGH: usize = 60;

/// Sizes of the process, MiB, one a second.
#[derive(Debug, Default)]
pub struct Memory {
    samples: Vec<f64>,
}

impl Memory {
    /// Looks how large the process is.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn sample(&mut self) -> Result<()> {
        let text = std::fs::read_to_string("/proc/self/statm").context("cannot read /proc/self/statm")?;
        let pages: f64 = text.split(' ').nth(1).context("/proc/self/statm has one field")?.parse()?;
        self.samples.push(pages * rustix::param::page_size() as f64 / MIB);
        Ok(())
    }

    /// The last size seen.
    pub fn now_mib(&self) -> f64 {
        self.samples.last().copied().unwrap_or(0.0)
    }

    /// The middle of the sizes in the second quarter, after warming up, and in the last; none while there are too few.
    pub fn quarters(&self) -> Option<(f64, f64)> {
        let quarter = self.samples.len() / 4;
        let enough = self.samples.len() >= ENOUGH;
        enough.then(|| (middle(&self.samples[quarter..2 * quarter]), middle(&self.samples[3 * quarter..])))
    }

    /// Whether it does not grow, as far as can be said.
    pub fn is_flat(&self) -> bool {
        self.quarters().is_none_or(|(early, late)| late <= early * SLACK + SLACK_MIB)
    }
}

fn middle(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::Memory;

    fn flat(size: impl Fn(usize) -> f64) -> bool {
        Memory { samples: (0..400).map(size).collect() }.is_flat()
    }

    #[test]
    fn what_grows_is_told_from_what_varies() {
        assert!(flat(|second| 50.0 + (second % 7) as f64));
        assert!(flat(|second| if second < 60 { 5.0 } else { 60.0 }), "it may warm up");
        assert!(!flat(|second| 50.0 + second as f64 / 10.0));
        assert!(Memory { samples: vec![1.0, 1000.0] }.is_flat(), "too few to say");
    }

    #[test]
    fn this_process_has_a_size() {
        let mut memory = Memory::default();
        memory.sample().unwrap();
        assert!(memory.now_mib() > 0.5);
    }
}
