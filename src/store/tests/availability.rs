use std::{fs, path::Path, time::Duration};

use insta::assert_snapshot;

use super::*;
use crate::{chatkit::Order, store::KvScope};

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

fn problem<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(err @ StoreError::Unavailable(_)) => err.to_string(),
        other => panic!("not unavailable: {other:?}"),
    }
}

async fn until_available(store: &Store) {
    while store.check().await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_url_that_is_no_databases_says_what_there_is() {
    let open = async |url| problem(Store::open(url, &TaskTracker::new()).await.check().await);
    assert_snapshot!(open("mongodb://me:secret@host/db").await, @"the store is not available: `mongodb:` is not a database that this version has: use `sqlite://kitfox.db`, `postgres://user@host/database` or `mysql://user@host/database` as `url` in [store]");
    assert_snapshot!(open("kitfox.db").await, @"the store is not available: `kitfox.db` is not the URL of a database: use `sqlite://kitfox.db`, `postgres://user@host/database` or `mysql://user@host/database` as `url` in [store]");
    assert_snapshot!(open("sqlite://").await, @"the store is not available: `sqlite://` names no file: use `sqlite://kitfox.db`, `postgres://user@host/database` or `mysql://user@host/database` as `url` in [store]");
    assert_snapshot!(open("sqlite://kitfox.db?mode=rwc").await, @"the store is not available: `sqlite://kitfox.db?mode=rwc` has parameters, and none are known: leave out what begins with `?`");
}

#[tokio::test]
async fn a_folder_in_place_of_the_file_makes_the_store_unavailable_until_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kitfox.db");
    fs::create_dir(&path).unwrap();
    let tasks = TaskTracker::new();
    let store = Store::open(&url(&path), &tasks).await;

    let expected = problem(store.check().await);
    assert_snapshot!(expected, @"the store is not available: `kitfox.db` cannot be opened: is a directory: see that it is a file which the server may write");
    let me = user("me");
    let mine = store.of(&me);
    let scope = KvScope::User(user("me"));
    assert_eq!(problem(mine.add_thread(&thread("thr"), &[]).await), expected);
    assert_eq!(problem(mine.load_thread(&"thr".into()).await), expected);
    assert_eq!(problem(mine.list_threads(20, None, Order::Asc).await), expected);
    assert_eq!(problem(store.kv().get("notes", &scope, "key").await), expected);
    assert_eq!(problem(store.load_secret("sessions").await), expected);

    fs::remove_dir(&path).unwrap();
    until_available(&store).await;
    mine.add_thread(&thread("thr"), &records("u1")).await.unwrap();
    assert_eq!(visible(&store).await, "u1");
    assert!(tasks.is_empty());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kitfox.db");
    fs::write(
        &path,
        "not a database, but long enough to be taken for a header of one, or so it seems to be. "
            .repeat(9),
    )
    .unwrap();
    let before = fs::read(&path).unwrap();
    let store = Store::open(&url(&path), &TaskTracker::new()).await;
    assert_snapshot!(problem(store.check().await), @"the store is not available: `kitfox.db` cannot be opened: (code: 26) file is not a database");
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::remove_file(&path).unwrap();
    until_available(&store).await;
}

