use insta::assert_snapshot;
use sqlx::Row;

use super::*;
use crate::{
    chatkit::Order,
    store::{approvals, items, kv, recovery, threads},
};

/// How SQLite goes about it.
async fn plan(store: &Store, sql: &str) -> String {
    let database = store.database().unwrap();
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("explain query plan {sql}")))
        .fetch_all(sqlite(&mut database.reader().await.unwrap()))
        .await
        .unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>().join("\n")
}

#[test]
fn lists_go_by_key_however_much_there_is() {
    on(Dialect::Sqlite, async || {
        let store = memory().await;
        let items = plan(&store, items::LIST_ITEMS.query(Order::Asc).sql()).await;
        assert_snapshot!(items, @r"
    SEARCH t USING INDEX sqlite_autoindex_threads_1 (id=?)
    SEARCH c USING INDEX sqlite_autoindex_items_1 (id=?) LEFT-JOIN
    CORRELATED SCALAR SUBQUERY 2
    CO-ROUTINE p
    SEARCH i USING INDEX items_visible (thread=? AND position>?)
    USE TEMP B-TREE FOR string_agg(ORDER BY)
    SCAN p
    ");
        assert_eq!(
            plan(&store, items::LIST_ITEMS.query(Order::Desc).sql()).await,
            items.replace('>', "<")
        );
        let threads = plan(&store, threads::LIST_THREADS.query(Order::Asc).sql()).await;
        assert_snapshot!(threads, @r"
    CO-ROUTINE one
    SCAN CONSTANT ROW
    SCAN one
    SEARCH c USING INDEX sqlite_autoindex_threads_1 (id=?) LEFT-JOIN
    CORRELATED SCALAR SUBQUERY 2
    CO-ROUTINE p
    SEARCH t USING INDEX threads_by_owner (owner=? AND created_at>?)
    USE TEMP B-TREE FOR string_agg(ORDER BY)
    SCAN p
    ");
        assert_eq!(
            plan(&store, threads::LIST_THREADS.query(Order::Desc).sql()).await,
            threads.replace('>', "<")
        );
        assert_snapshot!(plan(&store, items::LOAD_HISTORY).await, @r"
    SEARCH t USING INDEX sqlite_autoindex_threads_1 (id=?)
    CORRELATED SCALAR SUBQUERY 3
    USE TEMP B-TREE FOR string_agg(ORDER BY)
    SEARCH i USING INDEX items_by_thread (thread=? AND position>?)
    CORRELATED SCALAR SUBQUERY 2
    SEARCH v USING COVERING INDEX items_visible (thread=?)
    CORRELATED SCALAR SUBQUERY 1
    SEARCH u USING INDEX items_by_thread (thread=?)
    ");
        assert_snapshot!(plan(&store, approvals::WAITING_CALLS).await, @r"
    SEARCH t USING INDEX sqlite_autoindex_threads_1 (id=?)
    CORRELATED SCALAR SUBQUERY 1
    USE TEMP B-TREE FOR string_agg(ORDER BY)
    SEARCH i USING INDEX items_waiting (thread=?)
    ");
        assert_snapshot!(plan(&store, items::LOAD_ITEM).await, @r"
    SEARCH i USING INDEX sqlite_autoindex_items_1 (id=?)
    SEARCH t USING INTEGER PRIMARY KEY (rowid=?)
    ");
        assert_snapshot!(plan(&store, items::FIND_POSITION).await, @r"
    SEARCH i USING INDEX sqlite_autoindex_items_1 (id=?)
    SEARCH t USING INTEGER PRIMARY KEY (rowid=?)
    ");
        assert_snapshot!(plan(&store, items::DELETE_AFTER).await, @r"
    SEARCH items USING COVERING INDEX items_by_thread (thread=? AND position>?)
    SEARCH feedback USING COVERING INDEX sqlite_autoindex_feedback_1 (item=?)
    ");
        assert_snapshot!(plan(&store, kv::LIST).await, @"SEARCH kv USING COVERING INDEX sqlite_autoindex_kv_1 (plugin=? AND scope=? AND name>?)");
        assert_snapshot!(plan(&store, kv::LIST_BELOW).await, @"SEARCH kv USING COVERING INDEX sqlite_autoindex_kv_1 (plugin=? AND scope=? AND name>? AND name<?)");
        assert_snapshot!(plan(&store, recovery::PENDING).await, @r"
    SCAN i USING INDEX items_pending
    CORRELATED SCALAR SUBQUERY 1
    SEARCH l USING INDEX sqlite_autoindex_turn_leases_1 (thread=?)
    SEARCH t USING INTEGER PRIMARY KEY (rowid=?)
    ");
        assert_snapshot!(plan(&store, "delete from threads where id = $1").await, @r"
    SEARCH threads USING INDEX sqlite_autoindex_threads_1 (id=?)
    SEARCH turn_leases USING COVERING INDEX sqlite_autoindex_turn_leases_1 (thread=?)
    SEARCH attachments USING COVERING INDEX attachments_by_thread (thread=?)
    SEARCH kv USING COVERING INDEX kv_by_thread (thread=?)
    SEARCH items USING COVERING INDEX items_by_thread (thread=?)
    ");
    });
}

#[tokio::test]
async fn what_sqlite_learns_of_small_tables_is_not_kept_for_large_ones() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/kitfox.db", folder.path().display());
    let store = Store::open(&url, &TaskTracker::new()).await;
    store.of(&user("me")).add_thread(&thread("thr"), &records("u1 a1")).await.unwrap();
    visible(&store).await;
    store.close().await;
    let store = Store::open(&url, &TaskTracker::new()).await;
    let database = store.database().unwrap();
    let statistics = sqlx::query("select name from sqlite_schema where name like 'sqlite_stat%'")
        .fetch_all(sqlite(&mut database.reader().await.unwrap()))
        .await
        .unwrap();
    assert!(statistics.is_empty());
}
