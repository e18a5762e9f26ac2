use insta::assert_snapshot;
use serde_json::json;

use super::{Turn, call, no_thread, outcome, plugin_of, run, show};
use crate::plugin::HandlerId;

#[tokio::test]
async fn ctx_says_who_and_where() {
    let body = "[ctx.user.id, ctx.user.email, ctx.page.title, ctx.selected_text, ctx.metadata.plan, \
                ctx.request.headers[\"article-id\"], ctx.locale, ctx.agent, ctx.item.text, ctx.item.tags, \
                ctx.item.tool_choice, ctx.thread.id, ctx.thread.created_at]";
    assert_snapshot!(outcome(body).await, @r#"["ada",null,"Home",null,"free","7","de-CH","assistant","hello",[],"support","thr_1","2026-11-20T08:30:00Z"]"#);
}

#[tokio::test]
async fn a_thread_can_be_changed() {
    let body = "ctx.thread.title = \"Trip\"; ctx.thread.metadata.plan = \"pro\"; \
                ctx.thread.metadata[\"seats\"] = 3; ctx.thread.status = #{ type: \"locked\", reason: \"paid\" }; \
                ctx.thread.allowed_image_domains = [\"example.org\"]; \
                [ctx.thread.title, ctx.thread.metadata, ctx.thread.status, ctx.thread.allowed_image_domains]";
    assert_snapshot!(outcome(body).await, @r#"
    UpdateThread(ThreadPatch { title: Some(Some("Trip")), metadata: None, allowed_image_domains: None, status: None })
    UpdateThread(ThreadPatch { title: None, metadata: Some({"plan": String("pro")}), allowed_image_domains: None, status: None })
    UpdateThread(ThreadPatch { title: None, metadata: Some({"plan": String("pro"), "seats": Number(3)}), allowed_image_domains: None, status: None })
    UpdateThread(ThreadPatch { title: None, metadata: None, allowed_image_domains: None, status: Some(Locked { reason: Some("paid") }) })
    UpdateThread(ThreadPatch { title: None, metadata: None, allowed_image_domains: Some(Some(["example.org"])), status: None })
    ["Trip",{"plan":"pro","seats":3},{"reason":"paid","type":"locked"},["example.org"]]
    "#);
    assert_snapshot!(outcome("ctx.thread.status = \"closd\"").await, @"thrown: `closd` is no status of a thread: write `active`, `locked` or `closed`");
    assert_snapshot!(outcome("ctx.thread.id = \"x\"").await, @"thrown: plugins/test.rhai:1:68: `id` of ctx.thread cannot be set");
    assert_snapshot!(outcome("let t = ctx.thread; t.title = \"x\"; ctx.thread.title").await, @r#"
    UpdateThread(ThreadPatch { title: Some(Some("x")), metadata: None, allowed_image_domains: None, status: None })
    "x"
    "#);
}

#[tokio::test]
async fn what_a_handler_says_goes_to_the_turn() {
    let body = "ctx.progress(\"globe\", \"Looking\"); ctx.progress(\"on it\"); ctx.notice(\"warning\", \"careful\"); \
                ctx.notice(\"info\", \"m\", \"t\"); ctx.effect(\"go\", #{ to: 1 }); ctx.hidden(\"h\"); \
                ctx.image(\"https://example.org/a.png\"); ctx.cite(\"https://example.org\", 3); \
                ctx.cite(#{ filename: \"a.pdf\", title: \"A\" }); ctx.task(#{ title: \"T\", icon: \"check\" }); \
                ctx.respond(); ctx.say(\"**hi**\").id";
    assert_snapshot!(outcome(body).await, @r#"
    Progress { icon: Some(IconName("globe")), text: "Looking" }
    Progress { icon: None, text: "on it" }
    Notice { level: Warning, message: "careful", title: None }
    Notice { level: Info, message: "m", title: Some("t") }
    Effect { name: "go", data: {"to": Number(1)} }
    Hidden { text: "h" }
    Image { url: "https://example.org/a.png" }
    Cite { source: Url(UrlSource { title: "https://example.org", description: None, timestamp: None, group: None, url: "https://example.org", attribution: None }), index: Some(3) }
    Cite { source: File(FileSource { title: "A", description: None, timestamp: None, group: None, filename: "a.pdf" }), index: None }
    Task(TaskPatch { kind: Custom, title: Some("T"), content: None, icon: Some(IconName("check")), status: None, query: None, queries: None, sources: None })
    Respond
    Say { markdown: "**hi**" }
    "msg_2"
    "#);
}

#[tokio::test]
async fn wrong_words_are_answered_with_the_right_ones() {
    assert_snapshot!(outcome("ctx.progress(\"glob\", \"x\")").await, @"thrown: there is no icon `glob`: did you mean `globe`? (`lucide:NAME` gives any Lucide icon)");
    assert_snapshot!(outcome("ctx.notice(\"error\", \"x\")").await, @"thrown: `error` is no level of `ctx.notice`: write `info`, `warning` or `danger`");
    assert_snapshot!(outcome("ctx.sya(\"x\")").await, @"thrown: `ctx` has no `sya`: did you mean `say`?");
    assert_snapshot!(outcome("ctx.say").await, @"thrown: `ctx.say` is a function: write `ctx.say(…)`");
    assert_snapshot!(outcome("ctx.user()").await, @"thrown: `ctx.user` is no function: write `ctx.user`");
    assert_snapshot!(outcome("ctx.usr").await, @"thrown: `ctx` has no `usr`: did you mean `user`?");
    assert_snapshot!(outcome("ctx.say(1)").await, @"thrown: `ctx.say` needs a text, and is given `1`");
    assert_snapshot!(outcome("ctx.locale = \"de\"").await, @"thrown: plugins/test.rhai:1:61: `locale` of ctx cannot be set");
    assert_snapshot!(outcome("ctx.task(#{ titel: \"x\" })").await, @"thrown: `ctx.task` knows no `titel`: did you mean `title`?");
    assert_snapshot!(outcome("ctx.kv.usr.get(\"x\")").await, @"thrown: `ctx.kv` has no `usr`: did you mean `user`?");
    assert_snapshot!(outcome("ctx.kv.user.fetch(\"x\")").await, @"thrown: `ctx.kv.…` has no `fetch`");
    assert_snapshot!(outcome("ctx.http.get(\"https://example.org\", #{ header: #{} })").await, @"thrown: `ctx.http.get` knows no `header`: did you mean `headers`?");
}

#[tokio::test]
async fn what_is_not_permitted_is_refused_with_the_remedy() {
    assert_snapshot!(outcome("ctx.http.get(\"https://example.org\")").await, @"thrown: plugin `test` may not fetch `https://example.org`: add `example.org` to `permissions.http` in plugins/test.rhai");
    assert_snapshot!(outcome("ctx.env(\"KEY\")").await, @"thrown: plugin `test` may not read the environment variable `KEY`: add `KEY` to `permissions.env` in plugins/test.rhai, and add `KEY` to `permissions.env` of `[plugins.test]` in kitfox.toml");
    assert_snapshot!(outcome("ctx.model(\"hi\")").await, @"thrown: plugin `test` may not ask a model: set `permissions.model` to `true` in plugins/test.rhai");
    assert_snapshot!(outcome("ctx.call_tool(\"x\", #{})").await, @"thrown: plugin `test` may not call the tool `x`: add `x` to `permissions.tools` in plugins/test.rhai");
    assert_snapshot!(outcome("ctx.log(\"loud\", \"x\")").await, @"thrown: there is no log level `loud`: use `error`, `warn`, `info` or `debug`");
    assert_eq!(
        outcome("let k = (); try { ctx.env(\"KEY\") } catch (err) { k = err } type_of(k)").await,
        "\"string\""
    );
}

#[tokio::test]
async fn members_of_later_versions_say_so() {
    for body in ["ctx.search(\"docs\", \"q\", #{})"] {
        let outcome = outcome(body).await;
        assert!(outcome.ends_with("is not available in this version"), "{outcome}");
    }
}

#[tokio::test]
async fn without_a_thread_its_members_are_units_or_clear_errors() {
    let run = async |body: &str| {
        let script =
            format!("tool(#{{ name: \"t\", description: \"d\", run: |args, ctx| {{ {body} }} }});");
        let plugin = plugin_of(&script).await;
        show(&plugin.call(HandlerId(0), json!({}), no_thread()).await)
    };
    assert_snapshot!(run("[ctx.thread, ctx.item, ctx.agent]").await, @"[null,null,null]");
    assert_snapshot!(run("ctx.say(\"x\")").await, @"thrown: `ctx.say` needs a thread, and there is none: `kitfox call`, /mcp and most routes have none");
    assert_snapshot!(run("ctx.error(\"x\", true)").await, @"thrown: `ctx.error` needs a thread, and there is none: `kitfox call`, /mcp and most routes have none");
    assert_snapshot!(run("ctx.kv.thread.get(\"x\")").await, @"thrown: `ctx.kv.thread` needs a thread, and there is none: `kitfox call`, /mcp and most routes have none");
    assert_snapshot!(run("ctx.thread.title = \"x\"").await, @"thrown: plugins/test.rhai:1:68: `title` of () cannot be set");
}

#[tokio::test]
async fn ctx_is_usable_in_closures_inside_calls_on_it() {
    let script = r#"
        tool(#{ name: "t", description: "d", run: |args, ctx| {
            let log = [];
            [1, 2].for_each(|| log.push(ctx.user.id));
            let say = |text| ctx.say(text).id;
            [log, say.call("x")]
        } });
    "#;
    assert_snapshot!(run(script).await, @r#"
    Say { markdown: "x" }
    [["ada","ada"],"msg_2"]
    "#);
}

#[tokio::test]
async fn time_and_chance_have_their_forms() {
    let body = "let x = ctx.random(); [type_of(ctx.now), x >= 0.0 && x < 1.0, [7, 8].contains(ctx.pick([7, 8]))]";
    assert_snapshot!(outcome(body).await, @r#"["string",true,true]"#);
    assert_snapshot!(outcome("ctx.pick([])").await, @"thrown: `ctx.pick` has an empty array to pick from");
    assert_snapshot!(outcome("ctx.t(\"a.b\")").await, @r#""a.b""#);
    assert_snapshot!(outcome("ctx.data(\"a.json\")").await, @"thrown: `a.json` cannot be read, because a single file has no data/: make it a pack, a folder in plugins/ with a plugin.toml");
}

#[tokio::test]
async fn values_are_kept() {
    let body = "let kv = ctx.kv.user; kv.set(\"a\", #{ n: 1 }); kv.set(\"ab\", 2); \
                ctx.kv.all.set(\"a\", \"all\"); ctx.kv.thread.set(\"a\", ()); kv.delete(\"gone\"); \
                [kv.get(\"a\"), kv.get(\"none\"), kv.list(\"a\"), ctx.kv.all.get(\"a\"), ctx.kv.thread.list()]";
    assert_snapshot!(outcome(body).await, @r#"[{"n":1},null,["a","ab"],"all",["a"]]"#);
    let body = "ctx.kv.user.update(\"n\", |v| if v == () { 1 } else { v + 1 }); \
                ctx.kv.user.update(\"n\", |v| v + ctx.user.id.len())";
    assert_snapshot!(outcome(body).await, @"4");
    let body =
        "try { ctx.kv.user.update(\"n\", |v| throw \"no\") } catch { } ctx.kv.user.get(\"n\")";
    assert_snapshot!(outcome(body).await, @"null");
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_at_the_same_time_are_all_kept() {
    let plugin = plugin_of(
        "tool(#{ name: \"t\", description: \"d\", run: |args, ctx| \
            ctx.kv.user.update(\"n\", |v| (v ?? 0) + 1) });",
    )
    .await;
    let turn = Turn::start();
    let calls = (0..40).map(|_| plugin.clone().call(HandlerId(0), json!({}), turn.context()));
    let results = futures::future::join_all(calls).await;
    let mut counts: Vec<i64> =
        results.into_iter().map(|it| it.unwrap().as_i64().unwrap()).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=40).collect::<Vec<_>>());
    assert_eq!(call(&plugin, json!({})).await, "41");
}
