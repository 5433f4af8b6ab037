//! The keys of cookies, given to the programs before their time.

use synward_ebpf::{EbpfError, Shield};
use synward_proto::Instant;
use synward_proto::syn_cookie::KeySchedule;

/// Which keys the programs of all interfaces have: those of the present epoch, of the one before and of the next. Whatever is minted
/// or checked until this is looked at again has its key.
#[derive(Debug)]
pub struct CookieKeys {
    schedule: KeySchedule,
    given: Option<u32>,
}

impl CookieKeys {
    /// No keys given yet.
    pub const fn new(schedule: KeySchedule) -> Self {
        Self { schedule, given: None }
    }

    /// Gives the keys of the epoch of `now`, unless they are there.
    ///
    /// # Errors
    /// The kernel's.
    pub fn give(&mut self, now: Instant, shields: &mut [Shield]) -> Result<(), EbpfError> {
        let epoch = self.schedule.epoch(now);
        if self.given == Some(epoch) {
            return Ok(());
        }
        for epoch in [epoch.wrapping_sub(1), epoch, epoch.wrapping_add(1)] {
            let key = self.schedule.key(epoch);
            shields.iter_mut().try_for_each(|shield| shield.set_cookie_key(epoch, &key))?;
        }
        self.given = Some(epoch);
        Ok(())
    }
}
