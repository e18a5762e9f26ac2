use std::path::Path;

use tokio_util::task::TaskTracker;

use super::*;

async fn store() -> Store {
    let store = Store::open("sqlite::memory:", &TaskTracker::new()).await;
    store.check().await.unwrap();
    store
}

/// A vault whose keys are in this folder, as another process would have it.
fn vault(store: &Store, folder: &Path) -> Vault {
    Vault::new(store.clone(), Keys::new(None, folder.join("kitfox.keys"), true))
}

fn user(name: &str) -> UserKey {
    UserKey::new("test", "", name)
}

async fn save(vault: &Vault, owner: &UserKey, name: &str, text: &str) {
    vault.of(owner).save(SealedKind::Entered, name, &text.into(), None).await.unwrap();
}

async fn find(vault: &Vault, owner: &UserKey, name: &str) -> Result<Option<String>, VaultError> {
    let opened = vault.of(owner).find(SealedKind::Entered, name).await?;
    Ok(opened.map(|it| it.text.expose_secret().to_owned()))
}

#[tokio::test]
async fn what_a_user_entrusts_is_theirs_alone() {
    let (store, folder) = (store().await, tempfile::tempdir().unwrap());
    let vault = vault(&store, folder.path());
    let (ada, bob) = (user("ada"), user("bob"));
    save(&vault, &ada, "notes", "adas-secret").await;
    save(&vault, &bob, "notes", "bobs-secret").await;
    save(&vault, &ada, "notes", "adas-newer-secret").await;
    assert_eq!(find(&vault, &ada, "notes").await.unwrap().unwrap(), "adas-newer-secret");
    assert_eq!(find(&vault, &bob, "notes").await.unwrap().unwrap(), "bobs-secret");
    assert_eq!(find(&vault, &bob, "other").await.unwrap(), None);
    assert_eq!(store.of(&bob).list_sealed(SealedKind::Entered).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_row_that_is_moved_to_another_user_or_name_does_not_open() {
    let (store, folder) = (store().await, tempfile::tempdir().unwrap());
    let vault = vault(&store, folder.path());
    let (ada, bob) = (user("ada"), user("bob"));
    save(&vault, &ada, "notes", "adas-secret").await;
    let sealed = store.of(&ada).find_sealed(SealedKind::Entered, "notes").await.unwrap().unwrap();
    // As somebody would who can write to the database.
    for (owner, name) in [(&bob, "notes"), (&ada, "wiki")] {
        let (kind, ciphertext) = (SealedKind::Entered, &sealed.ciphertext);
        store.of(owner).save_sealed(kind, name, ciphertext, None).await.unwrap();
        let err = find(&vault, owner, name).await.unwrap_err();
        assert!(matches!(err, VaultError::Unreadable { .. }), "{err}");
    }
    let (kind, ciphertext) = (SealedKind::Tokens, &sealed.ciphertext);
    store.of(&ada).save_sealed(kind, "notes", ciphertext, None).await.unwrap();
    assert!(vault.of(&ada).find(kind, "notes").await.is_err());
}

#[tokio::test]
async fn what_is_forgotten_is_gone() {
    let (store, folder) = (store().await, tempfile::tempdir().unwrap());
    let vault = vault(&store, folder.path());
    let ada = user("ada");
    save(&vault, &ada, "notes", "adas-secret").await;
    let (ada_vault, kind) = (vault.of(&ada), SealedKind::Entered);
    let bob = user("bob");
    assert!(!vault.of(&bob).forget(kind, "notes").await.unwrap());
    assert!(ada_vault.forget(kind, "notes").await.unwrap());
    assert!(!ada_vault.forget(kind, "notes").await.unwrap());
}

#[tokio::test]
async fn what_was_replaced_meanwhile_is_left_alone() {
    let (store, folder) = (store().await, tempfile::tempdir().unwrap());
    let vault = vault(&store, folder.path());
    let ada = user("ada");
    save(&vault, &ada, "notes", "first").await;
    let before = vault.of(&ada).find(SealedKind::Entered, "notes").await.unwrap().unwrap().sealed;
    save(&vault, &ada, "notes", "second").await;
    assert!(!vault.of(&ada).replace(&before, &"third".into(), None).await.unwrap());
    assert!(!vault.of(&ada).delete(&before).await.unwrap());
    assert_eq!(find(&vault, &ada, "notes").await.unwrap().unwrap(), "second");
}

#[tokio::test]
async fn one_at_a_time_has_the_lease_until_it_ends() {
    let (store, folder) = (store().await, tempfile::tempdir().unwrap());
    let vault = vault(&store, folder.path());
    let ada = user("ada");
    save(&vault, &ada, "notes", "first").await;
    let lease = async |holder: &str, seconds: i64| {
        let until = crate::chatkit::now() + jiff::SignedDuration::from_secs(seconds);
        store.of(&ada).lease_sealed(SealedKind::Entered, "notes", holder, until).await.unwrap()
    };
    assert!(lease("one", 60).await);
    assert!(!lease("two", 60).await);
    store.of(&ada).release_sealed(SealedKind::Entered, "notes", "two").await.unwrap();
    assert!(!lease("two", 60).await);
    store.of(&ada).release_sealed(SealedKind::Entered, "notes", "one").await.unwrap();
    assert!(lease("two", -1).await);
    // It died with its holder.
    assert!(lease("three", 60).await);
}

#[tokio::test]
async fn a_rotation_seals_everything_anew_while_a_server_runs() {
    let (store, folder) = (store().await, tempfile::tempdir().unwrap());
    let server = vault(&store, folder.path());
    let (ada, bob) = (user("ada"), user("bob"));
    for number in 0..150 {
        save(&server, &ada, &format!("n{number}"), &format!("secret-{number}")).await;
    }
    let old = server.keys().load().await.unwrap().newest().id.clone();
    let tool = vault(&store, folder.path());
    tool.keys().add().await.unwrap();
    let (rotated, ()) = tokio::join!(tool.rotate(), save(&server, &bob, "late", "late-secret"));
    let rotated = rotated.unwrap();
    assert!(rotated.resealed >= 150, "{rotated:?}");
    assert_eq!(rotated.unreadable, 0);
    assert_eq!(tool.rotate().await.unwrap().resealed, 0);
    assert_eq!(find(&server, &ada, "n149").await.unwrap().unwrap(), "secret-149");
    assert_eq!(find(&server, &bob, "late").await.unwrap().unwrap(), "late-secret");
    let counts = store.count_sealed_by_key().await.unwrap();
    assert_eq!(counts, [(rotated.key_id.clone(), 151)], "{old} is not needed any more");
}

#[tokio::test]
async fn what_no_key_opens_is_told_and_left_alone() {
    let (store, folder, elsewhere) =
        (store().await, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ada = user("ada");
    save(&vault(&store, elsewhere.path()), &ada, "lost", "lost-secret").await;
    let vault = vault(&store, folder.path());
    save(&vault, &ada, "kept", "kept-secret").await;
    vault.keys().add().await.unwrap();
    let rotated = vault.rotate().await.unwrap();
    assert_eq!((rotated.resealed, rotated.unreadable), (1, 1));
    let err = find(&vault, &ada, "lost").await.unwrap_err().to_string();
    assert_eq!(
        err,
        "what is stored as `lost` cannot be opened: the key that it was sealed with is not there"
    );
}

#[tokio::test]
async fn a_login_that_nobody_came_back_from_is_swept() {
    let (store, folder) = (store().await, tempfile::tempdir().unwrap());
    let vault = vault(&store, folder.path());
    let ada = user("ada");
    let past = crate::chatkit::now() - jiff::SignedDuration::from_secs(1);
    let ada_vault = vault.of(&ada);
    ada_vault.save(SealedKind::Login, "old", &"verifier".into(), Some(past)).await.unwrap();
    ada_vault.save(SealedKind::Tokens, "old", &"tokens".into(), Some(past)).await.unwrap();
    store.sweep_logins().await.unwrap();
    assert!(ada_vault.find(SealedKind::Login, "old").await.unwrap().is_none());
    assert!(ada_vault.find(SealedKind::Tokens, "old").await.unwrap().is_some());
}
