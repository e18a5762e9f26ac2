//! What an operator sees of a server, and what nobody is to see.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{Request, StatusCode},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, any_value::Value as Any},
    trace::v1::{Span, span::SpanKind},
};
use prost::Message;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};
use url::Url;

use crate::{
    config::TracesConfig,
    model::{ScriptedResponse, ScriptedStep, Usage},
    telemetry::{METRICS, start_traces},
    tests::harness::{Server, chatkit_request, get_request, input, json_body, text},
};

/// What a user says, what a tool is called with, and what it gives.
const CANARIES: [&str; 3] = ["canary-of-user", "canary-of-arguments", "canary-of-result"];

const TOOL: &str = r#"
tool(#{ name: "watched", description: "Looks.", parameters: #{ text: #{ type: "string" } }, run: |args, ctx| "canary-of-result" });
"#;

const TOOL_FILE: (&str, &str) = ("plugins/watched.rhai", TOOL);

/// A turn with a tool call, in which all canaries are said.
async fn run_turn(server: &Server, traceparent: Option<&str>) -> String {
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::call("watched", &json!({ "text": "canary-of-arguments" })),
        ScriptedStep::Usage(Usage { input_tokens: 100, output_tokens: 20 }),
    ]));
    server.model.push(ScriptedResponse::text("canary-of-user, you said"));
    let body = json!({ "type": "threads.create", "params": { "input": input("canary-of-user") } });
    let mut request = chatkit_request("ada", &body);
    if let Some(traceparent) = traceparent {
        request.headers_mut().insert("traceparent", traceparent.parse().unwrap());
    }
    let shown = text(server.send(request).await).await;
    assert!(shown.contains("canary-of-user, you said"), "{shown}");
    server.app.running.idle().await;
    shown
}

async fn metrics(server: &Server) -> String {
    let response = server.send(get_request("ada", "/metrics")).await;
    assert_eq!(response.status(), StatusCode::OK);
    text(response).await
}

#[tokio::test]
async fn what_happens_is_counted_by_route_tool_model_and_outcome() {
    let server = Server::start(&[TOOL_FILE]).await;
    run_turn(&server, None).await;
    server.send(get_request("ada", "/x/no-such-plugin/secret-path")).await;
    server.send(get_request("ada", "/no-such/secret-path")).await;
    let text = metrics(&server).await;
    for line in [
        "kitfox_requests_total{route=\"chatkit\",method=\"POST\",status=\"200\"}",
        "kitfox_requests_total{route=\"/x/{*path}\",method=\"GET\",status=\"404\"}",
        "kitfox_requests_total{route=\"(none)\",method=\"GET\",status=\"404\"}",
        "kitfox_turns_total{outcome=\"done\"}",
        "kitfox_first_token_seconds_bucket{",
        "kitfox_model_calls_total{model=\"default\",outcome=\"ok\"}",
        "kitfox_tokens_total{model=\"default\",direction=\"input\"}",
        "kitfox_tool_calls_total{tool=\"watched\",outcome=\"ok\"}",
        "kitfox_store_up 1",
        "kitfox_mcp_servers{state=\"ready\"} 0",
        "kitfox_generation_number 1",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains("secret-path"), "{text}");
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary}");
    }
}

#[tokio::test]
async fn a_reload_is_counted_as_what_it_came_to() {
    let server = Server::start(&[]).await;
    server.save("plugins/broken.rhai", "tool(#{").await;
    server.save("plugins/broken.rhai", TOOL).await;
    let text = metrics(&server).await;
    assert!(text.contains("kitfox_reloads_total{outcome=\"failed\"}"), "{text}");
    assert!(text.contains("kitfox_reloads_total{outcome=\"ok\"}"), "{text}");
}

#[tokio::test]
async fn metrics_are_for_operators_and_for_whoever_has_the_token() {
    let config = "metrics.token = 'collector-of-numbers'\nserver.public_url = 'https://chat.test'";
    let server = Server::start(&[("kitfox.toml", config)]).await;
    let ask = async |authorization: Option<&str>| {
        let mut request =
            Request::get("/metrics").header("host", "chat.test").header("x-user-id", "ada");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        server.send(request.body(Body::empty()).unwrap()).await.status()
    };
    assert_eq!(ask(None).await, StatusCode::FORBIDDEN);
    assert_eq!(ask(Some("Bearer collector-of-number")).await, StatusCode::FORBIDDEN);
    assert_eq!(ask(Some("Bearer collector-of-numbers")).await, StatusCode::OK);
}

