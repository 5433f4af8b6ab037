//! Queues that are full: every case in which a listener answers by cookie, drops or waits.

use super::*;
use Counter::{EmbryonicRsts, ListenDrops, ListenOverflows, PassiveOpens, SyncookiesRecv, SyncookiesSent};
use Counter::{TCPReqQFullDoCookies, TCPReqQFullDrop};

/// Completes handshakes until the accept queue is full; the peers are those from `first` on.
fn fill_accept_queue(bed: &mut Bed, first: u16) {
    for n in first.. {
        if bed.room.is_full() {
            return;
        }
        let (syn_ack, _) = bed.syn_ack(&plain_syn(n));
        bed.open(&third(&syn_ack, 0));
    }
}

#[test]
fn both_queues_hold_one_more_than_their_limit() {
    let mut bed = Bed::new(Syncookies::Never, 8);
    fill_accept_queue(&mut bed, 0);
    assert_eq!(bed.room.waiting.get(), 9);
    let mut bed = Bed::new(Syncookies::Never, 8);
    let answered = (0..20).filter(|&n| bed.settle(&plain_syn(n)).reply.is_some()).count();
    assert_eq!((answered, bed.half_open()), (9, 9));
}

#[test]
fn a_syn_while_the_accept_queue_is_full_is_dropped_without_a_cookie() {
    for (syncookies, counters) in [
        (Syncookies::Never, &[ListenOverflows, ListenDrops][..]),
        (Syncookies::Auto, &[ListenOverflows, ListenDrops]),
        (Syncookies::Always, &[ListenOverflows, ListenDrops, TCPReqQFullDoCookies]),
    ] {
        let mut bed = Bed::new(syncookies, 2);
        fill_accept_queue(&mut bed, 0);
        assert_eq!(bed.settle(&plain_syn(100)), dropped(DropReason::SynAcceptQueueFull, counters));
        assert_eq!(bed.half_open(), 0);
    }
}

#[test]
fn a_syn_while_the_syn_queue_is_full_gets_a_cookie_or_nothing() {
    for (syncookies, counters) in [
        (Syncookies::Auto, &[SyncookiesSent, TCPReqQFullDoCookies]),
        (Syncookies::Never, &[TCPReqQFullDrop, ListenDrops]),
    ] {
        let mut bed = Bed::new(syncookies, 2);
        (0..3).for_each(|n| assert!(bed.syn_ack(&plain_syn(n)).1.is_empty()));
        let verdict = bed.settle(&plain_syn(3));
        assert_eq!(verdict.counts, Counts::of(counters));
        assert_eq!(bed.half_open(), 3, "no state");
        match verdict.reply {
            Some(cookie) => {
                let (_, counts) = bed.open(&third(&cookie, 0));
                assert_eq!(counts, Counts::of(&[SyncookiesRecv, PassiveOpens]));
            }
            None => assert_eq!(verdict.fate, Fate::Dropped(DropReason::SynQueueFull)),
        }
        assert_eq!(verdict.reply.is_some(), syncookies == Syncookies::Auto);
    }
}

#[test]
fn three_quarters_of_max_syn_backlog_are_a_limit_too_without_cookies() {
    let mut bed = Bed::with(&ListenerConfig { max_syn_backlog: 8, ..config(Syncookies::Never, 100) }, 100);
    (0..7).for_each(|n| _ = bed.syn_ack(&plain_syn(n)));
    assert_eq!(bed.settle(&plain_syn(7)), dropped(DropReason::SynQueueFull, &[ListenDrops]));
}

#[test]
fn cookies_always() {
    let mut bed = Bed::new(Syncookies::Always, 8);
    let (_, counts) = bed.syn_ack(&plain_syn(1));
    assert_eq!(counts, Counts::of(&[SyncookiesSent, TCPReqQFullDoCookies]));
    assert_eq!(bed.half_open(), 0);
    assert!(bed.listener.sends_cookies(bed.now, &bed.shared));
}

