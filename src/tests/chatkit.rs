//! The protocol as data, compared with what `fixtures/chatkit/capture.py` captured from the Python SDK.

use std::{collections::BTreeSet, str::FromStr};

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json, value::RawValue};

use crate::chatkit::*;

const REQUESTS: &str = include_str!("fixtures/chatkit/requests.jsonl");
const ANSWERS: &str = include_str!("fixtures/chatkit/answers.jsonl");
const ITEMS: &str = include_str!("fixtures/chatkit/items.jsonl");
const STREAMS: &[(&str, &str)] = &[
    ("action", include_str!("fixtures/chatkit/streams/action.jsonl")),
    ("client_tool", include_str!("fixtures/chatkit/streams/client_tool.jsonl")),
    ("errors", include_str!("fixtures/chatkit/streams/errors.jsonl")),
    ("image", include_str!("fixtures/chatkit/streams/image.jsonl")),
    ("message", include_str!("fixtures/chatkit/streams/message.jsonl")),
    ("questions", include_str!("fixtures/chatkit/streams/questions.jsonl")),
    ("retry", include_str!("fixtures/chatkit/streams/retry.jsonl")),
    ("thread", include_str!("fixtures/chatkit/streams/thread.jsonl")),
    ("widget", include_str!("fixtures/chatkit/streams/widget.jsonl")),
    ("work", include_str!("fixtures/chatkit/streams/work.jsonl")),
];

#[test]
fn every_event_is_written_as_the_sdk_writes_it() {
    for (stream, events) in STREAMS {
        for event in events.lines() {
            round_trip::<ThreadStreamEvent>(event, stream);
        }
    }
}

#[test]
fn every_item_is_written_as_the_sdk_writes_it() {
    for item in ITEMS.lines() {
        round_trip::<ThreadItem>(item, "items");
        // As in an answer with a page of items, which are not parsed.
        let page = format!(r#"{{"data":[{item}],"has_more":true,"after":"x"}}"#);
        round_trip::<Page<Box<RawValue>>>(&page, "items");
    }
}

#[test]
fn every_answer_is_written_as_the_sdk_writes_it() {
    #[derive(serde::Deserialize)]
    struct Captured {
        operation: String,
        answer: Box<RawValue>,
    }
    let mut operations = BTreeSet::new();
    for line in ANSWERS.lines() {
        let Captured { operation, answer } = serde_json::from_str(line).unwrap();
        let json = answer.get();
        match operation.as_str() {
            "threads.get_by_id" | "threads.update" => round_trip::<Thread>(json, &operation),
            "threads.list" => round_trip::<Page<Thread>>(json, &operation),
            "items.list" => round_trip::<Page<ThreadItem>>(json, &operation),
            "attachments.create" => round_trip::<Attachment>(json, &operation),
            "input.transcribe" => round_trip::<TranscriptionResult>(json, &operation),
            "threads.sync_custom_action" => {
                round_trip::<SyncCustomActionResponse>(json, &operation);
            }
            "items.feedback" | "threads.delete" | "attachments.delete" => assert_eq!(json, "{}"),
            unknown => panic!("an answer to `{unknown}`"),
        }
        operations.insert(operation);
    }
    assert_eq!(operations.len(), 10, "{operations:?}");
}

#[test]
fn every_operation_has_a_captured_request_that_parses() {
    let mut missing: BTreeSet<&str> = OPERATIONS.iter().copied().collect();
    for body in REQUESTS.lines() {
        let request = Request::parse(body.as_bytes()).unwrap_or_else(|err| panic!("{err}: {body}"));
        let json: Value = serde_json::from_str(body).unwrap();
        assert_eq!(request.operation.name(), json["type"], "{body}");
        missing.remove(request.operation.name());
    }
    assert!(missing.is_empty(), "no fixture for {missing:?}");
}

#[test]
fn a_message_keeps_its_tags_and_choices() {
    let first = REQUESTS.lines().find(|it| it.contains("threads.create")).unwrap();
    let Operation::ThreadsCreate(ThreadsCreateParams { input }) =
        Request::parse(first.as_bytes()).unwrap().operation
    else {
        panic!("{first}");
    };
    let UserMessageContent::InputTag(tag) = &input.content[1] else { panic!("{input:?}") };
    assert_eq!((tag.id.as_str(), tag.text.as_str()), ("t1", "Ada"));
    assert_eq!(
        tag.data["deep"],
        json!([null, { "also": null, "n": 1.5, "big": 12_345_678_901_234_567_u64 }])
    );
    assert_eq!((tag.group.as_deref(), tag.interactive), (Some("people"), true));
    assert_eq!(input.attachments, ["atc_0001".into(), "atc_0002".into()]);
    assert_eq!(input.quoted_text.as_deref(), Some("as you said"));
    assert_eq!(input.inference_options.model.as_deref(), Some("small"));
    assert_eq!(input.inference_options.tool_choice, Some(ToolChoice { id: "search".to_owned() }));
}

#[test]
fn what_is_left_out_has_the_defaults_of_the_sdk() {
    let list = r#"{"type":"threads.list","params":{}}"#;
    let defaults =
        Operation::ThreadsList(ThreadsListParams { limit: None, order: Order::Desc, after: None });
    assert_eq!(parse(list), defaults);
    let nulls = r#"{"type":"threads.list","params":{"limit":null,"after":null},"extra":[1]}"#;
    assert_eq!(parse(nulls), defaults);

    let answer = r#"{"type":"threads.add_structured_input",
                     "params":{"thread_id":"t","item_id":"i","input":{"answers":{"a":{}}}}}"#;
    let answers = [("a".to_owned(), StructuredInputAnswer { values: vec![], skipped: false })];
    assert_eq!(
        parse(answer),
        Operation::ThreadsAddStructuredInput(ThreadsAddStructuredInputParams {
            thread_id: "t".into(),
            item_id: "i".into(),
            input: StructuredInputSubmission {
                status: SubmissionStatus::Answered,
                answers: answers.into(),
            },
        })
    );

    let result =
        r#"{"type":"threads.add_client_tool_output","params":{"thread_id":"t","result":null}}"#;
    assert_eq!(
        parse(result),
        Operation::ThreadsAddClientToolOutput(ThreadsAddClientToolOutputParams {
            thread_id: "t".into(),
            result: Value::Null,
        })
    );

    let action =
        r#"{"type":"threads.custom_action","params":{"thread_id":"t","action":{"type":"a"}}}"#;
    assert_eq!(
        parse(action),
        Operation::ThreadsCustomAction(CustomActionParams {
            thread_id: "t".into(),
            item_id: None,
            action: Action { r#type: "a".to_owned(), payload: Value::Null },
        })
    );

    let error: ThreadStreamEvent = serde_json::from_str(r#"{"type":"error"}"#).unwrap();
    assert_eq!(
        serde_json::to_value(error).unwrap(),
        json!({ "type": "error", "code": "custom", "allow_retry": false })
    );
}

#[test]
fn metadata_is_taken_from_all_places_where_pages_send_it() {
    let body = r#"{"type":"threads.create","metadata":{"at":"top"},"params":{"metadata":{"at":"params"},
        "input":{"content":[],"attachments":[],"inference_options":{},"metadata":{"at":"input"}}}}"#;
    let request = Request::parse(body.as_bytes()).unwrap();
    let at = |place: &str| Map::from_iter([("at".to_owned(), json!(place))]);
    assert_eq!(request.metadata, [at("top"), at("params"), at("input")]);
}

