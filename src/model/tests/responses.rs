use insta::assert_snapshot;
use serde_json::json;

use super::{
    events, say,
    upstream::{Answer, End, Upstream},
};

/// What becomes of these events, wherever the body is cut.
async fn play(sent: &[&str]) -> String {
    let answer = Answer::events(sent);
    let whole = play_answer(answer.clone()).await;
    assert_eq!(play_answer(answer.cut(7)).await, whole);
    whole
}

async fn play_answer(answer: Answer) -> String {
    let upstream = Upstream::start([answer]).await;
    events(upstream.responses().stream(say("hi"))).await
}

const COMPLETED: &str = r#"{"type":"response.completed","response":{"status":"completed","usage":{"input_tokens":11,"output_tokens":7},"output":[{"type":"message","content":[{"type":"output_text","text":"not again"}]}]}}"#;

#[tokio::test]
async fn an_answer_of_openai_is_read() {
    assert_snapshot!(play(&[
        r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","status":"in_progress","error":null,"output":[]}}"#,
        r#"{"type":"response.in_progress","response":{"id":"resp_1"}}"#,
        r#"{"type":"response.output_item.added","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}"#,
        r#"{"type":"response.reasoning_summary_part.added","item_id":"rs_1","summary_index":0,"part":{"type":"summary_text","text":""}}"#,
        r#"{"type":"response.reasoning_summary_text.delta","item_id":"rs_1","summary_index":0,"delta":"Let me "}"#,
        r#"{"type":"response.reasoning_summary_text.delta","item_id":"rs_1","summary_index":0,"delta":"see."}"#,
        r#"{"type":"response.reasoning_summary_text.done","item_id":"rs_1","summary_index":0,"text":"Let me see."}"#,
        r#"{"type":"response.output_item.done","item":{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"Let me see."}],"encrypted_content":"gAAA"}}"#,
        r#"{"type":"response.output_item.added","output_index":1,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}}"#,
        r#"{"type":"response.content_part.added","item_id":"msg_1","content_index":0,"part":{"type":"output_text","annotations":[],"text":""}}"#,
        r#"{"type":"response.output_text.delta","item_id":"msg_1","content_index":0,"delta":"Grüße","logprobs":[]}"#,
        r#"{"type":"response.output_text.delta","item_id":"msg_1","content_index":0,"delta":" 🎉","logprobs":[]}"#,
        r#"{"type":"response.output_text.annotation.added","content_index":0,"annotation_index":0,"annotation":{"type":"file_citation","file_id":"f","index":3}}"#,
        r#"{"type":"response.output_text.annotation.added","content_index":0,"annotation_index":1,"annotation":{"type":"file_citation","filename":"a.pdf","file_id":"f","index":3}}"#,
        r#"{"type":"response.output_text.annotation.added","content_index":0,"annotation_index":2,"annotation":{"type":"url_citation","url":"https://a.example","title":"A","start_index":1,"end_index":4}}"#,
        r#"{"type":"response.output_text.annotation.added","content_index":0,"annotation_index":3,"annotation":{"type":"container_file_citation","filename":"b.csv","container_id":"c","file_id":"f","start_index":1,"end_index":5}}"#,
        r#"{"type":"response.output_text.annotation.added","content_index":0,"annotation_index":4,"annotation":{"type":"file_path","file_id":"f","index":1}}"#,
        r#"{"type":"response.output_text.done","content_index":0,"text":"Grüße 🎉"}"#,
        r#"{"type":"response.content_part.done","content_index":0,"part":{"type":"output_text","text":"Grüße 🎉"}}"#,
        r#"{"type":"response.output_item.done","item":{"id":"msg_1","type":"message","content":[{"type":"output_text","text":"Grüße 🎉"}]}}"#,
        r#"{"type":"response.output_item.added","item":{"id":"fc_1","type":"function_call","name":"a","call_id":"call_1","arguments":""}}"#,
        r#"{"type":"response.function_call_arguments.delta","item_id":"fc_1","delta":"{\"x\":1}"}"#,
        r#"{"type":"response.function_call_arguments.done","item_id":"fc_1","arguments":"{\"x\":1}"}"#,
        r#"{"type":"response.output_item.done","item":{"id":"fc_1","type":"function_call","name":"a","call_id":"call_1","arguments":"{\"x\":1}"}}"#,
        COMPLETED,
    ]).await, @r#"
    reasoning
      0 "Let me "
      0 "see."
      0 done "Let me see."
    raw {"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"Let me see."}],"encrypted_content":"gAAA"}
    message
      part 0
        "Grüße"
        " 🎉"
        {"type":"annotation","source":{"type":"file","title":"a.pdf","filename":"a.pdf"},"index":3}
        {"type":"annotation","source":{"type":"url","title":"A","url":"https://a.example"},"index":4}
        {"type":"annotation","source":{"type":"file","title":"b.csv","filename":"b.csv"},"index":5}
      part 0 done "Grüße 🎉"
    message done
    call a {"x":1} call_1
    usage 11 7
    done Stop
    "#);
}

#[tokio::test]
async fn a_refusal_is_read_by_the_user() {
    assert_snapshot!(play(&[
        r#"{"type":"response.output_item.added","item":{"id":"msg_1","type":"message","content":[]}}"#,
        r#"{"type":"response.content_part.added","content_index":0,"part":{"type":"refusal","refusal":""}}"#,
        r#"{"type":"response.refusal.delta","content_index":0,"delta":"No."}"#,
        r#"{"type":"response.refusal.done","content_index":0,"refusal":"No."}"#,
        r#"{"type":"response.output_item.done","item":{"id":"msg_1","type":"message","content":[]}}"#,
        COMPLETED,
    ]).await, @r#"
    message
      part 0
        "No."
      part 0 done "No."
    message done
    usage 11 7
    done Stop
    "#);
}

#[tokio::test]
async fn searches_of_the_provider_are_told_with_what_they_found() {
    assert_snapshot!(play(&[
        r#"{"type":"response.output_item.added","item":{"id":"ws_1","type":"web_search_call","status":"in_progress"}}"#,
        r#"{"type":"response.web_search_call.searching","item_id":"ws_1"}"#,
        r#"{"type":"response.output_item.done","item":{"id":"ws_1","type":"web_search_call","action":{"type":"search","query":"weather","sources":[{"type":"url","url":"https://a.test"},{"type":"url","url":"https://a.test"},{"type":"api"}]}}}"#,
        r#"{"type":"response.output_item.done","item":{"id":"ws_2","type":"web_search_call","action":{"type":"open_page","url":"https://b.test"}}}"#,
        r#"{"type":"response.output_item.done","item":{"id":"fs_1","type":"file_search_call","queries":["a","b"],"results":[{"filename":"a.pdf","text":"…"}]}}"#,
        r#"{"type":"response.output_item.done","item":{"id":"fs_2","type":"file_search_call","queries":7,"results":null}}"#,
        COMPLETED,
    ]).await, @r#"
    search Web ws_1
    searched ws_1 for ["weather"] in ["https://a.test"]
    raw {"id":"ws_1","type":"web_search_call","action":{"type":"search","query":"weather","sources":[{"type":"url","url":"https://a.test"},{"type":"url","url":"https://a.test"},{"type":"api"}]}}
    searched ws_2 for [] in ["https://b.test"]
    raw {"id":"ws_2","type":"web_search_call","action":{"type":"open_page","url":"https://b.test"}}
    searched fs_1 for ["a", "b"] in ["a.pdf"]
    raw {"id":"fs_1","type":"file_search_call","queries":["a","b"],"results":[{"filename":"a.pdf","text":"…"}]}
    searched fs_2 for [] in []
    raw {"id":"fs_2","type":"file_search_call","queries":7,"results":null}
    usage 11 7
    done Stop
    "#);
}

#[tokio::test]
async fn images_and_other_tools_of_the_provider_are_read() {
    assert_snapshot!(play(&[
        r#"{"type":"response.output_item.done","item":{"id":"ws_1","type":"web_search_call","status":"completed"}}"#,
        r#"{"type":"response.output_item.added","item":{"id":"ig_1","type":"image_generation_call","result":null}}"#,
        r#"{"type":"response.image_generation_call.partial_image","item_id":"ig_1","partial_image_index":0,"partial_image_b64":"AA=="}"#,
        r#"{"type":"response.image_generation_call.completed","item_id":"ig_1"}"#,
        r#"{"type":"response.output_item.done","item":{"id":"ig_1","type":"image_generation_call","result":"BB=="}}"#,
        COMPLETED,
    ]).await, @r#"
    searched ws_1 for [] in []
    raw {"id":"ws_1","type":"web_search_call","status":"completed"}
    image
      0 AA==
    image done BB==
    usage 11 7
    done Stop
    "#);
}

#[tokio::test]
async fn servers_that_leave_events_out_are_understood() {
    assert_snapshot!(play(&[
        r#"{"type":"response.output_text.delta","delta":"a"}"#,
        r#"{"type":"response.some_future_event","delta":{"x":1}}"#,
        r#"{"type":"response.content_part.added","content_index":1,"part":{"type":"reasoning_text","text":""}}"#,
        r#"{"type":"response.output_text.delta","delta":"b"}"#,
        r#"{"type":"response.output_item.done","item":{"type":"function_call","name":"f","arguments":{"x":1}}}"#,
        r#"{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"usage":null}}"#,
    ]).await, @r#"
    message
      part 0
        "a"
        "b"
    message done
    call f {"x":1} call_…
    done Length
    "#);
}

#[tokio::test]
async fn an_answer_that_comes_whole_is_read_from_its_end() {
    let output = r#"[{"type":"reasoning","id":"rs_1","summary":[]},{"type":"message","content":[{"type":"output_text","text":"whole","annotations":[{"type":"url_citation","url":"u","title":"t","end_index":1}]}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]"#;
    let expected = play(&[&format!(
        r#"{{"type":"response.completed","response":{{"status":"completed","output":{output}}}}}"#
    )])
    .await;
    assert_snapshot!(expected, @r#"
    raw {"type":"reasoning","id":"rs_1","summary":[]}
    message
      part 0
        "whole"
        {"type":"annotation","source":{"type":"url","title":"t","url":"u"},"index":1}
      part 0 done "whole"
    message done
    call f {} c
    done Stop
    "#);
    let body =
        format!(r#"{{"object":"response","status":"completed","error":null,"output":{output}}}"#);
    assert_eq!(play_answer(Answer::body(&body)).await, expected);
}

#[tokio::test]
async fn errors_end_the_stream() {
    let text = r#"{"type":"response.output_text.delta","delta":"par"}"#;
    for error in [
        r#"{"type":"error","code":"x","message":"boom","param":null}"#,
        r#"{"type":"error","error":{"type":"x","message":"boom"}}"#,
        r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"x","message":"boom"}}}"#,
        r#"{"error":{"message":"boom"}}"#,
    ] {
        assert_eq!(
            play(&[text, error]).await,
            "message\n  part 0\n    \"par\"\nerror the model failed: `test` answered boom\n",
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_body_that_ends_in_order_is_an_answer_and_a_torn_one_is_none() {
    let answer = Answer::events(&[r#"{"type":"response.output_text.delta","delta":"abc"}"#]);
    assert_snapshot!(play_answer(answer.clone()).await, @r#"
    message
      part 0
        "abc"
    message done
    done Stop
    "#);
    assert_snapshot!(play_answer(answer.end(End::Torn)).await, @r#"
    message
      part 0
        "abc"
    error the model failed: `test` broke off: error decoding response body: error reading a body from connection: unexpected EOF during chunk size line
    "#);
}

#[tokio::test]
async fn a_whole_text_is_asked_for_without_streaming() {
    let upstream = Upstream::start([Answer::body(
        r#"{"output":[{"type":"reasoning","content":[{"text":"hm"}]},{"type":"message","content":[{"type":"output_text","text":"A "},{"type":"output_text","text":"title"}]}]}"#,
    )])
    .await;
    assert_eq!(upstream.responses().complete(say("title")).await.unwrap().text, "A title");
    let (path, headers, body) = &upstream.requests()[0];
    assert_eq!(path, "/v1/responses");
    assert_eq!(headers["authorization"], "Bearer sk-secret-4711");
    assert_eq!(headers["x-team"], "blue-secret");
    assert_eq!(
        *body,
        json!({
            "model": "m",
            "input": [{
                "type": "message", "role": "user",
                "content": [{ "type": "input_text", "text": "title" }],
            }],
            "stream": false,
            "store": false,
        })
    );
}

#[tokio::test]
async fn a_part_with_an_absurd_index_is_refused() {
    for index in [1000_u64, 100_000_000, u64::MAX] {
        let delta = json!({
            "type": "response.output_text.delta", "content_index": index, "delta": "hi",
        });
        let text = play(&[&delta.to_string(), COMPLETED]).await;
        assert_eq!(
            text,
            format!(
                "error the model failed: `test` answered a content part with the index {index}\n"
            )
        );
    }
}

#[tokio::test]
async fn an_answer_with_too_many_calls_is_refused() {
    let call = json!({
        "type": "response.output_item.done",
        "item": { "type": "function_call", "name": "a", "call_id": "c", "arguments": "{}" },
    })
    .to_string();
    let text = play(&[&*call; 129]).await;
    let error = "error the model failed: `test` answered more than 128 calls of tools at once\n";
    assert!(text.ends_with(error), "{text}");
}