#[tokio::test]
async fn metrics_have_an_address_of_their_own_where_one_is_set() {
    let server = Server::start(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving =
        server.app.tasks.spawn(crate::server::serve_metrics(server.app.clone(), listener));
    let get = async |path: &str| reqwest::get(format!("http://{address}{path}")).await.unwrap();
    assert!(get("/metrics").await.text().await.unwrap().contains("kitfox_build_info"));
    assert_eq!(get("/api/generation").await.status(), 404);
    server.app.stopping.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn readiness_is_told_part_by_part() {
    let server = Server::start(&[("plugins/broken.rhai", "tool(#{")]).await;
    let response = server.send(get_request("ada", "/readyz")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = json_body(response).await;
    let parts = body["components"].as_array().unwrap().iter();
    let parts: Vec<_> = parts.map(|it| format!("{} {}", it["name"], it["status"])).collect();
    insta::assert_snapshot!(parts.join("\n"), @r#"
    "server" "ok"
    "store" "ok"
    "attachments" "ok"
    "files" "degraded"
    "models" "ok"
    "mcp" "ok"
    "#);
}

/// Takes traces as a collector does.
struct Receiver {
    endpoint: Url,
    batches: Arc<Mutex<Vec<Bytes>>>,
}

impl Receiver {
    /// On a thread of its own: whoever sends waits for it while it blocks this one.
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let batches = Arc::<Mutex<Vec<Bytes>>>::default();
        let take = async |State(batches): State<Arc<Mutex<Vec<Bytes>>>>, body: Bytes| {
            batches.lock().unwrap().push(body);
        };
        let router = Router::new().route("/v1/traces", post(take)).with_state(batches.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        let endpoint = format!("http://{address}/v1/traces").parse().unwrap();
        Self { endpoint, batches }
    }

    fn config(&self, content: bool) -> TracesConfig {
        TracesConfig {
            endpoint: self.endpoint.clone(),
            headers: BTreeMap::new(),
            service: "test".to_owned(),
            sample: 1.0,
            content,
        }
    }

    fn spans(&self) -> Vec<Span> {
        let batches = self.batches.lock().unwrap();
        let requests = batches.iter().map(|it| ExportTraceServiceRequest::decode(&**it).unwrap());
        requests
            .flat_map(|it| it.resource_spans)
            .flat_map(|it| it.scope_spans)
            .flat_map(|it| it.spans)
            .collect()
    }

    /// All that came, as bytes.
    fn holds(&self, text: &str) -> bool {
        let batches = self.batches.lock().unwrap();
        batches.iter().any(|it| memchr::memmem::find(it, text.as_bytes()).is_some())
    }
}

fn shown(value: &AnyValue) -> String {
    match value.value.as_ref().unwrap() {
        Any::StringValue(text) => text.clone(),
        Any::IntValue(number) => number.to_string(),
        Any::ArrayValue(array) => array.values.iter().map(shown).collect::<Vec<_>>().join(","),
        other => format!("{other:?}"),
    }
}

/// A span and those below it, with the attributes that are the same each time.
fn tree(spans: &[Span], parent: &[u8], depth: usize, out: &mut String) {
    let mut below: Vec<_> = spans.iter().filter(|it| it.parent_span_id == parent).collect();
    below.sort_by_key(|it| it.start_time_unix_nano);
    for span in below {
        let kind = SpanKind::try_from(span.kind).unwrap().as_str_name();
        let kind = kind.trim_start_matches("SPAN_KIND_").to_lowercase();
        let own = |key: &str| {
            [
                "kitfox.request.id",
                "gen_ai.conversation.id",
                "kitfox.generation",
                "gen_ai.tool.call.id",
            ]
            .contains(&key)
                || key.ends_with("time_to_first_chunk")
        };
        let attributes = span
            .attributes
            .iter()
            .filter(|it| !own(&it.key))
            .map(|it| format!(" {}={}", it.key, shown(it.value.as_ref().unwrap())));
        let attributes: String = attributes.collect();
        writeln!(out, "{}{} {kind}{attributes}", "  ".repeat(depth), span.name).unwrap();
        tree(spans, &span.span_id, depth + 1, out);
    }
}

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn a_turn_is_traced_with_its_model_calls_and_tools_below_its_callers_span() {
    let receiver = Receiver::start();
    let exporter = start_traces(&receiver.config(false)).unwrap();
    let server = Server::start(&[TOOL_FILE]).await;
    run_turn(&server, Some(CALLER)).await;
    exporter.stop();
    let spans = receiver.spans();
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
    assert!(spans.iter().all(|it| it.trace_id == trace), "{spans:?}");
    let mut shown = String::new();
    tree(&spans, &0xb7ad_6b71_6920_3331_u64.to_be_bytes(), 0, &mut shown);
    insta::assert_snapshot!(shown, @r"
    POST chatkit server http.request.method=POST http.route=chatkit http.response.status_code=200
      invoke_agent assistant internal gen_ai.operation.name=invoke_agent gen_ai.agent.name=assistant
        chat default client gen_ai.operation.name=chat gen_ai.provider.name=default gen_ai.request.model=default gen_ai.usage.input_tokens=100 gen_ai.usage.output_tokens=20 gen_ai.response.finish_reasons=stop
        execute_tool watched internal gen_ai.operation.name=execute_tool gen_ai.tool.name=watched gen_ai.tool.type=function
        chat default client gen_ai.operation.name=chat gen_ai.provider.name=default gen_ai.request.model=default gen_ai.response.finish_reasons=stop
    ");
    for canary in CANARIES {
        assert!(!receiver.holds(canary), "{canary}");
    }
}

#[tokio::test]
async fn what_is_said_is_traced_where_the_operator_asks_for_it() {
    let receiver = Receiver::start();
    let exporter = start_traces(&receiver.config(true)).unwrap();
    let server = Server::start(&[TOOL_FILE]).await;
    run_turn(&server, None).await;
    exporter.stop();
    for canary in CANARIES {
        assert!(receiver.holds(canary), "{canary}");
    }
}

#[tokio::test]
async fn a_caller_gets_no_more_traced_than_the_operator_wants() {
    let receiver = Receiver::start();
    let config = TracesConfig { sample: 0.0, ..receiver.config(false) };
    let exporter = start_traces(&config).unwrap();
    let server = Server::start(&[TOOL_FILE]).await;
    run_turn(&server, Some(CALLER)).await;
    exporter.stop();
    assert_eq!(receiver.spans(), []);
}

/// What is logged, as bytes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_log_holds_nothing_that_anybody_said_however_much_it_tells() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_env_filter(EnvFilter::new("kitfox=trace"))
        .with_writer(log.clone())
        .finish();
    // With a second one alive, what other tests come by first on their threads is still logged here.
    let _other = tracing::Dispatch::new(tracing_subscriber::registry());
    let logging = tracing::subscriber::set_default(subscriber);
    let server = Server::start(&[TOOL_FILE]).await;
    run_turn(&server, None).await;
    drop(logging);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("turn done"), "{log}");
    for line in log.lines() {
        assert!(
            serde_json::from_str::<Value>(line).is_ok_and(|it| it["level"].is_string()),
            "{line}"
        );
    }
    for canary in CANARIES {
        assert!(!log.contains(canary), "{canary} in\n{log}");
    }
}

#[tokio::test]
async fn who_used_which_tool_is_written_down_under_a_pseudonym() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(EnvFilter::new("kitfox::audit=info"))
        .with_writer(log.clone())
        .finish();
    // With a second one alive, what other tests come by first on their threads is still logged here.
    let _other = tracing::Dispatch::new(tracing_subscriber::registry());
    let logging = tracing::subscriber::set_default(subscriber);
    let server = Server::start(&[TOOL_FILE]).await;
    run_turn(&server, None).await;
    drop(logging);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = log.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let [line] = lines.as_slice() else { panic!("{log}") };
    assert_eq!((&line["event"], &line["tool"]), (&json!("tool"), &json!("watched")));
    assert_eq!((&line["provider"], &line["outcome"]), (&json!(TOOL_FILE.0), &json!("ok")));
    let user = crate::user::UserKey::new("header", "", "ada").pseudonym();
    assert_eq!(line["user"], user);
    assert!(!log.contains("ada\""), "{log}");
    for canary in CANARIES {
        assert!(!log.contains(canary), "{canary} in\n{log}");
    }
}

/// The names of metrics that a query reads: words before `{` or `[`, without what histograms add.
fn names(query: &str) -> Vec<String> {
    let words = query.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    let ours = words.filter(|it| it.starts_with("kitfox_") || it.starts_with("process_"));
    ours.map(|it| {
        let endings = ["_bucket", "_sum", "_count"];
        endings.iter().find_map(|end| it.strip_suffix(end)).unwrap_or(it).to_owned()
    })
    .collect()
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_metrics_that_there_are() {
    let dashboard = include_str!("../../examples/production/grafana/kitfox.json");
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|it| it["targets"].as_array()).flatten();
    let mut queries: Vec<&str> = targets.map(|it| it["expr"].as_str().unwrap()).collect();
    assert!(queries.len() >= 15, "{queries:?}");
    let alerts = include_str!("../../examples/production/prometheus/alerts.yaml");
    queries.extend(alerts.lines().filter_map(|it| it.trim().strip_prefix("expr:")));
    let mut read = std::collections::BTreeSet::new();
    for query in queries {
        let names = names(query);
        assert!(!names.is_empty(), "{query}");
        for name in names {
            let known = METRICS.iter().any(|it| it.name == name);
            assert!(known, "there is no metric `{name}`, for which `{query}` asks");
            read.insert(name);
        }
    }
    for metric in METRICS {
        assert!(read.contains(metric.name), "nothing shows `{}`", metric.name);
    }
}
