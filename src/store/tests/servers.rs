//! What is peculiar to a database on a server: it may be away.

use super::*;
use crate::{chatkit::Order, config::StoreConfig, store::Role};

/// What a statement gives, run through the store's own connections.
async fn ask(store: &Store, sql: &'static str) -> i64 {
    let row = store.database().unwrap().fetch_one(query(sql)).await.unwrap();
    row.try_get(0).unwrap()
}

/// Cuts all connections of a store that are idle.
async fn cut(store: &Store) {
    let database = store.database().unwrap();
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(database.reader().await.unwrap());
    }
    let mut ids = Vec::new();
    for connection in &mut held {
        let sql = match current().dialect {
            Dialect::Postgres => "select pg_backend_pid()::bigint",
            Dialect::MySql | Dialect::Sqlite => "select connection_id()",
        };
        let row = query(sql).fetch_optional(connection).await.unwrap().unwrap();
        ids.push(row.try_get::<i64>(0).unwrap());
    }
    drop(held);
    for id in ids {
        let sql = match current().dialect {
            Dialect::Postgres => format!("select pg_terminate_backend({id})"),
            Dialect::MySql | Dialect::Sqlite => format!("kill {id}"),
        };
        current().execute(sql).await;
    }
}

fn on_servers(test: impl AsyncFn()) {
    on(Dialect::Postgres, &test);
    on(Dialect::MySql, &test);
}

#[tokio::test]
async fn a_server_that_is_away_is_named_to_nobody_but_the_operator() {
    // Nothing listens at a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for scheme in ["postgres", "mysql"] {
        let url = format!("{scheme}://me:secret@127.0.0.1:{port}/kitfox?sslmode=disable");
        let store = Store::open(&url, &TaskTracker::new()).await;
        let err = store.check().await.unwrap_err();
        assert!(matches!(err, StoreError::Unavailable(_)), "{err:?}");
        let problem = err.to_string();
        assert!(problem.starts_with("the store is not available: the database server cannot be reached: Connection refused"), "{problem}");
        assert!(
            problem
                .ends_with("see that it runs, and that `url` in [store] names its host and port"),
            "{problem}"
        );
        let shown = Store::show_url(&StoreConfig::of_url(&url)).unwrap();
        assert_eq!(shown, format!("{scheme}://me@127.0.0.1:{port}/kitfox"));
    }
}

#[test]
fn connections_that_were_cut_are_made_again_and_nothing_is_done_twice() {
    on_servers(async || {
        let store = with_records("u1").await;
        let me = user("me");
        let mine = store.of(&me);
        cut(&store).await;
        assert_eq!(visible(&store).await, "u1");
        cut(&store).await;
        mine.add_records(&"thr".into(), &records("a1"), None).await.unwrap();
        cut(&store).await;
        mine.add_records(&"thr".into(), &records("u2 a2"), None).await.unwrap();
        cut(&store).await;
        mine.add_thread(&thread("thr2"), &[record("u9", "thr2")]).await.unwrap();
        assert_eq!(history(&store).await, "u1 a1 u2 a2");
        let threads = mine.list_threads(9, None, Order::Asc).await.unwrap();
        assert_eq!(threads.data.len(), 2);
    });
}

#[test]
fn a_transaction_that_is_given_up_is_in_nobodys_way() {
    on_servers(async || {
        let store = with_records("u1").await;
        let me = user("me");
        let database = store.database().unwrap();
        for _ in 0..20 {
            let mut transaction = database.begin().await.unwrap();
            let lock = query("select data from threads where id = 'thr' for update");
            lock.fetch_optional(&mut transaction).await.unwrap();
        }
        let rename = |thread: &mut ThreadMetadata| thread.title = Some("new".to_owned());
        store.of(&me).update_thread(&"thr".into(), rename).await.unwrap();
    });
}

#[test]
fn ids_that_differ_in_a_trailing_space_or_in_case_are_two() {
    on_each(async || {
        let store = memory().await;
        for name in ["me", "me ", "Me", "mé"] {
            let user = user(name);
            let mine = store.of(&user);
            assert_eq!(mine.list_threads(9, None, Order::Asc).await.unwrap().data, []);
            mine.add_thread(&thread(name), &[]).await.unwrap();
            assert_eq!(mine.list_threads(9, None, Order::Asc).await.unwrap().data.len(), 1);
        }
    });
}

#[test]
fn whoever_waits_too_long_for_a_connection_is_told_to_come_again() {
    on_servers(async || {
        let config = StoreConfig {
            pool: 1,
            acquire_timeout: std::time::Duration::from_millis(50),
            ..StoreConfig::of_url(&current().url())
        };
        let store = Store::connect(&config, Role::Server, &TaskTracker::new()).await;
        let database = store.database().unwrap();
        let held = database.reader().await.unwrap();
        let err = store.load_secret("sessions").await.unwrap_err();
        assert_eq!(
            err.to_string(),
            "the store is not available: all 1 connections to the database are busy"
        );
        drop(held);
        store.load_secret("sessions").await.unwrap();
    });
}

#[test]
fn a_statement_that_takes_too_long_is_ended() {
    on(Dialect::Postgres, async || {
        let config = StoreConfig {
            statement_timeout: std::time::Duration::from_secs(1),
            ..StoreConfig::of_url(&current().url())
        };
        let store = Store::connect(&config, Role::Server, &TaskTracker::new()).await;
        let sleep = query("select 1 from pg_sleep(60)");
        let Err(err) = store.database().unwrap().fetch_one(sleep).await else { panic!() };
        assert_eq!(
            err.to_string(),
            "the store is not available: a statement took longer than `statement_timeout` in [store]"
        );
        assert_eq!(ask(&store, "select 1::bigint").await, 1);
    });
}

#[test]
fn two_processes_serve_from_one_postgres() {
    on(Dialect::Postgres, async || {
        let (one, two) = (open(&current().url()).await, open(&current().url()).await);
        assert!(!one.is_taken() && !two.is_taken());
        one.of(&user("me")).add_thread(&thread("thr"), &records("u1")).await.unwrap();
        assert_eq!(visible(&two).await, "u1");
    });
}
