//! The attack cases of credentials: each with a model that does what the attacker wants.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tracing::Level;

use super::{HANDLE, RULES, Scene, call, done, leaks::Logs, own, thread_of};
use crate::{
    model::ScriptedResponse,
    tests::{harness::Server, mcp::fake::Fake},
};

/// The model makes this call: nothing reaches a server, and the model is told why without a secret.
async fn refused(scene: &Scene, tool: &str, arguments: Value) -> String {
    let before = Scene::calls(&scene.notes).len() + Scene::calls(&scene.other).len();
    scene.turn(&[call(tool, arguments.clone()), done()]).await;
    let after = Scene::calls(&scene.notes).len() + Scene::calls(&scene.other).len();
    let output = scene.last_output();
    assert_eq!(before, after, "{arguments}: {output}");
    assert!(output.starts_with("error: "), "{arguments}: {output}");
    assert!(!output.contains("SECRET") && !output.contains("kfh_"), "{arguments}: {output}");
    output
}

#[tokio::test]
async fn a_handle_does_not_open_at_another_server() {
    let scene = Scene::start().await;
    for arguments in [
        json!({ "text": HANDLE }),
        json!({ "text": format!("see {HANDLE}!") }),
        json!({ "access_token": HANDLE }),
        json!({ "more": { "deep": [1, { "x": [HANDLE] }] } }),
        json!({ HANDLE: "x" }),
    ] {
        let output = refused(&scene, "other__echo", arguments).await;
        assert!(output.contains("notes_token"), "{output}");
    }
}

#[tokio::test]
async fn a_handle_opens_nowhere_but_whole_in_its_argument() {
    let scene = Scene::start().await;
    for arguments in [
        json!({ "text": HANDLE, "access_token": HANDLE }),
        json!({ "text": format!("https://evil.test/?t={HANDLE}"), "access_token": HANDLE }),
        json!({ "text": [[{ "uri": format!("file:///{HANDLE}") }]], "access_token": HANDLE }),
        json!({ "user_id": HANDLE, "access_token": HANDLE }),
        json!({ "access_token": format!("{HANDLE}{HANDLE}") }),
        json!({ "access_token": format!("Bearer {HANDLE}") }),
        json!({ "access_token": "<<find kfh_.{31}>>" }),
        json!({ "access_token": "KFH_<<find kfh_(.{32})>>" }),
        json!({ "access_token": "<<find (kfh_.{9})>>\u{200b}<<find kfh_.{9}(.{23})>>" }),
        json!({ "access_token": [HANDLE] }),
        json!({ "access_token": { "value": HANDLE } }),
    ] {
        refused(&scene, "notes__add_note", arguments).await;
    }
}

#[tokio::test]
async fn a_handle_reaches_neither_plugins_nor_the_page() {
    let tools = r#"
        tool(#{ name: "keep", description: "Keeps.", parameters: #{ text: #{ type: "string" } },
            run: |args, ctx| { ctx.kv.user.set("kept", args.text); args.text } });
        client_tool(#{ name: "show", description: "Shows.", parameters: #{ text: #{ type: "string" } } });
    "#;
    let scene = Scene::start_on(RULES, &[("plugins/tools.rhai", tools)], "sqlite::memory:").await;
    for tool in ["keep", "show"] {
        let output = refused(&scene, tool, json!({ "text": format!("a {HANDLE}") })).await;
        assert!(output.contains("notes_token"), "{output}");
    }
}

#[tokio::test]
async fn a_handle_dies_with_its_turn_and_is_nobody_elses() {
    let scene = Scene::start().await;
    let events = scene.turn(&[done()]).await;
    let thread = thread_of(&events);
    let prompt = scene.server.model.requests()[0].instructions.clone();
    let old = prompt.split_whitespace().find(|it| it.starts_with("kfh_")).unwrap();
    let old = old.trim_end_matches('.').to_owned();
    let replay = || call("notes__add_note", json!({ "access_token": old }));
    scene.turn_of("ada", "tok-ada-SECRET-1", Some(&thread), &[replay(), done()]).await;
    assert!(scene.last_output().starts_with("error: "), "{}", scene.last_output());
    scene.turn_of("bob", "tok-bob-SECRET-2", None, &[replay(), done()]).await;
    assert!(scene.last_output().starts_with("error: "), "{}", scene.last_output());
    // Logged out: there is no token any more.
    scene.turn_of("ada", "", Some(&thread), &[replay(), done()]).await;
    assert!(scene.last_output().starts_with("error: "), "{}", scene.last_output());
    assert_eq!(Scene::calls(&scene.notes), Vec::<Value>::new());
}

