use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::Demo;
use crate::{
    model::{
        InputContent, InputItem, Model, ModelEvent, ModelRequest, Role,
        tests::{events, say, tool, user},
    },
    tool::ToolSpec,
};

const DEMO: Demo = Demo { word_delay: Duration::ZERO };

fn weather() -> Arc<ToolSpec> {
    let mut spec = (*tool("get_weather")).clone();
    spec.description = "Current weather for a city. More words.".to_owned();
    spec.examples = vec!["what is the weather in {city}?".to_owned()];
    spec.parameters = json!({ "type": "object", "required": ["city"], "properties": {
        "city": { "type": "string" },
    } });
    Arc::new(spec)
}

fn dice() -> Arc<ToolSpec> {
    let mut spec = (*tool("roll_dice")).clone();
    spec.parameters = json!({ "type": "object", "required": ["sides"], "properties": {
        "sides": { "type": "integer" }, "count": { "type": "integer", "default": 1 },
    } });
    Arc::new(spec)
}

fn with_tools(request: ModelRequest) -> ModelRequest {
    ModelRequest { tools: vec![weather(), dice()], ..request }
}

/// What the demo model says as text or as a call.
async fn ask(request: ModelRequest) -> String {
    let mut stream = DEMO.stream(request);
    while let Some(event) = stream.next().await {
        match event.unwrap() {
            ModelEvent::ContentPartDone { text, .. } => return text,
            ModelEvent::ToolCall(call) => return format!("{} {}", call.name, call.arguments),
            _ => (),
        }
    }
    panic!("it said nothing");
}

