//! What calls leave on the disk.

use std::path::Path;
use taskrouter_streams::call::policy::Strategy;
use tempfile::TempDir;
use twilio_simulator::SimConfig;
use twilio_simulator::scenario::{self, SCENARIOS};
use twilio_simulator::testbed::Testbed;

/// Of which the journal is measured before and after.
const CALLS: usize = 200;

/// Calls of a busy floor in a month.
const CALLS_A_MONTH: usize = 100_000;

/// By how many bytes a journal grows with each warm transfer, and in a month without deletion.
pub(crate) async fn of_a_warm_transfer() {
    let (_, text) = SCENARIOS.iter().find(|(name, _)| *name == "warm-transfer").unwrap();
    let story = scenario::read(text).unwrap();
    for strategy in [Strategy::StreamsApi, Strategy::Redirect] {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("journal.db");
        let configuration = format!("[streams]\nstrategy = \"{}\"\n", strategy.as_str());
        let url = format!("sqlite:{}", path.display());
        let size_after_calls = async |seed| {
            let behaviour = SimConfig { latency_ms: 0, seed, ..SimConfig::default() };
            let stage = Testbed::start_on(&url, behaviour, &configuration).await.unwrap();
            for _ in 0..CALLS {
                assert_eq!(stage.run(&story).await.failures, Vec::<String>::new());
            }
            stage.stop().await;
            bytes(&path)
        };
        // The first also make the tables, and the pages that live calls take in turn.
        let before = size_after_calls(1).await;
        let each = (size_after_calls(2).await - before) / CALLS;
        println!(
            "journal of a warm transfer, {}: {each} bytes a call; {CALLS_A_MONTH} calls a month are {} MB",
            strategy.as_str(),
            each * CALLS_A_MONTH / 1_000_000
        );
    }
}

fn bytes(path: &Path) -> usize {
    usize::try_from(path.metadata().unwrap().len()).unwrap()
}
