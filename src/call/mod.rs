//! The pure core. A call is the fold of its facts; what should be done next is a function of it, of the time and of what
//! other tasks do to the same leg.
//!
//! No clock, no network, no disk, no log, no randomness and no error: everything comes in as a value and goes out as one.
//! An answer is a claim: what Twilio says it will do is *taken*, and proven by a reading, a status callback or an event.
//!
//! | file | what it answers |
//! |---|---|
//! | [`fact`] | what can be known |
//! | [`notice`] | of that, what the core reports by itself |
//! | [`step`] | what can be done, and how it can end |
//! | [`state`] | the fold, and what others ask of a call |
//! | [`task`] | what TaskRouter has told: reservations, transfers, whether anybody is entitled to the audio |
//! | `legs` | whose leg is whose |
//! | `leg` | the customer's leg: conference, guard, whereabouts, whether it is in progress |
//! | `register` | a value that we write and that only a reading proves |
//! | `hold` | the hold that should be |
//! | [`holds`], `holding` | holds as some streams go by them: a row for each, and what is due about them |
//! | [`streams`] | a row for every stream |
//! | [`retry`] | tries, and giving up |
//! | [`pause`], [`pauses`] | intervals in which no audio may leave: what is said of them, and a row for each |
//! | `pausing` | what is due about them: proof and time |
//! | [`recording`], `recordings` | what is said of recordings; a row for each |
//! | `recording_goals` | what is due about them within a pause and after it |
//! | `plan` | which streams should run, and which changes lead there |
//! | [`next`] | the next step |
//! | `redirect` | changes by new TwiML for the leg |
//! | [`summary`], `summarizer` | what a list shows of a call |
//! | [`rules`] | which streams are wanted where |
//! | [`policy`] | the limits that all of it obeys |

pub mod fact;
mod hold;
mod holding;
pub mod holds;
mod leg;
mod legs;
mod lww_register;
pub mod next;
pub mod notice;
pub mod pause;
pub mod pauses;
mod pausing;
mod plan;
pub mod policy;
pub mod recording;
mod recording_goals;
mod recordings;
mod redirect;
mod register;
pub mod retry;
pub mod rules;
pub mod sid;
pub mod state;
pub mod step;
pub mod streams;
mod summarizer;
pub mod summary;
pub mod task;
mod voice_event;

pub use next::{Around, Next};
pub use policy::Policy;
pub use state::{Call, Neighbour};
pub use summarizer::{Summarizer, summarize};
pub use summary::Summary;
