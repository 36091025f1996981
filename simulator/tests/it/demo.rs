//! `demo` as its users start it.

use super::{program, text};

#[test]
fn the_demo_of_one_scenario_ends_well_and_an_unknown_one_is_refused() {
    let told =
        program().args(["demo", "--scenario", "first-accept", "--latency-ms", "0", "--lag-ms", "0"]).output().unwrap();
    assert!(told.status.success(), "{}", text(&told.stdout));
    assert!(text(&told.stdout).contains("1 scenario, 0 violations, 0 unmet expectations"));
    assert!(text(&told.stdout).contains("audio of alice at /a: from "));
    assert!(text(&told.stdout).contains("stream of agent A on destination A: ended"));
    for step in ["2. lower the guard", "5. redirect the customer", "start the stream without touching the call: taken"]
    {
        assert!(text(&told.stdout).contains(step), "{step} is missing in: {}", text(&told.stdout));
    }
    assert_eq!(program().args(["demo", "--scenario", "nothing"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn the_demo_takes_a_socket_that_dies_as_scripted_for_no_fault_of_the_service() {
    for strategy in ["redirect", "streams-api"] {
        let told =
            program().args(["demo", "--brief", "--scenario", "socket-dies", "--strategy", strategy]).output().unwrap();
        assert!(told.status.success(), "{}", text(&told.stdout));
    }
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let help = text(&program().arg("--help").output().unwrap().stdout);
    for word in ["serve", "demo", "Exit codes"] {
        assert!(help.contains(word), "{word} is missing in: {help}");
    }
}
