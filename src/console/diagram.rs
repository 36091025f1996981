//! A call's story as a diagram, with a row for the customer's leg, each agent, each stream, and our requests.
//!
//! Most of the time nothing happens in a call, and then much within a second. So a page's axis is not to scale: a gap grows with
//! its logarithm, and the labels show the time. Pictures that compare stories share one linear scale instead.

use crate::call::Call;
use crate::call::fact::{EpochMs, Fact, FactKind, ReservationChange};
use crate::call::sid::ReservationSid;
use crate::call::step::{Answer, Command, Guard, Operation, Outcome};
use crate::call::streams::Stream;
use crate::timeline::{self, Kind};
use maud::{Markup, html};
use std::collections::BTreeMap;

const ROW_HEIGHT: f64 = 34.0;
const BAR: f64 = 14.0;
const AXIS: f64 = 28.0;
const MARGIN: f64 = 12.0;
/// The minimal distance between labels of the axis.
const LABEL: f64 = 72.0;
/// A shorter story is stretched to this width.
const WIDE: f64 = 1050.0;
/// Between the labels of a linear axis.
const TICK_MS: i64 = 200;

/// One row: its name and its bars.
struct Row {
    name: String,
    marks: Vec<Mark>,
}

/// A bar with its tooltip.
struct Mark {
    from: EpochMs,
    to: EpochMs,
    class: String,
    title: String,
}

/// The classes of bars and what they mean. A colour means one thing; red is trouble.
pub(super) const LEGEND: [(&str, &str); 12] = [
    ("customer", "customer in the conference"),
    ("customer lowered", "guard lowered"),
    ("customer held", "held"),
    ("customer away", "outside the conference, on the way back"),
    ("agent offered", "offered"),
    ("agent", "on the call"),
    ("agent wrapping", "wrapping up"),
    ("stream slot-0", "stream to destination A"),
    ("stream slot-1", "stream to destination B"),
    ("stream unheard slot-0", "stream, not proven yet"),
    ("request", "request"),
    ("request failed", "request that failed"),
];

/// Where a time lies on the axis.
enum Scale {
    /// A gap grows with its logarithm.
    Logarithmic(Vec<(EpochMs, f64)>),
    /// So many pixels for a millisecond.
    Linear { began: EpochMs, end: EpochMs, per_ms: f64 },
}

