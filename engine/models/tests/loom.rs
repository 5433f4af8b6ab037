//! Every model, in every order of its steps.

use synward_models::{accept_limit, flow_buckets, frames_home, parked, rings, steered, wake_ups};

macro_rules! each {
    ($($of:ident :: $name:ident)*) => {
        $(#[test]
        fn $name() {
            $of::$name();
        })*
    };
}

each! {
    accept_limit::more_than_the_limit_never_wait
    accept_limit::shields_hear_the_truth_last
    flow_buckets::a_known_flow_is_never_taken_for_unknown
    flow_buckets::what_is_taken_out_is_what_was_put_in
    frames_home::a_frame_is_left_by_its_reader_before_it_is_used_again
    frames_home::frames_come_home_once
    frames_home::the_last_to_go_is_one
    parked::a_blocked_call_hears_what_is_said
    parked::an_unparked_wait_ends
    rings::an_end_that_goes_is_noticed
    rings::full_and_empty_rings_lose_no_wake_up
    steered::a_tally_never_runs_backwards
    steered::steering_changes_its_mind_once
    wake_ups::no_ring_is_lost
}
