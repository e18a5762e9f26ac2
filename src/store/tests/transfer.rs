use serde_json::json;

use super::{databases::TestDatabase, *};
use crate::{
    chatkit::FeedbackKind,
    store::{Imported, KvScope, Line, Selection, StoredAttachment},
};

/// Something of all that there is, of two users.
async fn fill(store: &Store) {
    for name in ["me", "other"] {
        let user = user(name);
        let mine = store.of(&user);
        let id = ThreadId::from(format!("thr_{name}"));
        let titled =
            ThreadMetadata { title: Some("ä \"title\"\n".to_owned()), ..thread(id.as_str()) };
        let ids: Vec<String> = ["u1", "h1", "c1", "a1"].map(|it| format!("{it}_{name}")).into();
        let records: Vec<_> = ids.iter().map(|it| record(it, id.as_str())).collect();
        mine.add_thread(&titled, &records[..1]).await.unwrap();
        mine.add_records(&id, &records[1..], Some("7")).await.unwrap();
        let answer_id = ItemId::from(ids[3].as_str());
        mine.add_feedback(&id, &[answer_id], FeedbackKind::Negative).await.unwrap();
        let page = json!({ "url": "https://example.org/", "z": 1.5, "a": null });
        mine.save_page_context(&id, page.as_object().unwrap()).await.unwrap();
        let attachment = StoredAttachment {
            id: format!("atc_{name}").as_str().into(),
            name: "a.txt".to_owned(),
            mime_type: "text/plain".to_owned(),
            size: 1,
            blob: Some("blob".to_owned()),
            thread: None,
        };
        mine.add_attachment(&attachment, 9).await.unwrap();
        for scope in [KvScope::User(user.clone()), KvScope::Thread(id.clone())] {
            store.kv().set("notes", &scope, "key", &json!({ "name": name })).await.unwrap();
        }
        let pending = answer(&format!("pending_{name}"), id.as_str(), "not yet");
        mine.checkpoint(&id, &pending, None).await.unwrap();
    }
    store.kv().set("notes", &KvScope::All { org: None }, "key", &json!([])).await.unwrap();
    store.load_secret("sessions").await.unwrap();
}

async fn lines(store: &Store, selection: &Selection) -> Vec<Line> {
    let mut lines = Vec::new();
    let keep = |line: &Line| {
        lines.push(serde_json::from_str(&serde_json::to_string(line)?)?);
        Ok(())
    };
    store.export(selection, keep).await.unwrap();
    lines
}

#[test]
fn what_is_exported_from_one_database_is_the_same_in_another() {
    on_each(async || {
        let here = memory().await;
        fill(&here).await;
        let all = Selection { secrets: true, ..Selection::default() };
        let exported = lines(&here, &all).await;
        // Two threads with four records, two attachments, five values, a secret, a header.
        assert_eq!(exported.len(), 2 + 8 + 2 + 5 + 1 + 1);

        let there = TestDatabase::create(Dialect::Sqlite).await;
        let there = open(&there.url()).await;
        let imported = there.import(&exported).await.unwrap();
        assert!(imported[1..].iter().all(|it| *it == Imported::Added), "{imported:?}");
        assert_eq!(lines(&there, &all).await, exported);

        let again = here.import(&exported).await.unwrap();
        assert!(again.iter().all(|it| *it == Imported::Existing), "{again:?}");
        assert_eq!(lines(&here, &all).await, exported);

        // And back, into one like the first.
        let back = TestDatabase::create(current().dialect).await;
        let back_store = open(&back.url()).await;
        back_store.import(&lines(&there, &all).await).await.unwrap();
        assert_eq!(lines(&back_store, &all).await, exported);
    });
}

#[test]
fn an_export_of_one_user_or_thread_holds_nothing_of_others() {
    on_each(async || {
        let store = memory().await;
        fill(&store).await;
        let mine = Selection {
            owners: vec![user("me").as_str().to_owned()],
            secrets: true,
            ..Selection::default()
        };
        let text = format!("{:?}", lines(&store, &mine).await);
        assert!(text.contains("thr_me") && !text.contains("other"), "{text}");
        let thread = Selection { thread: Some("thr_other".into()), ..Selection::default() };
        let text = format!("{:?}", lines(&store, &thread).await);
        assert!(
            text.contains("u1_other") && !text.contains("thr_me") && !text.contains("u1_me"),
            "{text}"
        );
    });
}

#[test]
fn a_line_that_does_not_fit_is_refused_and_the_others_are_taken() {
    on_each(async || {
        let store = memory().await;
        fill(&store).await;
        let mut exported = lines(&store, &Selection::default()).await;
        for line in &mut exported {
            if let Line::Thread(line) = line {
                line.owner = user("me").as_str().to_owned();
            }
            if let Line::Attachment(line) = line {
                line.id = "atc_new".into();
                line.thread_id = Some("nope".into());
            }
        }
        let imported = store.import(&exported).await.unwrap();
        let refused: Vec<_> =
            imported.iter().filter(|it| matches!(it, Imported::Refused(_))).collect();
        assert_eq!(refused.len(), 3, "{refused:?}");
        assert_eq!(
            *refused[0],
            Imported::Refused("the thread `thr_other` is another user's".to_owned())
        );
        assert_eq!(*refused[1], Imported::Refused("there is no thread `nope`".to_owned()));
    });
}
