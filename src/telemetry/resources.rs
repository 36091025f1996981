//! What the process and its journal take of the machine.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::time::{SystemTime, UNIX_EPOCH};

/// Set when metrics are asked for. What cannot be read stays as it was.
#[derive(Debug)]
pub struct ResourceMetrics {
    journal_bytes: Gauge,
    journal_free_bytes: Gauge,
    memory_bytes: Gauge,
    open_files: Gauge,
}

impl ResourceMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let started = gauge("process_start_time_seconds", "When the process began to count, since the Unix epoch");
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        started.set(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        Self {
            journal_bytes: gauge("journal_bytes", "Bytes of the journal's files, or of its tables with their indices"),
            journal_free_bytes: gauge(
                "journal_free_bytes",
                "Bytes that are free where the journal's files are; -1 where only the database's machine knows",
            ),
            memory_bytes: gauge("process_resident_memory_bytes", "Resident memory of the process"),
            open_files: gauge("process_open_fds", "Open files and connections of the process"),
        }
    }

    /// Notes how much room the journal takes.
    pub fn journal(&self, bytes: u64, free_bytes: Option<u64>) {
        self.journal_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.journal_free_bytes.set(free_bytes.map_or(-1, |free| i64::try_from(free).unwrap_or(i64::MAX)));
    }

    /// Notes what the process takes, where the system tells it (Linux).
    pub fn process(&self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<i64>().ok());
        if let Some(kilobytes) = kilobytes {
            self.memory_bytes.set(kilobytes.saturating_mul(1024));
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            self.open_files.set(i64::try_from(files.count()).unwrap_or(i64::MAX));
        }
    }
}
