//! The attack cases of credentials: each with a model that does what the attacker wants.

use serde_json::{Value, json};

use super::{HANDLE, RULES, Scene, call, done, own, thread_of};
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
    let mut tool = own("add_note");
    tool["inputSchema"]["properties"]["access_token"]["x-mcp-header"] = json!("Token");
    let notes = Fake::with_tools(json!([tool, own("leak")]), super::leak).await;
    let file = format!("transport = \"http\"\nurl = \"{}\"\n{RULES}", notes.url);
    let files = [("kitfox.toml", super::CONFIG), ("plugins/notes.mcp.toml", file.as_str())];
    let server = Server::start(&files).await;
    server.model.push(done());
    server.create("ada", "hi").await;
    let requests = server.model.requests();
    let names: Vec<_> = requests[0].tools.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["notes__leak"]);
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
