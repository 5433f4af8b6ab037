//! What the sources name and the models have no use for, and a socket core that only hears numbers.

use crate::ends::Ends;
use std::collections::VecDeque;
use synward_proto::Tuple;

pub(crate) mod connections {
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct ConnId(pub(crate) u32);
}

pub(crate) mod table_hash {
    use synward_proto::Tuple;

    /// Puts all with the first shard.
    #[derive(Debug)]
    pub(crate) struct TupleHasher;

    impl TupleHasher {
        pub(crate) fn new(_: &[u8; 16]) -> Self {
            Self
        }

        pub(crate) fn hash(&self, _: &Tuple) -> u64 {
            0
        }
    }
}

/// Puts all on the second queue.
#[derive(Debug)]
pub(crate) struct Rss;

impl Rss {
    pub(crate) fn tells_ports_apart(&self) -> bool {
        true
    }

    pub(crate) fn reaches(&self, _: usize) -> bool {
        true
    }

    pub(crate) fn queue_of(&self, _: &Tuple) -> u32 {
        1
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SocketId;

#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenerId;

#[derive(Clone, Debug)]
pub(crate) struct ConnectConfig;

#[derive(Debug)]
pub(crate) struct Accepted;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SocketError {
    WouldBlock,
    TimedOut,
}

/// A worker of one shard that tells it numbers.
#[derive(Debug)]
pub(crate) struct SocketCore {
    pub(crate) shards: Ends<u8, u8>,
    heard: VecDeque<u8>,
}

impl SocketCore {
    pub(crate) fn new(shards: Ends<u8, u8>) -> Self {
        Self { shards, heard: VecDeque::new() }
    }

    pub(crate) fn poll(&mut self) -> usize {
        let before = self.heard.len();
        self.heard.extend(std::iter::from_fn(|| self.shards.end(0).pop()));
        self.shards.publish();
        self.heard.len() - before
    }

    pub(crate) fn has_outside_work(&mut self) -> bool {
        self.shards.iter().any(|end| end.peek().is_some()) || self.shards.has_room_again()
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.heard.is_empty()
    }

    pub(crate) fn has_any_waiting(&self) -> bool {
        false
    }

    pub(crate) fn has_waiting(&self, _: ListenerId) -> bool {
        false
    }

    pub(crate) fn recv(&mut self, _: SocketId, bytes: &mut [u8]) -> Result<usize, SocketError> {
        bytes[0] = self.heard.pop_front().ok_or(SocketError::WouldBlock)?;
        Ok(1)
    }

    pub(crate) fn accept(&mut self, _: ListenerId) -> Result<Accepted, SocketError> {
        Err(SocketError::WouldBlock)
    }

    pub(crate) fn connect(&mut self, _: ConnectConfig) -> Result<SocketId, SocketError> {
        Err(SocketError::WouldBlock)
    }

    pub(crate) fn send(&mut self, _: SocketId, _: &[u8]) -> Result<usize, SocketError> {
        Err(SocketError::WouldBlock)
    }

    pub(crate) fn abort(&mut self, _: SocketId) -> Result<(), SocketError> {
        Ok(())
    }
}
