//! The figures that the README and the closing notes report, each beside a baseline measured in the same run: `make bench`.
//! `make bench ONLY=ingest` (or attacks, change, strategies, steps, backlog, latency, growth, rest, stream_gauges, memory) measures only that.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and stops when it cannot go on")]

mod attacks;
mod backlog;
mod change;
#[path = "../../tests/it/postgres/cluster.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod cluster;
mod events;
mod growth;
mod ingest;
mod journals;
mod latency;
mod memory;
#[path = "../../tests/it/ports.rs"]
mod ports;
mod server;
mod steps;
mod strategies;
mod stream_gauges;

use mimalloc::MiMalloc;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// The program's: some figures are of a service in this process.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() {
    if std::env::args().any(|argument| argument == server::BARE) {
        return server::serve_bare();
    }
    let only = std::env::var("ONLY").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only == name;
    let cluster = cluster::programs().map(|programs| cluster::Cluster::start(&programs, "on"));
    if cluster.is_none() {
        println!("PostgreSQL is not installed: its figures are left out");
    }
    let port = cluster.as_ref().map(|cluster| cluster.port);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        if wanted("change") {
            change::latency().await;
        }
        if wanted("strategies") {
            strategies::side_by_side().await;
        }
        if wanted("ingest") {
            let url = database(port, "ingest").await;
            tokio::task::spawn_blocking(move || ingest::rates(url.as_deref())).await.unwrap();
        }
        if wanted("attacks") {
            tokio::task::spawn_blocking(attacks::beside_each).await.unwrap();
        }
        if wanted("steps") {
            let databases = [database(port, "steps_one").await, database(port, "steps_two").await];
            steps::rates(databases).await;
        }
        if wanted("backlog") {
            backlog::figures(async |name| database(port, name).await).await;
        }
        if wanted("latency") {
            let url = database(port, "latency").await;
            tokio::task::spawn_blocking(move || latency::from_accept_to_request(url.as_deref())).await.unwrap();
        }
        if wanted("growth") {
            growth::of_a_warm_transfer().await;
        }
        if wanted("rest") {
            backlog::at_rest(database(port, "rest").await.as_deref()).await;
        }
        if wanted("stream_gauges") {
            stream_gauges::times(database(port, "stream_gauges").await.as_deref()).await;
        }
        if wanted("memory") {
            memory::of_a_call();
        }
    });
}

/// A new database of the bench's own PostgreSQL.
async fn database(port: Option<u16>, name: &str) -> Option<String> {
    let port = port?;
    let url = |name: &str| format!("postgres://postgres@127.0.0.1:{port}/{name}?sslmode=disable");
    let mut maintenance = PgConnection::connect(&url("postgres")).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut maintenance).await.unwrap();
    maintenance.close().await.unwrap();
    Some(url(name))
}
