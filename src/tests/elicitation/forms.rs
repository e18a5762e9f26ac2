//! Forms: what the user is asked, and what the server gets of it.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use serde_json::json;

use super::{
    Asker, ERAS, answer, ask, asked, form, only, questions,
    servers::{legacy, modern},
    submit, told, with,
};
use crate::{model::ScriptedResponse, tests::harness::get_request};

fn travel() -> serde_json::Value {
    form(
        &json!({
            "name": { "type": "string", "title": "Your name", "minLength": 2, "maxLength": 20 },
            "mail": { "type": "string", "format": "email", "description": "For the ticket" },
            "day": { "type": "string", "format": "date" },
            "seats": { "type": "integer", "minimum": 1, "maximum": 4, "default": 1 },
            "budget": { "type": "number" },
            "window": { "type": "boolean", "default": true },
            "class": { "type": "string", "enum": ["1", "2"], "enumNames": ["First", "Second"], "default": "2" },
            "meal": { "type": "string", "oneOf": [
                { "const": "v", "title": "Vegetables" }, { "const": "f", "title": "Fish" },
            ] },
            "extras": { "type": "array", "maxItems": 2, "items": { "anyOf": [
                { "const": "b", "title": "Bicycle" }, { "const": "d", "title": "Dog" }, { "const": "q", "title": "Quiet" },
            ] } },
        }),
        &["name"],
    )
}

