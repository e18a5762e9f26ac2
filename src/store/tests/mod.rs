mod attachments;
mod availability;
mod cost;
pub mod databases;
mod history;
mod kv;
mod logins;
mod ownership;
mod paging;
mod recovery;
mod servers;
mod transfer;

use std::collections::BTreeSet;

use serde_json::value::RawValue;
use sqlx::SqliteConnection;
use tokio_util::task::TaskTracker;

use self::databases::{current, on, on_each};
use super::{
    Dialect, Record, Store, StoreError, ToolCallRecord,
    connection::{Connection, Link},
    query::query,
};
use crate::{
    chatkit::{
        AssistantMessageContent, AssistantMessageItem, InferenceOptions, ItemId, Page,
        SdkHiddenContextItem, ThreadId, ThreadItem, ThreadMetadata, UserMessageContent,
        UserMessageItem, now,
    },
    user::UserKey,
};

/// A store of its own, in memory, or on the server that the test runs on.
async fn memory() -> Store {
    let database = current();
    let url = match database.dialect {
        Dialect::Sqlite => "sqlite::memory:".to_owned(),
        Dialect::Postgres | Dialect::MySql => database.url(),
    };
    open(&url).await
}

async fn open(url: &str) -> Store {
    let store = Store::open(url, &TaskTracker::new()).await;
    store.check().await.unwrap();
    store
}

/// What is SQLite's own about a connection.
fn sqlite<'a>(connection: &'a mut Connection<'_>) -> &'a mut SqliteConnection {
    match &mut connection.link {
        Link::Sqlite(sqlite) => sqlite,
        Link::Postgres(_) | Link::MySql(_) => panic!("this is not SQLite"),
    }
}

fn user(name: &str) -> UserKey {
    UserKey::new("test", "", name)
}

fn thread(id: &str) -> ThreadMetadata {
    ThreadMetadata { id: id.into(), ..ThreadMetadata::new() }
}

/// Records of the thread `thr`, by their ids: what begins with `u` is a user's message, with `a` an answer,
/// with `h` hidden context, with `c` a tool call.
fn records(ids: &str) -> Vec<Record> {
    ids.split_whitespace().map(|id| record(id, "thr")).collect()
}

fn record(id: &str, thread: &str) -> Record {
    let (item, thread_id) = (ItemId::from(id), ThreadId::from(thread));
    match &id[..1] {
        "u" => Record::Item(ThreadItem::UserMessage(UserMessageItem {
            id: item,
            thread_id,
            created_at: now(),
            content: vec![UserMessageContent::InputText { text: format!("text\nof \"{id}\"") }],
            attachments: Vec::new(),
            quoted_text: None,
            inference_options: InferenceOptions::default(),
        })),
        "a" => Record::Item(answer(id, thread, "an answer")),
        "h" => Record::Item(ThreadItem::SdkHiddenContext(SdkHiddenContextItem {
            id: item,
            thread_id,
            created_at: now(),
            content: "hidden".to_owned(),
        })),
        "c" => Record::ToolCall(ToolCallRecord {
            id: item,
            response: "response".to_owned(),
            call_id: "call".to_owned(),
            name: "clock".to_owned(),
            arguments: "{}".to_owned(),
            output: "noon".to_owned(),
            images: Vec::new(),
            client: None,
            approval: None,
            input: None,
            stopped: false,
            servers: BTreeSet::new(),
        }),
        _ => panic!("no kind of record begins like `{id}`"),
    }
}

fn answer(id: &str, thread: &str, text: &str) -> ThreadItem {
    ThreadItem::AssistantMessage(AssistantMessageItem {
        id: id.into(),
        thread_id: thread.into(),
        created_at: now(),
        content: vec![AssistantMessageContent { text: text.to_owned(), annotations: Vec::new() }],
    })
}

/// A store with one thread `thr` of the user `me`, that holds these records.
async fn with_records(ids: &str) -> Store {
    let store = memory().await;
    store.of(&user("me")).add_thread(&thread("thr"), &records(ids)).await.unwrap();
    store
}

/// What a client sees of the thread `thr`: the ids, oldest first.
async fn visible(store: &Store) -> String {
    use crate::chatkit::Order;

    let user = user("me");
    show(&store.of(&user).list_items(&"thr".into(), 1000, None, Order::Asc).await.unwrap())
}

/// All finished records of the thread `thr`: the ids, oldest first.
async fn history(store: &Store) -> String {
    ids(&store.of(&user("me")).load_history(&"thr".into(), 1000).await.unwrap())
}

fn ids(records: &[Record]) -> String {
    let ids = records.iter().map(|record| match record {
        Record::Item(item) => item.id().as_str(),
        Record::ToolCall(call) => call.id.as_str(),
        Record::MessageNote(note) => note.id.as_str(),
    });
    ids.collect::<Vec<_>>().join(" ")
}

fn show(page: &Page<Box<RawValue>>) -> String {
    let items =
        page.data.iter().map(|item| serde_json::from_str::<ThreadItem>(item.get()).unwrap());
    let mut text = ids(&items.map(Record::Item).collect::<Vec<_>>());
    assert_eq!(page.has_more, page.after.is_some());
    if page.has_more {
        text.push_str(" …");
    }
    text
}

#[track_caller]
fn assert_not_found<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    match result {
        Err(StoreError::NotFound) => (),
        other => panic!("found: {other:?}"),
    }
}
