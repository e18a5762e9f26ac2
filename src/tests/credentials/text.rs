//! What the model says of a handle, as the user sees it.

use serde_json::json;

use super::{HANDLE, RULES, Scene, call, done, thread_of};
use crate::{
    model::{ScriptedResponse, ScriptedStep},
    tests::harness::event_line,
};

#[tokio::test]
async fn a_handle_in_text_becomes_the_credentials_name_also_when_it_comes_in_pieces() {
    let scene = Scene::start().await;
    let pieces = "it is |<<find (kfh_.)>>|<<find kfh_.(.{20})>>|<<find kfh_.{21}(.*)\\.>>|, look |at kf|_ kfh_12";
    let events = scene.turn(&[ScriptedResponse::text(pieces)]).await;
    let shown: Vec<_> = events.iter().map(event_line).collect();
    let deltas: String = events.iter().filter_map(|it| it["update"]["delta"].as_str()).collect();
    assert_eq!(deltas, "it is [credential notes_token], look at kf_ kfh_12", "{shown:#?}");
    assert!(!json!(events).to_string().contains("kfh_1234"));
    let handle = json!(scene.server.model.requests()[0].instructions).to_string();
    let handle = &handle[handle.find("kfh_").unwrap()..][..12];
    assert!(!json!(events).to_string().contains(handle), "{shown:#?}");
    let items = scene.server.items("ada", &thread_of(&events)).await;
    assert!(items.contains("it is [credential notes_token], look at kf_ kfh_12"), "{items}");
}

#[tokio::test]
async fn nothing_that_leaves_a_turn_holds_a_handle() {
    let tools = r#"
        tool(#{ name: "tell", description: "Tells.", run: |args, ctx| {
            let seen = ctx.kv.user.get("prompt");
            ctx.say(seen);
            ctx.progress("globe", seen);
            ctx.notice("info", seen, seen);
            ctx.effect("show", #{ deep: [seen] });
            ctx.hidden(seen);
            ctx.task(#{ title: seen, content: seen });
            ctx.widget(#{ type: "Card", children: [#{ type: "Text", value: seen }] }, #{});
            ctx.thread.title = seen;
            ctx.cite(#{ type: "url", url: "https://a.test", title: seen });
            "told"
        } });
        on("request", |event, ctx| { ctx.kv.user.set("prompt", event.instructions); });
    "#;
    let scene = Scene::start_on(RULES, &[("plugins/tools.rhai", tools)], "sqlite::memory:").await;
    let think = ScriptedResponse::steps([
        ScriptedStep::Reasoning(vec![
            "I know ".to_owned(),
            "<<find kfh_.{9}>>".to_owned(),
            "<<find kfh_.{9}(.{23})>>".to_owned(),
            ".".to_owned(),
        ]),
        ScriptedStep::call("tell", &json!({})),
    ]);
    let events = scene.turn(&[think, ScriptedResponse::text(HANDLE)]).await;
    let shown = json!(events).to_string();
    let instructions = scene.server.model.requests()[0].instructions.clone();
    let handle = &instructions[instructions.find("kfh_").unwrap()..];
    assert!(!shown.contains(&handle[..36]), "{shown}");
    assert!(!shown.contains(&handle[..20]), "{shown}");
    assert!(shown.contains("I know [credential notes_token]."), "{shown}");
    for event in ["notice", "progress_update", "client_effect", "thread.updated", "widget", "task"]
    {
        assert!(
            events.iter().any(|it| it["type"] == event || it["item"]["type"] == event),
            "{event}: {shown}"
        );
    }
    // Hidden items too.
    let thread = thread_of(&events);
    scene.turn_of("ada", "", Some(&thread), &[done()]).await;
    let input = scene.server.last_input();
    assert!(input.contains("<HiddenContext>") && !input.contains("kfh_"), "{input}");
}

#[tokio::test]
async fn a_turn_that_is_cut_keeps_no_piece_of_a_handle() {
    let scene = Scene::start().await;
    let cut = ScriptedResponse::steps([
        ScriptedStep::text("it is <<find kfh_.{20}>>"),
        ScriptedStep::Fail(crate::model::ScriptedFailure::Failed),
    ]);
    let events = scene.turn(&[cut]).await;
    assert!(!json!(events).to_string().contains("kfh_"), "{events:?}");
    let items = scene.server.items("ada", &thread_of(&events)).await;
    assert!(items.contains("it is") && !items.contains("kfh_"), "{items}");
}

#[tokio::test]
async fn a_turn_without_credentials_streams_as_it_comes() {
    let scene = Scene::start().await;
    let events = scene.turn_of("ada", "", None, &[ScriptedResponse::text("k|kf|kfh_|x")]).await;
    let deltas: Vec<_> = events.iter().filter_map(|it| it["update"]["delta"].as_str()).collect();
    assert_eq!(deltas, ["k", "kf", "kfh_", "x"]);
    // Another call of the same turn needs none either.
    scene.turn_of("ada", "", None, &[call("other__echo", json!({ "text": "kfh" })), done()]).await;
    assert_eq!(Scene::calls(&scene.other).len(), 1);
}
