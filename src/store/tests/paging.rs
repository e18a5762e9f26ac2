use insta::assert_snapshot;
use jiff::SignedDuration;

use super::*;
use crate::chatkit::Order;

/// All pages of this size, one per line.
async fn item_pages(store: &Store, limit: usize, order: Order) -> String {
    let me = user("me");
    let mut lines = Vec::new();
    let mut after: Option<ItemId> = None;
    loop {
        let page =
            store.of(&me).list_items(&"thr".into(), limit, after.as_ref(), order).await.unwrap();
        lines.push(show(&page));
        let Some(next) = page.after else {
            return lines.join("\n");
        };
        after = Some(next.into());
    }
}

#[test]
fn pages_of_items_are_full_and_end_exactly_whatever_is_hidden_between() {
    on_each(async || {
        let store = with_records("h0 u1 c1 c2 a2 h2 u3 a4 h4 h5").await;
        let me = user("me");
        let mine = store.of(&me);
        mine.checkpoint(&"thr".into(), &answer("a5", "thr", "not yet"), None).await.unwrap();
        mine.add_records(&"thr".into(), &records("u6 h7"), None).await.unwrap();
        assert_snapshot!(item_pages(&store, 2, Order::Asc).await, @r"
    u1 a2 …
    u3 a4 …
    u6
    ");
        assert_snapshot!(item_pages(&store, 2, Order::Desc).await, @r"
    u6 a4 …
    u3 a2 …
    u1
    ");
        assert_snapshot!(item_pages(&store, 5, Order::Asc).await, @"u1 a2 u3 a4 u6");
        assert_snapshot!(item_pages(&store, 4, Order::Desc).await, @r"
    u6 a4 u3 a2 …
    u1
    ");
        assert_snapshot!(item_pages(&store, usize::MAX, Order::Desc).await, @"u6 a4 u3 a2 u1");
    });
}

#[test]
fn a_thread_without_items_has_an_empty_page() {
    on_each(async || {
        let store = with_records("h1").await;
        assert_eq!(item_pages(&store, 20, Order::Desc).await, "");
    });
}

#[test]
fn a_cursor_is_a_visible_item_of_the_thread() {
    on_each(async || {
        let store = with_records("u1 h1 c1 a1").await;
        let me = user("me");
        let mine = store.of(&me);
        mine.checkpoint(&"thr".into(), &answer("a2", "thr", "not yet"), None).await.unwrap();
        mine.add_thread(&thread("thr2"), &[record("u9", "thr2")]).await.unwrap();
        for cursor in ["h1", "c1", "a2", "u9", "nope", ""] {
            for order in [Order::Asc, Order::Desc] {
                let page = mine.list_items(&"thr".into(), 20, Some(&cursor.into()), order).await;
                assert!(matches!(page, Err(StoreError::BadCursor)), "{cursor}: {page:?}");
            }
        }
        let page =
            mine.list_items(&"thr".into(), 20, Some(&"a1".into()), Order::Asc).await.unwrap();
        assert_eq!(show(&page), "");
    });
}

#[test]
fn items_are_listed_byte_for_byte_as_they_were_serialized() {
    on_each(async || {
        let store = with_records("u1").await;
        let me = user("me");
        let page = store.of(&me).list_items(&"thr".into(), 1, None, Order::Asc).await.unwrap();
        let item = store.of(&me).load_item(&"thr".into(), &"u1".into()).await.unwrap();
        assert_eq!(page.data[0].get(), serde_json::to_string(&item).unwrap());
    });
}

async fn thread_pages(store: &Store, name: &str, limit: usize, order: Order) -> String {
    let user = user(name);
    let mut lines = Vec::new();
    let mut after: Option<ThreadId> = None;
    loop {
        let page = store.of(&user).list_threads(limit, after.as_ref(), order).await.unwrap();
        let ids: Vec<_> = page.data.iter().map(|it| it.id.as_str()).collect();
        lines.push(format!("{}{}", ids.join(" "), if page.has_more { " …" } else { "" }));
        let Some(next) = page.after else {
            return lines.join("\n");
        };
        after = Some(next.into());
    }
}

#[test]
fn threads_are_in_order_of_creation_and_a_tie_is_in_order_of_insertion() {
    on_each(async || {
        let store = memory().await;
        let me = user("me");
        let start = now();
        for (id, seconds) in [("t3", 1), ("t1", 0), ("t4", 1), ("t5", 1), ("t0", -1), ("t2", 0)] {
            let created_at = start + SignedDuration::from_secs(seconds);
            store
                .of(&me)
                .add_thread(&ThreadMetadata { created_at, ..thread(id) }, &[])
                .await
                .unwrap();
        }
        store.of(&user("other")).add_thread(&thread("foreign"), &[]).await.unwrap();
        assert_snapshot!(thread_pages(&store, "me", 2, Order::Desc).await, @r"
    t5 t4 …
    t3 t2 …
    t1 t0
    ");
        assert_snapshot!(thread_pages(&store, "me", 4, Order::Asc).await, @r"
    t0 t1 t2 t3 …
    t4 t5
    ");
        assert_snapshot!(thread_pages(&store, "other", 4, Order::Asc).await, @"foreign");
        assert_snapshot!(thread_pages(&store, "nobody", 4, Order::Asc).await, @"");
    });
}

#[test]
fn a_cursor_is_a_thread_of_the_user() {
    on_each(async || {
        let store = with_records("").await;
        store.of(&user("other")).add_thread(&thread("foreign"), &[]).await.unwrap();
        let me = user("me");
        for cursor in ["foreign", "nope", ""] {
            for order in [Order::Asc, Order::Desc] {
                let page = store.of(&me).list_threads(20, Some(&cursor.into()), order).await;
                assert!(matches!(page, Err(StoreError::BadCursor)), "{cursor}: {page:?}");
            }
        }
    });
}

#[test]
fn a_thread_is_loaded_as_it_was_changed() {
    on_each(async || {
        let store = with_records("").await;
        let me = user("me");
        let mine = store.of(&me);
        let change = |thread: &mut ThreadMetadata| {
            thread.title = Some("title".to_owned());
            thread.allowed_image_domains = Some(vec!["example.org".to_owned()]);
            thread.metadata.insert("key".to_owned(), serde_json::Value::Null);
        };
        let changed = mine.update_thread(&"thr".into(), change).await.unwrap();
        assert_eq!(changed.title.as_deref(), Some("title"));
        assert_eq!(mine.load_thread(&"thr".into()).await.unwrap(), changed);
        let page = mine.list_threads(20, None, Order::Desc).await.unwrap();
        assert_eq!(page.data, [changed]);
    });
}

#[test]
fn changes_of_a_thread_at_one_time_are_all_kept() {
    on_each(async || {
        let store = with_records("").await;
        let me = user("me");
        let changes = (0..20).map(async |number: u8| {
            let insert = |thread: &mut ThreadMetadata| {
                thread.metadata.insert(number.to_string(), number.into());
            };
            store.of(&me).update_thread(&"thr".into(), insert).await.unwrap();
        });
        futures::future::join_all(changes).await;
        let thread = store.of(&me).load_thread(&"thr".into()).await.unwrap();
        assert_eq!(thread.metadata.len(), 20);
    });
}

#[test]
fn the_page_context_is_that_of_the_last_turn() {
    on_each(async || {
        let store = with_records("").await;
        let me = user("me");
        let mine = store.of(&me);
        let load = async || mine.load_page_context(&"thr".into()).await.unwrap();
        assert!(load().await.is_empty());
        for title in ["one", "two"] {
            let page = serde_json::json!({ "title": title, "nothing": null });
            let page = page.as_object().unwrap();
            mine.save_page_context(&"thr".into(), page).await.unwrap();
            assert_eq!(&load().await, page);
        }
    });
}
