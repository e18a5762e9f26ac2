use sqlx::{Connection, SqliteConnection};

use super::*;
use crate::{
    chatkit::{Attachment, AttachmentId, FileAttachment},
    store::StoredAttachment,
};

fn stored(id: &str, blob: Option<&str>) -> StoredAttachment {
    StoredAttachment {
        id: id.into(),
        name: "a.txt".to_owned(),
        mime_type: "text/plain".to_owned(),
        size: 1,
        blob: blob.map(str::to_owned),
        thread: None,
    }
}

/// A user's message with these attachments.
fn message(id: &str, attachments: &[&str]) -> Record {
    let mut record = record(id, "thr");
    if let Record::Item(ThreadItem::UserMessage(message)) = &mut record {
        message.attachments = attachments
            .iter()
            .map(|id| {
                Attachment::File(FileAttachment {
                    id: AttachmentId::from(*id),
                    name: "a.txt".to_owned(),
                    mime_type: "text/plain".to_owned(),
                    upload_descriptor: None,
                    thread_id: None,
                })
            })
            .collect();
    }
    record
}

#[test]
fn an_attachment_is_reached_by_its_owner_only() {
    on_each(async || {
        let store = memory().await;
        let (me, other) = (user("me"), user("other"));
        store.of(&me).add_attachment(&stored("atc_1", None), 9).await.unwrap();
        let id = AttachmentId::from("atc_1");
        assert_not_found(store.of(&other).load_attachment(&id).await);
        assert_not_found(store.of(&other).finish_upload(&id, "blob").await);
        assert_not_found(store.of(&other).delete_attachment(&id).await);
        assert_eq!(store.of(&other).count_unused_attachments().await.unwrap(), 0);

        store.of(&me).finish_upload(&id, "blob").await.unwrap();
        assert_not_found(store.of(&me).finish_upload(&id, "another").await);
        let thread = thread("thr");
        assert_not_found(store.of(&other).add_thread(&thread, &[message("u1", &["atc_1"])]).await);
        assert_not_found(store.of(&other).load_thread(&thread.id).await);
        assert_eq!(
            store.of(&me).load_attachment(&id).await.unwrap(),
            stored("atc_1", Some("blob"))
        );
        assert_eq!(store.find_attachment_owner(&id).await.unwrap(), Some(me));
    });
}

#[test]
fn an_attachment_is_of_one_message_which_is_stored_with_it_or_not_at_all() {
    on_each(async || {
        let store = memory().await;
        let me = user("me");
        let rows = store.of(&me);
        rows.add_attachment(&stored("atc_1", Some("blob")), 9).await.unwrap();
        rows.add_attachment(&stored("atc_2", None), 9).await.unwrap();
        let thread = thread("thr");
        assert_not_found(rows.add_thread(&thread, &[message("u1", &["atc_1", "atc_2"])]).await);
        assert_not_found(rows.load_thread(&thread.id).await);
        rows.add_thread(&thread, &[message("u1", &["atc_1"])]).await.unwrap();
        assert_not_found(rows.add_records(&thread.id, &[message("u2", &["atc_1"])], None).await);
        assert_eq!(history(&store).await, "u1");
        assert_eq!(rows.count_unused_attachments().await.unwrap(), 1);
        assert_eq!(rows.delete_thread(&thread.id).await.unwrap(), ["blob"]);
        assert_not_found(rows.load_attachment(&"atc_1".into()).await);
    });
}

#[tokio::test]
async fn a_database_of_the_first_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("kitfox.db").display());
    let me = user("me");
    let store = Store::open(&url, &TaskTracker::new()).await;
    store.of(&me).add_thread(&thread("thr"), &records("u1")).await.unwrap();
    store.close().await;
    let mut old = SqliteConnection::connect(&url).await.unwrap();
    for query in [
        "drop table attachments",
        "drop index items_waiting",
        "drop table sealed",
        "drop table turn_leases",
        "drop table logins",
        "drop table limit_counts",
        "drop table organisations",
        "delete from _sqlx_migrations where version > 1",
    ] {
        sqlx::query(query).execute(&mut old).await.unwrap();
    }
    old.close().await.unwrap();

    let store = Store::open(&url, &TaskTracker::new()).await;
    assert_eq!(history(&store).await, "u1");
    store.of(&me).add_attachment(&stored("atc_1", None), 9).await.unwrap();
    store.close().await;
}

#[test]
fn no_more_attachments_are_kept_unused_than_may_be() {
    on_each(async || {
        let (store, me) = (memory().await, user("me"));
        let mine = store.of(&me);
        assert!(mine.add_attachment(&stored("atc_1", None), 2).await.unwrap());
        assert!(mine.add_attachment(&stored("atc_2", None), 2).await.unwrap());
        assert!(!mine.add_attachment(&stored("atc_3", None), 2).await.unwrap());
        assert_not_found(mine.load_attachment(&AttachmentId::from("atc_3")).await);
        assert!(store.of(&user("other")).add_attachment(&stored("atc_3", None), 2).await.unwrap());
    });
}
