//! A disk that is full, and one that cannot be written to, under the real process.
//!
//! The disk is a small file system in a namespace of the process's own. Where a user may not make one these tests say so and
//! do nothing; in CI they fail instead.

use crate::program::{Serving, text};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Mounts a disk on $1 and becomes the program.
const ON_A_SMALL_DISK: &str = r#"mount -t tmpfs -o size=1m none "$1" && shift && exec "$@""#;

const ON_A_FULL_DISK: &str =
    r#"mount -t tmpfs -o size=1m none "$1" && head -c 2097152 /dev/zero > "$1/ballast"; shift && exec "$@""#;

const ON_A_READ_ONLY_DISK: &str = r#"mount -t tmpfs -o ro none "$1" && shift && exec "$@""#;

/// The program on a disk of its own, or nothing where that cannot be had.
fn on_a_disk(script: &str, at: &Path) -> Option<Command> {
    let command = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(at).arg(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command
    };
    if command("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return Some(command(env!("CARGO_BIN_EXE_taskrouter-streams")));
    }
    assert!(std::env::var_os("CI").is_none(), "no file system can be mounted: unshare and user namespaces are needed");
    // Past the harness, which keeps what a test prints to itself.
    let _ =
        writeln!(std::io::stderr(), "\nSKIPPED: no file system can be mounted here, so a full disk is not tested.\n");
    None
}

fn journal_url(at: &Path) -> String {
    format!("sqlite:{}", at.join("journal.db").display())
}

/// Takes what is left of the disk, and gives it back when told to.
struct Ballast(PathBuf);

impl Ballast {
    fn put(disk: &Path) -> Self {
        let path = disk.join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        for size in [4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Self(path)
    }

    fn remove(self) {
        std::fs::remove_file(self.0).unwrap();
    }
}

#[test]
fn a_full_disk_makes_503_of_every_event_and_all_are_taken_when_there_is_room_again() {
    let directory = TempDir::new().unwrap();
    let Some(command) = on_a_disk(ON_A_SMALL_DISK, directory.path()) else { return };
    let serving = Serving::start_as(command, &journal_url(directory.path()), "http://127.0.0.1:9", &[]);
    // The disk as the process sees it.
    let disk = PathBuf::from(format!("/proc/{}/root{}", serving.pid(), directory.path().display()));
    let first = serving.replay("fixtures/taskrouter/01.task.created.form");
    assert!(first.status.success(), "{}", text(&first.stdout));

    let ballast = Ballast::put(&disk);
    let refused = text(&serving.replay("fixtures/taskrouter").stdout);
    // The first is there already, and acknowledging it again needs no room.
    assert!(refused.contains("1 of 14 events were accepted"), "{refused}");
    assert_eq!(refused.matches("503").count(), 13, "{refused}");
    assert_eq!(serving.readiness(), 503);

    ballast.remove();
    assert_eq!(serving.readiness(), 200);
    let taken = text(&serving.replay("fixtures/taskrouter").stdout);
    assert!(taken.contains("14 of 14 events were accepted"), "{taken}");
    serving.signal("TERM");
    assert_eq!(serving.ended(), Some(0));
}

#[test]
fn a_disk_that_cannot_be_written_to_is_refused_at_the_start_by_name() {
    let directory = TempDir::new().unwrap();
    let Some(mut command) = on_a_disk(ON_A_READ_ONLY_DISK, directory.path()) else { return };
    let ended = command
        .arg("serve")
        .envs(crate::program::ENVIRONMENT)
        .env("TRS__JOURNAL__URL", journal_url(directory.path()))
        .output()
        .unwrap();
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("journal.db cannot be opened: Read-only file system"), "{said}");
}

/// How long a file of the process may become, in bytes; no limit without one.
fn limit_files(serving: &Serving, bytes: Option<u64>) {
    let soft = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let limit = format!("--fsize={soft}:unlimited");
    assert!(Command::new("prlimit").args(["--pid", &serving.pid().to_string(), &limit]).status().unwrap().success());
}

