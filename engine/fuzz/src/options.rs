//! Any option bytes, and any options.

use crate::packet::{frame, repair_checksums, swapped, u16_at};
use crate::{naive, samples};
use arbitrary::{Arbitrary, Unstructured};
use synward_proto::segment::{DataOptions, Mss, SackBlock, SackBlocks, SynOptions, Timestamps, WindowScale};
use synward_proto::wire::{ChecksumPolicy, parse};
use synward_proto::{Flags, Head, Options, Segment, SeqNum};

/// The most bytes of options that a data offset can name.
const ROOM: usize = 40;

/// Where the TCP header starts in a frame over IPv4 without tags.
const TCP: usize = 14 + 20;

/// Option bytes mean what a plain walk makes of them, on a SYN and on any other segment; and options that are written are
/// read again, within the limits.
///
/// The first byte of the input chooses which of the two, and SYN or not; the rest are the bytes of the options, or what
/// options are made of.
pub fn options(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let flags = if choice & 1 == 0 { Flags::ACK } else { Flags::SYN };
    if choice & 2 == 0 {
        read(flags, &bytes[..bytes.len().min(ROOM)]);
    } else if let Ok(options) = any_options(&mut Unstructured::new(bytes), flags) {
        written(flags, &options);
    }
}

fn read(flags: Flags, bytes: &[u8]) {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    let segment = received(flags, &padded);
    let options = segment.options;
    assert_eq!(options, naive::options(flags.contains(Flags::SYN), &padded), "{padded:02x?}");
    within_limits(flags, &options);
    written(flags, &options);
}

/// The segment that arrives with these option bytes.
fn received(flags: Flags, bytes: &[u8]) -> Segment {
    let none = Options::Data(DataOptions::default());
    let mut frame = frame(&samples::LINK, &Head { flags, options: none, ..samples::HEAD }, &[]);
    frame.truncate(TCP + 20);
    frame.extend_from_slice(bytes);
    frame[TCP + 12] = ((5 + bytes.len() / 4) << 4) as u8 | frame[TCP + 12] & 0x0f;
    let total = (frame.len() - 14) as u16;
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    repair_checksums(&mut frame);
    parse(&frame, ChecksumPolicy::Full).expect("only its options are strange")
}

fn within_limits(flags: Flags, options: &Options) {
    match options {
        Options::Syn(SynOptions { mss, window_scale, .. }) => {
            assert!(flags.contains(Flags::SYN), "an MSS counts on a SYN only");
            assert!(mss.is_none_or(|mss| mss >= Mss::MIN) && window_scale.is_none_or(|scale| scale.shift() <= 14));
        }
        Options::Data(DataOptions { sack, .. }) => {
            assert!(!flags.contains(Flags::SYN));
            assert!(sack.as_slice().len() <= 4);
        }
    }
}

/// Writes the options, and reads them again.
fn written(flags: Flags, options: &Options) {
    let head = Head { flags, options: *options, ..samples::HEAD };
    let frame = frame(&swapped(&samples::LINK), &head, b"payload");
    let offset = usize::from(u16_at(&frame, TCP + 12).unwrap_or(0) >> 12);
    assert!((5..=15).contains(&offset), "options take at most forty bytes");
    let segment = parse(&frame, ChecksumPolicy::Full).expect("what we write can be read");
    assert_eq!(segment.payload.of(&frame), b"payload");
    assert_eq!(segment.options, that_fits(options));
}

/// What of the options a header has room for: three SACK blocks beside timestamps (RFC 2018, section 3).
fn that_fits(options: &Options) -> Options {
    let Options::Data(DataOptions { timestamps, sack }) = *options else { return *options };
    let room = if timestamps.is_some() { 3 } else { 4 };
    let mut fitting = SackBlocks::NONE;
    sack.as_slice().iter().take(room).for_each(|block| assert!(fitting.push(*block)));
    Options::Data(DataOptions { timestamps, sack: fitting })
}

fn any_options(bytes: &mut Unstructured<'_>, flags: Flags) -> arbitrary::Result<Options> {
    let timestamps = Option::<(u32, u32)>::arbitrary(bytes)?.map(|(value, echo)| Timestamps { value, echo });
    if flags.contains(Flags::SYN) {
        return Ok(Options::Syn(SynOptions {
            mss: Mss::announced(u16::arbitrary(bytes)?),
            window_scale: Option::<u8>::arbitrary(bytes)?.map(WindowScale::clamped),
            sack_permitted: bool::arbitrary(bytes)?,
            timestamps,
        }));
    }
    let mut sack = SackBlocks::NONE;
    for _ in 0..bytes.int_in_range(0..=4)? {
        let edges = <(u32, u32)>::arbitrary(bytes)?;
        sack.push(SackBlock { start: SeqNum(edges.0), end: SeqNum(edges.1) });
    }
    Ok(Options::Data(DataOptions { timestamps, sack }))
}
