//! Stories as a self-contained SVG file.

use super::diagram::{Drawing, LEGEND, drawing_to_scale, duration};
use crate::call::fact::Fact;
use maud::{Markup, html};

/// The diagram's colours on white, as in the console's light theme.
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#16202b}.heading{font-size:17px;font-weight:650}\
.tick-label,.legend{font-size:11.5px;fill:#5a6672}.tick{stroke:#dde1e6;stroke-dasharray:2 4}.row-line{stroke:#dde1e6}\
.customer{fill:#44617f}.customer.lowered{fill:#9cb6d0}.customer.held{fill:#e0a030}.customer.away{fill:#16202b}\
.agent{fill:#3aa56f}.agent.offered{fill:none;stroke:#44617f;stroke-dasharray:3 3}.agent.wrapping{fill:#cfe4d8}\
.stream.unheard{opacity:.55}.slot-0{fill:#1f6fd6}.slot-1{fill:#a13fb8}.slot-2{fill:#0e8577}.slot-3{fill:#b25a00}\
.slot-4{fill:#b02a60}.slot-5{fill:#5a6b00}.request{fill:#5a6672}.request.failed{fill:#e58f88}.request.parked{fill:#b3261e}";

/// The width of the rows' names.
const NAMES: f64 = 160.0;
const HEADING: f64 = 40.0;
const EDGE: f64 = 16.0;
/// A row of the legend, and how many of its marks stand in one.
const LEGEND_ROW: f64 = 22.0;
const LEGEND_MARKS: u32 = 4;

/// Draws stories one below the other to one linear scale, each under its heading, and what the colours mean.
pub fn picture(stories: &[(&str, &[Fact])]) -> String {
    let wide_ms = stories.iter().map(|(_, facts)| duration(facts)).max().unwrap_or(1);
    let drawn: Vec<(&str, Drawing)> =
        stories.iter().map(|(heading, facts)| (*heading, drawing_to_scale(facts, wide_ms))).collect();
    let wide = drawn.iter().map(|(_, drawing)| drawing.wide).fold(0.0, f64::max) + NAMES + 2.0 * EDGE;
    let below = drawn.iter().map(|(_, drawing)| drawing.high + HEADING).sum::<f64>() + EDGE;
    let legend_rows = u32::try_from(LEGEND.len()).map_or(0, |marks| marks.div_ceil(LEGEND_MARKS));
    let high = below + LEGEND_ROW * f64::from(legend_rows) + EDGE;
    let tops = drawn.iter().scan(EDGE, |top, (_, drawing)| {
        let here = *top;
        *top += drawing.high + HEADING;
        Some(here)
    });
    let markup = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(format!("{wide:.0}")) height=(format!("{high:.0}"))
            viewBox=(format!("0 0 {wide:.0} {high:.0}")) role="img" {
            title { "A call over time: the customer, the agents, the streams, and the worker's requests" }
            style { (STYLE) }
            rect width="100%" height="100%" fill="#ffffff" {}
            @for ((heading, drawing), top) in drawn.iter().zip(tops) {
                text.heading x=(EDGE) y=(format!("{:.0}", top + 20.0)) { (heading) }
                g transform=(format!("translate({EDGE} {:.0})", top + HEADING)) { (drawing.names) }
                g transform=(format!("translate({} {:.0})", EDGE + NAMES, top + HEADING)) { (drawing.rows) }
            }
            (legend(below, wide - 2.0 * EDGE))
        }
    };
    markup.into_string()
}

fn legend(top: f64, wide: f64) -> Markup {
    let place = |place: u32| {
        let (column, row) = (place % LEGEND_MARKS, place / LEGEND_MARKS);
        (EDGE + f64::from(column) * wide / f64::from(LEGEND_MARKS), top + f64::from(row) * LEGEND_ROW)
    };
    html! {
        @for ((class, text), (x, y)) in LEGEND.into_iter().zip((0..).map(place)) {
            rect class=(class) x=(format!("{x:.0}")) y=(format!("{y:.0}")) width="18" height="12" rx="3" {}
            text.legend x=(format!("{:.0}", x + 26.0)) y=(format!("{:.0}", y + 10.0)) { (text) }
        }
    }
}
