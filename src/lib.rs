//! Kitfox: a server for `OpenAI`'s `ChatKit` whose agent is made of files.
//!
//! Each module uses only those to its right, and a test compares every `crate::` path with this order:
//!
//! `cli → distribution, server → ops → turn → app → plugin, mcp → model → tool → credential → oauth → vault → store → prompt, widget →
//! jinja → context → telemetry → config → net → user, media, load_error → chatkit`

pub mod app;
pub mod chatkit;
pub mod cli;
pub mod config;
pub mod context;
pub mod credential;
pub mod distribution;
pub mod jinja;
pub mod load_error;
pub mod mcp;
pub mod media;
pub mod model;
pub mod net;
pub mod oauth;
pub mod ops;
pub mod plugin;
pub mod prompt;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod tool;
pub mod turn;
pub mod user;
pub mod vault;
pub mod widget;

#[cfg(test)]
mod tests;
