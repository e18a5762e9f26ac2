use super::*;
use crate::store::MessageNote;

#[test]
fn history_goes_back_from_the_last_message_to_the_visible_item_that_was_asked_for() {
    on_each(async || {
        let store = with_records("h0 u1 c1 c2 a1 h1 u2 c3 a2 h2").await;
        let me = user("me");
        let mine = store.of(&me);
        mine.checkpoint(&"thr".into(), &answer("a3", "thr", "not yet"), None).await.unwrap();
        for (visible, expected) in [
            (1, "u2 c3 a2 h2"),
            (2, "a1 h1 u2 c3 a2 h2"),
            (3, "u1 c1 c2 a1 h1 u2 c3 a2 h2"),
            (4, "h0 u1 c1 c2 a1 h1 u2 c3 a2 h2"),
            (usize::MAX, "h0 u1 c1 c2 a1 h1 u2 c3 a2 h2"),
        ] {
            let records = mine.load_history(&"thr".into(), visible).await.unwrap();
            assert_eq!(ids(&records), expected, "{visible}");
        }
    });
}

#[test]
fn history_holds_the_records_as_they_were_added() {
    on_each(async || {
        let store = memory().await;
        let me = user("me");
        let records = records("u1 c1 h1 a1");
        store.of(&me).add_thread(&thread("thr"), &records[..1]).await.unwrap();
        store.of(&me).add_records(&"thr".into(), &records[1..], Some("7")).await.unwrap();
        assert_eq!(store.of(&me).load_history(&"thr".into(), 20).await.unwrap(), records);
    });
}

#[test]
fn the_history_of_a_thread_that_shows_nothing_is_all_that_is_hidden() {
    on_each(async || {
        assert_eq!(history(&with_records("").await).await, "");
    });
    on_each(async || {
        assert_eq!(history(&with_records("h1 c1").await).await, "h1 c1");
    });
}

#[test]
fn a_checkpoint_is_seen_nowhere_until_it_is_added_where_it_stands() {
    on_each(async || {
        let store = with_records("u1").await;
        let me = user("me");
        let mine = store.of(&me);
        let (thread_id, item_id) = (ThreadId::from("thr"), ItemId::from("a1"));
        for text in ["", "so", "so far"] {
            mine.checkpoint(&thread_id, &answer("a1", "thr", text), Some("7")).await.unwrap();
        }
        mine.add_records(&thread_id, &records("c1"), Some("7")).await.unwrap();
        assert_eq!(history(&store).await, "u1 c1");
        assert_eq!(visible(&store).await, "u1");
        assert_not_found(mine.load_item(&thread_id, &item_id).await);

        let done = answer("a1", "thr", "so far and further");
        mine.add_records(&thread_id, &[Record::Item(done.clone())], Some("7")).await.unwrap();
        assert_eq!(history(&store).await, "u1 a1 c1");
        assert_eq!(visible(&store).await, "u1 a1");
        assert_eq!(mine.load_item(&thread_id, &item_id).await.unwrap(), done);
    });
}

#[test]
fn a_checkpoint_that_comes_late_hides_nothing() {
    on_each(async || {
        let store = with_records("u1 a1").await;
        let me = user("me");
        let late = answer("a1", "thr", "late");
        store.of(&me).checkpoint(&"thr".into(), &late, None).await.unwrap();
        assert_eq!(visible(&store).await, "u1 a1");
    });
}

#[test]
fn a_pending_item_can_be_deleted() {
    on_each(async || {
        let store = with_records("u1").await;
        let me = user("me");
        store.of(&me).checkpoint(&"thr".into(), &answer("a1", "thr", ""), None).await.unwrap();
        store.of(&me).delete_item(&"thr".into(), &"a1".into()).await.unwrap();
        assert_not_found(store.of(&me).delete_item(&"thr".into(), &"a1".into()).await);
    });
}

#[test]
fn records_are_added_all_or_none() {
    on_each(async || {
        let store = with_records("u1").await;
        let me = user("me");
        let mine = store.of(&me);
        mine.add_thread(&thread("thr2"), &[record("u9", "thr2")]).await.unwrap();
        mine.add_records(&"thr".into(), &records("a2 u9 a3"), None).await.unwrap_err();
        assert_eq!(history(&store).await, "u1");
        mine.add_records(&"thr".into(), &records("a2"), None).await.unwrap();
        assert_eq!(history(&store).await, "u1 a2");
    });
}

#[test]
fn a_saved_item_stays_where_it_stands() {
    on_each(async || {
        let store = with_records("u1 a1 u2 c1").await;
        let me = user("me");
        let mine = store.of(&me);
        let changed = answer("a1", "thr", "changed");
        mine.save_item(&"thr".into(), &changed).await.unwrap();
        assert_eq!(visible(&store).await, "u1 a1 u2");
        assert_eq!(mine.load_item(&"thr".into(), &"a1".into()).await.unwrap(), changed);
        assert_not_found(mine.save_item(&"thr".into(), &answer("a9", "thr", "new")).await);
    });
}

#[test]
fn what_follows_an_item_is_deleted_hidden_and_pending_too() {
    on_each(async || {
        let store = with_records("u1 h1 a1 c1 u2 a2 h2").await;
        let me = user("me");
        let mine = store.of(&me);
        mine.add_thread(&thread("thr2"), &[record("u9", "thr2")]).await.unwrap();
        let pending = answer("a3", "thr", "not yet");
        mine.checkpoint(&"thr".into(), &pending, None).await.unwrap();
        for hidden in ["h1", "c1", "a3", "nope", "u9"] {
            assert_not_found(mine.delete_after(&"thr".into(), &hidden.into()).await);
        }
        mine.delete_after(&"thr".into(), &"a1".into()).await.unwrap();
        assert_eq!(history(&store).await, "u1 h1 a1");
        assert_not_found(mine.delete_item(&"thr".into(), &"a3".into()).await);
        mine.delete_after(&"thr".into(), &"a1".into()).await.unwrap();
        assert_eq!(history(&store).await, "u1 h1 a1");
        assert_eq!(mine.load_history(&"thr2".into(), 20).await.unwrap().len(), 1);
        mine.add_records(&"thr".into(), &records("a4"), None).await.unwrap();
        assert_eq!(visible(&store).await, "u1 a1 a4");
    });
}

#[test]
fn records_of_earlier_versions_are_read() {
    let call: ToolCallRecord = serde_json::from_str(
        r#"{"id":"tc_1","response":"r","call_id":"call_1","name":"clock","arguments":"{}","output":"noon"}"#,
    )
    .unwrap();
    assert!(call.client.is_none() && call.images.is_empty());
    let note: MessageNote =
        serde_json::from_str(r#"{"id":"shcx_1","item_id":"msg_1","rejected":false}"#).unwrap();
    assert!(note.vars.is_empty() && note.text.is_none());
}
