//! The attackers' end of the wire: judges every answer to a flood, counts it, and drops it.
//!
//! The flood writes numbers into its SYNs that are a keyed hash of where they claim to come from, so an XDP program at its own end
//! can tell a right answer from a wrong one without any memory of what was sent: checksums, acknowledgment number, echoed timestamp
//! and options. It takes some tens of nanoseconds a frame. Some of the good SYN-ACKs reach user space, where
//! [`completion`](crate::completion) makes connections of them. Over IPv4 only, and only for frames without VLAN tags.
//!
//! Invariant defended (by the `Pod` implementation): every byte of a map's value is initialised, and any bytes are a valid one.

use anyhow::{Context, Result, ensure};
use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use aya::programs::{TestRun, TestRunOptions, XdpMode};
use aya::{Ebpf, include_bytes_aligned};
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, BorrowedFd};

use crate::flood::{SynForm, number_key};
use crate::object::{program, take_map};

/// One good SYN-ACK in so many on a core is sampled.
pub const SAMPLE_EVERY: u64 = 1024;

/// What answers are judged by: the same as of the flood that they answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expectation {
    /// Whom the flood is for.
    pub target: SocketAddrV4,
    /// The flood's seed.
    pub seed: u64,
    /// How its SYNs look: what was not offered must not be answered.
    pub form: SynForm,
    /// Whether a TCP checksum may be what the kernel leaves to hardware, the sum of the pseudo-header.
    pub unfinished_checksums: bool,
}

/// `struct expectation` of the program.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Expected {
    key: u64,
    target: [u8; 4],
    port: [u8; 2],
    is_client: u8,
    takes_unfinished: u8,
}

const _: () = assert!(size_of::<Expected>() == 16);

// SAFETY: integers only, and the size asserted here and in the program leaves no padding.
unsafe impl aya::Pod for Expected {}

impl From<&Expectation> for Expected {
    fn from(expectation: &Expectation) -> Self {
        Self {
            key: number_key(expectation.seed),
            target: expectation.target.ip().octets(),
            port: expectation.target.port().to_be_bytes(),
            is_client: u8::from(expectation.form == SynForm::Client),
            takes_unfinished: u8::from(expectation.unfinished_checksums),
        }
    }
}

/// What a frame was that came back. In the order of `enum sight` of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sight {
    /// A SYN-ACK with nothing wrong.
    Valid,
    /// An IP packet whose lengths contradict each other or that has IP options, or a SYN-ACK with data.
    Torn,
    /// Wrong checksum of the IPv4 header.
    BadIpChecksum,
    /// A SYN-ACK with a wrong TCP checksum.
    BadTcpChecksum,
    /// A SYN-ACK with other flags set.
    BadFlags,
    /// A SYN-ACK that acknowledges what was not sent.
    BadAcknowledgment,
    /// A SYN-ACK without MSS, with a wrong timestamp echoed, or with an option that is there twice, unsound or not offered.
    BadOptions,
    /// A segment of the flood itself, as it was sent.
    Reflected,
    /// A reset.
    Reset,
    /// Another segment with data.
    Data,
    /// Any other TCP segment.
    Other,
    /// A sample or data that user space was too slow to take; counted besides what it was.
    Lost,
}

impl Sight {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Valid,
        Self::Torn,
        Self::BadIpChecksum,
        Self::BadTcpChecksum,
        Self::BadFlags,
        Self::BadAcknowledgment,
        Self::BadOptions,
        Self::Reflected,
        Self::Reset,
        Self::Data,
        Self::Other,
        Self::Lost,
    ];

    /// Those of a SYN-ACK that no client would take.
    pub const INVALID: [Self; 6] = [
        Self::Torn,
        Self::BadIpChecksum,
        Self::BadTcpChecksum,
        Self::BadFlags,
        Self::BadAcknowledgment,
        Self::BadOptions,
    ];
}

