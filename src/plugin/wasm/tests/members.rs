//! Members of `ctx`: the same in scripts and components.

use serde_json::{Value, json};

use super::{Turn, call, file, host, load_or_panic, show};
use crate::{
    plugin::{HandlerId, PluginFiles, ctx::MEMBERS, load},
    tests::guest::{forwarder, one_tool},
};

/// What a script gives, below what it had shown.
async fn script(body: &str) -> String {
    let text =
        format!("tool(#{{ name: \"t\", description: \"d\", run: |args, ctx| {{ {body} }} }});");
    let files = PluginFiles {
        path: "plugins/test.rhai".to_owned(),
        name: "test".to_owned(),
        files: [("test.rhai".to_owned(), text.as_bytes().into())].into(),
    };
    let plugin = load(&files, &host().await).unwrap_or_else(|errors| panic!("{errors:?}"));
    let turn = Turn::start();
    let result = plugin.call(HandlerId(0), json!({}), turn.context()).await;
    format!("{}{}", turn.shown(), show(&result))
}

/// Each member, with arguments, and the same in a script. What differs by its nature is compared by its kind.
#[tokio::test]
async fn each_member_does_the_same_in_both_engines() {
    let card = json!({ "children": [], "type": "Card" });
    let table: Vec<(&str, Value, &str)> = vec![
        ("agent", json!([]), "ctx.agent"),
        (
            "ask",
            json!([[{ "id": "a", "question": "Why?" }]]),
            "ctx.ask([#{ id: \"a\", question: \"Why?\" }])",
        ),
        ("call_tool", json!(["other", { "a": 1 }]), "ctx.call_tool(\"other\", #{ a: 1 })"),
        ("cite", json!(["https://example.org", 3]), "ctx.cite(\"https://example.org\", 3)"),
        ("client_tool", json!(["open", { "a": 1 }]), "ctx.client_tool(\"open\", #{ a: 1 })"),
        ("data", json!(["a.json"]), "ctx.data(\"a.json\")"),
        ("effect", json!(["go", { "to": 1 }]), "ctx.effect(\"go\", #{ to: 1 })"),
        ("env", json!(["HOME"]), "ctx.env(\"HOME\")"),
        ("error", json!(["closed", true]), "ctx.error(\"closed\", true)"),
        ("hidden", json!(["h"]), "ctx.hidden(\"h\")"),
        ("http.delete", json!(["https://a.test/"]), "ctx.http.delete(\"https://a.test/\")"),
        ("http.get", json!(["https://a.test/"]), "ctx.http.get(\"https://a.test/\")"),
        (
            "http.post",
            json!(["https://a.test/", { "json": 1 }]),
            "ctx.http.post(\"https://a.test/\", #{ json: 1 })",
        ),
        (
            "http.put",
            json!(["https://a.test/", { "body": "b" }]),
            "ctx.http.put(\"https://a.test/\", #{ body: \"b\" })",
        ),
        (
            "http.request",
            json!(["patch", "https://a.test/"]),
            "ctx.http.request(\"patch\", \"https://a.test/\")",
        ),
        ("image", json!(["https://example.org/a.png"]), "ctx.image(\"https://example.org/a.png\")"),
        ("item", json!([]), "ctx.item"),
        ("kv.user.delete", json!(["a"]), "ctx.kv.user.delete(\"a\")"),
        ("kv.all.get", json!(["a"]), "ctx.kv.all.get(\"a\")"),
        ("kv.user.list", json!([]), "ctx.kv.user.list()"),
        ("kv.thread.set", json!(["a", 1]), "ctx.kv.thread.set(\"a\", 1)"),
        ("kv.user.set", json!(["", 1]), "ctx.kv.user.set(\"\", 1)"),
        // What `update` is made of.
        (
            "kv.user.compare_and_set",
            json!(["a", null, 1]),
            "ctx.kv.user.update(\"a\", |v| 1); true",
        ),
        ("locale", json!([]), "ctx.locale"),
        ("log", json!(["info", "hello"]), "ctx.log(\"info\", \"hello\")"),
        ("log", json!(["loud", "hello"]), "ctx.log(\"loud\", \"hello\")"),
        ("metadata", json!([]), "ctx.metadata"),
        ("model", json!(["hi"]), "ctx.model(\"hi\")"),
        ("notice", json!(["info", "m", "t"]), "ctx.notice(\"info\", \"m\", \"t\")"),
        ("notice", json!(["loud", "m"]), "ctx.notice(\"loud\", \"m\")"),
        ("now", json!([]), "ctx.now"),
        ("page", json!([]), "ctx.page"),
        ("progress", json!(["globe", "on it"]), "ctx.progress(\"globe\", \"on it\")"),
        ("progress", json!(["on it"]), "ctx.progress(\"on it\")"),
        ("random", json!([]), "ctx.random()"),
        ("remove", json!(["msg_1"]), "ctx.remove(\"msg_1\")"),
        ("render", json!(["card", { "a": 1 }]), "ctx.render(\"card\", #{ a: 1 })"),
        (
            "replace",
            json!(["msg_1", card]),
            "ctx.replace(\"msg_1\", #{ type: \"Card\", children: [] })",
        ),
        ("request", json!([]), "ctx.request"),
        ("respond", json!([]), "ctx.respond()"),
        ("say", json!(["**hi**"]), "ctx.say(\"**hi**\")"),
        ("selected_text", json!([]), "ctx.selected_text"),
        ("stream_widget", json!([card]), "ctx.stream_widget(#{ type: \"Card\", children: [] }).id"),
        ("stream_widget.done", json!(["msg_7"]), ""),
        ("stream_widget.update", json!(["msg_7", card]), ""),
        ("t", json!(["hello", { "name": "Ada" }]), "ctx.t(\"hello\", #{ name: \"Ada\" })"),
        (
            "task",
            json!([{ "title": "T", "icon": "check" }]),
            "ctx.task(#{ title: \"T\", icon: \"check\" })",
        ),
        ("thread", json!([]), "ctx.thread"),
        ("thread.set", json!([{ "title": "Trip" }]), "ctx.thread.title = \"Trip\"; ctx.thread"),
        (
            "update",
            json!(["msg_1", card]),
            "ctx.update(\"msg_1\", #{ type: \"Card\", children: [] })",
        ),
        ("user", json!([]), "ctx.user"),
        ("widget", json!([card]), "ctx.widget(#{ type: \"Card\", children: [] })"),
        ("widget", json!(["nosuch", {}]), "ctx.widget(\"nosuch\", #{})"),
        ("workflow", json!([{ "title": "W" }]), "ctx.workflow(#{ title: \"W\" }).id"),
        ("workflow.task", json!(["wf_1", { "title": "T" }]), ""),
        ("workflow.update", json!(["wf_1", 0, { "title": "T" }]), ""),
        ("workflow.done", json!(["wf_1", { "title": "D" }]), ""),
    ];
    for member in MEMBERS {
        let covers = |(name, _, _): &(&str, Value, &str)| {
            let plain = name.replace(".user.", ".").replace(".all.", ".").replace(".thread.", ".");
            plain == member.name || *name == member.name
        };
        assert!(table.iter().any(covers), "no line for `ctx.{}`", member.name);
    }
    let plugin = load_or_panic(&file(&forwarder(&one_tool())), &host().await);
    let mut different = Vec::new();
    for (member, arguments, body) in table {
        let component = call(&plugin, json!({ "m": member, "a": arguments })).await;
        assert!(!component.contains("does nothing"), "{member}: {component}");
        // Parts of objects in scripts: their calls are compared where the object is made.
        if body.is_empty() || matches!(member, "now" | "random") {
            continue;
        }
        let (component, script) = (plain(&component), plain(&script(body).await));
        if component != script {
            different.push(format!("{member}\n  component: {component}\n  script:    {script}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Without what differs by its nature: the order of keys, the place in the script, the file's name.
fn plain(outcome: &str) -> String {
    let (shown, result) = outcome.rsplit_once('\n').unwrap_or(("", outcome));
    let result = match serde_json::from_str::<Value>(result) {
        Ok(value) => sorted(value).to_string(),
        Err(_) => result.to_owned(),
    };
    let result = match (result.strip_prefix("thrown: plugins/test.rhai:"), result.split_once(": `"))
    {
        (Some(_), Some((_, message))) => format!("thrown: `{message}"),
        _ => result,
    };
    let result = result
        .replace("plugins/test.rhai", "FILE")
        .replace("plugins/guest.wasm", "FILE")
        .replace("`test`", "NAME")
        .replace("`guest`", "NAME")
        .replace("[plugins.test]", "[plugins.NAME]")
        .replace("[plugins.guest]", "[plugins.NAME]");
    format!("{shown}\n{result}")
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(entries.into_iter().map(|(key, it)| (key, sorted(it))).collect())
        }
        Value::Array(entries) => entries.into_iter().map(sorted).collect(),
        other => other,
    }
}