impl Scale {
    fn logarithmic(mut times: Vec<EpochMs>) -> Self {
        times.sort_unstable();
        times.dedup();
        let mut points: Vec<(EpochMs, f64)> = Vec::with_capacity(times.len());
        for at in times {
            let x = points.last().map_or(MARGIN, |(before, x)| x + width(at - before));
            points.push((at, x));
        }
        let wide = points.last().map_or(0.0, |(_, x)| x - MARGIN);
        if wide > 0.0 && wide < WIDE {
            points.iter_mut().for_each(|(_, x)| *x = MARGIN + (*x - MARGIN) * WIDE / wide);
        }
        Self::Logarithmic(points)
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a call have far fewer than 52 bits")]
    fn x(&self, at: EpochMs) -> f64 {
        match self {
            Scale::Logarithmic(points) => {
                let place = points.partition_point(|(time, _)| *time < at);
                points.get(place).or(points.last()).map_or(MARGIN, |(_, x)| *x)
            }
            Scale::Linear { began, end, per_ms } => MARGIN + (at.clamp(*began, *end) - began) as f64 * per_ms,
        }
    }

    fn end(&self) -> f64 {
        match self {
            Scale::Logarithmic(points) => points.last().map_or(MARGIN, |(_, x)| *x),
            Scale::Linear { end, .. } => self.x(*end),
        }
    }

    /// Times that a label may stand at.
    fn labels(&self) -> Vec<(EpochMs, f64)> {
        match self {
            Scale::Logarithmic(points) => points.clone(),
            Scale::Linear { began, end, .. } => {
                let marks = std::iter::successors(Some(*began), |at| Some(at + TICK_MS));
                marks.take_while(|at| at <= end).map(|at| (at, self.x(at))).collect()
            }
        }
    }
}

/// From the first fact to the last.
pub(super) fn duration(facts: &[Fact]) -> i64 {
    facts.first().zip(facts.last()).map_or(0, |(first, last)| last.at - first.at)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a call have far fewer than 52 bits")]
fn width(gap_ms: i64) -> f64 {
    5.0 + 30.0 * (1.0 + gap_ms as f64 / 60.0).log10()
}

/// A drawing's two parts, of which the second may be scrolled.
pub(super) struct Drawing {
    /// The names of the rows.
    pub(super) names: Markup,
    /// The axis and the bars.
    pub(super) rows: Markup,
    pub(super) wide: f64,
    pub(super) high: f64,
}

/// Draws the story of these facts to a scale in which `wide_ms` fill the width, as the insides of two SVGs.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a call have far fewer than 52 bits")]
pub(super) fn drawing_to_scale(facts: &[Fact], wide_ms: i64) -> Drawing {
    let (began, end) = facts.first().zip(facts.last()).map_or((0, 0), |(first, last)| (first.at, last.at));
    drawing(facts, &Scale::Linear { began, end, per_ms: WIDE / wide_ms.max(1) as f64 })
}

fn drawing(facts: &[Fact], scale: &Scale) -> Drawing {
    let drawn = rows(facts);
    let began = facts.first().map_or(0, |fact| fact.at);
    let rows = u32::try_from(drawn.len()).map_or(0.0, f64::from);
    let (wide, high) = (scale.end() + 3.0 * MARGIN, AXIS + rows * ROW_HEIGHT + MARGIN);
    let names = html! {
        @for (row, y) in drawn.iter().zip(tops()) {
            text x="0" y=(y + BAR - 3.0) { (row.name) }
        }
    };
    let marks = html! {
        (axis(scale, began, high))
        @for (row, y) in drawn.iter().zip(tops()) {
            line.row-line x1="0" x2=(format!("{wide:.0}")) y1=(y + BAR / 2.0) y2=(y + BAR / 2.0) {}
            @for mark in &row.marks { (bar(mark, scale, y)) }
        }
    };
    Drawing { names, rows: marks, wide, high }
}

/// Draws the story of these facts for a page.
pub(super) fn draw(facts: &[Fact]) -> Markup {
    let scale = Scale::logarithmic(facts.iter().map(|fact| fact.at).collect());
    let Drawing { names, rows, wide, high } = drawing(facts, &scale);
    html! {
        div.diagram {
            svg.row-names aria-hidden="true" width="150" height=(high) viewBox=(format!("0 0 150 {high:.0}")) { (names) }
            div.row-scroll id="diagram" data-keep-scroll tabindex="0" role="region" aria-label="Diagram of the call" {
                svg role="img" aria-labelledby="diagram-title" width=(format!("{wide:.0}")) height=(high)
                    viewBox=(format!("0 0 {wide:.0} {high:.0}")) {
                    title id="diagram-title" { "The call over time; the table below shows the same as text." }
                    (rows)
                }
            }
        }
    }
}

fn tops() -> impl Iterator<Item = f64> {
    std::iter::successors(Some(AXIS + 8.0), |y| Some(y + ROW_HEIGHT))
}

fn axis(scale: &Scale, began: EpochMs, high: f64) -> Markup {
    let mut last = f64::NEG_INFINITY;
    let labels = scale.labels();
    let labelled = labels.iter().filter(|(_, x)| {
        let fits = x - last >= LABEL;
        if fits {
            last = *x;
        }
        fits
    });
    html! {
        @for (at, x) in labelled {
            line.tick x1=(format!("{x:.1}")) x2=(format!("{x:.1}")) y1=(AXIS - 6.0) y2=(high) {}
            text.tick-label x=(format!("{x:.1}")) y=(AXIS - 12.0) { (since(at - began)) }
        }
    }
}

/// As in "0.42 s", "12 s" and "3:05".
fn since(ms: i64) -> String {
    match ms {
        ..10_000 => format!("{}.{:02} s", ms / 1000, ms % 1000 / 10),
        10_000..60_000 => format!("{} s", ms / 1000),
        _ => format!("{}:{:02}", ms / 60_000, ms / 1000 % 60),
    }
}

fn bar(mark: &Mark, scale: &Scale, y: f64) -> Markup {
    let (x, end) = (scale.x(mark.from), scale.x(mark.to));
    let is_point = mark.from == mark.to;
    // A moment must be visible too.
    let wide = if is_point { 5.0 } else { (end - x).max(5.0) };
    html! {
        rect class=(mark.class) x=(format!("{x:.1}")) y=(y) width=(format!("{wide:.1}")) height=(BAR) rx="3" {
            title { (mark.title) }
        }
    }
}

fn rows(facts: &[Fact]) -> Vec<Row> {
    let names = timeline::agents(facts);
    let mut rows = vec![Row { name: "Customer".to_owned(), marks: customer(facts) }];
    for (reservation, name) in &names {
        rows.push(Row { name: capital(name), marks: agent(facts, reservation) });
    }
    let names: BTreeMap<ReservationSid, String> = names.into_iter().collect();
    rows.extend(streams(facts, &names));
    rows.push(Row { name: "Our requests".to_owned(), marks: requests(facts) });
    rows
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Where the customer was (in the conference or rejoining it), held or not, with the guard raised or lowered.
fn customer(facts: &[Fact]) -> Vec<Mark> {
    let mut states: Vec<(EpochMs, [bool; 3])> = Vec::new();
    let (mut call, mut away) = (Call::default(), false);
    for fact in facts {
        call.apply(fact);
        if let FactKind::Settled(settled) = &fact.kind {
            match (&settled.step.operation, &settled.outcome) {
                (Operation::Command(Command::Redirect { .. }), Outcome::Done(_)) => away = true,
                (_, Outcome::Done(Answer::Participants(rows))) => {
                    away &= !rows.iter().any(|row| row.connected && Some(&row.call) == call.customer());
                }
                _ => {}
            }
        }
        let state = [away, call.held() == Some(true), call.guard() == Some(Guard::Lowered)];
        if call.customer().is_some() && states.last().is_none_or(|(_, last)| *last != state) {
            states.push((fact.at, state));
        }
    }
    let end = over_at(facts);
    let ends = states.iter().skip(1).map(|(at, _)| *at).chain([end]);
    let marks = states.iter().zip(ends).map(|((from, [away, held, lowered]), to)| {
        let class = match (away, held, lowered) {
            (true, _, _) => "customer away",
            (false, true, _) => "customer held",
            (false, false, true) => "customer lowered",
            (false, false, false) => "customer",
        };
        let place = if *away { "rejoining the conference" } else { "in the conference" };
        let hold = if *held { ", held" } else { "" };
        let guard = if *lowered { ", guard lowered" } else { "" };
        Mark {
            from: *from,
            to: to.max(*from),
            class: class.to_owned(),
            title: format!("Customer {place}{hold}{guard}"),
        }
    });
    marks.collect()
}

/// When the call ended, else the time of its last fact.
fn over_at(facts: &[Fact]) -> EpochMs {
    let mut call = Call::default();
    let over = facts.iter().find(|fact| {
        call.apply(fact);
        call.is_over()
    });
    over.or(facts.last()).map_or(0, |fact| fact.at)
}

fn agent(facts: &[Fact], reservation: &ReservationSid) -> Vec<Mark> {
    let mut marks: Vec<Mark> = Vec::new();
    let mut open: Option<(EpochMs, &'static str, &'static str)> = None;
    for fact in facts {
        let FactKind::Reservation(event) = &fact.kind else { continue };
        if event.reservation != *reservation {
            continue;
        }
        if let Some((from, class, title)) = open.take() {
            marks.push(Mark { from, to: fact.at, class: class.to_owned(), title: title.to_owned() });
        }
        open = match event.change {
            ReservationChange::Created => Some((fact.at, "agent offered", "Offered the call")),
            ReservationChange::Accepted => Some((fact.at, "agent", "On the call")),
            ReservationChange::Wrapup => Some((fact.at, "agent wrapping", "Wrapping up")),
            ReservationChange::Completed
            | ReservationChange::Rejected
            | ReservationChange::Timeout
            | ReservationChange::Canceled
            | ReservationChange::Rescinded
            | ReservationChange::Failed => None,
        };
    }
    let end = facts.last().map_or(0, |fact| fact.at);
    marks.extend(open.map(|(from, class, title)| Mark {
        from,
        to: end,
        class: class.to_owned(),
        title: title.to_owned(),
    }));
    marks
}

fn streams(facts: &[Fact], names: &BTreeMap<ReservationSid, String>) -> Vec<Row> {
    let end = over_at(facts);
    let row = |stream: &Stream| {
        let agent = names.get(&stream.reservation).map_or("nobody", String::as_str);
        let slot = timeline::letter(stream.slot);
        let title = format!("{} on destination {slot} for {agent}", stream.name);
        let from = stream.taken_at().or(stream.started_at()).unwrap_or(end);
        let to = stream.over_at().unwrap_or(end).max(from);
        let mut marks = Vec::new();
        // Paler until Twilio has told that its socket is open.
        let heard = stream.started_at().unwrap_or(to).clamp(from, to);
        if heard > from {
            let title = format!("{title}, not proven yet");
            marks.push(Mark { from, to: heard, class: format!("stream unheard slot-{}", stream.slot % 6), title });
        }
        if heard < to {
            marks.push(Mark { from: heard, to, class: format!("stream slot-{}", stream.slot % 6), title });
        }
        Row { name: format!("Stream {slot}, {agent}"), marks }
    };
    Call::fold(facts).streams().iter().map(row).collect()
}

fn requests(facts: &[Fact]) -> Vec<Mark> {
    let lines = timeline::lines(facts).into_iter();
    let ours = lines.filter_map(|line| {
        let class = match line.kind {
            Kind::Step => "request",
            Kind::NotSent => "request not-sent",
            Kind::Failure | Kind::Warning => "request failed",
            Kind::Parked => "request parked",
            Kind::Operator => "request operator",
            Kind::Event | Kind::Stream => return None,
        };
        let why = line.why.map(|why| format!(" (to {why})")).unwrap_or_default();
        Some(Mark { from: line.at, to: line.at, class: class.to_owned(), title: format!("{}{why}", line.text) })
    });
    ours.collect()
}
