//! Running the program on a frame that is not there.

/// Where a judged frame is taken to have arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// The index of an interface in this network namespace.
    pub ifindex: u32,
    /// One of its receive queues.
    pub queue: u32,
}

/// What an XDP program decides (`enum xdp_action`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum XdpAction {
    /// The program failed; the frame is dropped.
    Aborted,
    /// The frame is dropped.
    Drop,
    /// The frame goes on to the kernel.
    Pass,
    /// The frame goes back out of the interface it came in by.
    Tx,
    /// The frame goes to a socket, an interface or a CPU.
    Redirect,
}

impl From<u32> for XdpAction {
    fn from(action: u32) -> Self {
        match action {
            1 => Self::Drop,
            2 => Self::Pass,
            3 => Self::Tx,
            4 => Self::Redirect,
            // Zero is XDP_ABORTED, and drivers treat a number they do not know as that.
            _ => Self::Aborted,
        }
    }
}

/// `struct xdp_md` (linux/bpf.h) as bytes, for a frame of `length` bytes that arrived so.
pub(crate) fn context(length: usize, arrival: Arrival) -> [u8; 24] {
    let data_end = u32::try_from(length).unwrap_or(u32::MAX);
    let Arrival { ifindex, queue } = arrival;
    // data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
    let fields = [0, data_end, 0, ifindex, queue, 0_u32];
    let mut bytes = [0; 24];
    for (into, field) in bytes.chunks_exact_mut(4).zip(fields) {
        into.copy_from_slice(&field.to_ne_bytes());
    }
    bytes
}
