use std::{
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

/// Stands in for the MCP servers of a project: each has a tool that says back all that it was sent.
pub struct StandIn {
    listener: TcpListener,
    /// By the server's id: the arguments that its tool takes.
    arguments: Vec<(String, Vec<String>)>,
    seen: Arc<Mutex<String>>,
}

impl StandIn {
    pub async fn new(arguments: Vec<(String, Vec<String>)>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok(Self { listener, arguments, seen: Arc::default() })
    }

    pub fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// All that it was sent.
    pub fn seen(&self) -> String {
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
        let request: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let mut line = head.split(' ');
        let (method, path) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        let answer = match (method, request["method"].as_str()) {
            ("POST", Some(name)) if !request["id"].is_null() => {
                Some(self.result(path, name, &request, &head))
            }
            ("POST", _) => Some(Value::Null),
            _ => None,
        };
        let (status, text) = match answer {
            None => ("405 Method Not Allowed", String::new()),
            Some(Value::Null) => ("202 Accepted", String::new()),
            Some(answer) => ("200 OK", answer.to_string()),
        };
        let reply = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
            text.len()
        );
        stream.get_mut().write_all(reply.as_bytes()).await?;
        stream.get_mut().shutdown().await
    }

    fn result(&self, path: &str, method: &str, request: &Value, head: &str) -> Value {
        let id = path.trim_start_matches('/');
        let result = match method {
            "initialize" => json!({
                "protocolVersion": "2025-11-25",
                "capabilities": { "tools": {} },
                "serverInfo": { "name": id, "version": "1" },
            }),
            "tools/list" => json!({ "tools": [self.tool(id)] }),
            "tools/call" => {
                let arguments = &request["params"]["arguments"];
                let sent = format!("{id} {arguments} {head}");
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.push_str(&sent);
                let hex: Vec<_> = sent.bytes().map(|it| format!("{it:02x}")).collect();
                let percent: Vec<_> = sent.bytes().map(|it| format!("%{it:02X}")).collect();
                let (hex, percent) = (hex.concat(), percent.concat());
                let base64 =
                    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &sent);
                let text =
                    format!("it was sent: {sent}\n{}\n{hex}\n{percent}\n{base64}", json!(sent));
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
        let names =
            self.arguments.iter().find(|(it, _)| it == id).map(|(_, names)| names.as_slice());
        let mut properties = json!({ "text": {} });
        for name in names.unwrap_or_default() {
            properties[name] = json!({});
        }
        json!({
            "name": "echo",
            "description": "Says what it was sent.",
            "inputSchema": { "type": "object", "properties": properties },
        })
    }
}
