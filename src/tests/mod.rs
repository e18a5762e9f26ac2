//! What a user of Kitfox could notice, and the rules of this code base.

mod actions;
mod approvals;
mod attachments;
mod auth;
mod calls;
mod chatkit;
mod client_tools;
mod components;
mod distribution;
pub mod guest;
mod harness;
mod hooks;
mod http;
mod mcp_server;
mod operations;
mod readme;
mod reload;
mod repository;
mod routes;
mod show;
mod structured_input;
mod tools;
mod transcribe;
mod turns;
mod widgets;
