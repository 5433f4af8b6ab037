//! What the shield did with the frames that arrived, by outcome.

use aya::maps::{MapData, PerCpuArray};

use crate::EbpfError;

macro_rules! shield_counters {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// An outcome. Every frame is counted under exactly one.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u32)]
        pub enum ShieldCounter { $($(#[doc = $doc])+ $name,)+ }

        impl ShieldCounter {
            /// Every outcome, in the order of the program's map.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name in metrics and on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

shield_counters! {
    /// Ours, and handed to the socket of its queue. (The kernel may still drop it there if the socket's ring is full or
    /// the socket is bound to another queue; the socket's own statistics say so.)
    Redirected = "redirected",
    /// An ICMP error about a segment that was sent from a port of ours, handed over likewise.
    RedirectedIcmp = "redirected_icmp",
    /// Not ours: the kernel's.
    Passed = "passed",
    /// IP headers that contradict themselves or end before the ports: left to the kernel, which drops them.
    PassedMalformed = "passed_malformed",
    /// A TCP fragment for an owned address, left to the kernel because of [`Fragments::Pass`](crate::Fragments::Pass).
    PassedFragment = "passed_fragment",
    /// Ours, but no socket serves its queue.
    DroppedNoSocket = "dropped_no_socket",
    /// A TCP fragment for an owned address.
    DroppedFragment = "dropped_fragment",
    /// An IPv6 packet for an owned address with more than eight extension headers.
    DroppedExtensionHeaders = "dropped_extension_headers",
    /// The shield is up: of a flow that the engine knows, or whose cookie has come home lately, and handed over.
    RedirectedKnown = "redirected_known",
    /// The shield is up: handed over because nobody can tell whether the flow is known (its bucket is full), or because there
    /// is no cookie key.
    RedirectedUntold = "redirected_untold",
    /// The shield is up: a segment with a valid cookie, handed over.
    RedirectedCookie = "redirected_cookie",
    /// A SYN that was answered with a cookie.
    AnsweredCookie = "answered_cookie",
    /// Lengths that contradict each other, or IP options.
    DroppedHeader = "dropped_header",
    /// No control bit set, or SYN with FIN.
    DroppedFlags = "dropped_flags",
    /// Source port zero.
    DroppedPortZero = "dropped_port_zero",
    /// An address that no host has, or a frame from or to a group.
    DroppedMartian = "dropped_martian",
    /// Source equals destination.
    DroppedLand = "dropped_land",
    /// A SYN that was due a cookie, with a wrong checksum.
    DroppedChecksum = "dropped_checksum",
    /// A SYN while the accept queue is full.
    DroppedAcceptQueueFull = "dropped_accept_queue_full",
    /// A SYN without timestamps where cookies must have them.
    DroppedNoTimestamps = "dropped_no_timestamps",
    /// The shield is up: a SYN to one of our source ports.
    DroppedSyn = "dropped_syn",
    /// The shield is up: an ACK of an unknown flow, without a valid cookie.
    DroppedAck = "dropped_ack",
    /// The same with payload.
    DroppedData = "dropped_data",
    /// The same with FIN.
    DroppedFin = "dropped_fin",
    /// The shield is up: a RST of an unknown flow.
    DroppedRst = "dropped_rst",
    /// The shield is up: a SYN-ACK of an unknown flow.
    DroppedSynAck = "dropped_syn_ack",
    /// The shield is up: neither SYN nor ACK nor RST, of an unknown flow.
    DroppedNoAck = "dropped_no_ack",
    /// Ours, but the poll loop has not turned for too long.
    DroppedStalled = "dropped_stalled",
    /// The same, left to the kernel because of [`OnStall::Pass`](crate::OnStall::Pass).
    PassedStalled = "passed_stalled",
    /// From a source in the [`PrefixList`](crate::PrefixList) that is to be dropped.
    DroppedBlocked = "dropped_blocked",
    /// A SYN beyond [`syn_per_source`](crate::Limits::syn_per_source) or [`syn_per_prefix`](crate::Limits::syn_per_prefix).
    DroppedSynRate = "dropped_syn_rate",
    /// The shield is up: a SYN to which a cookie would be one beyond [`replies_per_prefix`](crate::Limits::replies_per_prefix) or
    /// [`replies`](crate::Limits::replies).
    DroppedReplyCeiling = "dropped_reply_ceiling",
}

/// A reading of all counters, summed over CPUs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShieldCounters {
    values: [u64; ShieldCounter::ALL.len()],
}

impl ShieldCounters {
    /// Frames with this outcome since the program was loaded.
    pub fn get(&self, counter: ShieldCounter) -> u64 {
        self.values[counter as usize]
    }

    /// Every counter with its value, in the order of [`ShieldCounter::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (ShieldCounter, u64)> + '_ {
        ShieldCounter::ALL.iter().copied().zip(self.values)
    }

    pub(crate) fn read(map: &PerCpuArray<MapData, u64>) -> Result<Self, EbpfError> {
        let mut values = [0; ShieldCounter::ALL.len()];
        for (index, value) in (0..).zip(&mut values) {
            let per_cpu = map.get(&index, 0).map_err(|error| EbpfError::map("counters", error))?;
            *value = per_cpu.iter().sum();
        }
        Ok(Self { values })
    }
}

#[cfg(test)]
mod tests {
    use super::ShieldCounter;

    /// The names in `enum counter` of the program, in order.
    fn names_in_c() -> Vec<String> {
        let header = include_str!("bpf/counters.h");
        let (_, body) = header.split_once("enum counter {").unwrap();
        let (body, _) = body.split_once("COUNTERS,").unwrap();
        body.split(',').map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()).collect()
    }

    #[test]
    fn names_and_order_are_those_of_the_program() {
        let names: Vec<_> = ShieldCounter::ALL.iter().map(|counter| counter.name()).collect();
        assert_eq!(names, names_in_c());
        for (index, counter) in ShieldCounter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index);
        }
    }
}
