use super::*;
use crate::chatkit::{FeedbackKind, Order};

/// Tries everything with the thread `thr` and its item `u1`, as this user, and expects to find neither.
async fn assert_nothing_is_there(store: &Store, user: &UserKey) {
    let mine = store.of(user);
    let (thread_id, item_id) = (ThreadId::from("thr"), ItemId::from("u1"));
    let item = answer("u1", "thr", "changed");
    assert_not_found(mine.load_thread(&thread_id).await);
    assert_not_found(mine.update_thread(&thread_id, |thread| thread.title = None).await);
    assert_not_found(mine.delete_thread(&thread_id).await);
    assert_not_found(mine.load_page_context(&thread_id).await);
    assert_not_found(mine.save_page_context(&thread_id, &serde_json::Map::new()).await);
    assert_not_found(mine.add_records(&thread_id, &records("a9"), None).await);
    assert_not_found(mine.add_records(&thread_id, &records("u1"), None).await);
    assert_not_found(mine.checkpoint(&thread_id, &item, None).await);
    assert_not_found(mine.checkpoint(&thread_id, &answer("a9", "thr", "new"), None).await);
    assert_not_found(mine.load_item(&thread_id, &item_id).await);
    assert_not_found(mine.save_item(&thread_id, &item).await);
    assert_not_found(mine.delete_item(&thread_id, &item_id).await);
    assert_not_found(mine.delete_after(&thread_id, &item_id).await);
    assert_not_found(mine.list_items(&thread_id, 20, None, Order::Asc).await);
    assert_not_found(mine.list_items(&thread_id, 20, Some(&item_id), Order::Desc).await);
    assert_not_found(mine.load_history(&thread_id, 20).await);
    assert_not_found(mine.add_feedback(&thread_id, &[item_id], FeedbackKind::Positive).await);
    assert_not_found(mine.add_feedback(&thread_id, &[], FeedbackKind::Positive).await);
    assert!(mine.list_threads(20, None, Order::Asc).await.unwrap().data.is_empty());
}

#[test]
fn what_is_another_users_is_not_found_and_stays_as_it_is() {
    on_each(async || {
        let store = with_records("u1 h1 a1").await;
        let me = user("me");
        let before = store.of(&me).load_history(&"thr".into(), 20).await.unwrap();
        let thread_before = store.of(&me).load_thread(&"thr".into()).await.unwrap();

        assert_nothing_is_there(&store, &user("other")).await;

        assert_eq!(store.of(&me).load_history(&"thr".into(), 20).await.unwrap(), before);
        assert_eq!(store.of(&me).load_thread(&"thr".into()).await.unwrap(), thread_before);
    });
}

#[test]
fn a_deleted_thread_stays_deleted_whatever_its_turn_still_writes() {
    on_each(async || {
        let store = with_records("u1 a1").await;
        let me = user("me");
        store.of(&me).delete_thread(&"thr".into()).await.unwrap();

        assert_nothing_is_there(&store, &me).await;
        let scope = crate::store::KvScope::Thread("thr".into());
        assert_not_found(store.kv().set("notes", &scope, "key", &1.into()).await);

        // Nothing was kept aside either, for a thread that happens to get the same row.
        store.of(&me).add_thread(&thread("thr"), &[]).await.unwrap();
        assert_eq!(history(&store).await, "");
    });
}

#[test]
fn an_item_is_reached_through_its_own_thread_only() {
    on_each(async || {
        let store = with_records("u1").await;
        let me = user("me");
        let mine = store.of(&me);
        mine.add_thread(&thread("thr2"), &[record("u2", "thr2")]).await.unwrap();
        let (thread_id, item_id) = (ThreadId::from("thr"), ItemId::from("u2"));

        assert_not_found(mine.load_item(&thread_id, &item_id).await);
        assert_not_found(mine.save_item(&thread_id, &answer("u2", "thr", "changed")).await);
        assert_not_found(mine.delete_item(&thread_id, &item_id).await);
        assert_not_found(mine.delete_after(&thread_id, &item_id).await);
        assert_not_found(mine.add_feedback(&thread_id, &[item_id], FeedbackKind::Negative).await);
    });
}

#[test]
fn an_item_of_another_thread_is_never_overwritten() {
    on_each(async || {
        let store = with_records("u1 a1").await;
        let me = user("me");
        let before = store.of(&me).load_history(&"thr".into(), 20).await.unwrap();
        for name in ["me", "other"] {
            let user = user(name);
            let theirs = store.of(&user);
            let new = thread(&format!("thr_{name}"));
            theirs.add_thread(&new, &[]).await.unwrap();
            let taken = records("u9 a1");
            let added = theirs.add_records(&new.id, &taken, None).await;
            assert!(matches!(added, Err(StoreError::Failed(_))), "{added:?}");
            let added = theirs.checkpoint(&new.id, &answer("a1", "thr", "changed"), None).await;
            assert!(matches!(added, Err(StoreError::Failed(_))), "{added:?}");
            assert_eq!(theirs.load_history(&new.id, 20).await.unwrap(), []);
        }
        assert_eq!(store.of(&me).load_history(&"thr".into(), 20).await.unwrap(), before);
    });
}

#[test]
fn a_thread_id_is_taken_once_whoever_asks() {
    on_each(async || {
        let store = with_records("u1").await;
        let other = user("other");
        let added = store.of(&other).add_thread(&thread("thr"), &records("u2")).await;
        assert!(matches!(added, Err(StoreError::Failed(_))), "{added:?}");
        assert_nothing_is_there(&store, &other).await;
        assert_eq!(history(&store).await, "u1");
    });
}

#[test]
fn feedback_is_for_visible_items_and_for_all_or_none() {
    on_each(async || {
        let store = with_records("u1 h1 c1 a1").await;
        let me = user("me");
        let mine = store.of(&me);
        let thread_id = ThreadId::from("thr");
        mine.checkpoint(&thread_id, &answer("a2", "thr", "not yet"), None).await.unwrap();
        let give = async |ids: &str, kind| {
            let ids: Vec<_> = ids.split_whitespace().map(ItemId::from).collect();
            mine.add_feedback(&thread_id, &ids, kind).await
        };
        for hidden in ["h1", "c1", "a2", "a1 nope"] {
            assert_not_found(give(hidden, FeedbackKind::Negative).await);
        }
        assert_eq!(feedback(&store).await, "");
        give("u1 a1 a1", FeedbackKind::Negative).await.unwrap();
        give("a1", FeedbackKind::Positive).await.unwrap();
        assert_eq!(feedback(&store).await, "u1 negative, a1 positive");
        mine.delete_item(&thread_id, &"u1".into()).await.unwrap();
        assert_eq!(feedback(&store).await, "a1 positive");
        mine.delete_thread(&thread_id).await.unwrap();
        assert_eq!(feedback(&store).await, "");
    });
}

async fn feedback(store: &Store) -> String {
    let query = query(
        "select coalesce(i.id, 'gone'), f.kind from feedback f left join items i on i.position = f.item order by f.item",
    );
    let rows = store.database().unwrap().fetch_all(query).await.unwrap();
    let lines = rows.iter().map(|row| {
        let (id, kind): (&str, &str) = (row.try_get(0).unwrap(), row.try_get(1).unwrap());
        format!("{id} {kind}")
    });
    lines.collect::<Vec<_>>().join(", ")
}
