//! One chart over time, as SVG within a page.

use crate::call::fact::EpochMs;
use jiff::Timestamp;
use maud::{Markup, html};

const WIDE: f64 = 560.0;
const HIGH: f64 = 150.0;
const LEFT: f64 = 44.0;
const BELOW: f64 = 22.0;
const ABOVE: f64 = 10.0;

/// Labels of the time axis.
const TIMES: usize = 6;

/// What is drawn: a value for each of equal parts of a time.
pub(super) struct Chart<'a> {
    /// Unique on the page.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) unit: &'a str,
    /// "good", "bad" or "calm".
    pub(super) colour: &'a str,
    pub(super) from: EpochMs,
    /// The length of each part.
    pub(super) step_ms: i64,
    /// `None` where there is nothing to show.
    pub(super) values: &'a [Option<f64>],
}

impl Chart<'_> {
    pub(super) fn draw(&self) -> Markup {
        let top = ceiling(self.values.iter().flatten().copied().fold(0.0, f64::max));
        let (plot_wide, plot_high) = (WIDE - LEFT - 8.0, HIGH - ABOVE - BELOW);
        let count = u32::try_from(self.values.len()).map_or(1.0, f64::from).max(1.0);
        let part = plot_wide / count;
        let title = format!("{}-title", self.id);
        let bars = (0_u32..).zip(self.values).filter_map(|(place, value)| value.map(|value| (f64::from(place), value)));
        html! {
            figure.chart {
                figcaption id=(title) { (self.title) " " span.quiet { "(" (self.unit) ")" } }
                svg role="img" aria-labelledby=(title) viewBox=(format!("0 0 {WIDE:.0} {HIGH:.0}")) {
                    @for share in [0.0, 0.5, 1.0] {
                        @let y = ABOVE + plot_high * (1.0 - share);
                        line.grid x1=(LEFT) x2=(format!("{:.0}", LEFT + plot_wide)) y1=(format!("{y:.1}")) y2=(format!("{y:.1}")) {}
                        text.value x=(LEFT - 6.0) y=(format!("{:.1}", y + 4.0)) text-anchor="end" { (number(top * share)) }
                    }
                    @for (place, value) in bars {
                        @let high = if top > 0.0 { plot_high * value / top } else { 0.0 };
                        rect class=(self.colour) x=(format!("{:.1}", LEFT + place * part + 0.5))
                            y=(format!("{:.1}", ABOVE + plot_high - high)) width=(format!("{:.1}", (part - 1.0).max(1.0)))
                            height=(format!("{high:.1}")) {
                            title { (clock(self.at(place))) ": " (number(value)) " " (self.unit) }
                        }
                    }
                    @for mark in 0..TIMES {
                        @let share = u32::try_from(mark).map_or(0.0, f64::from) / 6.0;
                        @let x = LEFT + plot_wide * share;
                        text.time x=(format!("{x:.1}")) y=(HIGH - 6.0) { (clock(self.at(count * share))) }
                    }
                }
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a place among a few dozen parts")]
    fn at(&self, place: f64) -> EpochMs {
        self.from + self.step_ms * place as i64
    }
}

/// The next round number above.
fn ceiling(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let magnitude = 10_f64.powf(value.log10().floor());
    let rounds = [1.0, 2.0, 5.0, 10.0].map(|round| round * magnitude);
    rounds.into_iter().find(|round| *round >= value).unwrap_or(value)
}

fn number(value: f64) -> String {
    match value.fract().abs() {
        ..0.005 => format!("{value:.0}"),
        _ if value < 1.0 => format!("{value:.2}"),
        _ => format!("{value:.1}"),
    }
}

/// A time of day in UTC.
fn clock(at: EpochMs) -> String {
    Timestamp::from_millisecond(at).map_or_else(|_| "–".to_owned(), |at| at.strftime("%H:%M").to_string())
}
