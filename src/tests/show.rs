//! What the user sees beside the text, and what the model is told of it.

use axum::http::StatusCode;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    model::{InputContent, InputItem, ScriptedResponse, ScriptedStep},
    tests::harness::{Server, chatkit_request, check, converse, events, input, text},
};

/// The events without ids and times, one line each.
fn plain(events: &[Value]) -> String {
    let mut events = events.to_vec();
    events.iter_mut().for_each(strip);
    events.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for key in ["thread_id", "created_at", "item_id"] {
                map.shift_remove(key);
            }
            if map.get("id").and_then(Value::as_str).is_some_and(|it| it.len() > 20) {
                map.shift_remove("id");
            }
            map.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

/// A first turn in which the model calls `t` and says `text`: its events from the call on.
async fn call(server: &Server, answer: &str) -> Vec<Value> {
    server.model.push(ScriptedResponse::call("t", json!({})));
    server.model.push(ScriptedResponse::text(answer));
    server.create("ada", "go").await.1.split_off(3)
}

fn tool(body: &str) -> String {
    format!("tool(#{{ name: \"t\", description: \"T.\", run: |args, ctx| {{ {body} }} }});")
}

#[tokio::test]
async fn citations_stand_on_what_is_said_next() {
    let script = tool(
        r#"
        ctx.cite("https://example.org/a", 2);
        ctx.cite(#{ filename: "b.pdf", title: "B" });
        ctx.cite(#{ id: "c", title: "C", icon: "star", data: #{ x: () }, interactive: true }, 5);
        "ok"
    "#,
    );
    let server = Server::start(&[("plugins/t.rhai", &script)]).await;
    assert_snapshot!(plain(&call(&server, "É|n bref").await), @r#"
    {"type":"thread.item.added","item":{"type":"assistant_message","content":[]}}
    {"type":"thread.item.updated","update":{"type":"assistant_message.content_part.added","content_index":0,"content":{"type":"output_text","text":"","annotations":[]}}}
    {"type":"thread.item.updated","update":{"type":"assistant_message.content_part.text_delta","content_index":0,"delta":"É"}}
    {"type":"thread.item.updated","update":{"type":"assistant_message.content_part.text_delta","content_index":0,"delta":"n bref"}}
    {"type":"thread.item.updated","update":{"type":"assistant_message.content_part.annotation_added","content_index":0,"annotation_index":0,"annotation":{"type":"annotation","source":{"type":"url","title":"https://example.org/a","url":"https://example.org/a"},"index":2}}}
    {"type":"thread.item.updated","update":{"type":"assistant_message.content_part.annotation_added","content_index":0,"annotation_index":1,"annotation":{"type":"annotation","source":{"type":"file","title":"B","filename":"b.pdf"}}}}
    {"type":"thread.item.updated","update":{"type":"assistant_message.content_part.annotation_added","content_index":0,"annotation_index":2,"annotation":{"type":"annotation","source":{"type":"entity","title":"C","id":"c","icon":"star","interactive":true,"data":{"x":null}},"index":5}}}
    {"type":"thread.item.updated","update":{"type":"assistant_message.content_part.done","content_index":0,"content":{"type":"output_text","text":"Én bref","annotations":[]}}}
    {"type":"thread.item.done","item":{"type":"assistant_message","content":[{"type":"output_text","text":"Én bref","annotations":[{"type":"annotation","source":{"type":"url","title":"https://example.org/a","url":"https://example.org/a"},"index":2},{"type":"annotation","source":{"type":"file","title":"B","filename":"b.pdf"}},{"type":"annotation","source":{"type":"entity","title":"C","id":"c","icon":"star","interactive":true,"data":{"x":null}},"index":5}]}]}}
    "#);
    let said = tool(r#"ctx.cite("https://example.org"); ctx.say("Look."); "ok""#);
    server.save("plugins/t.rhai", &said).await;
    assert_snapshot!(plain(&call(&server, "x").await[..1]), @r#"{"type":"thread.item.done","item":{"type":"assistant_message","content":[{"type":"output_text","text":"Look.","annotations":[{"type":"annotation","source":{"type":"url","title":"https://example.org","url":"https://example.org"}}]}]}}"#);
}

#[tokio::test]
async fn a_response_hook_keeps_the_citations() {
    let script = tool(r#"ctx.cite("https://example.org"); "ok""#)
        + r#"on("response", |event, ctx| #{ text: event.text + "!" });"#;
    let server = Server::start(&[("plugins/t.rhai", &script)]).await;
    let events = call(&server, "hi").await;
    assert_snapshot!(plain(&events[events.len() - 1..]), @r#"{"type":"thread.item.done","item":{"type":"assistant_message","content":[{"type":"output_text","text":"hi!","annotations":[{"type":"annotation","source":{"type":"url","title":"https://example.org","url":"https://example.org"}}]}]}}"#);
}

#[tokio::test]
async fn images_and_tasks_are_shown_and_told() {
    let script = tool(
        r#"
        let image = ctx.image("https://example.org/cat.png");
        let task = ctx.task(#{ title: "Fed", content: "the cat", icon: "check" });
        image.type + " " + task.task.title
    "#,
    );
    let server = Server::start(&[("plugins/t.rhai", &script)]).await;
    server.model.push(ScriptedResponse::call("t", json!({})));
    server.model.push(ScriptedResponse::text("done"));
    let (thread, events) = server.create("ada", "go").await;
    assert_snapshot!(plain(&events[3..5]), @r#"
    {"type":"thread.item.done","item":{"type":"generated_image","image":{"url":"https://example.org/cat.png"}}}
    {"type":"thread.item.done","item":{"type":"task","task":{"type":"custom","status_indicator":"none","title":"Fed","icon":"check","content":"the cat"}}}
    "#);
    server.model.push(ScriptedResponse::text("yes"));
    server.say("ada", &thread, "and?").await;
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    user "The following image was generated by the agent. + [image]"
    user "A message was displayed to the user that the following task was performed:\n<Task>\nFed: the cat\n</Task>"
    call t {}
    output "generated_image Fed"
    assistant "done"
    user "and?"
    "#);
}

#[tokio::test]
async fn a_drawn_image_shows_how_far_it_is() {
    let prompt =
        "---\ntitles: false\nhosted: [{ image_generation: { partial_images: 2 } }]\n---\nDraw.\n";
    let server = Server::start(&[("prompts/assistant.md", prompt)]).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::Image { partials: vec!["AA==".into(), "AB==".into()], result: "AC==".into() },
        ScriptedStep::text("Here."),
    ]));
    let (_, events) = server.create("ada", "draw").await;
    assert_snapshot!(plain(&events[3..7]), @r#"
    {"type":"thread.item.added","item":{"type":"generated_image"}}
    {"type":"thread.item.updated","update":{"type":"generated_image.updated","image":{"url":"data:image/png;base64,AA=="},"progress":0.0}}
    {"type":"thread.item.updated","update":{"type":"generated_image.updated","image":{"url":"data:image/png;base64,AB=="},"progress":0.5}}
    {"type":"thread.item.done","item":{"type":"generated_image","image":{"url":"data:image/png;base64,AC=="}}}
    "#);
    let ids: Vec<_> = events[4..7]
        .iter()
        .map(|it| it.pointer("/update/image/id").or(it.pointer("/item/image/id")).unwrap())
        .collect();
    assert!(ids.iter().all(|it| *it == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn a_search_of_the_provider_is_a_task_among_the_thoughts() {
    let response = json!([
        { "reasoning": "Let me look." },
        { "search": ["weather Oslo"], "sources": ["https://yr.no/oslo", "https://yr.no/oslo#2"] },
        { "text": "It rains." },
    ]);
    let script = format!("user weather?\njson {response}");
    let shown = check(&[], &script).await;
    assert_snapshot!(shown, @r#"
    created
    item.done user_message "weather?"
    stream_options {"stream_options":{"allow_cancel":true}}
    item.added workflow of 0 tasks
    item.updated task added {"type":"thought","status_indicator":"none","content":"Let me look."}
    item.updated task updated {"type":"thought","status_indicator":"none","content":"Let me look."}
    item.updated task added {"type":"web_search","status_indicator":"loading","queries":[],"sources":[]}
    item.updated task updated {"type":"web_search","status_indicator":"complete","title_query":"weather Oslo","queries":["weather Oslo"],"sources":[{"type":"url","title":"yr.no","url":"https://yr.no/oslo"},{"type":"url","title":"yr.no","url":"https://yr.no/oslo#2"}]}
    item.done workflow of 2 tasks
    item.added assistant_message
    item.updated content part
    item.updated "It rains."
    item.updated part done "It rains."
    item.done assistant_message "It rains."
    "#);
}

#[tokio::test]
async fn a_workflow_that_its_tool_left_open_ends_before_the_model_speaks() {
    let script =
        tool(r#"let w = ctx.workflow(); w.task(#{ title: "Step", status: "loading" }); "ok""#);
    let server = Server::start(&[("plugins/t.rhai", &script)]).await;
    let events = call(&server, "done").await;
    assert_snapshot!(plain(&events[..3]), @r#"
    {"type":"thread.item.added","item":{"type":"workflow","workflow":{"type":"custom","tasks":[{"type":"custom","status_indicator":"loading","title":"Step"}],"expanded":false}}}
    {"type":"thread.item.done","item":{"type":"workflow","workflow":{"type":"custom","tasks":[{"type":"custom","status_indicator":"none","title":"Step"}],"summary":{"duration":0},"expanded":false}}}
    {"type":"thread.item.added","item":{"type":"assistant_message","content":[]}}
    "#);
}

#[tokio::test]
async fn a_result_in_mcps_form_shows_the_model_its_images() {
    let script = tool(
        r#"#{ content: [
            #{ type: "text", text: "A cat:" },
            #{ type: "image", mimeType: "image/png", data: "iVBORw0KGgoAAAAN" },
        ] }"#,
    );
    let server = Server::start(&[("plugins/t.rhai", &script)]).await;
    server.model.push(ScriptedResponse::call("t", json!({})));
    server.model.push(ScriptedResponse::text("A cat."));
    let (thread, _) = server.create("ada", "go").await;
    server.model.push(ScriptedResponse::text("Yes."));
    server.say("ada", &thread, "sure?").await;
    // In this turn and in later ones.
    for request in &server.model.requests()[1..] {
        let Some(InputItem::FunctionCallOutput { output, .. }) =
            request.input.iter().find(|it| matches!(it, InputItem::FunctionCallOutput { .. }))
        else {
            panic!("no output: {:?}", request.input)
        };
        assert_eq!(
            output[..],
            [
                InputContent::Text("A cat:".to_owned()),
                InputContent::Image { url: "data:image/png;base64,iVBORw0KGgoAAAAN".to_owned() },
            ]
        );
    }
}

#[tokio::test]
async fn a_closed_thread_says_so_and_a_plugin_may_open_it() {
    let script = tool(
        r#"
        ctx.thread.status = #{ type: "closed", reason: "done" };
        ctx.thread.allowed_image_domains = ["example.org"];
        "ok"
    "#,
    ) + r#"route("POST", "/open/{thread_id}", |request, ctx| { ctx.thread.status = "active"; ctx.thread.status });"#;
    let server = Server::start(&[("plugins/t.rhai", &script)]).await;
    server.model.push(ScriptedResponse::call("t", json!({})));
    server.model.push(ScriptedResponse::text("bye"));
    let (thread, events) = server.create("ada", "go").await;
    let updated = events.iter().find(|it| it["type"] == "thread.updated").unwrap();
    assert_snapshot!(plain(std::slice::from_ref(updated)), @r#"{"type":"thread.updated","thread":{"status":{"type":"closed","reason":"done"},"allowed_image_domains":["example.org"],"metadata":{},"items":{"data":[],"has_more":false}}}"#);
    let say = json!({ "thread_id": thread, "input": input("hi") });
    let (status, body) = server.call("ada", "threads.add_user_message", say).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(body["message"], "the thread is closed: done");
    let path = format!("/x/t/open/{thread}");
    let request = axum::http::Request::post(path)
        .header("host", "localhost")
        .header("x-user-id", "ada")
        .header("content-type", "application/json")
        .body(axum::body::Body::from("{}"))
        .unwrap();
    assert_eq!(text(server.send(request).await).await, "active");
    server.model.push(ScriptedResponse::text("hello"));
    server.say("ada", &thread, "hi").await;
}

#[tokio::test]
async fn tags_are_told_as_text_and_as_what_a_plugin_knows_of_them() {
    let hook = r#"on("tag", |event, ctx| if event.id == "c1" { `${event.text} is ${event.data.age} (${event.group})` });"#;
    let server = Server::start(&[("plugins/tags.rhai", hook)]).await;
    let mut message = input("feed ");
    let tag = |id: &str, text: &str, data: Value| json!({ "type": "input_tag", "id": id, "text": text, "data": data, "group": "Cats", "interactive": true });
    let parts = message["content"].as_array_mut().unwrap();
    parts.push(tag("c1", "Tom", json!({ "age": 3 })));
    parts.push(json!({ "type": "input_text", "text": " and " }));
    parts.push(tag("c2", "Kit", json!({ "age": null })));
    parts.push(tag("c1", "Tom", json!({ "age": 3 })));
    message["quoted_text"] = json!("the cats");
    server.model.push(ScriptedResponse::text("ok"));
    server.stream("ada", "threads.create", json!({ "input": message })).await;
    assert_snapshot!(server.last_input(), @r##"
    user "feed @Tom and @Kit@Tom"
    user "The user is referring to this in particular: \nthe cats"
    user "# User-provided context for @-mentions\n- When referencing resolved entities, use their canonical names **without** '@'.\n- The '@' form appears only in user text and should not be echoed. + Tom is 3 (Cats) + <TAG id=c2 text=Kit data={\"age\": null}/>"
    "##);
}

#[tokio::test]
async fn a_choice_in_the_composer_is_an_agent_or_a_tool() {
    let files = [
        ("plugins/t.rhai", tool(r#""ok""#)),
        (
            "prompts/support.md",
            "---\ntitles: false\nwhen: { tool_choice: [help] }\n---\nSupport.\n".to_owned(),
        ),
    ];
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let server = Server::start(&files).await;
    for choice in ["help", "t", "gone"] {
        let mut message = input("hi");
        message["inference_options"] = json!({ "tool_choice": { "id": choice } });
        server.model.push(ScriptedResponse::text("ok"));
        server.stream("ada", "threads.create", json!({ "input": message })).await;
    }
    let asked: Vec<_> = server
        .model
        .requests()
        .iter()
        .map(|it| format!("{} {:?}", it.instructions, it.tool_choice))
        .collect();
    assert_eq!(asked, ["Support. None", "You are a test. Some(\"t\")", "You are a test. None"]);
}

#[tokio::test]
async fn the_locale_of_the_browser_reaches_prompts_and_plugins() {
    let files = [
        ("plugins/shop/plugin.toml", "name = \"shop\""),
        (
            "plugins/shop/shop.rhai",
            r#"tool(#{ name: "t", description: "T.", run: |args, ctx| `${ctx.locale} ${ctx.request.locale} ${ctx.t("hello", #{ name: "Ada" })}` });"#,
        ),
        ("plugins/shop/locales/en.json", r#"{ "hello": "Hello {name}" }"#),
        ("plugins/shop/locales/de.json", r#"{ "hello": "Hallo {name}" }"#),
        ("prompts/assistant.md", "---\ntitles: false\n---\nSpeak {{ request.locale or 'any' }}.\n"),
    ];
    let server = Server::start(&files).await;
    assert_eq!(server.errors(), "");
    for (header, expected) in [
        (Some("de-CH,de;q=0.9,en"), "de-CH de-CH Hallo Ada"),
        (Some("fr"), "fr fr Hello Ada"),
        (None, "  Hello Ada"),
    ] {
        server.model.push(ScriptedResponse::call("t", json!({})));
        server.model.push(ScriptedResponse::text("ok"));
        let body = json!({ "type": "threads.create", "params": { "input": input("hi") } });
        let mut request = chatkit_request("ada", &body);
        if let Some(header) = header {
            request.headers_mut().insert("accept-language", header.parse().unwrap());
        }
        assert!(!events(&text(server.send(request).await).await).is_empty());
        assert!(
            server.last_input().ends_with(&format!("output {expected:?}")),
            "{}",
            server.last_input()
        );
    }
    let spoken: Vec<_> =
        server.model.requests().into_iter().step_by(2).map(|it| it.instructions).collect();
    assert_eq!(spoken, ["Speak de-CH.", "Speak fr.", "Speak any."]);
}

#[tokio::test]
async fn what_is_hidden_is_in_no_answer_and_makes_no_page_short() {
    let script = tool(r#"ctx.hidden("SECRET-1"); ctx.hidden("SECRET-2"); "ok""#);
    let server = Server::start(&[("plugins/t.rhai", &script)]).await;
    let shown = converse(&server, "user go\ncall t {}\ntext done").await;
    assert!(!shown.contains("SECRET"), "{shown}");
    let (_, threads) = server.call("ada", "threads.list", json!({})).await;
    let thread = threads["data"][0]["id"].clone();
    let (_, got) = server.call("ada", "threads.get_by_id", json!({ "thread_id": thread })).await;
    let (_, page) =
        server.call("ada", "items.list", json!({ "thread_id": thread, "limit": 2 })).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 2);
    assert!(!format!("{threads}{got}{page}").contains("SECRET"));
    assert!(server.last_input().contains("SECRET-2"));
}

#[tokio::test]
async fn a_task_may_be_of_every_kind() {
    let script = tool(
        r#"
        let w = ctx.workflow(#{ title: "Research" });
        let search = w.task(#{ type: "web_search", query: "cats", status: "loading" });
        search.update(#{ queries: ["cats", "cat food"], sources: ["https://cats.test/a", #{ url: "https://b.test", title: "B" }] });
        search.done();
        w.task(#{ type: "thought", content: "Cats eat." });
        w.done();
        ctx.task(#{ type: "file", title: "Read", sources: ["a.pdf"] });
        ctx.task(#{ type: "image", title: "Drew" });
        let wrong = [];
        for task in [#{ type: "song" }, #{ type: "thought" }, #{ type: "file", icon: "check" }, #{ type: "file", sources: [1] }] {
            try { ctx.task(task); } catch (err) { wrong.push(`${err}`); }
        }
        join(wrong, "\n")
    "#,
    );
    let server = Server::start(&[("plugins/t.rhai", &script)]).await;
    let events = call(&server, "done").await;
    assert_snapshot!(plain(&events[..7]), @r#"
    {"type":"thread.item.added","item":{"type":"workflow","workflow":{"type":"custom","tasks":[{"type":"web_search","status_indicator":"loading","title_query":"cats","queries":[],"sources":[]}],"summary":{"title":"Research"},"expanded":false}}}
    {"type":"thread.item.updated","update":{"type":"workflow.task.updated","task_index":0,"task":{"type":"web_search","status_indicator":"loading","title_query":"cats","queries":["cats","cat food"],"sources":[{"type":"url","title":"https://cats.test/a","url":"https://cats.test/a"},{"type":"url","title":"B","url":"https://b.test"}]}}}
    {"type":"thread.item.updated","update":{"type":"workflow.task.updated","task_index":0,"task":{"type":"web_search","status_indicator":"complete","title_query":"cats","queries":["cats","cat food"],"sources":[{"type":"url","title":"https://cats.test/a","url":"https://cats.test/a"},{"type":"url","title":"B","url":"https://b.test"}]}}}
    {"type":"thread.item.updated","update":{"type":"workflow.task.added","task_index":1,"task":{"type":"thought","status_indicator":"none","content":"Cats eat."}}}
    {"type":"thread.item.done","item":{"type":"workflow","workflow":{"type":"custom","tasks":[{"type":"web_search","status_indicator":"complete","title_query":"cats","queries":["cats","cat food"],"sources":[{"type":"url","title":"https://cats.test/a","url":"https://cats.test/a"},{"type":"url","title":"B","url":"https://b.test"}]},{"type":"thought","status_indicator":"none","content":"Cats eat."}],"summary":{"title":"Research"},"expanded":false}}}
    {"type":"thread.item.done","item":{"type":"task","task":{"type":"file","status_indicator":"none","title":"Read","sources":[{"type":"file","title":"a.pdf","filename":"a.pdf"}]}}}
    {"type":"thread.item.done","item":{"type":"task","task":{"type":"image","status_indicator":"none","title":"Drew"}}}
    "#);
    let told = server.last_input();
    let told: String = serde_json::from_str(told.rsplit_once("output ").unwrap().1).unwrap();
    assert_snapshot!(told, @r#"
    `song` is no type of a task: write one of `custom`, `thought`, `web_search`, `file`, `image`
    a thought lacks `content`: add `content: "…"` to its map
    `ctx.task` knows no `icon`: it knows `type`, `title` and `sources`
    `sources` of a task is no array of addresses or file names: write `["https://…"]`, `[#{ url: …, title: … }]` or `[#{ filename: … }]`
    "#);
}
