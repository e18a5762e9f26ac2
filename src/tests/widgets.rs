//! Widgets: what handlers show, stream, change and take away.

use futures::StreamExt;
use insta::assert_snapshot;
use serde_json::json;

use crate::tests::harness::{Server, check, converse, input, text};

/// `{"type":"Card","title":…}`
const TITLE: &str = r#"{"version": "1.0", "name": "title", "template": "{\"type\":\"Card\",\"title\":{{ title | tojson }}}"}"#;
/// A text that may grow.
const NOTE: &str = r#"{"template": "{\"type\":\"Card\",\"children\":[{\"type\":\"Text\",\"id\":\"t\",\"value\":{{ text | tojson }}}]}"}"#;

/// A tool `run` with this body, and everyone's widgets `title` and `note`.
fn files(body: &str) -> [(&'static str, String); 3] {
    let tool = format!(
        "tool(#{{ name: \"run\", description: \"Runs.\", run: |args, ctx| {{ {body} }} }});"
    );
    [
        ("plugins/run.rhai", tool),
        ("plugins/title.widget", TITLE.to_owned()),
        ("plugins/note.widget", NOTE.to_owned()),
    ]
}

async fn start(body: &str) -> Server {
    let files = files(body);
    Server::start(&files.each_ref().map(|(path, text)| (*path, text.as_str()))).await
}

/// What the user sees of a turn whose model calls `run`, and what the model is told of the call.
async fn run(body: &str) -> (String, String) {
    let server = start(body).await;
    let shown = converse(&server, "user go\n call run {}\n text .").await;
    let lines: Vec<&str> = shown
        .lines()
        .skip_while(|it| !it.starts_with("stream_options"))
        .skip(1)
        .take_while(|it| *it != "item.added assistant_message")
        .collect();
    let output = server.last_input().lines().last().unwrap_or_default().to_owned();
    (lines.join("\n"), output)
}

async fn output(body: &str) -> String {
    let (shown, output) = run(body).await;
    assert_eq!(shown, "", "{output}");
    output
}

#[tokio::test]
async fn a_widget_is_shown_stored_and_told_to_the_model_later() {
    let body = r#"
        ctx.widget("title", #{ title: "</script> é" }, #{ copy_text: "Hi" });
        ctx.widget(#{ type: "Basic", gap: 1, background: () });
        ctx.widget(#{ type: "ListView", children: [] }, #{ copy_text: "List" }).copy_text
    "#;
    let server = start(body).await;
    let shown = converse(&server, "user go\n call run {}\n text .\n user more\n text .").await;
    assert_snapshot!(shown.lines().skip(3).take(3).collect::<Vec<_>>().join("\n"), @r#"
    item.done widget {"type":"Card","title":"</script> é"} copy_text="Hi"
    item.done widget {"gap":1,"type":"Basic"}
    item.done widget {"children":[],"type":"ListView"} copy_text="List"
    "#);
    let input = server.last_input();
    assert!(input.contains(r#"output "List""#), "{input}");
    assert!(input.contains("graphical UI widget"), "{input}");
}

#[tokio::test]
async fn a_streamed_widget_is_told_by_what_came_to_it_and_stored_when_it_is_done() {
    let (shown, output) = run(r#"
        let note = ctx.stream_widget("note", #{ text: "" }, #{ copy_text: "n" });
        note.update(#{ text: "one" });
        note.update(#{ text: "one" });
        note.update(#{ text: "one two" });
        note.update(#{ text: "three" });
        let item = note.done();
        note.done();
        let again = ();
        try { note.update(#{ text: "x" }) } catch (err) { again = err }
        [item.id == note.id, again]
    "#)
    .await;
    assert_snapshot!(shown, @r#"
    item.added widget {"type":"Card","children":[{"type":"Text","id":"t","value":""}]} copy_text="n"
    item.updated "t" "one"
    item.updated "t" " two"
    item.updated widget {"type":"Card","children":[{"type":"Text","id":"t","value":"three"}]}
    item.done widget {"type":"Card","children":[{"type":"Text","id":"t","value":"three"}]} copy_text="n"
    "#);
    assert_snapshot!(output, @r#"output "[true,\"the widget is done: change it with `ctx.update` or `ctx.replace`\"]""#);
}

#[tokio::test]
async fn a_widget_that_its_handler_leaves_open_is_done_when_the_handler_has_returned() {
    let server = start(
        r#"
        ctx.stream_widget(#{ type: "Card", title: "a" }).update(#{ type: "Card", title: "b" });
        if args.x == () { throw "no" }
    "#,
    )
    .await;
    let shown = converse(&server, "user go\n call run {}\n text .").await;
    assert_snapshot!(shown.lines().skip(3).take(4).collect::<Vec<_>>().join("\n"), @r#"
    item.added widget {"title":"a","type":"Card"}
    item.updated widget {"title":"b","type":"Card"}
    item.done widget {"title":"b","type":"Card"}
    item.added assistant_message
    "#);
}

#[tokio::test]
async fn a_shown_widget_is_replaced_updated_and_removed() {
    let body = r#"
        let item = ctx.widget("title", #{ title: "a" }, #{ copy_text: "A" });
        ctx.replace(item, "title", #{ title: "b" });
        ctx.replace(item.id, #{ type: "Basic" }, #{ copy_text: "B" });
        ctx.update(item, "title", #{ title: "c" });
        ctx.remove(ctx.widget("title", #{ title: "gone" }));
        ctx.stream_widget("title", #{ title: "flash" }).remove();
        ctx.remove(ctx.say("gone too"));
        ctx.render("title", #{ title: "x" }).title
    "#;
    let server = start(body).await;
    let (thread, events) = {
        server.model.push(crate::model::ScriptedResponse::call("run", json!({})));
        server.model.push(crate::model::ScriptedResponse::text("."));
        server.create("ada", "go").await
    };
    let lines: Vec<String> = events.iter().map(crate::tests::harness::event_line).collect();
    assert_snapshot!(lines[3..13].join("\n"), @r#"
    item.done widget {"type":"Card","title":"a"} copy_text="A"
    item.replaced widget {"type":"Card","title":"b"} copy_text="A"
    item.replaced widget {"type":"Basic"} copy_text="B"
    item.updated widget {"type":"Card","title":"c"}
    item.done widget {"type":"Card","title":"gone"}
    item.removed
    item.added widget {"type":"Card","title":"flash"}
    item.removed
    item.done assistant_message "gone too"
    item.removed
    "#);
    assert_snapshot!(server.items("ada", &thread).await, @r#"
    user_message "go"
    widget {"type":"Card","title":"c"} copy_text="B"
    assistant_message "."
    "#);
}

#[tokio::test]
async fn what_cannot_be_shown_or_changed_is_an_error_that_says_why() {
    assert_snapshot!(output(r#"ctx.widget("titel", #{})"#).await, @r#"output "error: there is no widget `titel`: did you mean `title`?""#);
    assert_snapshot!(output(r#"ctx.widget("x", #{})"#).await, @r#"output "error: there is no widget `x`: add plugins/x.widget""#);
    assert_snapshot!(output(r#"ctx.widget("title")"#).await, @r#"output "error: plugins/title.widget:1:90: `title` is undefined (name it in the widget's data, `()` for none, or give it a `default`)""#);
    assert_snapshot!(output(r#"ctx.widget("title", [1])"#).await, @r#"output "error: plugins/title.widget: the data of a widget must be a map (name its fields, as in `#{ title: \"…\" }`)""#);
    assert_snapshot!(output(r#"ctx.widget("title", #{ title: 1 }, #{ copytext: "a" })"#).await, @r#"output "error: `ctx.widget` knows no `copytext`: did you mean `copy_text`?""#);
    assert_snapshot!(output(r#"ctx.widget("title", #{ title: 1 }, "a")"#).await, @r#"output "error: the options of `ctx.widget` must be a map, and is a string""#);
    assert_snapshot!(output(r#"ctx.widget(#{ type: "Text" })"#).await, @r#"output "error: a widget cannot be a `Text`: its `type` is `Card` or `ListView` or `Basic`""#);
    assert_snapshot!(output(r#"ctx.widget(#{ type: "Card" }, #{}, #{})"#).await, @r#"output "error: `ctx.widget` with a widget given as a map takes no data""#);
    assert_snapshot!(output(r"ctx.widget(3)").await, @r#"output "error: a widget is the name of a .widget file, or a map with a `type`, and not `3`""#);
    assert_snapshot!(output(r#"ctx.stream_widget("title", #{})"#).await, @r#"output "error: plugins/title.widget:1:90: `title` is undefined (name it in the widget's data, `()` for none, or give it a `default`)""#);
    assert_snapshot!(output(r#"ctx.replace("msg_1", "title", #{ title: 1 })"#).await, @r#"output "error: there is no item `msg_1` in this thread""#);
    assert_snapshot!(output(r#"ctx.update((), "title", #{ title: 1 })"#).await, @r#"output "error: the item for `ctx.update` is what `ctx.widget` returned, `action.sender` or an id, and not null""#);
    let wrong = output(r#"ctx.replace(ctx.item, "title", #{ title: 1 })"#).await;
    assert!(wrong.ends_with("is no widget\""), "{wrong}");
    assert_snapshot!(output(r"ctx.remove(ctx.item)").await, @r#"output "error: a message of the user's is not removed""#);
    assert_snapshot!(output(r#"ctx.remove("../x")"#).await, @r#"output "error: there is no item `../x` in this thread""#);
    let (_, output) =
        run(r#"let w = ctx.stream_widget(#{ type: "Card" }); ctx.replace(w, #{ type: "Basic" })"#)
            .await;
    assert_snapshot!(output, @r#"output "error: the widget is still being streamed: use its own `update`, or finish it with `done()`""#);
}

#[tokio::test]
async fn an_item_of_another_thread_is_none_of_this_one() {
    let body = r#"
        if ctx.thread.title == () { ctx.kv.all.set("id", ctx.widget("title", #{ title: 1 }).id); ctx.thread.title = "x"; }
        else { () }
    "#;
    let other = r#"tool(#{ name: "other", description: "d", run: |args, ctx| {
        let errors = [];
        for act in [|id| ctx.replace(id, #{ type: "Card" }), |id| ctx.update(id, #{ type: "Card" }), |id| ctx.remove(id)] {
            try { act.call(args.id) } catch (err) { errors += err }
        }
        errors
    }, parameters: #{ id: #{ type: "string" } } });"#;
    let server = start(body).await;
    server.save("plugins/other.rhai", other).await;
    let shown = converse(&server, "user go\n call run {}\n text .").await;
    assert!(shown.contains("item.done widget"), "{shown}");
    let widget = server.model.requests();
    assert_eq!(widget.len(), 2);
    let (status, threads) = server.call("ada", "threads.list", json!({})).await;
    assert_eq!(status, 200);
    let thread = threads["data"][0]["id"].as_str().unwrap().to_owned();
    let params = json!({ "thread_id": thread, "order": "asc" });
    let (_, items) = server.call("ada", "items.list", params).await;
    let id = items["data"][1]["id"].as_str().unwrap();
    for user in ["ada", "eve"] {
        server.model.push(crate::model::ScriptedResponse::call("other", json!({ "id": id })));
        server.model.push(crate::model::ScriptedResponse::text("."));
        server.create(user, "go").await;
        let output = server.last_input();
        assert_eq!(output.matches("there is no item `msg_").count(), 3, "{output}");
    }
    assert!(server.items("ada", &thread).await.contains("widget"));
}

#[tokio::test]
async fn a_streamed_widget_goes_with_the_turn_that_is_cancelled() {
    let server = start(
        r#"
        let note = ctx.stream_widget("note", #{ text: "" });
        for i in 0..1000 { note.update(#{ text: `${i}` }); sleep(0.01); }
    "#,
    )
    .await;
    server.model.push(crate::model::ScriptedResponse::call("run", json!({})));
    let response = server
        .post("ada", &json!({ "type": "threads.create", "params": { "input": input("go") } }))
        .await;
    let mut body = response.into_body().into_data_stream();
    let mut seen = String::new();
    while !seen.contains("widget.root.updated") {
        seen.push_str(&String::from_utf8_lossy(&body.next().await.unwrap().unwrap()));
    }
    drop(body);
    let thread =
        crate::tests::harness::events(&seen)[0]["thread"]["id"].as_str().unwrap().to_owned();
    server.app.running.idle().await;
    server.model.push(crate::model::ScriptedResponse::text("."));
    server.say("ada", &thread, "more").await;
    assert_snapshot!(server.items("ada", &thread).await, @r#"
    user_message "go"
    user_message "more"
    assistant_message "."
    "#);
}

#[tokio::test]
async fn a_pack_finds_its_own_widgets_first_and_nobody_else_finds_them() {
    let pack = r#"tool(#{ name: "pack", description: "d", run: |args, ctx|
        [ctx.render("title", #{ title: 1 }).type, ctx.render("note", #{ text: "x" }).type] });"#;
    let own = r#"{"template": "{\"type\": \"Basic\"}"}"#;
    let server =
        start(r#"[ctx.render("title", #{ title: 1 }).type, ctx.render("secret", #{})]"#).await;
    server.save("plugins/pack/plugin.toml", "").await;
    server.save("plugins/pack/title.widget", own).await;
    server.save("plugins/pack/secret.widget", own).await;
    server.save("plugins/pack/pack.rhai", pack).await;
    assert_eq!(server.errors(), "");
    converse(&server, "user go\n calls pack {} & run {}\n text .").await;
    let input = server.last_input();
    assert!(input.contains(r#"output "[\"Basic\",\"Card\"]""#), "{input}");
    assert!(input.contains("there is no widget `secret`"), "{input}");
}

#[tokio::test]
async fn a_changed_widget_is_in_force_in_the_next_turn_and_a_broken_one_keeps_its_last_version() {
    let server = start(r#"ctx.render("title", #{ title: "x" })"#).await;
    let ask = async || {
        converse(&server, "user go\n call run {}\n text .").await;
        server.last_input().lines().last().unwrap().to_owned()
    };
    let before = server.app.generation().id.clone();
    assert_eq!(ask().await, r#"output "{\"title\":\"x\",\"type\":\"Card\"}""#);

    server.save("plugins/title.widget", &TITLE.replace("Card", "Basic")).await;
    assert_ne!(server.app.generation().id, before);
    assert_eq!(ask().await, r#"output "{\"title\":\"x\",\"type\":\"Basic\"}""#);

    let changed = server.app.generation().id.clone();
    server.save("plugins/title.widget", &TITLE.replace("| tojson", "| tojsn")).await;
    assert_snapshot!(server.errors(), @"plugins/title.widget:1:90: unknown filter `tojsn`");
    assert_eq!(server.app.generation().id, changed);
    assert_eq!(ask().await, r#"output "{\"title\":\"x\",\"type\":\"Basic\"}""#);

    server.save("plugins/title.widget", TITLE).await;
    assert_eq!((server.errors(), &server.app.generation().id), (String::new(), &before));
    server.remove("plugins/title.widget").await;
    assert!(ask().await.contains("there is no widget `title`"));
}

#[tokio::test]
async fn a_route_changes_a_widget_of_its_thread_and_shows_none() {
    let route = r#"route("POST", "/{thread_id}", |request, ctx| {
        let j = request.json;
        switch j.act {
            "replace" => ctx.replace(j.id, "title", #{ title: "new" }, #{ copy_text: "c" }).copy_text,
            "update" => ctx.update(j.id, "title", #{ title: "newer" }).widget.title,
            "remove" => { ctx.remove(j.id); "gone" }
            "widget" => { let why = ""; try { ctx.widget("title", #{ title: 1 }) } catch (err) { why = err } why }
            _ => { let why = ""; try { ctx.stream_widget("title", #{ title: 1 }) } catch (err) { why = err } why }
        }
    });"#;
    let server = start(r#"ctx.widget("title", #{ title: "old" }); ()"#).await;
    server.save("plugins/change.rhai", route).await;
    server.model.push(crate::model::ScriptedResponse::call("run", json!({})));
    server.model.push(crate::model::ScriptedResponse::text("."));
    let (thread, events) = server.create("ada", "go").await;
    let id = events.iter().find(|it| it["item"]["type"] == "widget").unwrap()["item"]["id"].clone();
    let act = async |act: &str| {
        let body = json!({ "act": act, "id": id }).to_string();
        let request = axum::http::Request::post(format!("/x/change/{thread}"))
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("x-user-id", "ada")
            .body(axum::body::Body::from(body))
            .unwrap();
        text(server.send(request).await).await
    };
    assert_eq!(act("replace").await, "c");
    assert_eq!(act("update").await, "newer");
    assert_snapshot!(server.items("ada", &thread).await, @r#"
    user_message "go"
    widget {"type":"Card","title":"newer"} copy_text="c"
    assistant_message "."
    "#);
    assert_eq!(act("remove").await, "gone");
    let nowhere = "speaks to a chat, and none is open here: use it in a tool or hook of a turn";
    assert_eq!(act("widget").await, format!("`widget` {nowhere}"));
    assert_eq!(act("stream").await, format!("`stream_widget` {nowhere}"));
    assert_snapshot!(server.items("ada", &thread).await, @r#"
    user_message "go"
    assistant_message "."
    "#);
}

#[tokio::test]
async fn a_hook_shows_a_widget_too() {
    let hook = r#"on("message", |event, ctx| { ctx.widget(#{ type: "Card" }); () });"#;
    let shown = check(&[("plugins/hook.rhai", hook)], "user hi\n text .").await;
    assert!(shown.contains(r#"item.done widget {"type":"Card"}"#), "{shown}");
}
