//! What an application does with one connection's bytes, without knowing where they come from.

/// One side of a conversation over a byte stream. Whoever drives it owns the socket; a session never waits.
pub trait Session {
    /// Takes received bytes and returns how many were taken; fewer than offered means that output must drain first.
    fn receive(&mut self, bytes: &[u8]) -> usize;

    /// The peer sends no more.
    fn receive_end(&mut self);

    /// Writes the next output into `room` and returns its length; zero when there is none now.
    fn transmit(&mut self, room: &mut [u8]) -> usize;

    /// Whether the conversation is over once all output is sent.
    fn is_over(&self) -> bool;
}
