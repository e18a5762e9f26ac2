//! What is counted. Every label has few values: routes as patterns, models and tools as files name them.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::{process, tools::ToolNames};

/// A metric as it is exported.
#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

const REQUESTS: &str = "kitfox_requests_total";
const REQUEST_SECONDS: &str = "kitfox_request_seconds";
const TURNS: &str = "kitfox_turns_total";
const TURN_SECONDS: &str = "kitfox_turn_seconds";
const FIRST_TOKEN: &str = "kitfox_first_token_seconds";
const MODEL_CALLS: &str = "kitfox_model_calls_total";
const MODEL_SECONDS: &str = "kitfox_model_call_seconds";
const TOKENS: &str = "kitfox_tokens_total";
const TOOL_CALLS: &str = "kitfox_tool_calls_total";
const TOOL_SECONDS: &str = "kitfox_tool_call_seconds";
const RELOADS: &str = "kitfox_reloads_total";
const LIMITED: &str = "kitfox_limited_total";
const GENERATION: &str = "kitfox_generation_number";
const LOAD_ERRORS: &str = "kitfox_load_errors";
const RUNNING: &str = "kitfox_running_turns";
const STREAMS: &str = "kitfox_open_streams";
const STORE_UP: &str = "kitfox_store_up";
const CONNECTIONS: &str = "kitfox_store_connections";
const SERVERS: &str = "kitfox_mcp_servers";
const BUILD: &str = "kitfox_build_info";
const MEMORY: &str = "process_resident_memory_bytes";
const FILES: &str = "process_open_fds";
const MOST_FILES: &str = "process_max_fds";
const CPU: &str = "process_cpu_seconds_total";

/// All that are exported.
pub const METRICS: &[Metric] = &[
    metric(REQUESTS, Kind::Counter, "Requests answered, by route pattern, method and status."),
    metric(REQUEST_SECONDS, Kind::Histogram, "Time to the head of the answer, by route pattern."),
    metric(TURNS, Kind::Counter, "Turns ended, by outcome: done, cancelled, or what failed."),
    metric(TURN_SECONDS, Kind::Histogram, "How long turns took."),
    metric(FIRST_TOKEN, Kind::Histogram, "From the beginning of a turn to its first text."),
    metric(MODEL_CALLS, Kind::Counter, "Calls of models, by key in [models] and outcome."),
    metric(MODEL_SECONDS, Kind::Histogram, "How long calls of models took, by key in [models]."),
    metric(TOKENS, Kind::Counter, "Tokens that providers counted, by model and direction."),
    metric(TOOL_CALLS, Kind::Counter, "Tool calls of models, by tool and outcome."),
    metric(TOOL_SECONDS, Kind::Histogram, "How long tool calls took."),
    metric(RELOADS, Kind::Counter, "Reloads of the project's files: ok, or failed in part."),
    metric(LIMITED, Kind::Counter, "Requests refused at a limit, by limit and whose it is."),
    metric(GENERATION, Kind::Gauge, "How many generations were put in force since the start."),
    metric(LOAD_ERRORS, Kind::Gauge, "Errors that keep files from being in force."),
    metric(RUNNING, Kind::Gauge, "Turns that run."),
    metric(STREAMS, Kind::Gauge, "Event streams that are open."),
    metric(STORE_UP, Kind::Gauge, "Whether the store answers."),
    metric(CONNECTIONS, Kind::Gauge, "Connections to the database, by state: idle or busy."),
    metric(SERVERS, Kind::Gauge, "MCP servers of the generation in force, by state."),
    metric(BUILD, Kind::Gauge, "Always 1, with the version."),
    metric(MEMORY, Kind::Gauge, "Resident memory."),
    metric(FILES, Kind::Gauge, "Open files and sockets."),
    metric(MOST_FILES, Kind::Gauge, "How many files and sockets may be open."),
    metric(CPU, Kind::Counter, "CPU time used."),
];

const fn metric(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric { name, kind, help }
}

/// Bounds of histograms, in seconds: an answer from memory, and a long turn with tools.
const BUCKETS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0,
];

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
static TOOLS: ToolNames = ToolNames::new();

/// What happens is counted from here on. Does nothing from the second time on.
pub fn install() {
    HANDLE.get_or_init(|| {
        let mut builder = PrometheusBuilder::new();
        for metric in METRICS.iter().filter(|it| it.kind == Kind::Histogram) {
            let matcher = Matcher::Full(metric.name.to_owned());
            builder = builder
                .set_buckets_for_metric(matcher, BUCKETS)
                .expect("there are buckets, so that none of its conditions fails");
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // Whoever embeds this crate may have a recorder of their own: then that one counts.
        metrics::set_global_recorder(recorder).ok()?;
        describe();
        gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Some(handle)
    });
}

fn describe() {
    for Metric { name, kind, help } in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
}

/// All metrics in the text format of Prometheus.
pub fn render() -> String {
    read_process();
    HANDLE.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default()
}

/// What was measured is summed up, so that it takes no memory if nobody asks for it.
pub fn upkeep() {
    if let Some(Some(handle)) = HANDLE.get() {
        handle.run_upkeep();
    }
}

fn read_process() {
    if let Some(process) = process::Process::read() {
        gauge!(MEMORY).set(process.resident_bytes);
        gauge!(FILES).set(process.open_files);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "CPU time is a small number above zero"
        )]
        counter!(CPU).absolute(process.cpu_seconds as u64);
    }
    if let Some(most) = process::most_open_files() {
        gauge!(MOST_FILES).set(most);
    }
}

