//! Checksums that are wrong, and the one odd form that is right where devices finish it.

use crate::bed::{Base, Bed, FORGED, Fate, Reply, assert_dropped};
use crate::frames::{IP, put, unfinished};
use crate::server::{Family, V4, config};
use synward_engine::EngineConfig;
use synward_proto::wire::ChecksumPolicy;
use synward_proto::{Counter, DropReason};

#[test]
fn a_wrong_ip_checksum() {
    for bit in 0..16 {
        assert_dropped(&format!("bit {bit}"), V4, DropReason::IpChecksum, |frame| {
            frame[IP + 10 + bit / 8] ^= 1 << (bit % 8);
        });
    }
    assert_dropped("none", V4, DropReason::IpChecksum, |frame| put(frame, IP + 10, &[0, 0]));
}

/// MUST-3, for every bit of the field and for every byte that it covers.
#[test]
fn a_wrong_tcp_checksum() {
    for family in Family::ALL {
        let tcp = family.tcp();
        for bit in 0..16 {
            assert_dropped(&format!("bit {bit}"), family, DropReason::TcpChecksum, |frame| {
                frame[tcp + 16 + bit / 8] ^= 1 << (bit % 8);
            });
        }
        assert_dropped("none", family, DropReason::TcpChecksum, |frame| put(frame, tcp + 16, &[0, 0]));
        let mut bed = Bed::new(family);
        for base in Base::ALL {
            let whole = bed.base(base);
            for at in tcp..whole.len() {
                let mut frame = whole.clone();
                // The lower bits: the upper ones of the data offset have a reason of their own.
                frame[at] ^= 1;
                let wanted = (Fate::Dropped(DropReason::TcpChecksum), Reply::Silence);
                assert_eq!(bed.judge(&frame), wanted, "byte {at}, {family:?} {base:?}");
            }
        }
        assert!(bed.server.count(Counter::InCsumErrors) > FORGED.len() as u64);
        bed.end();
    }
}

/// What a kernel leaves to its device is right on a virtual one and wrong on any other.
#[test]
fn an_unfinished_checksum() {
    for family in Family::ALL {
        let tcp = family.tcp();
        for (policy, is_taken) in [(ChecksumPolicy::Full, false), (ChecksumPolicy::AllowUnfinished, true)] {
            let mut bed = Bed::with(family, EngineConfig { checksums: policy, ..config() });
            let mut data = bed.base(Base::Data);
            let sum = unfinished(&data, tcp);
            put(&mut data, tcp + 16, &sum);
            if is_taken {
                let mut almost = data.clone();
                almost[tcp + 17] ^= 1;
                assert_eq!(bed.judge(&almost), (Fate::Dropped(DropReason::TcpChecksum), Reply::Silence));
                bed.live.seq += FORGED.len() as u32;
                assert_eq!(bed.judge(&data), (Fate::Delivered, Reply::Ack(bed.live.seq)));
                assert_eq!(bed.server.read(bed.socket), FORGED);
                assert_eq!(bed.server.count(Counter::UnfinishedChecksums), 1);
            } else {
                assert_eq!(bed.judge(&data), (Fate::Dropped(DropReason::TcpChecksum), Reply::Silence));
            }
            bed.end();
        }
    }
}