/// As a disk that turns read-only under a running process does.
#[test]
fn writes_that_the_system_refuses_make_503_of_every_event_until_it_takes_them_again() {
    let directory = TempDir::new().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_taskrouter-streams")]);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    let serving = Serving::start_as(command, &journal_url(directory.path()), "http://127.0.0.1:9", &[]);
    let first = serving.replay("fixtures/taskrouter/01.task.created.form");
    assert!(first.status.success(), "{}", text(&first.stdout));

    limit_files(&serving, Some(1));
    let refused = text(&serving.replay("fixtures/taskrouter").stdout);
    assert!(refused.contains("1 of 14 events were accepted"), "{refused}");
    assert_eq!(refused.matches("503").count(), 13, "{refused}");
    assert_eq!(serving.readiness(), 503);

    limit_files(&serving, None);
    assert_eq!(serving.readiness(), 200);
    let taken = text(&serving.replay("fixtures/taskrouter").stdout);
    assert!(taken.contains("14 of 14 events were accepted"), "{taken}");
    serving.signal("TERM");
    assert_eq!(serving.ended(), Some(0));
}

/// Serves on a journal of its own folder, with its log in a file.
fn serve_in(folder: &Path) -> (Serving, PathBuf) {
    let log = folder.join("log");
    let mut command = crate::program::program();
    command.stderr(std::fs::File::create(&log).unwrap());
    std::fs::create_dir(folder.join("data")).unwrap();
    let url = journal_url(&folder.join("data"));
    (Serving::start_logging(command, &url, "http://127.0.0.1:9", &[]), log)
}

fn beside(folder: &Path, ending: &str) -> PathBuf {
    folder.join("data").join(format!("journal.db{ending}"))
}

/// A way to take the journal's file away in this folder.
type Removal = fn(&Path);

const REMOVALS: [(&str, Removal); 5] = [
    ("all three removed", |folder| {
        for ending in ["", "-wal", "-shm"] {
            std::fs::remove_file(beside(folder, ending)).unwrap();
        }
    }),
    ("a copy moved over it", |folder| {
        std::fs::copy(beside(folder, ""), folder.join("copy")).unwrap();
        std::fs::rename(folder.join("copy"), beside(folder, "")).unwrap();
    }),
    ("its folder moved", |folder| std::fs::rename(folder.join("data"), folder.join("elsewhere")).unwrap()),
    ("its log removed", |folder| std::fs::remove_file(beside(folder, "-wal")).unwrap()),
    ("the index of its log removed", |folder| std::fs::remove_file(beside(folder, "-shm")).unwrap()),
];

#[test]
fn nothing_is_acknowledged_into_a_file_that_was_taken_away_and_the_process_ends() {
    for (how, remove) in REMOVALS {
        let directory = TempDir::new().unwrap();
        let (serving, log) = serve_in(directory.path());
        let first = serving.replay("fixtures/taskrouter/01.task.created.form");
        assert!(first.status.success(), "{how}: {}", text(&first.stdout));
        remove(directory.path());
        let refused = serving.replay("fixtures/taskrouter/02.reservation.created.a.form");
        assert!(!refused.status.success(), "{how}: {}", text(&refused.stdout));
        assert_eq!(serving.ended(), Some(1), "{how}");
        let said = std::fs::read_to_string(log).unwrap();
        assert!(
            said.contains("ERROR") && said.contains("was removed, moved or replaced while in use"),
            "{how}: {said}"
        );
    }
}

#[test]
fn a_process_whose_file_was_taken_away_ends_without_an_event() {
    let directory = TempDir::new().unwrap();
    let (serving, _) = serve_in(directory.path());
    std::fs::remove_file(beside(directory.path(), "")).unwrap();
    assert_eq!(serving.ended(), Some(1));
}

#[test]
fn a_start_on_a_full_disk_waits_for_room() {
    let directory = TempDir::new().unwrap();
    let Some(mut command) = on_a_disk(ON_A_FULL_DISK, directory.path()) else { return };
    command.arg("serve").envs(crate::program::ENVIRONMENT).env("TRS__JOURNAL__URL", journal_url(directory.path()));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let waits = said.find(|line| line.contains("waiting for the database")).unwrap();
    assert!(waits.contains("make room on its disk"), "{waits}");
    std::fs::remove_file(format!("/proc/{}/root{}/ballast", child.id(), directory.path().display())).unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.starts_with("ready: "), "{ready} {:?}", child.try_wait());
    child.kill().unwrap();
    child.wait().unwrap();
}
