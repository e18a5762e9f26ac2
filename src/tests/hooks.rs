//! Hooks: what plugins make of messages, requests and answers.

use insta::assert_snapshot;

use crate::tests::harness::{Server, check, converse};

#[tokio::test]
async fn a_rejected_message_stays_and_the_model_never_sees_it() {
    let hook = r#"on("message", |event, ctx| {
        if event.text.contains("secret") { return #{ reject: "No secrets, please." }; }
    });"#;
    let server = Server::start(&[("plugins/guard.rhai", hook)]).await;
    let shown = converse(
        &server,
        "
        user my secret
        user hello
        text hi
    ",
    )
    .await;
    assert_snapshot!(shown, @r#"
    created
    item.done user_message "my secret"
    stream_options {"stream_options":{"allow_cancel":true}}
    notice {"level":"warning","message":"No secrets, please."}
    item.done user_message "hello"
    stream_options {"stream_options":{"allow_cancel":true}}
    item.added assistant_message
    item.updated content part
    item.updated "hi"
    item.updated part done "hi"
    item.done assistant_message "hi"
    "#);
    assert_snapshot!(server.last_input(), @r#"user "hello""#);
}

#[tokio::test]
async fn a_rejected_message_is_rejected_again_when_it_is_tried_again() {
    let hook = r#"on("message", |event, ctx| #{ reject: "No." });"#;
    let server = Server::start(&[("plugins/guard.rhai", hook)]).await;
    let shown = converse(
        &server,
        "
        user my secret
        retry
    ",
    )
    .await;
    assert!(shown.ends_with(r#"notice {"level":"warning","message":"No."}"#), "{shown}");
    assert!(server.model.requests().is_empty());
}

#[tokio::test]
async fn a_hook_changes_what_the_model_sees_now_and_later() {
    let hook = r#"on("message", |event, ctx| {
        if event.text == "hi" { #{ text: "hello", context: "It rains.", vars: #{ mood: "wet" } } }
    });"#;
    let prompt = "---\ntitles: false\n---\nMood: {{ vars.mood or 'dry' }}\n";
    let files = [("plugins/hook.rhai", hook), ("prompts/assistant.md", prompt)];
    let server = Server::start(&files).await;
    converse(
        &server,
        "
        user hi
        text hello
        user next
        text bye
    ",
    )
    .await;
    assert_eq!(server.model.requests()[0].instructions, "Mood: wet");
    assert_eq!(server.model.requests()[1].instructions, "Mood: dry");
    assert_snapshot!(server.last_input(), @r#"
    user "hello"
    user "Hidden context for the agent (not shown to the user):\n<HiddenContext>\nIt rains.\n</HiddenContext>"
    assistant "hello"
    user "next"
    "#);
}

#[tokio::test]
async fn a_request_hook_changes_instructions_and_takes_tools_away() {
    let hook = r#"
        tool(#{ name: "a", description: "A.", run: |args, ctx| 1 });
        tool(#{ name: "b", description: "B.", run: |args, ctx| 2 });
        on("request", |event, ctx| #{ instructions: event.instructions + " Be kind.", drop_tools: ["b"] });
    "#;
    let server = Server::start(&[("plugins/hook.rhai", hook)]).await;
    converse(
        &server,
        "
        user hi
        text hello
    ",
    )
    .await;
    let request = &server.model.requests()[0];
    assert_eq!(request.instructions, "You are a test. Be kind.");
    assert_eq!(request.tools.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[tokio::test]
async fn a_response_hook_changes_the_finished_text() {
    let hook = r#"on("response", |event, ctx| #{ text: event.text + " (checked)" });"#;
    let shown = check(
        &[("plugins/hook.rhai", hook)],
        "
        user hi
        text hello
    ",
    )
    .await;
    assert!(shown.ends_with(r#"item.done assistant_message "hello (checked)""#), "{shown}");
}

#[tokio::test]
async fn hooks_of_the_end_know_what_was_said_and_what_failed() {
    let hook = r#"
        on("turn.done", |event, ctx| ctx.notice("info", `${event.items.len} said`));
        on("turn.failed", |event, ctx| ctx.notice("info", `failed: ${event.error.retry}`));
        on("thread.created", |event, ctx| ctx.progress(`created ${event.thread.id.len}`));
    "#;
    let shown = check(
        &[("plugins/hook.rhai", hook)],
        "
        user hi
        text hello
        user again
        fail failed
    ",
    )
    .await;
    assert_snapshot!(shown, @r#"
    created
    item.done user_message "hi"
    stream_options {"stream_options":{"allow_cancel":true}}
    progress_update {"text":"created 36"}
    item.added assistant_message
    item.updated content part
    item.updated "hello"
    item.updated part done "hello"
    item.done assistant_message "hello"
    notice {"level":"info","message":"1 said"}
    item.done user_message "again"
    stream_options {"stream_options":{"allow_cancel":true}}
    notice {"level":"info","message":"failed: true"}
    error {"code":"stream.error","allow_retry":true}
    "#);
}

#[tokio::test]
async fn what_a_hook_throws_for_the_user_is_the_users_error() {
    let hook =
        r#"on("message", |event, ctx| throw #{ message: "Closed on Sundays.", retry: true });"#;
    let shown = check(&[("plugins/hook.rhai", hook)], "user hi").await;
    assert!(
        shown.ends_with(
            r#"error {"code":"custom","message":"Closed on Sundays.","allow_retry":true}"#
        ),
        "{shown}"
    );
}

#[tokio::test]
async fn a_hook_that_ends_with_showing_something_means_nothing_by_it() {
    let hook = r#"on("message", |event, ctx| { ctx.say("One moment."); });"#;
    let shown = check(
        &[("plugins/hook.rhai", hook)],
        "
        user hi
        text hello
    ",
    )
    .await;
    assert!(shown.contains(r#"item.done assistant_message "One moment.""#), "{shown}");
    assert!(shown.ends_with(r#"item.done assistant_message "hello""#), "{shown}");
}
