use insta::assert_snapshot;

use super::*;

#[test]
fn what_was_in_progress_when_the_process_was_killed_is_finished_and_noted() {
    on_each(async || {
        let me = user("me");
        let killed = open(&current().url()).await;
        let mine = killed.of(&me);
        mine.add_thread(&thread("thr"), &records("u1")).await.unwrap();
        mine.checkpoint(&"thr".into(), &answer("a1", "thr", "so"), None).await.unwrap();
        mine.checkpoint(&"thr".into(), &answer("a1", "thr", "so far"), None).await.unwrap();
        mine.add_records(&"thr".into(), &records("c1"), None).await.unwrap();
        mine.checkpoint(&"thr".into(), &answer("a2", "thr", " \n"), None).await.unwrap();
        // A process that is killed closes nothing.
        drop(killed);

        let store = open(&current().url()).await;
        assert_eq!(visible(&store).await, "u1 a1");
        assert_snapshot!(summary(&store).await, @r#"
    u1 "text\nof \"u1\""
    a1 "so far"
    c1
    note "The answer was interrupted. Stop responding to the prior request."
    "#);
        store.of(&me).add_records(&"thr".into(), &records("u2"), None).await.unwrap();
        store.close().await;

        // What is finished is not noted again.
        let store = open(&current().url()).await;
        assert_eq!(visible(&store).await, "u1 a1 u2");
        assert_eq!(summary(&store).await.matches("note").count(), 1);
    });
}

#[test]
fn what_another_process_has_in_progress_is_left_to_it() {
    on_each(async || {
        let me = user("me");
        let first = open(&current().url()).await;
        let mine = first.of(&me);
        mine.add_thread(&thread("thr"), &records("u1")).await.unwrap();
        mine.checkpoint(&"thr".into(), &answer("a1", "thr", "so far"), None).await.unwrap();

        let second = Store::open(&current().url(), &TaskTracker::new()).await;
        assert!(!first.is_taken());
        assert_eq!(second.is_taken(), current().dialect != Dialect::Postgres);
        assert_eq!(history(&second).await, "u1");
        mine.add_records(&"thr".into(), &records("a1"), None).await.unwrap();
        assert_eq!(history(&second).await, "u1 a1");
    });
}

#[test]
fn what_was_closed_is_there_when_it_is_opened_again() {
    on_each(async || {
        let store = open(&current().url()).await;
        store.of(&user("me")).add_thread(&thread("thr"), &records("u1 c1 a1")).await.unwrap();
        let secret = store.load_secret("sessions").await.unwrap();
        store.close().await;
        let wal = current().url().trim_start_matches("sqlite://").to_owned() + "-wal";
        assert!(!std::fs::exists(wal).unwrap());

        let store = open(&current().url()).await;
        assert_eq!(history(&store).await, "u1 c1 a1");
        assert_eq!(store.load_secret("sessions").await.unwrap(), secret);
    });
}

#[test]
fn a_secret_is_the_same_for_all_who_ask_and_another_for_each_name() {
    on_each(async || {
        let one = open(&current().url()).await;
        let two = Store::open(&current().url(), &TaskTracker::new()).await;
        let (first, second) =
            tokio::join!(one.load_secret("sessions"), two.load_secret("sessions"));
        let secret = first.unwrap();
        assert_eq!(secret, second.unwrap());
        assert_eq!(secret, one.load_secret("sessions").await.unwrap());
        assert_ne!(secret, one.load_secret("cookies").await.unwrap());
        assert_ne!(secret, [0; 32]);
    });
}

#[test]
fn what_another_process_is_at_work_on_is_not_finished() {
    on_each(async || {
        let me = user("me");
        let killed = open(&current().url()).await;
        let mine = killed.of(&me);
        mine.add_thread(&thread("thr"), &records("u1")).await.unwrap();
        mine.checkpoint(&"thr".into(), &answer("a1", "thr", "so far"), None).await.unwrap();
        let database = killed.database().unwrap();
        let lease = query("insert into turn_leases select position, 'other', $1 from threads");
        database.execute(lease.bind(i64::MAX)).await.unwrap();
        drop((killed, database));

        let store = open(&current().url()).await;
        assert_eq!(history(&store).await, "u1");
        store.of(&me).delete_thread(&"thr".into()).await.unwrap();
    });
}

async fn summary(store: &Store) -> String {
    let records = store.of(&user("me")).load_history(&"thr".into(), 20).await.unwrap();
    let lines = records.iter().map(|record| match record {
        Record::Item(ThreadItem::UserMessage(item)) => format!("{} {:?}", item.id, item.text()),
        Record::Item(ThreadItem::AssistantMessage(item)) => {
            format!("{} {:?}", item.id, item.text())
        }
        Record::Item(ThreadItem::SdkHiddenContext(item)) => format!("note {:?}", item.content),
        Record::Item(item) => item.id().to_string(),
        Record::ToolCall(call) => call.id.to_string(),
        Record::MessageNote(note) => note.id.to_string(),
    });
    lines.collect::<Vec<_>>().join("\n")
}
