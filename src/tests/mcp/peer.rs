//! The library's own server, in both eras.

use std::sync::{Arc, Mutex};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::tests::{
    harness::converse,
    mcp::{status, tools, with},
};

#[derive(Clone, Default)]
struct Whoami {
    tools: Arc<Mutex<Vec<&'static str>>>,
}

impl ServerHandler for Whoami {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = json!({ "type": "object" }).as_object().unwrap().clone();
        let tools = self.tools.lock().unwrap().clone();
        let tools = tools.into_iter().map(|it| Tool::new(it, "A tool.", schema.clone()));
        Ok(ListToolsResult::with_all_items(tools.collect()))
    }

    async fn call_tool(
        &self,
        _request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let parts = context.extensions.get::<axum::http::request::Parts>().unwrap();
        let user = parts.headers.get("x-user").unwrap().to_str().unwrap().to_owned();
        Ok(CallToolResult::success(vec![ContentBlock::text(user)]).into())
    }
}

#[expect(clippy::disallowed_methods, reason = "the task ends with the test")]
async fn start(sessions: bool) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let handler = Whoami { tools: Arc::new(Mutex::new(vec!["whoami"])) };
    let config = StreamableHttpServerConfig::default().with_legacy_session_mode(sessions);
    let service = StreamableHttpService::new(
        move || Ok(handler.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let router = axum::Router::new().nest_service("/mcp", service);
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, task)
}

#[tokio::test]
async fn a_server_of_each_era_is_spoken_to_in_its_own_way() {
    let headers = "headers = { X-User = \"{{ user.id }}\" }";
    for (protocol, sessions, version, connections) in [
        ("auto", true, "2026-07-28", 1),
        ("2026-07-28", false, "2026-07-28", 1),
        ("2025-11-25", false, "2025-11-25", 1),
        // A session belongs to one user.
        ("2025-11-25", true, "2025-11-25", 2),
    ] {
        let (url, task) = start(sessions).await;
        let server = with(&url, &format!("protocol = \"{protocol}\"\n{headers}")).await;
        for user in ["ada", "bob", "ada"] {
            let script = format!("as {user}\n user hi\n call notes__whoami {{}}\n text ok");
            converse(&server, &script).await;
            assert_eq!(tools(&server), ["notes__whoami"]);
            let input = server.last_input();
            assert!(input.ends_with(&format!("output \"{user}\"")), "{protocol}: {input}");
        }
        let status = status(&server);
        assert_eq!(
            (&status["protocol"], &status["connections"]),
            (&json!(version), &json!(connections))
        );
        server.app.close().await;
        task.abort();
    }
}
