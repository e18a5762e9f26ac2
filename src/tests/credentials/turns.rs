//! The pattern as it is meant: the model passes the handle on, and the server gets the token.

use serde_json::{Value, json};

use super::{HANDLE, RULES, Scene, call, done, thread_of};
use crate::{
    model::InputItem,
    tests::{
        harness::{Server, chatkit_request, input, text},
        mcp::fake::Fake,
    },
};

#[tokio::test]
async fn two_users_reach_the_server_each_with_their_own_token() {
    let scene = Scene::start().await;
    let note =
        |text: &str| call("notes__add_note", json!({ "text": text, "access_token": HANDLE }));
    scene.turn_of("ada", "tok-ada-SECRET-1", None, &[note("hers"), done()]).await;
    scene.turn_of("bob", "tok-bob-SECRET-2", None, &[note("his"), done()]).await;
    let expected = [
        json!({ "text": "hers", "access_token": "tok-ada-SECRET-1", "user_id": "ada" }),
        json!({ "text": "his", "access_token": "tok-bob-SECRET-2", "user_id": "bob" }),
    ];
    assert_eq!(Scene::calls(&scene.notes), expected);
    assert!(scene.last_output().contains("noted"), "{}", scene.last_output());
}

#[tokio::test]
async fn the_prompt_shows_a_handle_of_its_turn_and_nothing_to_who_has_no_token() {
    let scene = Scene::start().await;
    let thread = thread_of(&scene.turn(&[done()]).await);
    scene.turn_of("ada", "tok-ada-SECRET-1", Some(&thread), &[done()]).await;
    scene.turn_of("ada", "", Some(&thread), &[done()]).await;
    let prompts: Vec<_> =
        scene.server.model.requests().iter().map(|it| it.instructions.clone()).collect();
    for prompt in &prompts[..2] {
        assert!(prompt.contains("and access_token kfh_"), "{prompt}");
    }
    assert_ne!(prompts[0], prompts[1]);
    assert_eq!(prompts[2], "When calling any tool, include user_id ada.");
}

#[tokio::test]
async fn a_stored_call_shows_the_handle_of_the_turn_that_sees_it() {
    let scene = Scene::start().await;
    let note = call("notes__add_note", json!({ "text": "hi", "access_token": HANDLE }));
    let thread = thread_of(&scene.turn(&[note, done()]).await);
    let again = call("notes__add_note", json!({ "access_token": HANDLE }));
    scene.turn_of("ada", "tok-ada-SECRET-1", Some(&thread), &[again, done()]).await;
    let requests = scene.server.model.requests();
    let request = requests.last().unwrap();
    let calls: Vec<Value> = request
        .input
        .iter()
        .filter_map(|item| match item {
            InputItem::FunctionCall { arguments, .. } => serde_json::from_str(arguments).ok(),
            InputItem::Message { .. }
            | InputItem::FunctionCallOutput { .. }
            | InputItem::Raw(_) => None,
        })
        .collect();
    assert_eq!(calls.len(), 2);
    for call in calls {
        let handle = call["access_token"].as_str().unwrap();
        assert!(handle.starts_with("kfh_") && request.instructions.contains(handle), "{call}");
    }
    assert_eq!(Scene::calls(&scene.notes).len(), 2);
}

#[tokio::test]
async fn what_resumes_after_an_approval_is_opened_for_the_user_who_gave_it() {
    let scene = Scene::start_with(&RULES.replace("never", "always"), "sqlite::memory:").await;
    let note = call("notes__add_note", json!({ "text": "hi", "access_token": HANDLE }));
    let events = scene.turn(&[note]).await;
    let card = events.iter().rfind(|it| it["item"]["type"] == "widget").unwrap();
    let shown = card.to_string();
    assert!(shown.contains("••• (notes)"), "{shown}");
    assert!(!shown.contains("kfh_") && !shown.contains("SECRET"), "{shown}");
    assert_eq!(Scene::calls(&scene.notes), Vec::<Value>::new());
    scene.server.model.push(done());
    let action = json!({ "type": "kitfox.approve" });
    let params = json!({
        "thread_id": thread_of(&events), "item_id": card["item"]["id"], "action": action,
    });
    let body = json!({ "type": "threads.custom_action", "params": params });
    scene.post("ada", "tok-ada-RENEWED-3", &body).await;
    let expected = json!({ "text": "hi", "access_token": "tok-ada-RENEWED-3", "user_id": "ada" });
    assert_eq!(Scene::calls(&scene.notes), [expected]);
}

#[tokio::test]
async fn the_token_of_a_login_goes_where_the_operator_says() {
    use sha2::{Digest, Sha256};
    let token = "operators-own-token-SECRET";
    let hash = format!("{:x}", Sha256::digest(token));
    let config = format!(
        "[auth]\nmode = \"token\"\n[auth.tokens.nightly]\nhash = \"sha256:{hash}\"\n\
         [credentials.notes_token]\nsource = \"login\"\nfield = \"access_token\"\ndestinations = [\"notes\"]\n"
    );
    let notes = Fake::with_tools(json!([super::own("add_note")]), super::leak).await;
    let file = format!("transport = \"http\"\nurl = \"{}\"\n{RULES}", notes.url);
    let files = [
        ("kitfox.toml", config.as_str()),
        ("prompts/assistant.md", super::PROMPT),
        ("plugins/notes.mcp.toml", file.as_str()),
    ];
    let server = Server::start_with(&files, &[("KITFOX_AUTH__MODE", "token")]).await;
    server.model.push(call("notes__add_note", json!({ "access_token": HANDLE })));
    server.model.push(done());
    let body = json!({ "type": "threads.create", "params": { "input": input("go") } });
    let mut request = chatkit_request("ada", &body);
    let authorization = format!("Bearer {token}");
    request.headers_mut().insert("authorization", authorization.parse().unwrap());
    let shown = text(server.send(request).await).await;
    assert_eq!(Scene::calls(&notes)[0]["access_token"], token, "{shown}");
    assert!(!shown.contains("SECRET"), "{shown}");
}

#[tokio::test]
async fn a_secret_in_plain_text_needs_both_switches_and_stays_out_of_store_and_events() {
    let rules = RULES.replace("sealed", "plaintext");
    let config = super::CONFIG.replace("[mcp]", "[mcp]\nallow_plaintext = true");
    let scene = Scene::start_on(&rules, &[("kitfox.toml", &config)], "sqlite::memory:").await;
    let token = "tok-ada-SECRET-1";
    let note = call("notes__add_note", json!({ "access_token": token }));
    let events =
        scene.turn(&[note, super::ScriptedResponse::text("it is tok-ada|-SEC|RET-1!")]).await;
    assert!(scene.server.model.requests()[0].instructions.contains(token));
    assert_eq!(Scene::calls(&scene.notes)[0]["access_token"], token);
    let shown = json!(events).to_string();
    assert!(
        shown.contains("it is [credential notes_token]!") && !shown.contains("SECRET"),
        "{shown}"
    );
    let items = scene.server.items("ada", &thread_of(&events)).await;
    assert!(!items.contains("SECRET"), "{items}");
}
