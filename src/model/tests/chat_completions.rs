use insta::assert_snapshot;
use serde_json::json;

use super::{
    events, say, tool,
    upstream::{Answer, End, Upstream},
};
use crate::model::ModelRequest;

/// What becomes of a body, wherever it is cut.
async fn play(answer: Answer) -> String {
    let whole = play_with(answer.clone(), say("hi")).await;
    for size in [1, 7] {
        let cut = play_with(answer.clone().cut(size), say("hi")).await;
        assert_eq!(cut, whole, "in chunks of {size}");
    }
    whole
}

async fn play_with(answer: Answer, request: ModelRequest) -> String {
    let upstream = Upstream::start([answer]).await;
    events(upstream.chat().stream(request)).await
}

/// The events of these deltas, with finish and `[DONE]`.
async fn deltas(deltas: &[&str]) -> String {
    let mut chunks: Vec<String> = deltas
        .iter()
        .map(|delta| {
            format!(r#"{{"choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
        })
        .collect();
    chunks.push(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned());
    chunks.push("[DONE]".to_owned());
    let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
    play(Answer::events(&chunks)).await
}

#[tokio::test]
async fn an_answer_of_openai_is_read() {
    let chunk = |delta: &str, finish: &str| {
        format!(
            r#"{{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"f","choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}],"usage":null}}"#
        )
    };
    let chunks = [
        chunk(r#"{"role":"assistant","content":"","refusal":null}"#, "null"),
        chunk(r#"{"content":"Grüße"}"#, "null"),
        chunk(r#"{"content":" 🎉\n"}"#, "null"),
        chunk(r#"{"annotations":[{"type":"url_citation","url_citation":{"url":"https://a.example","title":"A","start_index":0,"end_index":5}}]}"#, "null"),
        chunk(r#"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"a","arguments":""}}]}"#, "null"),
        chunk(r#"{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"b","arguments":""}}]}"#, "null"),
        chunk(r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":"}}]}"#, "null"),
        chunk(r#"{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]}"#, "null"),
        chunk(r#"{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}"#, "null"),
        chunk("{}", "\"tool_calls\""),
        r#"{"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}"#.to_owned(),
        "[DONE]".to_owned(),
    ];
    let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
    assert_snapshot!(play(Answer::events(&chunks)).await, @r#"
    message
      part 0
        "Grüße"
        " 🎉\n"
        {"type":"annotation","source":{"type":"url","title":"A","url":"https://a.example"},"index":5}
    message done
    call a {"x":1} call_1
    call b {} call_2
    usage 11 7
    done Stop
    "#);
}

#[tokio::test]
async fn reasoning_comes_under_two_names() {
    assert_snapshot!(deltas(&[
        r#"{"reasoning_content":"Hm","content":null}"#,
        r#"{"reasoning_content":"m.","content":""}"#,
        r#"{"content":"Yes."}"#,
        r#"{"reasoning":"Or?","reasoning_content":null}"#,
        r#"{"content":"No."}"#,
    ]).await, @r#"
    reasoning
      0 "Hm"
      0 "m."
      0 done "Hmm."
    message
      part 0
        "Yes."
    message done
    reasoning
      0 "Or?"
      0 done "Or?"
    message
      part 0
        "No."
    message done
    done Stop
    "#);
}

#[tokio::test]
async fn a_refusal_is_read_by_the_user() {
    assert_snapshot!(deltas(&[r#"{"refusal":"I can"}"#, r#"{"refusal":"not."}"#]).await, @r#"
    message
      part 0
        "I can"
        "not."
    message done
    done Stop
    "#);
}

#[tokio::test]
async fn text_may_come_as_parts_or_in_a_whole_message() {
    assert_snapshot!(deltas(&[r#"{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#]).await, @r#"
    message
      part 0
        "ab"
    message done
    done Stop
    "#);
    assert_snapshot!(play(Answer::body(
        r#"{"object":"chat.completion","choices":[{"message":{"role":"assistant","content":"whole"},"finish_reason":"length"}],"usage":{"prompt_tokens":1.0,"completion_tokens":2}}"#
    )).await, @r#"
    message
      part 0
        "whole"
    message done
    usage 1 2
    done Length
    "#);
}

#[tokio::test]
async fn calls_of_servers_that_number_them_badly_are_told_apart() {
    assert_snapshot!(deltas(&[
        // Ollama: whole calls, all with index 0.
        r#"{"tool_calls":[{"index":0,"id":"call_a","function":{"name":"a","arguments":"{\"x\":1}"}}]}"#,
        r#"{"tool_calls":[{"index":0,"id":"call_b","function":{"name":"b","arguments":"{\"x\":2}"}}]}"#,
        // Gemini: no index, an empty id.
        r#"{"tool_calls":[{"id":"","function":{"name":"c","arguments":"{}"}},{"function":{"name":"c","arguments":"{}"}}]}"#,
        // LM Studio and others: arguments as an object.
        r#"{"tool_calls":[{"function":{"name":"d","arguments":{"y":[1]}}}]}"#,
        // Pieces without an index.
        r#"{"tool_calls":[{"id":"call_e","function":{"name":"e","arguments":"{\"z\""}}]}"#,
        r#"{"tool_calls":[{"function":{"arguments":":3}"}}]}"#,
        r#"{"tool_calls":null}"#,
    ]).await, @r#"
    call a {"x":1} call_a
    call b {"x":2} call_b
    call c {} call_…
    call c {} call_…
    call d {"y":[1]} call_…
    call e {"z":3} call_e
    done Stop
    "#);
}

#[tokio::test]
async fn names_are_mapped_back() {
    let answer = Answer::events(&[
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"1","function":{"name":"a_b","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#,
    ]);
    let request = ModelRequest { tools: vec![tool("a.b")], ..say("hi") };
    assert_snapshot!(play_with(answer, request).await, @"
    call a.b {} 1
    done Stop
    ");
}

#[tokio::test]
async fn a_body_that_ends_in_order_without_a_finish_is_an_answer() {
    assert_snapshot!(play(Answer::events(&[r#"{"choices":[{"delta":{"content":"abc"}}]}"#])).await, @r#"
    message
      part 0
        "abc"
    message done
    done Stop
    "#);
}

#[tokio::test]
async fn a_finish_is_enough_for_a_connection_that_is_torn() {
    let answer =
        Answer::events(&[r#"{"choices":[{"delta":{"content":"abc"},"finish_reason":"eos"}]}"#]);
    assert_snapshot!(play(answer.end(End::Torn)).await, @r#"
    message
      part 0
        "abc"
    message done
    done Stop
    "#);
}

#[tokio::test]
async fn an_answer_may_say_nothing() {
    assert_snapshot!(deltas(&[r#"{"role":"assistant"}"#]).await, @"done Stop");
}

#[tokio::test]
async fn what_is_unknown_is_passed_over() {
    let answer = Answer::body(concat!(
        ": ping\n\n:\n\n",
        "event: ping\ndata: ping\n\n",
        "data: {\"x\":1}\n\n",
        "data: {\"choices\":null}\n\n",
        "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"other\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":null,\"x\":{}}],\"y\":[1,{\"z\":\"}\"}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\",\"audio\":{\"id\":1}}}]}\r\n\r\n",
        "data: [DONE]",
    ));
    assert_snapshot!(play(answer).await, @r#"
    message
      part 0
        "a"
    message done
    done Stop
    "#);
}

#[tokio::test]
async fn an_error_in_the_stream_ends_it() {
    for error in [
        r#"{"error":{"message":"boom","code":"x"}}"#,
        r#"{"error":"boom"}"#,
        r#"{"object":"error","message":"boom"}"#,
    ] {
        let text = r#"{"choices":[{"delta":{"content":"par"}}]}"#;
        let shown = play(Answer::events(&[text, error])).await;
        assert_eq!(
            shown, "message\n  part 0\n    \"par\"\nerror the model failed: `test` answered boom\n",
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_whole_text_is_asked_for_without_streaming() {
    let upstream = Upstream::start([
        Answer::body(r#"{"choices":[{"message":{"content":"A title"}}]}"#),
        Answer::body(r#"{"choices":[{"message":{"content":null,"refusal":"No."}}]}"#),
        Answer::body(r#"{"error":{"message":"boom"}}"#),
        Answer::body("<html>"),
    ])
    .await;
    let chat = upstream.chat();
    assert_eq!(chat.complete(say("title")).await.unwrap().text, "A title");
    assert_eq!(chat.complete(say("title")).await.unwrap().text, "No.");
    for error in ["`test` answered boom", "`test`: the answer is no JSON"] {
        let err = chat.complete(say("title")).await.unwrap_err();
        assert_eq!(err.to_string(), format!("the model failed: {error}"));
    }
    let (_, _, body) = &upstream.requests()[0];
    assert_eq!(
        *body,
        json!({ "model": "m", "messages": [{ "role": "user", "content": "title" }], "stream": false })
    );
}