#[test]
fn a_third_ack_while_the_accept_queue_is_full_is_ignored() {
    let mut bed = Bed::new(Syncookies::Auto, 1);
    let (syn_ack, _) = bed.syn_ack(&plain_syn(1));
    fill_accept_queue(&mut bed, 10);
    let ignored = dropped(DropReason::AckAcceptQueueFull, &[ListenOverflows, ListenDrops]);
    assert_eq!(bed.settle(&third(&syn_ack, 0)), ignored);
    assert_eq!(bed.half_open(), 1, "the entry stays, and its SYN-ACK is sent again");
    bed.pass(1000);
    assert!(bed.shared.table.poll_expired(bed.now).is_some());
    // One is accepted: the peer's data, or its next ACK, completes the handshake.
    bed.room.waiting.set(1);
    let data = Segment { payload: Span { start: 54, len: 10 }, ..third(&syn_ack, 0) };
    bed.open(&data);
}

#[test]
fn abort_on_overflow_resets() {
    let mut bed = Bed::with(&ListenerConfig { abort_on_overflow: true, ..config(Syncookies::Auto, 1) }, 1);
    let (syn_ack, _) = bed.syn_ack(&plain_syn(1));
    fill_accept_queue(&mut bed, 10);
    let ack = third(&syn_ack, 0);
    let want = Verdict {
        reply: Some(reset_for(&ack)),
        ..dropped(DropReason::AckAcceptQueueFull, &[ListenOverflows, ListenDrops, EmbryonicRsts])
    };
    assert_eq!(bed.settle(&ack), want);
    assert_eq!(bed.half_open(), 0);
}

#[test]
fn a_valid_cookie_while_the_accept_queue_is_full_waits_for_the_first_data() {
    for abort_on_overflow in [false, true] {
        let mut bed = Bed::with(&ListenerConfig { abort_on_overflow, ..config(Syncookies::Always, 1) }, 1);
        let (cookie, _) = bed.syn_ack(&syn(tuple(1), usual_options(3)));
        fill_accept_queue(&mut bed, 10);
        let full = dropped(DropReason::AckAcceptQueueFull, &[SyncookiesRecv, ListenOverflows, ListenDrops]);
        assert_eq!(bed.settle(&third(&cookie, 5)), full, "no RST, even with abort_on_overflow");
        bed.room.waiting.set(1);
        let data = Segment { payload: Span { start: 66, len: 10 }, ..third(&cookie, 400) };
        let (half_open, counts) = bed.open(&data);
        assert_eq!(counts, Counts::of(&[SyncookiesRecv, PassiveOpens]));
        assert_eq!(half_open.negotiated.timestamps.map(|clock| clock.recent), Some(403));
    }
}

#[test]
fn a_cookie_home_from_before_the_entry_still_counts() {
    // The SYN queue is full, the peer gets a cookie; its SYN comes again when there is room, and makes an entry; then the
    // answer to the cookie arrives.
    let mut bed = Bed::new(Syncookies::Auto, 0);
    bed.room.limit.set(8);
    let (other, _) = bed.syn_ack(&plain_syn(1));
    let (cookie, _) = bed.syn_ack(&plain_syn(2));
    bed.open(&third(&other, 0));
    bed.pass(1500);
    let (entry, counts) = bed.syn_ack(&plain_syn(2));
    assert!(counts.is_empty() && bed.half_open() == 1 && entry.seq != cookie.seq);
    let (half_open, counts) = bed.open(&third(&cookie, 0));
    assert_eq!(half_open.negotiated.iss, cookie.seq);
    assert_eq!(counts, Counts::of(&[SyncookiesRecv, PassiveOpens]));
    assert_eq!(bed.half_open(), 0, "and the entry is gone");
}

#[test]
fn a_full_bucket_is_counted() {
    // 64 slots in eight buckets: a thousand peers overflow them.
    let mut bed = Bed::new(Syncookies::Never, 1000);
    let evicted =
        (0..1000).filter(|&n| bed.syn_ack(&plain_syn(n)).1 == Counts::of(&[Counter::HalfOpenEvicted])).count();
    assert_eq!(evicted as u32, 1000 - bed.half_open());
    assert_eq!(bed.half_open(), 64);
}

#[test]
fn when_links_run_out_cookies_take_over() {
    for (syncookies, counters) in [
        (Syncookies::Auto, &[SyncookiesSent, TCPReqQFullDoCookies]),
        (Syncookies::Never, &[TCPReqQFullDrop, ListenDrops]),
    ] {
        let mut bed = Bed::new(syncookies, 100);
        let from = |n: u8| {
            let link = Link { remote: MacAddr([n; 6]), ..plain_syn(0).link };
            Segment { link, ..plain_syn(u16::from(n)) }
        };
        (0..4).for_each(|n| assert!(bed.syn_ack(&from(n)).1.is_empty()));
        assert_eq!(bed.settle(&from(4)).counts, Counts::of(counters));
        assert_eq!(bed.half_open(), 4);
    }
}

