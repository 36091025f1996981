//! `replay`: a recorded folder as a test, as its users run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A warm transfer that `serve --record` has recorded; docs/operations.md describes the files.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/recorded/warm-transfer")
}

fn replay(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twilio-simulator"));
    let output = command.arg("replay").arg(folder).args(more).stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code(), said.concat())
}

#[test]
fn a_recorded_call_takes_place_again_and_every_expectation_is_judged() {
    let (code, said) = replay(&folder(), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("reservation.accepted.form") && said.contains("2 streams started"), "{said}");
    let well =
        ["--expect", "same-commands", "--expect", "no-streams", "--expect", "streams=2", "--expect", "stopped=2"];
    assert_eq!(replay(&folder(), &well).0, Some(0));
    let (code, said) = replay(&folder(), &["--expect", "streams=3"]);
    assert!(code == Some(1) && said.contains("FAILED: 2 streams were started, not 3"), "{said}");
}

#[test]
fn a_service_that_does_otherwise_than_then_is_told_of() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("service.toml");
    std::fs::write(&config, "[streams]\nend_grace_ms = 0\nname_prefix = \"Other_\"\n").unwrap();
    let (code, said) = replay(&folder(), &["--config", config.to_str().unwrap()]);
    assert!(code == Some(1) && said.contains("did not ask for: POST"), "{said}");
}

#[test]
fn what_is_no_recording_is_refused() {
    let directory = TempDir::new().unwrap();
    for (folder, more, words) in [
        (directory.path(), &[][..], "has no event"),
        (Path::new("/nowhere"), &[], "cannot be read"),
        (&folder(), &["--expect", "luck"], "is no expectation"),
    ] {
        let (code, said) = replay(folder, more);
        assert!(code == Some(2) && said.contains(words), "{code:?} {said}");
    }
}
