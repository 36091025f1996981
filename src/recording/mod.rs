//! Recording what Twilio sends, as fixtures for tests, without anything personal.
//!
//! A folder has one file for each event, delivery, status callback and answer, numbered in the order in which they came, an answer in
//! the place of its request. The formats are those that `replay` reads: docs/operations.md describes them.
//!
//! What is kept is allowed by name, never what is not forbidden: types of events, statuses, flags and small numbers. Every SID, name,
//! number and free text is replaced, the same value by the same replacement within a folder; times are moved by one span. A
//! parameter or field that no list here names is left out. The lists:
//!
//! | module | what it keeps |
//! |---|---|
//! | `pseudonyms` | replacements, and which value has which |
//! | `forms` | parameters of events and status callbacks |
//! | `attributes` | attributes of tasks and workers, as far as the program reads them |
//! | `deliveries` | Event Streams |
//! | `answers` | requests to the API and its answers |
//! | `recorder` | the thread that replaces and writes |

mod answers;
mod attributes;
mod deliveries;
mod forms;
mod pseudonyms;
mod recorder;

pub use recorder::{Known, Recorder};
