//! What a call takes in memory.

use taskrouter_streams::call::Call;
use taskrouter_streams::call::fact::Fact;

const CALLS: usize = 20_000;

/// The folded form of a whole warm transfer, as a call task holds it.
pub(crate) fn of_a_call() {
    let facts: Vec<Fact> = include_str!("../../fixtures/journal/v1.redirect.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let before = resident_bytes();
    let calls: Vec<Call> = (0..CALLS).map(|_| Call::fold(&facts)).collect();
    let each = (resident_bytes() - before) / CALLS;
    println!("memory of a folded call of {} facts: {each} bytes (the mean of {})", facts.len(), calls.len());
}

/// Memory of this process that is in RAM.
pub(crate) fn resident_bytes() -> usize {
    resident_bytes_of("self")
}

/// Memory of a process that is in RAM.
pub(crate) fn resident_bytes_of(process: &str) -> usize {
    const PAGE: usize = 4096;
    let pages = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * PAGE
}