/// A flood out of one /24: it gets no more entries than its share, then cookies or nothing, and neighbours get what they
/// always got.
#[test]
fn a_network_that_has_its_share_gets_cookies_and_its_neighbours_do_not() {
    for (syncookies, counters) in [
        (Syncookies::Auto, &[SyncookiesSent, TCPReqQFullDoCookies, Counter::HalfOpenPrefixFull][..]),
        (Syncookies::Never, &[TCPReqQFullDrop, ListenDrops, Counter::HalfOpenPrefixFull]),
    ] {
        let mut bed = Bed::with_share(syncookies, 100, 4);
        (0..4).for_each(|n| assert!(bed.syn_ack(&plain_syn(n)).1.is_empty()));
        let verdict = bed.settle(&plain_syn(4));
        assert_eq!((verdict.counts, bed.half_open()), (Counts::of(counters), 4));
        let neighbour = Endpoint::new(Ipv4Addr::new(198, 51, 101, 1).into(), 4);
        let of_neighbour = syn(Tuple { remote: neighbour, ..tuple(0) }, SynOptions::default());
        assert!(bed.syn_ack(&of_neighbour).1.is_empty(), "an entry, no cookie");
        match verdict.reply {
            Some(cookie) => _ = bed.open(&third(&cookie, 0)),
            None => assert_eq!(verdict.fate, Fate::Dropped(DropReason::SynPrefixFull)),
        }
        assert_eq!(verdict.reply.is_some(), syncookies == Syncookies::Auto);
        // One of its entries goes, and there is room for another.
        assert_eq!(bed.settle(&segment(tuple(0), Flags::RST, IRS + 1)).fate, Fate::Consumed);
        assert!(bed.syn_ack(&plain_syn(5)).1.is_empty());
    }
}

/// Sixty peers a second whose cookies come back are no reason to go on sending cookies.
#[test]
fn the_table_is_used_again_once_cookies_come_back() {
    let mut bed = Bed::new(Syncookies::Auto, 8);
    bed.room.limit.set(1000);
    let (entries, _): (alloc::vec::Vec<_>, alloc::vec::Vec<_>) = (0..9).map(|n| bed.syn_ack(&plain_syn(n))).unzip();
    assert_eq!(bed.syn_ack(&plain_syn(9)).1, Counts::of(&[SyncookiesSent, TCPReqQFullDoCookies]));
    entries.iter().for_each(|syn_ack| _ = bed.open(&third(syn_ack, 0)));
    let by_cookie = (100..300).filter(|&n| {
        let (syn_ack, counts) = bed.syn_ack(&plain_syn(n));
        bed.open(&third(&syn_ack, 0));
        bed.pass(16);
        !counts.is_empty()
    });
    let by_cookie = by_cookie.count();
    // The peer that never answered is one too many for the first second; the next one is calm.
    assert!((63..=126).contains(&by_cookie), "{by_cookie}");
    assert!(!bed.listener.sends_cookies(bed.now, &bed.shared));
}

/// A flood through the listener: the SYN queue never holds more than its limit and one, and every honest client gets in.
#[test]
fn a_flood_does_not_disturb_honest_clients() {
    let mut bed = Bed::new(Syncookies::Auto, 16);
    bed.room.limit.set(u32::MAX - 1);
    for n in 0..20_000u32 {
        let remote = Endpoint::new(Ipv4Addr::from(0x0a00_0000 | n).into(), 1025);
        let forged = syn(Tuple { remote, ..tuple(0) }, SynOptions::default());
        assert!(bed.settle(&forged).reply.is_some());
        assert!(bed.half_open() <= 17);
        if n % 20 == 0 {
            let (syn_ack, _) = bed.syn_ack(&syn(tuple((n / 20) as u16), usual_options(n)));
            bed.pass(1);
            let (half_open, _) = bed.open(&third(&syn_ack, 1));
            assert!(half_open.negotiated.sack && half_open.negotiated.timestamps.is_some());
        }
        while bed.shared.table.poll_expired(bed.now).is_some() {}
    }
    assert_eq!(bed.room.waiting.get(), 1000);
}
