//! What an operator watches: numbers, traces, logs, and who used what. None of them holds a secret, and none what users wrote, save
//! traces where the operator asks for it.

pub mod audit;
mod logs;
mod metrics;
mod process;
mod tools;
mod traces;

pub use self::{
    logs::{LogPlace, start_logs},
    metrics::{Kind, METRICS, Metric, RunningTurn, count, install, render, upkeep},
    process::most_open_files,
    traces::{Exporter, Place, Traced, carry, holds_content, start_traces, traceparent},
};
