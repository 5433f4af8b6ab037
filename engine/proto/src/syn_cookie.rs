//! SYN cookies: a half-open connection that the peer carries for us (RFC 4987, section 3.6).

use crate::Instant;
use crate::isn::Key;

/// Mints and checks cookies.
#[derive(Debug)]
pub struct CookieJar {}

impl CookieJar {
    /// Takes a fresh key, in force from the next tick on; cookies under the last one stay valid for their life. False,
    /// and nothing changes, when the last rotation is less than two ticks (32 s) ago: two keys are all there are.
    pub fn rotate(&mut self, now: Instant, key: Key) -> bool {
        let _ = (now, key);
        todo!()
    }
}
