//! Kitfox: a server for `OpenAI`'s `ChatKit` whose agent is made of files.
//!
//! Each module uses only those to its right, and a test compares every `crate::` path with this order:
//!
//! `cli → distribution, server → ops → turn → app → plugin → model → tool → store → prompt, widget → jinja → context →
//! config → user, media, load_error → chatkit`

pub mod app;
pub mod chatkit;
pub mod cli;
pub mod config;
pub mod context;
pub mod distribution;
pub mod jinja;
pub mod load_error;
pub mod media;
pub mod model;
pub mod ops;
pub mod plugin;
pub mod prompt;
pub mod server;
pub mod store;
pub mod tool;
pub mod turn;
pub mod user;
pub mod widget;

#[cfg(test)]
mod tests;
