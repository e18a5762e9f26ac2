use serde_json::{Value, json};

use super::*;
use crate::store::KvScope;

fn all(org: Option<&str>) -> KvScope {
    KvScope::All { org: org.map(str::to_owned) }
}

#[test]
fn values_are_apart_per_plugin_and_scope() {
    on_each(async || {
        let store = with_records("").await;
        let kv = store.kv();
        store.of(&user("me")).add_thread(&thread("thr2"), &[]).await.unwrap();
        let mut places = Vec::new();
        for plugin in ["notes", "todo"] {
            for scope in [
                KvScope::Thread("thr".into()),
                KvScope::Thread("thr2".into()),
                KvScope::User(user("me")),
                KvScope::User(user("other")),
                all(None),
                all(Some("")),
                all(Some("acme")),
            ] {
                places.push((plugin, scope));
            }
        }
        for (number, (plugin, scope)) in places.iter().enumerate() {
            assert_eq!(kv.get(plugin, scope, "key").await.unwrap(), None);
            kv.set(plugin, scope, "key", &json!({ "number": number })).await.unwrap();
        }
        for (number, (plugin, scope)) in places.iter().enumerate() {
            let value = kv.get(plugin, scope, "key").await.unwrap();
            assert_eq!(value, Some(json!({ "number": number })), "{plugin} {scope:?}");
            kv.delete(plugin, scope, "key").await.unwrap();
            assert_eq!(kv.list(plugin, scope, "").await.unwrap(), [""; 0]);
        }
    });
}

#[test]
fn a_value_is_given_back_as_it_was_set() {
    on_each(async || {
        let store = memory().await;
        let kv = store.kv();
        for value in
            [json!(null), json!({ "z": 1, "a": [1.0, "\u{0}\n"] }), json!(""), json!(i64::MIN)]
        {
            kv.set("notes", &all(None), "key", &value).await.unwrap();
            assert_eq!(kv.get("notes", &all(None), "key").await.unwrap(), Some(value));
        }
    });
}

#[test]
fn keys_are_listed_by_prefix_sorted_and_literally() {
    on_each(async || {
        let store = memory().await;
        let kv = store.kv();
        for key in ["b", "a%c", "abc", "a_c", "aBc", "A", "", "a", "ä", "a\u{10ffff}", "a "] {
            kv.set("notes", &all(None), key, &Value::Null).await.unwrap();
        }
        let list = async |prefix| kv.list("notes", &all(None), prefix).await.unwrap();
        assert_eq!(list("a%").await, ["a%c"]);
        assert_eq!(list("a_").await, ["a_c"]);
        assert_eq!(list("a").await, ["a", "a ", "a%c", "aBc", "a_c", "abc", "a\u{10ffff}"]);
        assert_eq!(list("").await.len(), 11);
        assert_eq!(list("c").await, [""; 0]);
    });
}

#[test]
fn values_of_a_thread_go_with_it_and_are_set_for_no_other() {
    on_each(async || {
        let store = with_records("").await;
        let kv = store.kv();
        let scope = KvScope::Thread("thr".into());
        kv.set("notes", &scope, "key", &json!(1)).await.unwrap();
        store.of(&user("me")).delete_thread(&"thr".into()).await.unwrap();

        assert_eq!(kv.get("notes", &scope, "key").await.unwrap(), None);
        assert_eq!(kv.list("notes", &scope, "").await.unwrap(), [""; 0]);
        assert_not_found(kv.set("notes", &scope, "key", &json!(1)).await);
        assert_not_found(kv.compare_and_set("notes", &scope, "key", None, &json!(1)).await);
        let one = json!(1);
        assert_not_found(kv.compare_and_set("notes", &scope, "key", Some(&one), &json!(2)).await);
        assert_not_found(kv.delete("notes", &scope, "key").await);

        store.of(&user("me")).add_thread(&thread("thr"), &[]).await.unwrap();
        assert_eq!(kv.get("notes", &scope, "key").await.unwrap(), None);
    });
}

#[test]
fn a_value_is_swapped_only_if_it_is_still_the_old_one() {
    on_each(async || {
        let store = with_records("").await;
        let kv = store.kv();
        for scope in [KvScope::Thread("thr".into()), KvScope::User(user("me")), all(None)] {
            let swap = async |old: Option<i64>, new: i64| {
                let old = old.map(Value::from);
                kv.compare_and_set("notes", &scope, "key", old.as_ref(), &new.into()).await.unwrap()
            };
            assert!(!swap(Some(1), 2).await);
            assert!(swap(None, 1).await);
            assert!(!swap(None, 3).await);
            assert!(swap(Some(1), 2).await);
            assert!(!swap(Some(1), 3).await);
            assert_eq!(kv.get("notes", &scope, "key").await.unwrap(), Some(json!(2)));
            kv.delete("notes", &scope, "key").await.unwrap();
            assert!(swap(None, 1).await);
        }
    });
}

#[test]
fn fifty_tasks_that_count_up_at_once_lose_nothing() {
    on_each(async || {
        let tasks = TaskTracker::new();
        let store = open(&current().url()).await;
        for _ in 0..50 {
            let store = store.clone();
            tasks.spawn(async move {
                loop {
                    let old = store.kv().get("notes", &all(None), "count").await.unwrap();
                    let new = json!(old.as_ref().map_or(0, |it| it.as_i64().unwrap()) + 1);
                    let kv = store.kv();
                    if kv
                        .compare_and_set("notes", &all(None), "count", old.as_ref(), &new)
                        .await
                        .unwrap()
                    {
                        return;
                    }
                }
            });
        }
        tasks.close();
        tasks.wait().await;
        assert_eq!(store.kv().get("notes", &all(None), "count").await.unwrap(), Some(json!(50)));
    });
}
