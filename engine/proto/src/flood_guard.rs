//! Table, cookie or nothing: what a SYN gets.

/// When cookies are sent (Linux: `tcp_syncookies`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Syncookies {
    /// 0: never.
    Never,
    /// 1: when the SYN queue overflows, until it has been calm.
    #[default]
    Auto,
    /// 2: always.
    Always,
}

/// Whether a cookie may do without the timestamps option.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum CookieTimestamps {
    /// It may: a blind guess then succeeds with 2⁻²⁵.
    #[default]
    Optional,
    /// It may not: peers without timestamps get none, and a blind guess succeeds with at most 2⁻⁵⁰.
    Required,
}
