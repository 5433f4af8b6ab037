//! The shield: what dies in the XDP program, who gets through it, and who moves it.

mod faults;
mod flood;
mod forged;
mod orders;

use crate::Test;

pub const TESTS: &[Test] = &[
    ("shield::always_lets_clients_through_a_flood_of_forged_segments", flood::always),
    ("shield::auto_goes_up_when_syns_come_too_fast_and_comes_down_after", || {
        flood::auto("raise_at = 3000\ncalm = \"500ms\"", "backlog = 65536", "SYNs come faster")
    }),
    ("shield::auto_goes_up_when_the_syn_queue_overflows_and_comes_down_after", || {
        flood::auto("calm = \"500ms\"", "backlog = 64", "its SYN queue overflows")
    }),
    ("shield::always_across_interfaces", flood::across_interfaces),
    ("shield::time_wait_is_reused_behind_it", flood::time_wait),
    ("shield::forged_segments_die_each_under_its_own_counter", forged::each_under_its_own_counter),
    ("shield::a_full_accept_queue_gets_no_cookies", forged::full_accept_queue),
    ("shield::a_stalled_front_drops_and_recovers", || faults::stalled("drop")),
    ("shield::a_stalled_front_may_pass_to_the_kernel", || faults::stalled("pass")),
    ("shield::a_draining_front_refuses_behind_it", faults::draining),
    ("shield::after_kill_9_the_kernel_is_in_charge", faults::kill_9),
    ("shield::prefixes_are_blocked_and_allowed_by_command", orders::block_and_allow),
    ("shield::what_is_listed_for_a_time_expires", orders::expiry),
    ("shield::hopeless_sources_are_dropped_but_nobody_who_has_a_connection", flood::hopeless),
    ("shield::orders_that_cannot_be_followed_say_why", orders::refused),
    ("shield::metrics_are_served_by_the_kernel", orders::metrics),
];
