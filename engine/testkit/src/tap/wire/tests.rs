//! Wires between sockets that keep the bounds of messages, in place of devices.

use super::*;
use crate::wire::{IpFields, Macs, WireSegment, encode};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use synward_proto::{Endpoint, Flags};

/// A device's queue, and the device.
fn queue() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

/// A SYN whose sequence number is `number`, from a port of its own.
fn syn(number: u16) -> Vec<u8> {
    let segment = WireSegment {
        source: Endpoint::new([10, 0, 0, 1].into(), number),
        destination: Endpoint::new([10, 0, 0, 2].into(), 80),
        flags: Flags::SYN,
        seq: number.into(),
        ack: 0,
        window: 100,
        urgent: 0,
        options: Vec::new(),
        payload: Vec::new(),
        ip: IpFields::default(),
        vlans: Vec::new(),
    };
    encode(Macs { destination: [2; 6], source: [4; 6] }, &segment, false)
}

/// The next frame of a device, or nothing once its queue is closed.
fn next(device: &OwnedFd) -> Vec<u8> {
    let mut room = [0; 2048];
    let length = rustix::io::read(device, &mut room).unwrap();
    room[..length].to_vec()
}

/// What a second device gets of 200 SYNs of a first one, in this weather of this seed.
fn arrivals(seed: u64, weather: &Weather) -> (Vec<Vec<u8>>, WireReport) {
    let ((near, near_device), (far, far_device)) = (queue(), queue());
    let plan = EndPlan { weather: weather.clone(), ..EndPlan::new(vec![near]) };
    let wire = Wire::start(seed, plan, EndPlan::new(vec![far])).unwrap();
    // The last one is no TCP, and so arrives whatever the weather.
    let last = vec![9; 60];
    let frames = (0..200).map(syn).chain([last.clone()]);
    frames.for_each(|frame| assert!(rustix::io::write(&near_device, &frame).is_ok()));
    let seen = std::iter::from_fn(|| Some(next(&far_device)).filter(|frame| *frame != last)).collect();
    (seen, wire.end())
}

#[test]
fn a_seed_replays_the_accidents_of_a_direction() {
    let weather = Weather { loss: 200, duplication: 100, corruption: 100, ..Weather::STILL };
    let (seen, report) = arrivals(5, &weather);
    assert!(seen == arrivals(5, &weather).0, "{report}");
    assert!(seen != arrivals(6, &weather).0, "{report}");
    assert_eq!((report.near.sent, report.seed), (201, 5));
    assert_eq!(report.far.received, [seen.len() as u64 + 1]);
    let spoiled = seen.iter().filter(|frame| !(0..200).any(|number| syn(number) == **frame)).count();
    assert!(spoiled > 0 && report.far.spoiled == spoiled as u64, "{report} and {spoiled}");
}

#[test]
fn in_still_weather_everything_arrives_in_order() {
    let (seen, report) = arrivals(1, &Weather::STILL);
    assert!(seen == (0..200).map(syn).collect::<Vec<_>>(), "{report}");
    assert_eq!((report.far.spoiled, report.far.refused, report.check()), (0, 0, Ok(())));
}

#[test]
fn frames_arrive_on_the_queue_that_is_asked_for() {
    let ((near, near_device), (one, device_one), (two, device_two)) = (queue(), queue(), queue());
    let far = EndPlan { steering: Steering::One(1), ..EndPlan::new(vec![one, two]) };
    let wire = Wire::start(1, EndPlan::new(vec![near]), far).unwrap();
    wire.inject(End::Far, 0, vec![syn(1)]);
    assert_eq!(next(&device_one), syn(1));
    wire.inject(End::Near, 0, vec![syn(3)]);
    rustix::io::write(&near_device, &syn(2)).unwrap();
    assert_eq!(next(&device_two), syn(2), "steered");
    wire.set_steering(End::Far, Steering::One(0));
    rustix::io::write(&near_device, &syn(4)).unwrap();
    assert_eq!(next(&device_one), syn(4), "steered elsewhere");
    assert_eq!(wire.received(End::Far), 3);
    let report = wire.end();
    assert_eq!((report.far.received, report.near.received), (vec![2, 1], vec![1]));
}

#[test]
fn an_end_that_is_unplugged_is_closed_and_refuses() {
    let ((near, near_device), (far, far_device)) = (queue(), queue());
    let wire = Wire::start(1, EndPlan::new(vec![near]), EndPlan::new(vec![far])).unwrap();
    wire.unplug(End::Near);
    assert_eq!(next(&near_device), [0; 0], "closed");
    wire.inject(End::Near, 0, vec![syn(1)]);
    rustix::io::write(&far_device, &syn(2)).unwrap();
    drop(far_device); // read to its end by the wire, which then closes its own
    let report = wire.end();
    assert_eq!((report.near.refused, report.near.sent), (1 + report.far.sent, 0));
}