/// How many frames were what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sights {
    counts: [u64; Sight::ALL.len()],
}

impl Sights {
    /// How many were this.
    pub const fn of(&self, sight: Sight) -> u64 {
        self.counts[sight as usize]
    }

    /// SYN-ACKs that no client would take.
    pub fn invalid(&self) -> u64 {
        Sight::INVALID.iter().map(|sight| self.of(*sight)).sum()
    }

    /// What has been seen since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self { counts: std::array::from_fn(|sight| self.counts[sight] - before.counts[sight]) }
    }
}

/// The program, loaded. Detached when this is dropped.
pub struct Validator {
    object: Ebpf,
    expectations: Array<MapData, Expected>,
    sights: PerCpuArray<MapData, u64>,
    records: Option<Records>,
}

impl Validator {
    /// Loads the program; it judges nothing yet.
    ///
    /// # Errors
    /// Missing privileges, or a kernel older than 5.18 (`bpf_xdp_load_bytes`).
    pub fn load(expectation: &Expectation) -> Result<Self> {
        let mut object = Ebpf::load(include_bytes_aligned!(concat!(env!("OUT_DIR"), "/validator.bpf.o")))
            .context("loading the validator (it needs CAP_BPF and CAP_NET_ADMIN)")?;
        program(&mut object, "validator")?.load().context("loading the validator")?;
        let expectations = take_map(&mut object, "expectations")?;
        let sights = take_map(&mut object, "sights")?;
        let records = Some(Records { ring: take_map(&mut object, "records")? });
        let mut validator = Self { object, expectations, sights, records };
        validator.expect(expectation)?;
        Ok(validator)
    }

    /// Judges by this from now on.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn expect(&mut self, expectation: &Expectation) -> Result<()> {
        self.expectations.set(0, Expected::from(expectation), 0).context("telling the validator what to expect")
    }

    /// Judges whatever arrives at the interface called `interface`, in the network namespace of this thread, from now on; TCP
    /// over IPv4 arrives nowhere else any more.
    ///
    /// # Errors
    /// No such interface, another program is attached, or the driver has no native XDP.
    pub fn attach(&mut self, interface: &str) -> Result<()> {
        let attached = program(&mut self.object, "validator")?.attach(interface, XdpMode::Driver);
        attached.with_context(|| format!("attaching the validator to {interface}"))?;
        Ok(())
    }

    /// Judges and counts a frame that has come over no wire.
    ///
    /// # Errors
    /// The kernel takes no frame of such a length.
    pub fn show(&mut self, frame: &[u8]) -> Result<()> {
        program(&mut self.object, "validator")?
            .test_run(TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() })?;
        Ok(())
    }

    /// What has been seen so far.
    ///
    /// # Errors
    /// The counters cannot be read.
    pub fn sights(&self) -> Result<Sights> {
        let mut sights = Sights::default();
        for (index, count) in (0..).zip(&mut sights.counts) {
            *count = self.sights.get(&index, 0).context("reading what the validator has seen")?.iter().sum();
        }
        Ok(sights)
    }

    /// Whence the samples come; `None` if they have been given away already.
    pub fn take_records(&mut self) -> Option<Records> {
        self.records.take()
    }
}

/// Frames that the program hands over: sampled SYN-ACKs and all segments with data.
pub struct Records {
    ring: RingBuf<MapData>,
}

impl Records {
    /// The next frame, from the Ethernet header on, as far as 188 bytes go.
    ///
    /// # Errors
    /// A record of another size than the program writes.
    pub fn take(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(record) = self.ring.next() else { return Ok(None) };
        let (length, bytes) = record.split_first_chunk().context("a record without its length")?;
        let length = u32::from_ne_bytes(*length) as usize;
        ensure!(length <= bytes.len(), "a record of {length} bytes in {}", bytes.len());
        Ok(Some(bytes[..length].to_vec()))
    }
}

impl AsFd for Records {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}
