use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{chatkit::OPERATIONS, model::ScriptedResponse, tests::harness::input};

use super::scene::{MODES, Person, SECRET, STRANGERS, Scene, Things};

/// Operations that name nothing of anybody's.
const NAMELESS: &[&str] = &["attachments.create", "input.transcribe"];

/// Each operation with these things, by somebody who has a thread and a message of their own.
fn attacks(things: &Things, own_thread: &str, own_message: &str) -> Vec<(&'static str, Value)> {
    let Things { thread, message, widget, .. } = things;
    let with_attachment = |id: &str| {
        let mut input = input("look");
        input["attachments"] = json!([id]);
        input
    };
    let press = json!({ "type": "press", "payload": {} });
    let approve = json!({ "type": "kitfox.approve", "payload": {} });
    let deny = json!({ "type": "kitfox.deny", "payload": {} });
    let calling = &things.calling_thread;
    let (asking, questions) = (&things.asking_thread, &things.questions);
    let (approving, card) = (&things.approving_thread, &things.card);
    vec![
        ("threads.get_by_id", json!({ "thread_id": thread })),
        ("threads.create", json!({ "input": with_attachment(&things.attachment) })),
        ("threads.create", json!({ "input": with_attachment(&things.unfinished) })),
        ("threads.list", json!({ "after": thread })),
        ("threads.add_user_message", json!({ "thread_id": thread, "input": input("hi") })),
        (
            "threads.add_user_message",
            json!({ "thread_id": own_thread, "input": with_attachment(&things.attachment) }),
        ),
        ("threads.add_client_tool_output", json!({ "thread_id": calling, "result": 1 })),
        (
            "threads.add_structured_input",
            json!({ "thread_id": asking, "item_id": questions, "input": {} }),
        ),
        (
            "threads.add_structured_input",
            json!({ "thread_id": own_thread, "item_id": questions, "input": {} }),
        ),
        ("threads.custom_action", json!({ "thread_id": thread, "action": press })),
        (
            "threads.custom_action",
            json!({ "thread_id": thread, "item_id": widget, "action": press }),
        ),
        (
            "threads.custom_action",
            json!({ "thread_id": own_thread, "item_id": widget, "action": press }),
        ),
        (
            "threads.custom_action",
            json!({ "thread_id": approving, "item_id": card, "action": approve }),
        ),
        (
            "threads.custom_action",
            json!({ "thread_id": own_thread, "item_id": card, "action": approve }),
        ),
        (
            "threads.custom_action",
            json!({ "thread_id": approving, "item_id": card, "action": deny }),
        ),
        (
            "threads.sync_custom_action",
            json!({ "thread_id": thread, "item_id": widget, "action": press }),
        ),
        (
            "threads.sync_custom_action",
            json!({ "thread_id": own_thread, "item_id": widget, "action": press }),
        ),
        ("threads.retry_after_item", json!({ "thread_id": thread, "item_id": message })),
        ("threads.retry_after_item", json!({ "thread_id": own_thread, "item_id": message })),
        ("threads.retry_after_item", json!({ "thread_id": thread, "item_id": own_message })),
        ("threads.update", json!({ "thread_id": thread, "title": "taken" })),
        ("threads.delete", json!({ "thread_id": thread })),
        ("items.list", json!({ "thread_id": thread })),
        ("items.list", json!({ "thread_id": own_thread, "after": message })),
        (
            "items.feedback",
            json!({ "thread_id": thread, "item_ids": [message], "kind": "positive" }),
        ),
        (
            "items.feedback",
            json!({ "thread_id": own_thread, "item_ids": [message], "kind": "positive" }),
        ),
        ("attachments.delete", json!({ "attachment_id": things.attachment })),
        ("attachments.delete", json!({ "attachment_id": things.unfinished })),
    ]
}

#[test]
fn every_operation_is_attacked() {
    let attacked: BTreeSet<_> =
        attacks(&Things::unknown(), "", "").into_iter().map(|(operation, _)| operation).collect();
    for operation in OPERATIONS {
        assert_ne!(
            attacked.contains(operation),
            NAMELESS.contains(operation),
            "`{operation}` has no attack: add one to `attacks`"
        );
    }
}

#[tokio::test]
async fn what_is_anothers_is_as_unknown_as_what_never_was() {
    for mode in MODES {
        let scene = Scene::start(mode).await;
        let things = scene.furnish(Person::Ada).await;
        let before = scene.state().await;
        for person in STRANGERS {
            let (mut own_thread, mut own_message) = ("thr_none".to_owned(), "msg_none".to_owned());
            if person != Person::Nobody {
                scene.server.model.push(ScriptedResponse::text("hi"));
                let (thread, events) = scene.create(person, "hello", &[]).await;
                own_message = events[1]["item"]["id"].as_str().unwrap().to_owned();
                own_thread = thread;
            }
            let unknown = attacks(&Things::unknown(), &own_thread, &own_message);
            let foreign = attacks(&things, &own_thread, &own_message);
            for ((operation, foreign), (_, unknown)) in foreign.into_iter().zip(unknown) {
                let place = format!("{mode} {person:?} {operation} {foreign}");
                let (status, answer) = scene.call(person, operation, &foreign).await;
                assert!(status.is_client_error(), "{place}: {status} {answer}");
                assert!(!answer.contains(SECRET), "{place}: {answer}");
                let expected = scene.call(person, operation, &unknown).await;
                assert_eq!((status, answer), expected, "{place}");
                let is_known = person != Person::Nobody || mode == "session";
                assert_eq!(status != StatusCode::UNAUTHORIZED, is_known, "{place}");
            }
            let (status, list) = scene.call(person, "threads.list", &json!({})).await;
            assert!(!list.contains(SECRET) && !list.contains(&things.thread), "{mode} {person:?}");
            assert!(status == StatusCode::OK || status == StatusCode::UNAUTHORIZED);
        }
        assert_eq!(scene.server.model.remaining(), 0);
        assert_eq!(scene.state().await, before, "{mode}");
    }
}
