//! The operators' console on the admin listener: pages for people, and JSON for `calls`.
//!
//! | module | what it is |
//! |---|---|
//! | `routes` | the paths |
//! | `settings`, `state` | limits, and what the handlers share |
//! | `access` | who may use it, and the security headers of every answer |
//! | `view` | what is shown of a call: SIDs, states, times and names, never attributes or phone numbers |
//! | `pause_view` | of a pause, what proves it |
//! | `queries`, `filter` | reads calls from the journal into views, and which of them |
//! | `actions` | redrive and dismiss: facts like any other |
//! | `pauses` | pause and resume |
//! | `export` | a call's evidence, for an auditor |
//! | `api` | all of these as JSON |
//! | `pages`, `call_page`, `bulk` | the same as HTML; `layout`, `widgets` and `error_codes` are their parts |
//! | `day`, `chart` | the last day in charts |
//! | `diagram`, `picture` | a call's story as SVG, within a page or as a file |
//! | `live` | pages that follow changes, by server-sent events |
//! | `error`, `page_error` | why a request failed, as JSON and as a page |
//!
//! Everything works without JavaScript, except live updates. Nothing is loaded from other sites.

mod access;
mod actions;
mod api;
mod bulk;
mod call_page;
mod chart;
mod day;
mod diagram;
mod error;
mod error_codes;
mod export;
mod filter;
mod layout;
mod live;
mod page_error;
mod pages;
mod pause_view;
mod pauses;
mod picture;
mod queries;
mod routes;
mod settings;
mod state;
pub mod view;
mod widgets;

pub use picture::picture;
pub use routes::console;
pub use settings::ConsoleSettings;
