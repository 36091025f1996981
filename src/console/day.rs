//! The last day in charts: streams that ran, starts, failures, and the time to first audio.
//!
//! They are drawn from the summaries of the calls in the journal, so that they are there after a restart and the same from every
//! process. Looking at a day's calls takes a moment: what was drawn is shown again for half a minute.

use super::chart::Chart;
use super::error::ConsoleError;
use super::layout::DAY;
use super::queries::{ListQuery, ListState, Queries};
use super::view::{CallView, StreamView};
use jiff::Timestamp;
use maud::{Markup, html};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// A part of the day that one bar stands for.
const STEP_MS: i64 = 30 * 60_000;
const STEPS: usize = 48;

/// How long charts are shown again.
const SHOWN_FOR: Duration = Duration::from_secs(30);

/// Pages of calls that are read at most.
const PAGES: usize = 200;

/// What was drawn last, and when. Whoever asks meanwhile waits for it.
#[derive(Default)]
pub(super) struct Charts(Mutex<Option<(Instant, String)>>);

impl Charts {
    /// The content of the page.
    pub(super) async fn drawn(&self, queries: &Queries) -> Result<String, ConsoleError> {
        let mut last = self.0.lock().await;
        if let Some((_, drawn)) = last.as_ref().filter(|(at, _)| at.elapsed() < SHOWN_FOR) {
            return Ok(drawn.clone());
        }
        let day = Day::read(queries, Timestamp::now().as_millisecond()).await?;
        let drawn = day.draw().into_string();
        *last = Some((Instant::now(), drawn.clone()));
        Ok(drawn)
    }
}

/// What the charts show, for each part of the day.
struct Day {
    from: i64,
    /// Milliseconds that streams ran.
    live_ms: [i64; STEPS],
    starts: [u32; STEPS],
    failures: [u32; STEPS],
    /// Milliseconds to first audio of every agent.
    audio: [Vec<i64>; STEPS],
    calls: usize,
    is_complete: bool,
}

impl Day {
    async fn read(queries: &Queries, now: i64) -> Result<Self, ConsoleError> {
        let from = now - now.rem_euclid(STEP_MS) - STEP_MS * (STEPS as i64 - 1);
        let mut day = Self {
            from,
            live_ms: [0; STEPS],
            starts: [0; STEPS],
            failures: [0; STEPS],
            audio: [const { Vec::new() }; STEPS],
            calls: 0,
            is_complete: false,
        };
        let mut query = ListQuery::of(ListState::All);
        for _ in 0..PAGES {
            let list = queries.calls(&query).await?;
            // The most recently changed come first: none after this one has changed within the day.
            let ends = list.calls.last().is_none_or(|call| call.changed_ms < from);
            list.calls.iter().for_each(|call| day.add(call, now));
            match list.next.filter(|_| !ends) {
                Some(next) => query.after = next,
                None => {
                    day.is_complete = true;
                    break;
                }
            }
        }
        Ok(day)
    }

    fn add(&mut self, call: &CallView, now: i64) {
        if call.shadow || call.changed_ms < self.from {
            return;
        }
        self.calls += 1;
        call.streams.iter().for_each(|stream| self.add_stream(stream, now));
        for agent in &call.agents {
            let Some(step) = agent.accepted_ms.and_then(|at| self.step(at)) else { continue };
            if agent.outcome == "missing" {
                self.failures[step] += 1;
            }
            self.audio[step].extend(agent.audio_after_ms);
        }
    }

    fn add_stream(&mut self, stream: &StreamView, now: i64) {
        let Some(from) = stream.from_ms else { return };
        let to = stream.to_ms.unwrap_or(now);
        if let Some(step) = self.step(from) {
            self.starts[step] += 1;
        }
        if let (true, Some(step)) = (stream.state == "failed", self.step(to)) {
            self.failures[step] += 1;
        }
        for (begins, live_ms) in (0..).map(|step| self.from + step * STEP_MS).zip(&mut self.live_ms) {
            *live_ms += (to.min(begins + STEP_MS) - from.max(begins)).max(0);
        }
    }

    fn step(&self, at: i64) -> Option<usize> {
        usize::try_from((at - self.from).div_euclid(STEP_MS)).ok().filter(|step| *step < STEPS)
    }

    fn draw(&self) -> Markup {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a day")]
        let live = self.live_ms.map(|ms| Some(ms as f64 / STEP_MS as f64));
        let [starts, failures] =
            [&self.starts, &self.failures].map(|counts| counts.map(|count| Some(f64::from(count))));
        let audio: Vec<Option<f64>> = self.audio.iter().map(|times| p95_seconds(times)).collect();
        let chart = |id, title, unit, colour, values: &[Option<f64>]| {
            Chart { id, title, unit, colour, from: self.from, step_ms: STEP_MS, values }.draw()
        };
        html! {
            h1 { (DAY) }
            p.lead { (self.calls) " calls changed in the last 24 hours. Times are UTC; a bar stands for half an hour." }
            @if !self.is_complete { p.hint { "There are more calls than are read for this page: older ones are missing." } }
            div.charts {
                (chart("live", "Streams live", "on average in half an hour", "good", &live))
                (chart("starts", "Starts", "streams in half an hour", "calm", &starts))
                (chart("failures", "Failures", "agents without a stream, streams that failed", "bad", &failures))
                (chart("audio", "Time to first audio", "seconds, 95th percentile", "calm", &audio))
            }
            p.shortcuts { a href="/console?state=all&from=24h&outcome=problem" { "Calls of the last 24 hours with a problem" } }
        }
    }
}

/// What 19 of 20 are not above.
fn p95_seconds(times: &[i64]) -> Option<f64> {
    let mut times = times.to_vec();
    times.sort_unstable();
    let place = (times.len() * 19).div_ceil(20).checked_sub(1)?;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a call")]
    times.get(place).map(|ms| *ms as f64 / 1000.0)
}
