//! Pages that a server has the user open.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Asker, ERAS, ask, click, only, servers::error, told, with};
use crate::{
    model::ScriptedResponse,
    tests::mcp::fake::{Fake, text, tool},
};

fn page(url: &str) -> Value {
    json!({ "mode": "url", "message": "Pay \u{202e}here", "url": url, "elicitationId": "e1" })
}

#[tokio::test]
async fn a_page_is_a_card_that_says_who_asks_and_where_it_leads() {
    let mut shown = BTreeSet::new();
    for era in ERAS {
        let asker = Asker::start(era, page("https://pay.example.com/x?(y)")).await;
        let server = with(&asker.url, "").await;
        let (thread, card) = ask(&server).await;
        let card = card.unwrap();
        shown.insert(serde_json::to_string_pretty(&card["widget"]["children"]).unwrap());
        assert_eq!(card["widget"]["confirm"]["label"], "Done");
        let events = click(&server, &thread, &card, "kitfox.approve").await;
        let settled = events.iter().find(|it| it["type"] == "thread.item.replaced").unwrap();
        assert_eq!(settled["item"]["widget"]["status"]["text"], "Continued");
        assert_eq!(settled["item"]["widget"]["confirm"], Value::Null);
        assert_eq!(told(&server), r#"{"action":"accept"}"#, "{era:?}");
    }
    assert_snapshot!(only(shown), @r#"
    [
      {
        "type": "Text",
        "value": "“notes” asks you to open a page at pay.example.com",
        "weight": "semibold"
      },
      {
        "type": "Text",
        "value": "Pay here",
        "size": "sm"
      },
      {
        "type": "Markdown",
        "value": "[Open pay.example.com](https://pay.example.com/x?%28y%29)"
      },
      {
        "type": "Caption",
        "value": "https://pay.example.com/x?%28y%29"
      },
      {
        "type": "Caption",
        "value": "Open it only if you expect this. It opens in another tab: come back here when you are done."
      }
    ]
    "#);
}

#[tokio::test]
async fn a_page_that_the_user_does_not_open_is_declined() {
    for era in ERAS {
        let asker = Asker::start(era, page("https://pay.example.com/")).await;
        let server = with(&asker.url, "").await;
        let (thread, card) = ask(&server).await;
        let events = click(&server, &thread, &card.unwrap(), "kitfox.deny").await;
        let settled = events.iter().find(|it| it["type"] == "thread.item.replaced").unwrap();
        assert_eq!(settled["item"]["widget"]["status"]["text"], "Declined");
        assert_eq!(told(&server), r#"{"action":"decline"}"#, "{era:?}");
    }
}

#[tokio::test]
async fn a_call_that_needs_a_page_first_is_made_again_afterwards() {
    let calls = Arc::new(AtomicUsize::new(0));
    let fake = {
        let calls = calls.clone();
        Fake::with_tools(json!([tool("ask")]), move |seen| {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            async move {
                if call == 0 {
                    let pages = json!({ "elicitations": [page("https://a.test/1"), page("https://b.test/2")] });
                    return error(&seen.body, -32042, &pages);
                }
                text(&seen.body, "done")
            }
        })
        .await
    };
    let server = with(&fake.url, "").await;
    let (thread, first) = ask(&server).await;
    let events = click(&server, &thread, &first.unwrap(), "kitfox.approve").await;
    let second = super::asked(&events).unwrap();
    assert!(second.to_string().contains("b.test"), "{second}");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    click(&server, &thread, &second, "kitfox.approve").await;
    assert_eq!(told(&server), "done");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_call_whose_page_is_declined_is_not_made_again() {
    let fake = Fake::with_tools(json!([tool("ask")]), |seen| async move {
        error(&seen.body, -32042, &json!({ "elicitations": [page("https://a.test/1")] }))
    })
    .await;
    let server = with(&fake.url, "").await;
    let (thread, card) = ask(&server).await;
    click(&server, &thread, &card.unwrap(), "kitfox.deny").await;
    assert_eq!(
        told(&server),
        "error: `notes__ask` needs the user to open a page first, which they declined"
    );
    assert_eq!(fake.count("tools/call"), 1);
}

#[tokio::test]
async fn a_server_that_never_has_enough_pages_is_called_ten_times() {
    let fake = Fake::with_tools(json!([tool("ask")]), |seen| async move {
        error(&seen.body, -32042, &json!({ "elicitations": [page("https://a.test/1")] }))
    })
    .await;
    let server = with(&fake.url, "").await;
    let (thread, mut card) = ask(&server).await;
    let mut clicks = 0;
    while let Some(shown) = card {
        let events = click(&server, &thread, &shown, "kitfox.approve").await;
        card = events
            .iter()
            .filter(|it| it["type"] == "thread.item.done" && it["item"]["type"] == "widget")
            .map(|it| it["item"].clone())
            .next_back();
        clicks += 1;
        assert!(clicks < 20);
    }
    assert!(told(&server).contains("again and again"), "{}", told(&server));
    assert_eq!(fake.count("tools/call"), 11);
    server.model.push(ScriptedResponse::text("Fine."));
    server.say("ada", &thread, "never mind").await;
}