#[test]
fn nulls_are_dropped_at_every_depth_of_a_widget() {
    let widget = Widget::new(json!({
        "type": "Card",
        "background": null,
        "unknown": { "a": null, "b": [1, null, { "c": null, "d": 0.5 }] },
        "children": [{ "type": "Text", "value": "", "color": null }],
    }));
    assert_eq!(
        serde_json::to_value(widget).unwrap(),
        json!({
            "type": "Card",
            "unknown": { "b": [1, { "d": 0.5 }] },
            "children": [{ "type": "Text", "value": "" }],
        })
    );
}

#[test]
fn a_misspelt_icon_is_refused_with_the_nearest_name() {
    assert_eq!(
        IconName::parse("serch").unwrap_err(),
        "there is no icon `serch`: did you mean `search`? (`lucide:NAME` gives any Lucide icon)"
    );
    assert!(IconName::parse("lucide:anything").is_ok());
    assert!(IconName::parse("vendor:anything").is_ok());
}

#[test]
fn ids_of_a_kind_sort_by_the_time_they_were_made() {
    let ids: Vec<ItemId> = (0..100).map(|_| ItemId::generate(ItemKind::Message)).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    assert!(ids[0].as_str().starts_with("msg_"));
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 100);
}

#[test]
fn a_bad_body_is_refused_with_the_path_of_the_field() {
    let create =
        |input: &str| format!(r#"{{"type":"threads.create","params":{{"input":{input}}}}}"#);
    let content = |part: &str| {
        create(&format!(r#"{{"content":[{part}],"attachments":[],"inference_options":{{}}}}"#))
    };

    refused("", "the body is empty");
    refused("hello", "the body is not JSON: expected value at line 1 column 1");
    refused(
        r#"{"type":"threads.list","params":{"#,
        "the body is not JSON: EOF while parsing an object at line 1 column 33",
    );
    refused("{} {}", "`type` is missing");
    refused(
        r#"{"type":"threads.list","params":{}} {}"#,
        "the body is not JSON: trailing characters at line 1 column 37",
    );
    refused("[]", "the body is a list, not an object");
    refused(r#"["threads.list",{},{}]"#, "the body is a list, not an object");
    refused("null", "the body is null, not an object");
    refused(r#""threads.list""#, "the body is string \"threads.list\", not an object");
    refused("17", "the body is integer `17`, not an object");
    refused(r#"{"params":{}}"#, "`type` is missing");
    refused(r#"{"type":null,"params":{}}"#, "`type` is null, not a string");
    refused(r#"{"type":5,"params":{}}"#, "`type` is integer `5`, not a string");
    refused(
        r#"{"type":"threads.explode","params":{}}"#,
        "there is no operation `threads.explode`: did you mean `threads.delete`?",
    );
    refused(
        r#"{"type":"Threads.List","params":{}}"#,
        "there is no operation `Threads.List`: did you mean `threads.list`?",
    );

    refused(r#"{"type":"threads.get_by_id"}"#, "`params` is missing");
    refused(r#"{"type":"threads.get_by_id","params":null}"#, "`params` is missing");
    refused(
        r#"{"type":"threads.get_by_id","params":["thr_1"]}"#,
        "`params` is a list, not an object",
    );
    refused(r#"{"type":"threads.get_by_id","params":{}}"#, "`params.thread_id` is missing");
    refused(
        r#"{"type":"threads.get_by_id","params":{"thread_id":7}}"#,
        "`params.thread_id` is integer `7`, not a string",
    );
    refused(
        r#"{"type":"threads.get_by_id","params":{"thread_id":null}}"#,
        "`params.thread_id` is null, not a string",
    );
    refused(
        r#"{"type":"threads.get_by_id","params":{"thread_id":"thr\u0000x"}}"#,
        "`params.thread_id` is not valid: it holds a NUL character",
    );
    refused(
        r#"{"type":"threads.list","params":{},"metadata":[]}"#,
        "`metadata` is a list, not an object",
    );
    refused(
        r#"{"type":"threads.list","params":{"limit":"many"}}"#,
        "`params.limit` is string \"many\", not an integer",
    );
    refused(
        r#"{"type":"threads.list","params":{"limit":1.5}}"#,
        "`params.limit` is floating point `1.5`, not an integer",
    );
    refused(
        r#"{"type":"threads.list","params":{"limit":100000000000000000000}}"#,
        "`params.limit` is floating point `1e+20`, not an integer",
    );
    refused(
        r#"{"type":"threads.list","params":{"limit":NaN}}"#,
        "the body is not JSON: expected value at line 1 column 42",
    );
    refused(
        r#"{"type":"items.list","params":{"thread_id":"t","order":"sideways"}}"#,
        "`params.order` is `sideways`, not `asc` or `desc`",
    );

    refused(r#"{"type":"threads.create","params":{}}"#, "`params.input` is missing");
    refused(&create("[[],[],null,{}]"), "`params.input` is a list, not an object");
    refused(
        &create(r#"{"content":[],"inference_options":{}}"#),
        "`params.input.attachments` is missing",
    );
    refused(
        &create(r#"{"content":[],"attachments":[]}"#),
        "`params.input.inference_options` is missing",
    );
    refused(
        &create(r#"{"content":[],"attachments":[],"inference_options":{"tool_choice":["x"]}}"#),
        "`params.input.inference_options.tool_choice` is a list, not an object",
    );
    refused(
        &content(r#"{"type":"input_text","text":"a"},{"type":"input_video"}"#),
        "`params.input.content[1].type` is `input_video`, not `input_text` or `input_tag`",
    );
    refused(
        &content(r#"["input_text","a"]"#),
        "`params.input.content[0]` is a list, not an object",
    );
    refused(&content(r#"{"text":"a"}"#), "`params.input.content[0].type` is missing");
    refused(&content(r#"{"type":"input_text"}"#), "`params.input.content[0].text` is missing");
    refused(
        &content(r#"{"type":"input_text","text":3}"#),
        "`params.input.content[0]` is integer `3`, not a string",
    );
    refused(
        &content(r#"{"type":"input_tag","id":"1","text":"x"}"#),
        "`params.input.content[0].data` is missing",
    );
    refused(
        &content(r#"{"type":"input_text","text":"x\ud800y"}"#),
        "`params.input.content[0].text` is not valid: unexpected end of hex escape",
    );

    refused(
        r#"{"type":"threads.custom_action","params":{"thread_id":"x","action":{"type":5,"payload":1}}}"#,
        "`params.action.type` is integer `5`, not a string",
    );
    refused(
        r#"{"type":"threads.add_client_tool_output","params":{"thread_id":"x"}}"#,
        "`params.result` is missing",
    );
    refused(
        r#"{"type":"items.feedback","params":{"thread_id":"x","kind":"positive"}}"#,
        "`params.item_ids` is missing",
    );
    refused(
        r#"{"type":"items.feedback","params":{"thread_id":"x","item_ids":["a",1],"kind":"positive"}}"#,
        "`params.item_ids[1]` is integer `1`, not a string",
    );
    refused(
        r#"{"type":"threads.update","params":{"thread_id":"x","title":null}}"#,
        "`params.title` is null, not a string",
    );
    refused(
        r#"{"type":"threads.add_structured_input","params":{"thread_id":"x","item_id":"y","input":{"status":"maybe"}}}"#,
        "`params.input.status` is `maybe`, not `answered` or `skipped`",
    );
    refused(
        r#"{"type":"threads.add_structured_input","params":{"thread_id":"x","item_id":"y","input":{"answers":{"size":[]}}}}"#,
        "`params.input.answers.size` is a list, not an object",
    );
    refused(
        r#"{"type":"attachments.create","params":{"name":"a","size":"big","mime_type":"text/plain"}}"#,
        "`params.size` is string \"big\", not an integer",
    );
}

#[test]
fn a_body_that_is_not_text_is_refused() {
    let bad = b"{\"type\":\"threads.get_by_id\",\"params\":{\"thread_id\":\"\xff\xfe\"}}";
    assert_eq!(refusal(bad), "the body is not UTF-8 from byte 51");
    let utf16: Vec<u8> = [0xfeff_u16]
        .into_iter()
        .chain(r#"{"type":"threads.list","params":{}}"#.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(refusal(&utf16), "the body is not UTF-8 from byte 0");
}

#[test]
fn a_body_that_is_nested_too_deeply_is_refused() {
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let metadata = format!(r#"{{"type":"threads.list","params":{{}},"metadata":{{"a":{deep}}}}}"#);
    let problem = refusal(metadata.as_bytes());
    assert!(problem.starts_with("`metadata.a[0][0]"), "{problem}");
    assert!(problem.ends_with("…` is nested too deeply"), "{problem}");

    let result = format!(
        r#"{{"type":"threads.add_client_tool_output","params":{{"thread_id":"x","result":{deep}}}}}"#
    );
    assert!(refusal(result.as_bytes()).ends_with("…` is nested too deeply"));
    // What nobody reads does no harm.
    let unread =
        format!(r#"{{"type":"threads.list","params":{{"unknown":{deep}}},"other":{deep}}}"#);
    assert!(Request::parse(unread.as_bytes()).is_ok());
}

#[test]
fn a_refusal_is_short_whatever_was_sent() {
    let long = "ü".repeat(100_000);
    for body in [
        format!(r#"{{"type":"{long}","params":{{}}}}"#),
        format!(r#"{{"type":"threads.list","params":{{"limit":"{long}"}}}}"#),
        format!(r#"{{"type":"threads.list","params":{{"order":"{long}"}}}}"#),
        format!(
            r#"{{"type":"threads.add_structured_input","params":{{"thread_id":"x","item_id":"y","input":{{"answers":{{"{long}":1}}}}}}}}"#
        ),
    ] {
        let problem = refusal(body.as_bytes());
        assert!(problem.chars().count() < 300, "{problem}");
    }
}

#[track_caller]
fn parse(body: &str) -> Operation {
    Request::parse(body.as_bytes()).unwrap().operation
}

#[track_caller]
fn refused(body: &str, problem: &str) {
    assert_eq!(refusal(body.as_bytes()), problem, "{body}");
}

#[track_caller]
fn refusal(body: &[u8]) -> String {
    Request::parse(body).unwrap_err().to_string()
}

/// Fails unless `captured` parses and is written as equal JSON.
#[track_caller]
fn round_trip<T: DeserializeOwned + Serialize>(captured: &str, from: &str) {
    let parsed: T =
        serde_json::from_str(captured).unwrap_or_else(|err| panic!("{from}: {err}: {captured}"));
    let mut theirs: Value = serde_json::from_str(captured).unwrap();
    let mut ours: Value = serde_json::from_str(&serde_json::to_string(&parsed).unwrap()).unwrap();
    as_instants(&mut theirs);
    as_instants(&mut ours);
    assert_eq!(ours, theirs, "{from}");
}

/// Ours are in UTC, those of the SDK in the zone of its clock: the instant is what counts.
fn as_instants(json: &mut Value) {
    match json {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(time) if key == "created_at" => {
                        *time = Timestamp::from_str(time).unwrap().to_string();
                    }
                    other => as_instants(other),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(as_instants),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}
