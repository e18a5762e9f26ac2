use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, timeout};

use super::{
    events, say,
    upstream::{Answer, End, Upstream, connect},
};
use crate::{
    config::Api,
    model::{ModelError, ModelEvent},
};

const TEXT: &str = r#"{"choices":[{"delta":{"content":"abc"}}]}"#;
const SAID: &str = "message\n  part 0\n    \"abc\"\n";

fn answered() -> String {
    format!("{SAID}message done\ndone Stop\n")
}

fn ok() -> Answer {
    Answer::events(&[TEXT, "[DONE]"])
}

/// What becomes of these answers, and how many of them were asked for.
async fn play(answers: impl IntoIterator<Item = Answer>) -> (String, usize) {
    let upstream = Upstream::start(answers).await;
    let text = events(upstream.chat().stream(say("hi"))).await;
    (text, upstream.requests().len())
}

fn soon(status: u16) -> Answer {
    Answer::status(status, r#"{"error":{"message":"later"}}"#).header("retry-after", "0")
}

#[tokio::test]
async fn failures_that_pass_are_retried_before_the_first_event() {
    for status in [408, 409, 429, 500, 502, 503, 504, 529] {
        assert_eq!(play([soon(status), soon(status), ok()]).await, (answered(), 3), "{status}");
    }
    let torn = Answer::events(&[r#"{"choices":[{"delta":{"role":"assistant"}}]}"#]).end(End::Torn);
    assert_eq!(play([torn, ok()]).await, (answered(), 2));
    assert_eq!(play([Answer::body(""), ok()]).await, (answered(), 2));
    let overloaded = Answer::events(&[r#"{"error":{"type":"overloaded_error","message":"m"}}"#]);
    assert_eq!(play([overloaded, ok()]).await, (answered(), 2));
}

#[tokio::test]
async fn no_more_is_tried_than_the_operator_allows() {
    let error = "error the model provider is overloaded: `test` answered 503 later\n".to_owned();
    assert_eq!(play([soon(503), soon(503), soon(503), ok()]).await, (error, 3));
}

#[tokio::test]
async fn failures_that_stay_are_not_retried() {
    for (answer, error) in [
        (Answer::status(400, "bad <b>\n"), "the model failed: `test` answered 400 bad <b>"),
        (
            Answer::status(429, r#"{"error":{"code":"insufficient_quota","message":"m"}}"#),
            "the quota of the model provider `test` is used up: see its plan and billing",
        ),
        (
            Answer::status(401, r#"{"error":{"message":"sk-secret-4711 is wrong"}}"#),
            "the model provider `test` refuses the key: check `api_key` in [providers.test]",
        ),
        (
            Answer::status(307, "").header("location", "http://127.0.0.1:9/"),
            "the model provider `test` does not know the model or the address: check `model` in \
             [models.*] and `base_url` in [providers.test]",
        ),
        (
            Answer::body("<html>oops</html>"),
            "the model failed: `test`: the answer is none of this API",
        ),
        (Answer::body("[1]"), "the model failed: `test` answered 1"),
    ] {
        assert_eq!(play([answer, ok()]).await, (format!("error {error}\n"), 1));
    }
}

#[tokio::test]
async fn nothing_is_retried_after_the_first_event() {
    for (events, end, error) in [
        (vec![TEXT], End::Torn, "`test` broke off: "),
        (vec![TEXT, "{not json"], End::Orderly, "`test` answered an event that is no JSON"),
        (
            vec![TEXT, r#"{"error":{"code":503,"message":"later"}}"#],
            End::Orderly,
            "the model provider is overloaded: `test` answered 503 later",
        ),
    ] {
        let (text, requests) = play([Answer::events(&events).end(end), ok()]).await;
        assert!(text.starts_with(SAID) && text.contains(error), "{text}");
        assert_eq!(requests, 1);
    }
}

#[tokio::test]
async fn a_key_is_in_no_message() {
    let body = r#"{"error":{"message":"key sk-secret-4711 of blue-secret is odd"}}"#;
    let (text, _) = play([Answer::status(400, body)]).await;
    assert_eq!(text, "error the model failed: `test` answered 400 key *** of *** is odd\n");
}

#[tokio::test]
async fn a_provider_says_how_long_to_wait() {
    let wait = Answer::status(429, "later").header("retry-after-ms", "60");
    let start = Instant::now();
    assert_eq!(play([wait, ok()]).await, (answered(), 2));
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn the_last_failure_says_when_to_come_back() {
    let answer = Answer::status(429, "later").header("retry-after", "600");
    let upstream = Upstream::start([answer]).await;
    let mut config = upstream.config(Api::ChatCompletions);
    config.retries = 0;
    let mut stream = connect(&config).stream(say("hi"));
    let Some(Err(ModelError::Overloaded { retry_after, .. })) = stream.next().await else {
        panic!("it should be overloaded");
    };
    assert_eq!(retry_after, Some(Duration::from_mins(10)));
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_is_named_without_its_address() {
    let upstream = Upstream::start([]).await;
    let mut config = upstream.config(Api::ChatCompletions);
    config.retries = 0;
    config.base_url = "http://127.0.0.1:1/v1?key=hidden".to_owned();
    let text = events(connect(&config).stream(say("hi"))).await;
    assert!(
        text.starts_with("error the model provider is overloaded: `test` cannot be reached: "),
        "{text}"
    );
    assert!(!text.contains("127.0.0.1") && !text.contains("hidden"), "{text}");
}

#[tokio::test]
async fn silence_ends_an_answer() {
    let begun = r#"{"choices":[{"delta":{"role":"assistant"}}]}"#;
    let silent = |events: &[&str]| Answer::events(events).end(End::Silent);
    let mute = Answer { chunks: Vec::new(), ..silent(&[]) };
    let (short, long) = (Duration::from_millis(40), Duration::from_secs(5));
    for (answer, first_byte_timeout, idle_timeout) in
        [(mute, short, long), (silent(&[begun]), long, short), (silent(&[TEXT]), long, short)]
    {
        let upstream = Upstream::start([answer, ok()]).await;
        let mut config = upstream.config(Api::ChatCompletions);
        config.first_byte_timeout = first_byte_timeout;
        config.idle_timeout = idle_timeout;
        let text = events(connect(&config).stream(say("hi"))).await;
        let error = "error the model provider is overloaded: `test` said nothing for 40ms\n";
        assert!(text.ends_with(error), "{text}");
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_whole_does_not_wait_for_the_end_of_the_body() {
    let answer = Answer::events(&[TEXT, "[DONE]"]).end(End::Silent);
    assert_eq!(play([answer]).await, (answered(), 1));
}

#[tokio::test]
async fn events_are_given_out_as_they_come() {
    let upstream = Upstream::start([Answer::events(&[TEXT]).end(End::Silent)]).await;
    let mut stream = upstream.chat().stream(say("hi"));
    for expected in [
        ModelEvent::MessageAdded,
        ModelEvent::ContentPartAdded { content_index: 0 },
        ModelEvent::TextDelta { content_index: 0, delta: "abc".to_owned() },
    ] {
        assert_eq!(stream.next().await.unwrap().unwrap(), expected);
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_closes_the_request() {
    let upstream = Upstream::start([Answer::events(&[TEXT]).end(End::Silent)]).await;
    let mut stream = upstream.chat().stream(say("hi"));
    stream.next().await.unwrap().unwrap();
    drop(stream);
    timeout(Duration::from_secs(5), upstream.closed()).await.unwrap();
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_answer() {
    let late_end = || Answer { chunks: ok().cut(10).chunks, ..ok() };
    let upstream = Upstream::start([late_end(), late_end(), soon(503), late_end()]).await;
    for _ in 0..3 {
        assert_eq!(events(upstream.chat().stream(say("hi"))).await, answered());
    }
    let peers = upstream.peers();
    assert_eq!(peers, [peers[0]; 4]);
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_given_up() {
    let chunk = format!("data: {TEXT}\n\n:{}\n", "x".repeat(8 << 20));
    let chunks = vec![bytes::Bytes::from(chunk); 17];
    let endless = Answer { chunks, ..Answer::body("").end(End::Silent) };
    let (text, _) = play([endless]).await;
    assert!(text.ends_with("error the model failed: `test`: the answer is too long\n"), "{text}");
}

#[tokio::test]
async fn an_answer_with_too_many_calls_is_refused() {
    let calls = |count: usize| -> Vec<String> {
        let call = |index| {
            format!(
                r#"{{"choices":[{{"delta":{{"tool_calls":[{{"index":{index},"id":"c{index}","function":{{"name":"t","arguments":"{{}}"}}}}]}}}}]}}"#
            )
        };
        (0..count).map(call).chain(["[DONE]".to_owned()]).collect()
    };
    let answer = |count| {
        let events = calls(count);
        Answer::events(&events.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (text, _) = play([answer(128)]).await;
    assert!(text.ends_with("done Stop\n"), "{text}");
    let (text, _) = play([answer(129)]).await;
    assert_eq!(
        text,
        "error the model failed: `test` answered more than 128 calls of tools at once\n"
    );
}
