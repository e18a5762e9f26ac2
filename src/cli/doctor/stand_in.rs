use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// Of a request's body.
const MOST_BYTES: usize = 1 << 20;

/// Stands in for what a project talks to: MCP servers, each with a tool that says back all that it was sent; the authorization
/// servers of its logins; and a host that says back what it was sent.
pub struct StandIn {
    listener: TcpListener,
    /// By the server's id: the arguments that its tool takes.
    arguments: BTreeMap<String, Vec<String>>,
    /// By the name of the authorization server: the access token that it gives.
    tokens: BTreeMap<String, String>,
    /// What each was sent, by the server's id.
    seen: Arc<Mutex<Vec<(String, String)>>>,
}

/// A request, as far as it counts here.
struct Asked {
    method: String,
    path: String,
    head: String,
    body: String,
}

impl StandIn {
    pub async fn new(
        arguments: BTreeMap<String, Vec<String>>,
        tokens: BTreeMap<String, String>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok(Self { listener, arguments, tokens, seen: Arc::default() })
    }

    pub fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// What each server was sent.
    pub fn seen(&self) -> Vec<(String, String)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers for ever, one connection after the other: each is closed at once.
    pub async fn serve(&self) {
        while let Ok((stream, _)) = self.listener.accept().await {
            if let Err(err) = self.answer(stream).await {
                tracing::debug!("a connection broke: {err}");
            }
        }
    }

    async fn answer(&self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        let mut length = 0;
        loop {
            let begin = head.len();
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
            let line = head[begin..].trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length.min(MOST_BYTES)];
        stream.read_exact(&mut body).await?;
        let mut line = head.split(' ');
        let (method, path) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        let (method, path) = (method.to_owned(), path.to_owned());
        let body = String::from_utf8_lossy(&body).into_owned();
        let asked = Asked { method, path, head, body };
        let (status, text) = self.respond(&asked);
        let reply = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
            text.len()
        );
        stream.get_mut().write_all(reply.as_bytes()).await?;
        stream.get_mut().shutdown().await
    }

    fn respond(&self, asked: &Asked) -> (&'static str, String) {
        let path = asked.path.split('?').next().unwrap_or_default();
        if let Some(id) = path.strip_prefix("/mcp/") {
            return self.mcp(id, asked);
        }
        if path == "/host" {
            self.see("127.0.0.1", format!("{}\n{}", asked.head, asked.body));
            return ("200 OK", said(&format!("{}\n{}", asked.head, asked.body)));
        }
        let found = match path.strip_prefix("/.well-known/") {
            Some(rest) => match rest.split_once('/') {
                Some(("oauth-protected-resource", place)) => Some(self.resource(place)),
                Some(("oauth-authorization-server", place)) => self.authority(place),
                _ => None,
            },
            None => path
                .strip_prefix("/auth/")
                .and_then(|it| it.strip_suffix("/token"))
                .and_then(|name| self.token(name)),
        };
        match found {
            Some(value) => ("200 OK", value.to_string()),
            None => ("404 Not Found", "{}".to_owned()),
        }
    }

    fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port().unwrap_or_default())
    }

    fn resource(&self, place: &str) -> Value {
        let base = self.base();
        let name = place.replace("mcp/", "mcp-");
        json!({
            "resource": format!("{base}/{place}"),
            "authorization_servers": [format!("{base}/auth/{name}")],
        })
    }

    fn authority(&self, place: &str) -> Option<Value> {
        let name = place.strip_prefix("auth/").filter(|it| self.tokens.contains_key(*it))?;
        let issuer = format!("{}/auth/{name}", self.base());
        Some(json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "code_challenge_methods_supported": ["S256"],
        }))
    }

    fn token(&self, name: &str) -> Option<Value> {
        let token = self.tokens.get(name)?;
        let kind = "urn:ietf:params:oauth:token-type:access_token";
        Some(json!({
            "access_token": token,
            "refresh_token": format!("{token}-refresh"),
            "issued_token_type": kind,
            "token_type": "Bearer",
            "expires_in": 3600,
        }))
    }

    fn see(&self, who: &str, what: String) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push((who.to_owned(), what));
    }

    fn mcp(&self, id: &str, asked: &Asked) -> (&'static str, String) {
        let request: Value = serde_json::from_str(&asked.body).unwrap_or(Value::Null);
        match (asked.method.as_str(), request["method"].as_str()) {
            ("POST", Some(name)) if !request["id"].is_null() => {
                self.see(id, format!("{}\n{}", asked.head, asked.body));
                ("200 OK", self.result(id, name, &request, &asked.head).to_string())
            }
            ("POST", _) => ("202 Accepted", String::new()),
            _ => ("405 Method Not Allowed", String::new()),
        }
    }

    fn result(&self, id: &str, method: &str, request: &Value, head: &str) -> Value {
        let result = match method {
            "initialize" => json!({
                "protocolVersion": "2025-11-25",
                "capabilities": { "tools": {} },
                "serverInfo": { "name": id, "version": "1" },
            }),
            "tools/list" => json!({ "tools": [self.tool(id)] }),
            "tools/call" => {
                let arguments = &request["params"]["arguments"];
                let text = said(&format!("{id} {arguments} {head}"));
                let content = json!([{ "type": "text", "text": text }]);
                json!({ "content": content, "isError": arguments["text"] == "fail" })
            }
            _ => {
                let error = json!({ "code": -32601, "message": "Method not found" });
                return json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
            }
        };
        json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })
    }

    fn tool(&self, id: &str) -> Value {
        let mut properties = json!({ "text": {} });
        for name in self.arguments.get(id).into_iter().flatten() {
            properties[name] = json!({});
        }
        json!({
            "name": "echo",
            "description": "Says what it was sent.",
            "inputSchema": { "type": "object", "properties": properties },
        })
    }
}

/// What was sent, said back in many ways.
fn said(sent: &str) -> String {
    let hex: Vec<_> = sent.bytes().map(|it| format!("{it:02x}")).collect();
    let percent: Vec<_> = sent.bytes().map(|it| format!("%{it:02X}")).collect();
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, sent);
    let (hex, percent) = (hex.concat(), percent.concat());
    format!("it was sent: {sent}\n{}\n{hex}\n{percent}\n{base64}", json!(sent))
}