#[tokio::test]
async fn a_form_becomes_questions_and_their_answers_its_content() {
    let mut shown = BTreeSet::new();
    for era in ERAS {
        let asker = Asker::start(era, travel()).await;
        let server = with(&asker.url, "").await;
        let (thread, item) = ask(&server).await;
        let item = item.unwrap();
        shown.insert(questions(&item));
        let answers = json!({
            "name": "Ada", "mail": "ada@example.com", "budget": "12.5", "window": "No", "class": "First",
            "extras": ["Dog", "Quiet"],
        });
        answer(&server, &thread, &item, &answers).await;
        let said: serde_json::Value = serde_json::from_str(&told(&server)).unwrap();
        assert_eq!(said["action"], "accept", "{said}");
        let expected = json!({
            "name": "Ada", "mail": "ada@example.com", "seats": 1, "budget": 12.5, "window": false, "class": "1",
            "extras": ["d", "q"],
        });
        assert_eq!(said["content"], expected, "{era:?}");
        // The item and the call are kept as they are shown; the model has seen no question.
        assert!(!server.last_input().contains("Where to?"), "{}", server.last_input());
    }
    assert_snapshot!(only(shown), @r"
    name: “notes” asks: Where to?//Your name 2 to 20 characters.
    mail: “notes”: mail (optional) For the ticket. An e-mail address.
    day: “notes”: day (optional) A date, as 2026-01-31.
    seats: “notes”: seats A whole number, 1 to 4. Skip it for: 1.
    budget: “notes”: budget (optional) A number.
    window: “notes”: window: Skip it for: Yes [Yes|No]
    class: “notes”: class: Skip it for: Second [First|Second]
    meal: “notes”: meal (optional) [Vegetables|Fish]
    extras: “notes”: extras (optional): Choose 2 at most many [Bicycle|Dog|Quiet]
    ");
}

#[tokio::test]
async fn what_does_not_fit_is_asked_for_again_and_the_rest_is_kept() {
    let mut shown = BTreeSet::new();
    for era in ERAS {
        let asker = Asker::start(era, travel()).await;
        let server = with(&asker.url, "").await;
        let (thread, item) = ask(&server).await;
        let wrong = json!({
            "name": "A", "mail": "nobody", "day": "2026-02-30", "seats": "5", "budget": "much", "meal": "Meat",
            "extras": ["Bicycle", "Dog", "Quiet"], "class": "First",
        });
        let events = answer(&server, &thread, &item.unwrap(), &wrong).await;
        let again = asked(&events).unwrap();
        shown.insert(questions(&again));
        answer(&server, &thread, &again, &json!({ "name": "Ada", "seats": "2" })).await;
        let said: serde_json::Value = serde_json::from_str(&told(&server)).unwrap();
        let expected = json!({ "name": "Ada", "seats": 2, "window": true, "class": "1" });
        assert_eq!(said, json!({ "action": "accept", "content": expected }), "{era:?}");
    }
    assert_snapshot!(only(shown), @r"
    name: “notes” asks: Where to?//“A” has 1 characters, and is to have 2 to 20.//Your name 2 to 20 characters.
    mail: “notes”: “nobody” is no e-mail address.//mail (optional) For the ticket. An e-mail address.
    day: “notes”: “2026-02-30” is no date, as 2026-01-31.//day (optional) A date, as 2026-01-31.
    seats: “notes”: “5” is not 1 to 4.//seats A whole number, 1 to 4. Skip it for: 1.
    budget: “notes”: “much” is no number.//budget (optional) A number.
    meal: “notes”: “Meat” is none of the choices.//meal (optional) [Vegetables|Fish]
    extras: “notes”: “Bicycle, Dog, Quiet” are 3: choose 2 at most.//extras (optional): Choose 2 at most many [Bicycle|Dog|Quiet]
    ");
}

#[tokio::test]
async fn what_is_skipped_is_declined_or_left_to_its_default() {
    for era in ERAS {
        let with_default = form(&json!({ "n": { "type": "integer", "default": 7 } }), &["n"]);
        let without = form(&json!({ "n": { "type": "integer" } }), &["n"]);
        for (params, input, expected) in [
            (&with_default, json!({ "answers": {} }), r#"{"action":"accept","content":{"n":7}}"#),
            (&with_default, json!({ "status": "skipped" }), r#"{"action":"decline"}"#),
            (&without, json!({ "answers": {} }), r#"{"action":"decline"}"#),
        ] {
            let asker = Asker::start(era, params.clone()).await;
            let server = with(&asker.url, "").await;
            let (thread, item) = ask(&server).await;
            submit(&server, &thread, &item.unwrap(), input).await;
            assert_eq!(told(&server), expected, "{era:?}");
        }
    }
}

#[tokio::test]
async fn a_form_without_fields_is_a_yes_or_no() {
    for era in ERAS {
        for (said, expected) in
            [("Yes", r#"{"action":"accept","content":{}}"#), ("No", r#"{"action":"decline"}"#)]
        {
            let asker = Asker::start(era, form(&json!({}), &[])).await;
            let server = with(&asker.url, "").await;
            let (thread, item) = ask(&server).await;
            let item = item.unwrap();
            assert_eq!(questions(&item), "confirm: “notes” asks: Where to? [Yes|No]");
            answer(&server, &thread, &item, &json!({ "confirm": said })).await;
            assert_eq!(told(&server), expected, "{era:?}");
        }
    }
}

#[tokio::test]
async fn a_server_may_ask_again_with_what_it_heard() {
    let first = form(&json!({ "city": { "type": "string" } }), &["city"]);
    let second = form(&json!({ "street": { "type": "string" } }), &["street"]);
    let fake = legacy(vec![first.clone(), second.clone()]).await;
    let (url, task) = modern(vec![first, second]).await;
    for url in [&fake.url, &url] {
        let server = with(url, "").await;
        let (thread, item) = ask(&server).await;
        let events = answer(&server, &thread, &item.unwrap(), &json!({ "city": "Oslo" })).await;
        let events =
            answer(&server, &thread, &asked(&events).unwrap(), &json!({ "street": "High" })).await;
        assert_eq!(asked(&events), None);
        assert_eq!(
            told(&server),
            "{\"action\":\"accept\",\"content\":{\"city\":\"Oslo\"}}\n{\"action\":\"accept\",\"content\":{\"street\":\"High\"}}"
        );
    }
    task.abort();
}

#[tokio::test]
async fn where_nobody_can_be_asked_the_server_hears_so() {
    let route = r#"
        plugin(#{ name: "r", permissions: #{ tools: ["notes__ask"] } });
        route("GET", "/go", |request, ctx| ctx.call_tool("notes__ask", #{}));
        tool(#{ name: "nested", description: "Calls.", run: |args, ctx| ctx.call_tool("notes__ask", #{}) });
    "#;
    for era in ERAS {
        let asker = Asker::start(era, form(&json!({ "n": { "type": "string" } }), &[])).await;
        let server = with(&asker.url, "").await;
        server.save("plugins/r.rhai", route).await;
        let response = server.send(get_request("ada", "/x/r/go")).await;
        let said = crate::tests::harness::text(response).await;
        assert!(said.contains("decline") && said.contains("nobody can be asked here"), "{said}");
        server.model.push(ScriptedResponse::call("nested", json!({})));
        server.model.push(ScriptedResponse::text("I see."));
        let (_, events) = server.create("ada", "go").await;
        assert_eq!(asked(&events), None);
        assert!(told(&server).contains("leave it to that agent"), "{}", told(&server));
    }
}
