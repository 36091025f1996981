//! The scenarios that come with the program, from `fixtures/scenarios`.

macro_rules! scenarios {
    ($($name:literal),+ $(,)?) => {
        /// Name and text of every scenario, in the order in which the demo runs them.
        pub const SCENARIOS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../fixtures/scenarios/", $name, ".toml")))),+];
    };
}

scenarios![
    "warm-transfer",
    "first-accept",
    "cold-transfer",
    "warm-to-queue",
    "cold-to-queue",
    "chain-of-three",
    "there-and-back",
    "warm-rejected",
    "warm-timed-out",
    "warm-unreachable",
    "warm-cancelled-then-again",
    "cold-timed-out",
    "held-at-first-accept",
    "warm-transfer-held-before-and-after",
    "late-conference-attributes",
    "no-conference-attributes",
    "delayed-customer-join",
    "slow-read-back",
    "duplicated-and-reordered",
    "lost-wrapup",
    "destination-refuses",
    "socket-dies",
    "customer-hangs-up-in-queue",
    "customer-hangs-up-early",
    "customer-hangs-up-during-transfer",
    "customer-hangs-up-during-consult",
    "customer-hangs-up-with-the-guard-lowered",
    "call-outlives-the-last-agent",
    "survey-after-the-call",
    "task-cancelled-during-the-call",
    "task-deleted-during-the-call",
    "second-task",
    "two-tasks-at-once",
    "supervisor-listens-in",
    "stop-ignored",
    "wrong-answers",
    "lands-late",
    "outbound",
    "agent-calls-agent",
    "callback-task",
    "chat",
];