#[tokio::test]
async fn it_calls_tools_by_name_and_by_example() {
    for (text, expected) in [
        ("call roll_dice with sides=6", r#"roll_dice {"sides":6}"#),
        (
            "Use the tool `roll_dice` {\"sides\": 6, \"count\": 2}",
            r#"roll_dice {"sides":6,"count":2}"#,
        ),
        ("call Roll Dice with 20", r#"roll_dice {"sides":20}"#),
        ("call roll_dice", r"roll_dice {}"),
        ("What is the weather in Oslo", r#"get_weather {"city":"Oslo"}"#),
        ("call get_weather for New York", r#"get_weather {"city":"New York"}"#),
    ] {
        assert_eq!(ask(with_tools(say(text))).await, expected, "{text}");
    }
    let forced = ModelRequest { tool_choice: Some("get_weather".to_owned()), ..say("Oslo") };
    assert_eq!(ask(with_tools(forced)).await, r#"get_weather {"city":"Oslo"}"#);
}

#[tokio::test]
async fn it_says_what_it_can_do() {
    assert_snapshot!(ask(with_tools(say("help"))).await, @"
    This is what I can call, each with a sentence that I understand:

    - **get_weather** – Current weather for a city: *what is the weather in {city}?*
    - **roll_dice** – The tool roll_dice: *call roll_dice with sides=1*

    I also answer **what page am I on?** and **what do your instructions say?**
    ");
    assert_snapshot!(ask(with_tools(say("call roll_dise now"))).await, @"
    There is no tool `roll_dise`. Do you mean `roll_dice`?

    This is what I can call, each with a sentence that I understand:

    - **get_weather** – Current weather for a city: *what is the weather in {city}?*
    - **roll_dice** – The tool roll_dice: *call roll_dice with sides=1*

    I also answer **what page am I on?** and **what do your instructions say?**
    ");
    assert_snapshot!(ask(say("What can you do?")).await, @"I have no tools yet. Drop a script into `plugins/` (`kitfox new rhai hello` writes one), and ask me again: nothing needs to be restarted.");
}

#[tokio::test]
async fn it_says_what_it_is_and_how_to_connect_a_real_model() {
    assert_snapshot!(ask(with_tools(say("Hello!"))).await, @"
    Hello! I am the **demo model** that is built into Kitfox. I am no language model: I follow simple patterns, so that you can see streaming, tools and live reload without a key.

    I can call 2 tools. Say **help** to see them. To connect a real model, ask **how do I connect a model?**
    ");
    assert_snapshot!(ask(say("how do I connect a model?")).await, @r#"
    Two ways lead to a real model:

    1. Set `OPENAI_API_KEY` in the environment and start Kitfox again.
    2. Or name any OpenAI-compatible server in `kitfox.toml`; that is live as soon as you save it:

    ```toml
    [providers.local]
    api = "chat_completions"
    base_url = "http://localhost:11434/v1"

    [models.default]
    provider = "local"
    model = "llama3.2"
    ```
    "#);
    assert_snapshot!(ask(with_tools(say("the meaning of life"))).await, @"
    You said:

    > the meaning of life

    I am only Kitfox's demo model, and that is more than I understand. Try **what is the weather in {city}?**, for example.

    - **help** lists what I can do
    - **what page am I on?** shows what I know of your page
    - **how do I connect a model?** tells how to get real answers
    ");
}

#[tokio::test]
async fn it_echoes_its_context() {
    let request = |text: &str| ModelRequest {
        instructions: "You help.\nThe user is looking at \"Cats\" (https://example.org/cats)."
            .to_owned(),
        ..say(text)
    };
    assert_snapshot!(ask(request("What page am I on?")).await, @r#"
    My instructions say this about your page:

    > The user is looking at "Cats" (https://example.org/cats).
    "#);
    assert_snapshot!(ask(request("what do your instructions say")).await, @r#"
    These are my instructions, rendered for this turn from the prompt file:

    > You help.
    > The user is looking at "Cats" (https://example.org/cats).

    Edit the file, and my next answer follows the new text.
    "#);
    assert_snapshot!(ask(say("which page is this")).await, @"My instructions say nothing about a page. The host page can send its `pageContext`, and `{{ page.title }}` in `prompts/assistant.md` puts it here.");
}

#[tokio::test]
async fn it_follows_the_last_thing_that_the_user_said() {
    let mut request = with_tools(say("call roll_dice 6"));
    request.input.push(InputItem::Message {
        role: Role::Assistant,
        content: vec![InputContent::Text("4".to_owned())],
    });
    request.input.push(user("what is the weather in Rome?"));
    request.input.push(user("The user is referring to this in particular: \ncall roll_dice 3"));
    request
        .input
        .push(user("Hidden context for the agent (not shown to the user):\ncall roll_dice 2"));
    assert_eq!(ask(request).await, r#"get_weather {"city":"Rome"}"#);
}

#[tokio::test]
async fn it_tells_what_a_tool_answered() {
    let ask_after = async |output: Value| {
        let mut request = with_tools(say("call roll_dice 6"));
        request.input.push(InputItem::FunctionCall {
            call_id: "1".to_owned(),
            name: "roll_dice".to_owned(),
            arguments: "{}".to_owned(),
        });
        let text = output.as_str().map_or_else(|| output.to_string(), str::to_owned);
        request.input.push(InputItem::FunctionCallOutput {
            call_id: "1".to_owned(),
            output: vec![InputContent::Text(text)],
        });
        ask(request).await
    };
    assert_snapshot!(ask_after(json!("a four")).await, @"**roll_dice** says: a four");
    assert_snapshot!(ask_after(json!(4)).await, @"**roll_dice** says: 4");
    assert_snapshot!(ask_after(Value::Null).await, @"Done: **roll_dice** has run.");
    assert_snapshot!(ask_after(json!({
        "total": 7, "fair": true, "none": null, "dice": [3, 4], "by": { "who": "Ada", "deep": { "x": { "y": 1 } } },
        "rows": [{ "a": 1, "b": "two" }, { "a": 2, "b": [] }],
    })).await, @r#"
    **roll_dice** says:

    - **total**: 7
    - **fair**: yes
    - **none**: –
    - **dice**:
      - 3
      - 4
    - **by**:
      - **who**: Ada
      - **deep**:
        - **x**: `{"y":1}`
    - **rows**:
      - **a**: 1, **b**: two
      - **a**: 2, **b**: `[]`
    "#);
    assert_snapshot!(ask_after((0..25).collect()).await, @"
    **roll_dice** says:

    - 0
    - 1
    - 2
    - 3
    - 4
    - 5
    - 6
    - 7
    - 8
    - 9
    - 10
    - 11
    - 12
    - 13
    - 14
    - 15
    - 16
    - 17
    - 18
    - 19
    - … and 5 more
    ");
}

#[tokio::test]
async fn it_tells_what_it_hears_between_messages() {
    let said = InputItem::Message {
        role: Role::Assistant,
        content: vec![InputContent::Text("Hi.".to_owned())],
    };
    let hear = async |heard: &[&str]| {
        let mut request = with_tools(say("call roll_dice 6"));
        request.input.push(said.clone());
        request.input.extend(heard.iter().map(|text| user(text)));
        ask(request).await
    };
    let hidden = "Hidden context for the agent (not shown to the user):\n<HiddenContext>\nA parcel came.\n</HiddenContext>";
    let questions = "A structured input request was displayed to the user with the following status: answered\n\
                     <StructuredInput>\n- Which size?: Large\n</StructuredInput>";
    assert_snapshot!(hear(&[questions, hidden]).await, @r"
    Thank you. I have noted:

    - Which size?: Large

    I was told:

    > A parcel came.
    ");
    assert_snapshot!(hear(&[hidden]).await, @r"
    I was told:

    > A parcel came.
    ");
    assert_snapshot!(hear(&[]).await, @"I was asked to go on, and have nothing to add.");
}

#[tokio::test]
async fn files_that_come_with_a_message_are_not_what_was_said() {
    let message = |texts: &[&str]| {
        let content = texts.iter().map(|text| InputContent::Text((*text).to_owned())).collect();
        let input = vec![InputItem::Message { role: Role::User, content }];
        with_tools(ModelRequest { input, ..ModelRequest::default() })
    };
    let weather = message(&["what is the weather in Oslo?", "The file a.txt says: call roll_dice"]);
    assert_eq!(ask(weather).await, r#"get_weather {"city":"Oslo"}"#);
    let other = ask(message(&["Hm.", "A file."])).await;
    assert!(other.starts_with("You said:\n\n> Hm.\n>\n> A file.\n"), "{other}");
}

#[tokio::test]
async fn it_streams_word_by_word() {
    let text = events(DEMO.stream(say("what page am I on"))).await;
    assert!(text.starts_with("message\n  part 0\n    \"My \"\n    \"instructions \"\n"), "{text}");
    assert!(text.ends_with("message done\nusage 5 37\ndone Stop\n"), "{text}");
}

#[tokio::test]
async fn a_title_is_the_first_words() {
    for (text, title) in [
        ("how do I bake bread, please, in an oven?", "How do I bake bread, please"),
        ("hi!", "Hi"),
        ("", "New conversation"),
        (
            "Straßenbahnfahrkartenautomatenbedienungsanleitungsheft",
            "Straßenbahnfahrkartenautomatenbedienungsanleitun",
        ),
    ] {
        assert_eq!(DEMO.complete(say(text)).await.unwrap().text, title);
    }
}
