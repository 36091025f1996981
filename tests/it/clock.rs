//! The journal's clock, with a machine whose time is set by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use taskrouter_streams::journal::{Clock, Measurement, TimeSource};

const HOUR: i64 = 3_600_000;
const START: i64 = 1_800_000_000_000;

/// Its wall clock runs with the monotonic one, unless it is set.
#[derive(Clone, Default)]
struct Machine {
    set: Arc<AtomicI64>,
    monotonic: Arc<AtomicU64>,
}

impl Machine {
    fn pass(&self, ms: u64) {
        self.monotonic.fetch_add(ms, Ordering::Relaxed);
    }

    fn set_by(&self, ms: i64) {
        self.set.fetch_add(ms, Ordering::Relaxed);
    }
}

impl TimeSource for Machine {
    fn wall(&self) -> i64 {
        START + self.set.load(Ordering::Relaxed) + i64::try_from(self.monotonic.load(Ordering::Relaxed)).unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic.load(Ordering::Relaxed))
    }
}

fn told(at: i64, round_trip_ms: u64) -> Measurement {
    Measurement::new(at, Duration::from_millis(round_trip_ms))
}

#[test]
fn a_running_process_does_not_notice_that_the_wall_clock_is_set() {
    let machine = Machine::default();
    let clock = Clock::of_machine(machine.clone(), None);
    for (set, passed) in [(HOUR, 10), (-2 * HOUR, 20), (HOUR, 35)] {
        machine.set_by(set);
        machine.pass(passed - u64::try_from(clock.now() - START).unwrap());
        assert_eq!(clock.now(), START + i64::try_from(passed).unwrap());
    }
}

#[test]
fn a_small_step_back_between_two_processes_is_covered_up() {
    assert_eq!(Clock::of_machine(Machine::default(), Some(START + 500)).now(), START + 500);
    assert_eq!(Clock::of_machine(Machine::default(), Some(START - HOUR)).now(), START);
}

#[test]
fn a_stamp_from_the_future_does_not_freeze_the_clock() {
    let machine = Machine::default();
    let clock = Clock::of_machine(machine.clone(), Some(START + HOUR));
    assert_eq!(clock.now(), START);
    machine.pass(1_000);
    assert_eq!(clock.now(), START + 1_000);
}

#[test]
fn half_the_round_trip_is_added_to_what_the_server_said() {
    assert_eq!(Clock::of_server(Machine::default(), told(START + HOUR, 80)).now(), START + HOUR + 40);
}

#[test]
fn the_servers_clock_counts_whatever_the_machines_says() {
    let machine = Machine::default();
    machine.set_by(-HOUR);
    let clock = Clock::of_server(machine.clone(), told(START, 0));
    machine.set_by(2 * HOUR);
    machine.pass(250);
    assert_eq!(clock.now(), START + 250);
}

#[test]
fn a_server_that_is_found_ahead_is_followed_at_once() {
    let clock = Clock::of_server(Machine::default(), told(START, 0));
    clock.follow(told(START + HOUR, 10));
    assert_eq!(clock.now(), START + HOUR + 5);
}

#[test]
fn a_server_that_is_found_behind_is_waited_for_at_half_speed() {
    let machine = Machine::default();
    let clock = Clock::of_server(machine.clone(), told(START + 1_000, 0));
    clock.follow(told(START, 0));
    let mut last = clock.now();
    assert_eq!(last, START + 1_000);
    for passed in 1..=2_500 {
        machine.pass(1);
        let now = clock.now();
        assert!(now >= last, "it went back from {last} to {now}");
        last = now;
        if passed == 1_000 {
            assert_eq!(now, START + 1_500);
        }
    }
    assert_eq!(last, START + 2_500);
}

#[test]
fn a_measurement_that_proves_nothing_changes_nothing() {
    let clock = Clock::of_server(Machine::default(), told(START, 0));
    for measured in [told(START - 1_600, 2_000), told(START - 400, 2_000), told(START, 1)] {
        clock.follow(measured);
        assert_eq!(clock.now(), START);
    }
}

#[test]
fn no_number_that_a_server_can_tell_stops_the_clock() {
    let machine = Machine::default();
    let clock = Clock::of_server(machine.clone(), told(START, 0));
    for measured in [i64::MIN, 0, START, i64::MAX] {
        clock.follow(told(measured, 0));
        machine.pass(10);
        clock.now();
    }
}
