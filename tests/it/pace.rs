//! How slow the machine is at the moment, so that limits bear other load and slower machines.

use std::hint::black_box;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a measurement counts: load comes and goes.
const FRESH: Duration = Duration::from_secs(10);

/// What the work takes on the machine that the limits were written for, while nobody else works.
const SPUN: Duration = Duration::from_millis(30);

const ROUNDS: u64 = 3_000_000;

/// What a sync takes on a disk that the limits bear.
const SYNCED: Duration = Duration::from_millis(5);

static MEASURED: Mutex<Option<(Instant, f64)>> = Mutex::new(None);

/// A limit, for the machine as it is now: never shorter, and ten times as long at most.
pub(crate) fn scaled(limit: Duration) -> Duration {
    limit.mul_f64(slowness())
}

fn slowness() -> f64 {
    let mut measured = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, slowness)) = *measured
        && at.elapsed() < FRESH
    {
        return slowness;
    }
    let slowness = spin().max(sync()).clamp(1.0, 10.0);
    *measured = Some((Instant::now(), slowness));
    slowness
}

fn spin() -> f64 {
    let began = Instant::now();
    black_box((0..ROUNDS).fold(0_u64, |sum, round| black_box(sum.wrapping_mul(31)) ^ round));
    began.elapsed().as_secs_f64() / SPUN.as_secs_f64()
}

fn sync() -> f64 {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[0; 4096]).unwrap();
    let began = Instant::now();
    file.sync_data().unwrap();
    began.elapsed().as_secs_f64() / SYNCED.as_secs_f64()
}