/// What is counted as it happens, one function for each thing that does.
pub mod count {
    use super::{
        CONNECTIONS, Duration, FIRST_TOKEN, GENERATION, LIMITED, LOAD_ERRORS, MODEL_CALLS,
        MODEL_SECONDS, RELOADS, REQUEST_SECONDS, REQUESTS, RUNNING, SERVERS, STORE_UP, STREAMS,
        TOKENS, TOOL_CALLS, TOOL_SECONDS, TOOLS, counter, gauge, histogram,
    };

    /// `route` is a pattern, never a path.
    pub fn request(route: &str, method: &'static str, status: u16, time: Duration) {
        let labels = [
            ("route", route.to_owned()),
            ("method", method.to_owned()),
            ("status", status.to_string()),
        ];
        counter!(REQUESTS, &labels).increment(1);
        histogram!(REQUEST_SECONDS, "route" => route.to_owned()).record(time);
    }

    pub fn first_token(time: Duration) {
        histogram!(FIRST_TOKEN).record(time);
    }

    pub fn model_call(model: &str, outcome: &'static str, time: Duration) {
        let model = model.to_owned();
        counter!(MODEL_CALLS, "model" => model.clone(), "outcome" => outcome).increment(1);
        histogram!(MODEL_SECONDS, "model" => model).record(time);
    }

    pub fn tokens(model: &str, input: u64, output: u64) {
        let model = model.to_owned();
        counter!(TOKENS, "model" => model.clone(), "direction" => "input").increment(input);
        counter!(TOKENS, "model" => model, "direction" => "output").increment(output);
    }

    /// `tool` is one that there is.
    pub fn tool_call(tool: &str, outcome: &'static str, time: Duration) {
        let tool = TOOLS.label(tool);
        counter!(TOOL_CALLS, "tool" => tool, "outcome" => outcome).increment(1);
        histogram!(TOOL_SECONDS).record(time);
    }

    pub fn reload(outcome: &'static str) {
        counter!(RELOADS, "outcome" => outcome).increment(1);
    }

    pub fn limited(limit: &'static str, of: &'static str) {
        counter!(LIMITED, "limit" => limit, "of" => of).increment(1);
    }

    pub fn stream_opened() {
        gauge!(STREAMS).increment(1.0);
    }

    pub fn stream_closed() {
        gauge!(STREAMS).decrement(1.0);
    }

    pub fn generation(number: u64, errors: usize) {
        gauge!(GENERATION).set(to_float(number));
        gauge!(LOAD_ERRORS).set(to_float(errors));
    }

    pub fn running_turns(count: usize) {
        gauge!(RUNNING).set(to_float(count));
    }

    pub fn store(is_up: bool, idle: usize, busy: usize) {
        gauge!(STORE_UP).set(if is_up { 1.0 } else { 0.0 });
        gauge!(CONNECTIONS, "state" => "idle").set(to_float(idle));
        gauge!(CONNECTIONS, "state" => "busy").set(to_float(busy));
    }

    pub fn mcp_servers(state: &'static str, count: usize) {
        gauge!(SERVERS, "state" => state).set(to_float(count));
    }

    fn to_float(count: impl TryInto<u32>) -> f64 {
        f64::from(count.try_into().unwrap_or(u32::MAX))
    }
}

/// A turn that is measured until it is told how it ended.
#[derive(Debug)]
pub struct RunningTurn {
    begin: Instant,
    has_spoken: bool,
}

impl RunningTurn {
    pub fn begin() -> Self {
        Self { begin: Instant::now(), has_spoken: false }
    }

    /// A piece of text came: the first one counts.
    pub fn speak(&mut self) {
        if !self.has_spoken {
            self.has_spoken = true;
            count::first_token(self.begin.elapsed());
        }
    }

    pub fn end(&self, outcome: &'static str) {
        counter!(TURNS, "outcome" => outcome).increment(1);
        histogram!(TURN_SECONDS).record(self.begin.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_metric_has_one_name_and_says_its_unit() {
        let mut names = BTreeSet::new();
        for Metric { name, kind, help } in METRICS {
            assert!(names.insert(name), "{name} is there twice");
            assert!(help.ends_with('.'), "{help}");
            match kind {
                Kind::Counter => assert!(name.ends_with("_total"), "{name}"),
                Kind::Histogram => assert!(name.ends_with("_seconds"), "{name}"),
                Kind::Gauge => assert!(!name.ends_with("_total"), "{name}"),
            }
        }
    }

    #[test]
    fn what_is_counted_is_exported_with_what_it_means() {
        install();
        count::tool_call("meter_test_tool", "ok", Duration::from_millis(30));
        let text = render();
        let line = "kitfox_tool_calls_total{tool=\"meter_test_tool\",outcome=\"ok\"} 1";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("# TYPE kitfox_tool_call_seconds histogram"), "{text}");
        assert!(text.contains("# HELP kitfox_tool_calls_total"), "{text}");
    }
}
