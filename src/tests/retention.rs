//! How long threads are kept.

use serde_json::json;

use crate::{
    app::sweep_retention,
    chatkit::{
        AssistantMessageContent, AssistantMessageItem, ItemId, ItemKind, ThreadId, ThreadItem,
        ThreadMetadata,
    },
    store::Record,
    tests::harness::Server,
    user::UserKey,
};

fn days_ago(days: i64) -> jiff::Timestamp {
    jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days)
}

/// A thread that began and that was last spoken in so many days ago.
async fn add_thread(server: &Server, user: &UserKey, began: i64, spoke: i64) -> ThreadId {
    let thread = ThreadMetadata { created_at: days_ago(began), ..ThreadMetadata::new() };
    let message = AssistantMessageItem {
        id: ItemId::generate(ItemKind::Message),
        thread_id: thread.id.clone(),
        created_at: days_ago(spoke),
        content: vec![AssistantMessageContent { text: "hello".to_owned(), ..Default::default() }],
    };
    let record = Record::Item(ThreadItem::AssistantMessage(message));
    server.app.store.of(user).add_thread(&thread, &[record]).await.unwrap();
    thread.id
}

async fn left(server: &Server, user: &str) -> usize {
    let (_, list) = server.call(user, "threads.list", json!({})).await;
    list["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn threads_go_in_which_nothing_happened_for_longer_than_they_are_kept() {
    let config = "[retention]\ndays = 30\norgs = { acme = 5 }";
    let server = Server::start(&[("kitfox.toml", config)]).await;
    let [ada, bob] = ["ada", "bob"].map(|it| UserKey::new("header", "", it));
    server.app.store.of(&bob).save_org("acme").await.unwrap();
    for user in [&ada, &bob] {
        add_thread(&server, user, 60, 40).await;
        add_thread(&server, user, 60, 10).await;
        add_thread(&server, user, 60, 1).await;
    }
    sweep_retention(&server.app).await.unwrap();
    assert_eq!((left(&server, "ada").await, left(&server, "bob").await), (2, 1));
}

#[tokio::test]
async fn without_a_word_threads_are_kept_for_ever() {
    let server = Server::start(&[]).await;
    let ada = UserKey::new("header", "", "ada");
    add_thread(&server, &ada, 4000, 4000).await;
    sweep_retention(&server.app).await.unwrap();
    assert_eq!(left(&server, "ada").await, 1);
}
