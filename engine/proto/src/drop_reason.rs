//! Why a packet died. Every dead packet has exactly one reason, counted in one place (the engine's `apply`).

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// The one reason for which a received frame was thrown away.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum DropReason { $($(#[doc = $doc])+ $name,)+ }

        impl DropReason {
            /// Every reason, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name in counters, scripts and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

drop_reasons! {
    /// The frame ends before its headers do.
    FrameTooShort = "frame_too_short",
    /// More than two VLAN tags.
    VlanDepth = "vlan_depth",
    /// Neither IPv4 nor IPv6.
    NotIp = "not_ip",
    /// IP version field and EtherType disagree.
    IpVersion = "ip_version",
    /// IPv4 header length below 20 bytes or beyond the frame.
    IpHeaderLength = "ip_header_length",
    /// IP total or payload length beyond the frame or below its headers.
    IpLength = "ip_length",
    /// IPv4 header checksum wrong.
    IpChecksum = "ip_checksum",
    /// IPv4 header options: never honoured (source routes among them).
    IpOptions = "ip_options",
    /// A fragment: the engine reassembles none.
    IpFragment = "ip_fragment",
    /// An IPv6 extension header that the engine does not walk, or too many of them.
    Ipv6Extension = "ipv6_extension",
    /// Neither TCP nor the ICMP of its family.
    NotTcp = "not_tcp",
    /// TCP data offset below 20 bytes or beyond the segment.
    TcpDataOffset = "tcp_data_offset",
    /// TCP checksum wrong.
    TcpChecksum = "tcp_checksum",
    /// No control bit set, or SYN with FIN.
    TcpFlags = "tcp_flags",
    /// Source or destination port zero.
    PortZero = "port_zero",
    /// A source address that cannot be a host (MUST-63; RFC 1122, section 3.2.1.3).
    MartianSource = "martian_source",
    /// A destination address that is multicast, broadcast or unspecified (MUST-57).
    MartianDestination = "martian_destination",
    /// Source equals destination.
    Land = "land",
    /// Nobody here listens or is connected (answered with RST where RFC 9293 says so).
    NoListener = "no_listener",
    /// A stray RST to a listener or to nobody.
    StrayRst = "stray_rst",
    /// A SYN-ACK or other segment that a listener never takes.
    NotASyn = "not_a_syn",
    /// SYN while the accept queue is full.
    SynAcceptQueueFull = "syn_accept_queue_full",
    /// SYN while the SYN queue is full and cookies are off.
    SynQueueFull = "syn_queue_full",
    /// SYN whose /24 or /64 has its share of the SYN table, while cookies are off.
    SynPrefixFull = "syn_prefix_full",
    /// Completing ACK while the accept queue is full.
    AckAcceptQueueFull = "ack_accept_queue_full",
    /// ACK whose cookie is wrong or too old, or that came when no cookies were being sent.
    BadCookie = "bad_cookie",
    /// Segment for a half-open entry with a wrong acknowledgment number.
    HalfOpenBadAck = "half_open_bad_ack",
    /// Segment for a half-open entry outside its window.
    HalfOpenOutOfWindow = "half_open_out_of_window",
    /// Segment for a half-open entry that carries no ACK.
    HalfOpenNoAck = "half_open_no_ack",
    /// The connection table is full.
    ConnectionTableFull = "connection_table_full",
    /// Segment outside the receive window (answered with an ACK).
    OutOfWindow = "out_of_window",
    /// Segment with an old timestamp (RFC 7323, section 5).
    Paws = "paws",
    /// Segment without ACK in a synchronised state.
    NoAck = "no_ack",
    /// Acknowledgment of data never sent (RFC 5961, section 5).
    AckUnsent = "ack_unsent",
    /// Acknowledgment older than any the peer could still send (RFC 5961, section 5).
    AckTooOld = "ack_too_old",
    /// RST in the window but not at its left edge (RFC 5961, section 3).
    BlindRst = "blind_rst",
    /// RST outside the window.
    RstOutOfWindow = "rst_out_of_window",
    /// SYN in a synchronised state (RFC 5961, section 4).
    BlindSyn = "blind_syn",
    /// Payload received before.
    DuplicateData = "duplicate_data",
    /// Payload past a closed receive window.
    ZeroWindow = "zero_window",
    /// Payload out of order, and the reassembly queue full.
    ReassemblyFull = "reassembly_full",
    /// Payload after the application closed (answered with RST).
    DataAfterClose = "data_after_close",
    /// Segment in SYN-SENT that does not answer our SYN.
    SynSentUnacceptable = "syn_sent_unacceptable",
    /// RST into TIME_WAIT, ignored (RFC 1337).
    TimeWaitRst = "time_wait_rst",
    /// Old duplicate into TIME_WAIT.
    TimeWaitOldDuplicate = "time_wait_old_duplicate",
    /// The SYN of a half-open entry once more, within 500 ms of the last answer to one.
    DuplicateSyn = "duplicate_syn",
    /// Another SYN in the window of a half-open entry (answered with RST, as Linux does).
    HalfOpenSyn = "half_open_syn",
    /// Segment for a half-open entry that echoes a timestamp we never sent.
    HalfOpenBadEcho = "half_open_bad_echo",
    /// SYN without timestamps while only cookies with timestamps are sent.
    CookieWithoutTimestamps = "cookie_without_timestamps",
    /// Frame of another shard while that one takes no more.
    SteeringFull = "steering_full",
    /// ICMP message that ends before its header, the quoted IP header or the first eight bytes of the quoted segment do.
    IcmpTruncated = "icmp_truncated",
    /// ICMP checksum wrong.
    IcmpChecksum = "icmp_checksum",
    /// ICMP message that is no error: the XDP program leaves those to the kernel.
    IcmpUnknown = "icmp_unknown",
    /// ICMP error about something that we cannot have sent: no TCP, a fragment, an address or port that nobody has.
    IcmpQuote = "icmp_quote",
    /// ICMP error about a connection that is over, or that nobody here has.
    IcmpNoConnection = "icmp_no_connection",
    /// ICMP error about a sequence number that is not on its way (RFC 5927, section 4).
    IcmpOutOfWindow = "icmp_out_of_window",
    /// ICMP error that changes nothing (MUST-56; RFC 5927, section 5.2).
    IcmpIgnored = "icmp_ignored",
}

#[cfg(test)]
mod tests {
    use super::DropReason;

    #[test]
    fn names_are_unique_and_in_order() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert!(DropReason::ALL[..index].iter().all(|other| other.name() != reason.name()));
        }
    }
}
