//! Programs as servers.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use tokio::time::timeout;

use crate::tests::{
    harness::{Server, converse},
    mcp::{status, tools},
};

/// A server in the plainest shell. `env` tells its environment, `args` its arguments, `die` ends it in the call,
/// `child` leaves a process behind, whose id it tells.
const PROGRAM: &str = r#"#!/bin/sh
echo "starting with ${SECRET:-nothing}" >&2
echo "this is no message"
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  say() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
  text() { say "{\"content\":[{\"type\":\"text\",\"text\":\"$1\"}]}"; }
  case $line in
    *'"method":"server/discover"'*)
      printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}\n' "$id" ;;
    *'"method":"initialize"'*)
      say '{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;
    *'"method":"tools/list"'*)
      say '{"tools":[{"name":"env","inputSchema":{"type":"object"}},{"name":"args","inputSchema":{"type":"object"}},{"name":"die","inputSchema":{"type":"object"}},{"name":"child","inputSchema":{"type":"object"}}]}' ;;
    *'"name":"env"'*) text "$(/usr/bin/env | /usr/bin/sort | /usr/bin/tr '\n' ' ')" ;;
    *'"name":"args"'*) text "$*" ;;
    *'"name":"die"'*) echo "out of cogs" >&2; exit 3 ;;
    *'"name":"child"'*) /bin/sleep 600 & text "$!" ;;
  esac
done
"#;

async fn start(more: &str) -> Server {
    let server = Server::start(&[("kitfox.toml", "[mcp]\nstdio = true\n")]).await;
    let program = server.folder.path().join("server.sh");
    std::fs::write(&program, PROGRAM).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let text =
        format!("transport = \"stdio\"\ncommand = \"./server.sh\"\napproval = \"never\"\n{more}\n");
    server.save("plugins/sh.mcp.toml", &text).await;
    assert_eq!(server.errors(), "");
    server
}

#[tokio::test]
async fn a_program_gets_the_arguments_and_the_environment_of_its_file_and_nothing_else() {
    let server = start("args = [\"$(touch pwned)\", \"; touch pwned\"]\nenv = { A = \"1\" }").await;
    converse(&server, "user hi\n calls sh__env {} & sh__args {}\n text ok").await;
    assert_eq!(tools(&server), ["sh__args", "sh__child", "sh__die", "sh__env"]);
    let input = server.last_input();
    let mut outputs = input.lines().filter(|it| it.starts_with("output"));
    // The shell adds the last two itself.
    let env = outputs.next().unwrap();
    assert!(env.starts_with(r#"output "A=1 "#), "{env}");
    for part in env.trim_start_matches("output \"").trim_end_matches('"').split_whitespace() {
        let name = part.split('=').next().unwrap();
        assert!(["A", "PWD", "OLDPWD", "_", "SHLVL"].contains(&name), "{env}");
    }
    assert_eq!(outputs.next(), Some(r#"output "$(touch pwned) ; touch pwned""#));
    assert!(!server.folder.path().join("pwned").exists());
    server.app.close().await;
}

#[tokio::test]
async fn a_program_that_dies_in_a_call_is_told_and_started_again() {
    let server = start("").await;
    converse(&server, "user hi\n call sh__die {}\n text ok").await;
    let input = server.last_input();
    assert!(input.contains("the connection to the server `sh` broke"), "{input}");
    timeout(Duration::from_secs(30), async {
        loop {
            converse(&server, "user hi\n call sh__args {}\n text ok").await;
            if server.last_input().ends_with("output \"\"") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .unwrap();
    server.app.close().await;
}

/// Has the server start a process of its own, which outlives it if nobody ends it: its id.
async fn grandchild(server: &Server) -> u32 {
    converse(server, "user hi\n call sh__child {}\n text ok").await;
    let input = server.last_input();
    let child = input.rsplit("output \"").next().unwrap().trim_end_matches('"').parse().unwrap();
    assert!(is_alive(child));
    child
}

fn is_alive(process: u32) -> bool {
    let stat = std::fs::read(format!("/proc/{process}/stat"));
    // One that nobody has waited for yet is dead all the same.
    stat.is_ok_and(|it| !String::from_utf8_lossy(&it).contains(") Z "))
}

async fn gone(process: u32) {
    timeout(Duration::from_secs(30), async {
        while is_alive(process) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn nothing_that_a_program_started_is_left_when_kitfox_ends() {
    let server = start("").await;
    let child = grandchild(&server).await;
    server.app.close().await;
    gone(child).await;
}

#[tokio::test]
async fn a_program_ends_with_its_file() {
    let server = start("").await;
    let child = grandchild(&server).await;
    server.remove("plugins/sh.mcp.toml").await;
    gone(child).await;
}

#[tokio::test]
async fn a_program_that_cannot_begin_says_why() {
    let server = start("").await;
    std::fs::write(
        server.folder.path().join("server.sh"),
        "#!/bin/sh\necho 'no module' >&2\nexit 7\n",
    )
    .unwrap();
    converse(&server, "user hi\n text ok").await;
    assert_eq!(tools(&server), [""; 0]);
    timeout(Duration::from_secs(30), async {
        // Between two tries it is not known.
        while status(&server)["reason"] != "the program ended with exit status: 7: no module" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    server.app.close().await;
}
