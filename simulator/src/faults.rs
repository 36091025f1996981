//! What goes wrong on purpose: scripted for a test, or drawn from a seed.

use super::world::{OpName, Reply};

/// One thing that goes wrong with one REST request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An answer other than the due one.
    Answer {
        /// HTTP status.
        status: u16,
        /// `Retry-After`, verbatim.
        retry_after: Option<String>,
        /// What the body is.
        body: FaultBody,
        /// Whether the request is performed all the same.
        took_effect: bool,
    },
    /// The connection is cut before a status line was sent.
    Cut {
        /// Whether the request is performed before the cut.
        took_effect: bool,
    },
    /// No answer until the client gives up.
    Hang {
        /// Whether the request is performed all the same.
        took_effect: bool,
    },
    /// The answer is lost, and the request is performed when nobody waits for it any more.
    LandsLate {
        /// How the answer is lost.
        lost: Lost,
        /// From the answer's loss to the effect, ms: at most what a client's own time-out is.
        after_ms: u64,
    },
    /// The task's conference ends right before or after the request is performed.
    ConferenceEnds(Side),
    /// The customer hangs up right before or after the request is performed.
    CustomerHangsUp(Side),
}

/// How an answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The connection is cut at once.
    Cut,
    /// The client waits in vain.
    Hang,
}

/// The body of a faulty answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultBody {
    /// Twilio's JSON, with the code that goes with the status.
    Json,
    /// A proxy's page.
    Html,
    /// A line of plain text, as a load balancer writes it.
    PlainText,
    /// An error in XML, as Twilio's older interfaces write it.
    Xml,
    /// Twilio's JSON, cut off in the middle.
    TruncatedJson,
    /// Nothing.
    Empty,
}

impl FaultBody {
    /// Its content type and its text, for an answer of this status.
    pub fn render(self, status: u16) -> (&'static str, String) {
        let code = match status {
            400 => 20001,
            401 => 20003,
            403 => 20006,
            404 => 20404,
            429 => 20429,
            503 => 20503,
            _ => 20500,
        };
        let json = || Reply::error(status, code, "simulated failure").body.to_string();
        match self {
            Self::Json => ("application/json", json()),
            Self::TruncatedJson => ("application/json", json().chars().take(20).collect()),
            Self::Html => ("text/html", "<html><body><h1>upstream failure</h1></body></html>".to_owned()),
            Self::PlainText => ("text/plain", "no healthy upstream\n".to_owned()),
            Self::Xml => (
                "application/xml",
                format!("<TwilioResponse><RestException><Status>{status}</Status></RestException></TwilioResponse>"),
            ),
            Self::Empty => ("text/plain", String::new()),
        }
    }
}

/// Around a request's being performed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Just before.
    Before,
    /// Just after.
    After,
}

/// Which request is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// The next one of this endpoint.
    Next(OpName),
    /// The n-th authentic request from now, whatever it asks for; 1 is the next.
    Request(u32),
}

/// How likely each fault is with a request, in thousandths; together at most 1000.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a fault, named")]
pub struct Mix {
    pub rate_limited: u32,
    pub unavailable: u32,
    pub failed_after_effect: u32,
    pub cut_before_effect: u32,
    pub cut_after_effect: u32,
    pub conference_ends: u32,
    pub customer_hangs_up: u32,
}

/// The faults to come.
#[derive(Debug, Default)]
pub struct Faults {
    scripted: Vec<(On, u32, Fault)>,
    random: Option<(Mix, u64)>,
}

impl Fault {
    /// An answer with Twilio's JSON body and no effect.
    pub fn status(status: u16) -> Self {
        Fault::Answer { status, retry_after: None, body: FaultBody::Json, took_effect: false }
    }

    /// A short name for the record.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Answer { took_effect: false, .. } => "faulty answer",
            Fault::Answer { took_effect: true, .. } => "faulty answer after the effect",
            Fault::Cut { took_effect: false } => "cut before the effect",
            Fault::Cut { took_effect: true } => "cut after the effect",
            Fault::Hang { took_effect: false } => "hang before the effect",
            Fault::Hang { took_effect: true } => "hang after the effect",
            Fault::LandsLate { lost: Lost::Cut, .. } => "cut, and the effect later",
            Fault::LandsLate { lost: Lost::Hang, .. } => "hang, and the effect later",
            Fault::ConferenceEnds(_) => "conference ends",
            Fault::CustomerHangsUp(_) => "customer hangs up",
        }
    }
}

impl Faults {
    /// Plays `fault` with the next `times` requests that are meant. Of several that fit one request, the oldest is played.
    pub fn script(&mut self, on: On, times: u32, fault: Fault) {
        self.scripted.extend((times > 0).then_some((on, times, fault)));
    }

    /// Draws a fault for every request from now on, the same ones for the same seed.
    pub fn randomly(&mut self, mix: Mix, seed: u64) {
        self.random = Some((mix, seed));
    }

    /// Nothing goes wrong any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Scripted faults that no request has met yet.
    pub fn left(&self) -> usize {
        self.scripted.len()
    }

    /// The fault of this request, if any.
    pub fn take(&mut self, op: OpName) -> Option<Fault> {
        let mut fits = None;
        for (place, (on, _, _)) in self.scripted.iter_mut().enumerate() {
            let meant = match on {
                On::Next(wanted) => *wanted == op,
                On::Request(1) => true,
                On::Request(left) => {
                    *left = left.saturating_sub(1);
                    false
                }
            };
            if meant && fits.is_none() {
                fits = Some(place);
            }
        }
        let Some(place) = fits else { return self.draw() };
        let (_, times, fault) = self.scripted.get_mut(place)?;
        let fault = fault.clone();
        *times -= 1;
        if *times == 0 {
            self.scripted.remove(place);
        }
        Some(fault)
    }

    fn draw(&mut self) -> Option<Fault> {
        let (mix, state) = self.random.as_mut()?;
        *state = super::world::scramble(*state);
        let (drawn, side) = (u32::try_from(*state % 1_000).unwrap_or(0), *state >> 63);
        let side = if side == 0 { Side::Before } else { Side::After };
        let answer =
            |status, took_effect| Fault::Answer { status, retry_after: None, body: FaultBody::Json, took_effect };
        let chances = [
            (mix.rate_limited, answer(429, false)),
            (mix.unavailable, answer(503, false)),
            (mix.failed_after_effect, answer(500, true)),
            (mix.cut_before_effect, Fault::Cut { took_effect: false }),
            (mix.cut_after_effect, Fault::Cut { took_effect: true }),
            (mix.conference_ends, Fault::ConferenceEnds(side)),
            (mix.customer_hangs_up, Fault::CustomerHangsUp(side)),
        ];
        let mut edge = 0;
        chances.into_iter().find_map(|(chance, fault)| {
            edge += chance;
            (drawn < edge).then_some(fault)
        })
    }
}