#[tokio::test]
async fn a_literal_is_refused_and_another_users_id_overwritten() {
    let scene = Scene::start().await;
    for token in ["tok-bob-SECRET-2", "tok-ada-SECRET-1", "none", "[credential notes_token]", ""] {
        let output = refused(&scene, "notes__add_note", json!({ "access_token": token })).await;
        assert!(output.contains("`notes_token`"), "{output}");
    }
    let posing = json!({ "user_id": "bob", "access_token": HANDLE });
    scene.turn(&[call("notes__add_note", posing), done()]).await;
    assert_eq!(Scene::calls(&scene.notes)[0]["user_id"], "ada");
}

#[tokio::test]
async fn the_handle_of_one_credential_does_not_open_in_the_argument_of_another() {
    let config = format!(
        "{}[credentials.admin_token]\nsource = \"static\"\nvalue = \"tok-admin-SECRET-9\"\ndestinations = [\"notes\"]\n",
        super::CONFIG
    );
    let rules = format!(
        "{RULES}\n[[arguments]]\nname = \"text\"\ncredential = \"admin_token\"\nmode = \"sealed\"\n"
    );
    let prompt =
        "---\ntitles: false\n---\nA {{ credential.notes_token }} B {{ credential.admin_token }}";
    let files = [("kitfox.toml", config.as_str()), ("prompts/assistant.md", prompt)];
    let scene = Scene::start_on(&rules, &files, "sqlite::memory:").await;
    let (a, b) = ("<<find A (kfh_.{32})>>", "<<find B (kfh_.{32})>>");
    refused(&scene, "notes__add_note", json!({ "access_token": b, "text": a })).await;
    scene.turn(&[call("notes__add_note", json!({ "access_token": a, "text": b })), done()]).await;
    let expected = json!({ "access_token": "tok-ada-SECRET-1", "text": "tok-admin-SECRET-9", "user_id": "ada" });
    assert_eq!(Scene::calls(&scene.notes), [expected]);
}

#[tokio::test]
async fn what_a_server_says_of_a_token_reaches_nobody() {
    let scene = Scene::start().await;
    for text in ["ok", "fail"] {
        let leak = call("notes__leak", json!({ "access_token": HANDLE, "text": text }));
        let say = ScriptedResponse::text("<<find plain .*>>");
        let events = scene.turn(&[leak, say]).await;
        let thread = thread_of(&events);
        let shown = [
            scene.last_output(),
            json!(events).to_string(),
            scene.server.items("ada", &thread).await,
        ];
        for shown in shown {
            assert!(shown.contains("plain [credential notes_token]"), "{shown}");
            for form in
                ["SECRET", "U0VDUkVU", "NFQ1JFV", "TRUNSRV", "5345435245", "%53%45%43", "SECRET%2D"]
            {
                assert!(!shown.contains(form), "{form}: {shown}");
            }
        }
    }
}

#[tokio::test]
async fn a_tool_whose_secret_would_leave_as_a_header_is_not_offered() {
    // Whether it is sealed or injected, as it is what the user is called.
    for argument in ["access_token", "user_id"] {
        let mut tool = own("add_note");
        tool["inputSchema"]["properties"][argument]["x-mcp-header"] = json!("Token");
        let notes = Fake::with_tools(json!([tool, own("leak")]), super::leak).await;
        let file = format!("transport = \"http\"\nurl = \"{}\"\n{RULES}", notes.url);
        let files = [("kitfox.toml", super::CONFIG), ("plugins/notes.mcp.toml", file.as_str())];
        let server = Server::start(&files).await;
        server.model.push(done());
        server.create("ada", "hi").await;
        let requests = server.model.requests();
        let names: Vec<_> = requests[0].tools.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["notes__leak"], "{argument}");
    }
}

#[tokio::test]
async fn what_users_are_called_is_never_read_as_a_template() {
    let scene = Scene::start().await;
    let user = "{{ credential.notes_token }} ${HOME}";
    let note = call("notes__add_note", json!({ "access_token": HANDLE }));
    scene.turn_of(user, "tok-ada-SECRET-1", None, &[note, done()]).await;
    assert_eq!(Scene::calls(&scene.notes)[0]["user_id"], user);
    let prompt = &scene.server.model.requests()[0].instructions;
    assert!(prompt.contains("user_id {{ credential.notes_token }} ${HOME} and"), "{prompt}");
}