#[tokio::test]
async fn a_missing_folder_is_made_and_the_file_is_for_nobody_else_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one/two/kitfox.db");
    let store = Store::open(&url(&path), &TaskTracker::new()).await;
    store.check().await.unwrap();
    #[cfg(unix)]
    for name in ["kitfox.db", "kitfox.db-wal"] {
        use std::os::unix::fs::PermissionsExt;

        let metadata = fs::metadata(path.with_file_name(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kitfox.db");
    let store = Store::open(&url(&path), &TaskTracker::new()).await;
    sqlx::query("insert into _sqlx_migrations values (9999, 'newer', 0, true, x'00', 0)")
        .execute(sqlite(&mut store.database().unwrap().writer().await.unwrap()))
        .await
        .unwrap();
    store.close().await;
    let store = Store::open(&url(&path), &TaskTracker::new()).await;
    assert_snapshot!(problem(store.check().await), @"the store is not available: `kitfox.db` was made by another version of Kitfox: use that version, or another database");
}

#[tokio::test]
async fn the_check_fails_while_the_file_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kitfox.db");
    let store = Store::open(&url(&path), &TaskTracker::new()).await;
    let away = folder.path().join("away.db");
    fs::rename(&path, &away).unwrap();
    assert_snapshot!(problem(store.check().await), @"the store is not available: `kitfox.db` was deleted or replaced while in use: put it back, or restart the server");
    fs::copy(&away, &path).unwrap();
    problem(store.check().await);
    fs::rename(&away, &path).unwrap();
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_closed_store_is_unavailable_and_stays_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kitfox.db");
    let store = Store::open(&url(&path), &TaskTracker::new()).await;
    store.close().await;
    store.close().await;
    assert_snapshot!(problem(store.check().await), @"the store is not available: it is closed");
}

#[tokio::test]
async fn a_store_that_nobody_waits_for_any_more_is_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kitfox.db");
    fs::create_dir(&path).unwrap();
    let tasks = TaskTracker::new();
    let stopping = Store::open(&url(&path), &tasks).await;
    let dropped = Store::open(&url(&path), &tasks).await;
    assert_eq!(tasks.len(), 2);
    drop(dropped);
    stopping.close().await;
    while !tasks.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_database_that_another_process_keeps_busy_is_unavailable_for_writing_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kitfox.db");
    let store = Store::open(&url(&path), &TaskTracker::new()).await;
    let me = user("me");
    let mine = store.of(&me);
    mine.add_thread(&thread("thr"), &[]).await.unwrap();
    sqlx::query("pragma busy_timeout = 1")
        .execute(sqlite(&mut store.database().unwrap().writer().await.unwrap()))
        .await
        .unwrap();
    let other = Store::open(&url(&path), &TaskTracker::new()).await;
    let database = other.database().unwrap();
    let mut connection = database.writer().await.unwrap();
    sqlx::query("begin immediate").execute(sqlite(&mut connection)).await.unwrap();

    let expected = "the store is not available: another process keeps the database busy: try again, or stop that process";
    assert_eq!(problem(mine.add_records(&"thr".into(), &records("u1"), None).await), expected);
    assert_eq!(problem(mine.delete_thread(&"thr".into()).await), expected);
    mine.load_thread(&"thr".into()).await.unwrap();

    sqlx::query("rollback").execute(sqlite(&mut connection)).await.unwrap();
    mine.add_records(&"thr".into(), &records("u1"), None).await.unwrap();
}

#[test]
fn a_write_that_is_given_up_leaves_the_store_usable() {
    on_each(async || {
        let store = with_records("u1").await;
        let me = user("me");
        let mine = store.of(&me);
        let (thread_id, more) = (ThreadId::from("thr"), records("a1 u2 a2 u3 a3"));
        for polls in 0..12 {
            let mut write = std::pin::pin!(mine.add_records(&thread_id, &more, None));
            for _ in 0..polls {
                // On a busy machine it is done before.
                if futures::poll!(write.as_mut()).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        mine.add_records(&thread_id, &more, None).await.unwrap();
        assert_eq!(history(&store).await, "u1 a1 u2 a2 u3 a3");
    });
}

#[test]
fn a_thread_that_is_given_up_half_way_is_whole_or_not_there_and_in_nobodys_way() {
    on_each(async || {
        let (store, me) = (memory().await, user("me"));
        let mine = store.of(&me);
        for polls in 1..10 {
            let (id, next) = (format!("thr{polls}"), format!("next{polls}"));
            let (new, records) = (thread(&id), [record(&format!("u{polls}"), &id)]);
            {
                let mut adding = std::pin::pin!(mine.add_thread(&new, &records));
                for _ in 0..polls {
                    if futures::poll!(&mut adding).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            let records = [record(&format!("u_{polls}"), &next)];
            mine.add_thread(&thread(&next), &records).await.unwrap();
            match mine.list_items(&new.id, 10, None, Order::Asc).await {
                Ok(items) => assert_eq!(items.data.len(), 1, "{polls}"),
                Err(err) => assert!(matches!(err, StoreError::NotFound), "{err:?}"),
            }
        }
    });
}

#[test]
fn a_thread_that_cannot_be_added_keeps_no_other_from_it() {
    on_each(async || {
        let (store, me) = (with_records("u1").await, user("me"));
        let mine = store.of(&me);
        // The id of its record is taken.
        mine.add_thread(&thread("thr2"), &[record("u1", "thr2")]).await.unwrap_err();
        assert_not_found(mine.load_thread(&"thr2".into()).await);
        mine.add_thread(&thread("thr2"), &[record("u2", "thr2")]).await.unwrap();
    });
}
