//! The operators' console on the admin listener: pages for people, and JSON for `calls`.
//!
//! | module | what it is |
//! |---|---|
//! | `routes` | the paths |
//! | `settings`, `state` | limits, and what the handlers share |
//! | `access` | who may use it, and the security headers of every answer |
//! | `view` | what is shown of a call: SIDs, states and times, never attributes or phone numbers |
//! | `queries` | reads calls from the journal into views |
//! | `actions` | redrive and dismiss: facts like any other |
//! | `api` | both as JSON |
//! | `pages`, `call_page` | both as HTML; `layout` and `widgets` are their parts |
//! | `diagram`, `picture` | a call's story as SVG, within a page or as a file |
//! | `live` | pages that follow changes, by server-sent events |
//! | `error`, `page_error` | why a request failed, as JSON and as a page |
//!
//! Everything works without JavaScript, except live updates. Nothing is loaded from other sites.

mod access;
mod actions;
mod api;
mod call_page;
mod diagram;
mod error;
mod layout;
mod live;
mod page_error;
mod pages;
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