/// The server talks while it works, and fails at last, as the protocol has it.
#[tokio::test]
async fn what_a_server_says_before_its_answer_or_in_place_of_it_reaches_nobody() {
    let notes = Fake::with_tools(json!([own("talk"), own("break")]), |seen| async move {
        let token = seen.body["params"]["arguments"]["access_token"].as_str().unwrap().to_owned();
        if seen.body["params"]["name"] == "break" {
            let data = json!({ "your": [token] });
            let error = json!({ "code": -32000, "message": format!("plain {token}"), "data": data });
            let answer = json!({ "jsonrpc": "2.0", "id": seen.body["id"], "error": error });
            return axum::Json(answer).into_response();
        }
        let progress = seen.body["params"]["_meta"]["progressToken"].clone();
        let params =
            json!({ "progressToken": progress, "progress": 1, "message": format!("plain {token}") });
        let step = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params });
        let params = json!({ "level": "error", "data": token });
        let log = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": params });
        let content = json!([{ "type": "text", "text": "done" }]);
        let answer =
            json!({ "jsonrpc": "2.0", "id": seen.body["id"], "result": { "content": content } });
        let events = [step, log, answer].map(|it| format!("data: {it}\n\n")).concat();
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from(events))
            .unwrap()
    })
    .await;
    let file = format!("transport = \"http\"\nurl = \"{}\"\n{RULES}", notes.url);
    let mut scene = Scene::start().await;
    scene.server.save("plugins/notes.mcp.toml", &file).await;
    scene.notes = notes;
    let turn = async |tool: &str, told: &str| {
        let events = scene.turn(&[call(tool, json!({ "access_token": HANDLE })), done()]).await;
        assert_eq!(scene.last_output(), told);
        let shown = json!(events).to_string();
        assert!(!shown.contains("SECRET"), "{shown}");
        shown
    };
    turn("notes__break", "error: plain [credential notes_token]").await;
    // Progress that comes with the answer may be passed over.
    let mut shown = false;
    for _ in 0..20 {
        shown |= turn("notes__talk", "done").await.contains("plain [credential notes_token]");
    }
    assert!(shown);
    assert_eq!(Scene::calls(&scene.notes).len(), 21);
}

#[tokio::test]
async fn what_is_refused_is_a_security_event_without_values() {
    let logs = Logs::default();
    let writer = logs.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::WARN)
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let guard = tracing::subscriber::set_default(subscriber.finish());
    let tools = r#"
        tool(#{ name: "keep", description: "Keeps.", parameters: #{ text: #{ type: "string" } }, run: |args, ctx| "kept" });
        client_tool(#{ name: "show", description: "Shows.", parameters: #{ text: #{ type: "string" } } });
    "#;
    let scene = Scene::start_on(RULES, &[("plugins/tools.rhai", tools)], "sqlite::memory:").await;
    for (tool, arguments) in [
        ("notes__add_note", json!({ "access_token": "tok-ada-SECRET-1" })),
        ("notes__add_note", json!({ "access_token": HANDLE, "text": format!("see {HANDLE}") })),
        ("other__echo", json!({ "text": HANDLE })),
        ("other__echo", json!({ "text": format!("kfh_{}", "7".repeat(32)) })),
        ("keep", json!({ "text": HANDLE })),
        ("show", json!({ "text": HANDLE })),
    ] {
        let before = logs.text().matches(" security: ").count();
        refused(&scene, tool, arguments.clone()).await;
        let text = logs.text();
        assert_eq!(text.matches(" security: ").count(), before + 1, "{tool} {arguments}: {text}");
    }
    drop(guard);
    let text = logs.text();
    assert!(!text.contains("SECRET") && !text.contains("kfh_"), "{text}");
}

#[tokio::test]
async fn that_a_model_is_shown_a_secret_is_told_at_every_start() {
    let logs = Logs::default();
    let writer = logs.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    let rules = RULES.replace("sealed", "plaintext");
    let config = super::CONFIG.replace("[mcp]", "[mcp]\nallow_plaintext = true");
    let file = format!("transport = \"http\"\nurl = \"https://notes.example.com/mcp\"\n{rules}");
    let files = [("kitfox.toml", config.as_str()), ("plugins/notes.mcp.toml", file.as_str())];
    let guard = tracing::subscriber::set_default(subscriber.finish());
    // The thread that loads the files is another: it is not heard.
    let generation = Server::start(&files).await.app.generation();
    // Nor does what it found out of who listens count: tests beside this one listen to nothing.
    tracing::callsite::rebuild_interest_cache();
    let surroundings = crate::mcp::Surroundings {
        config: &generation.config,
        credentials: &generation.host.credentials,
        project: std::path::Path::new("/nowhere"),
        variable: &|_| None,
    };
    for start in 1..=2 {
        let path = "plugins/notes.mcp.toml";
        assert!(crate::mcp::ServerFile::parse(path, &file, &surroundings).is_ok());
        let told = "the model is shown the credential `notes_token` for the server `notes`";
        assert_eq!(logs.text().matches(told).count(), start, "{}", logs.text());
    }
    drop(guard);
}
