use jiff::ToSpan;

use super::*;
use crate::store::{Ciphertext, Login};

fn login(id: &str, owner: &str) -> Login {
    Login {
        id: id.to_owned(),
        owner: UserKey::new("oidc", "https://id.example.com", owner),
        content: Ciphertext { key_id: "k".to_owned(), bytes: vec![0, 255, 7] },
        seen_at: now(),
        expires_at: now() + 1.hour(),
    }
}

#[test]
fn a_login_is_found_until_it_is_taken_away() {
    on_each(async || {
        let store = memory().await;
        let (ada, bob) = (login("a1", "ada"), login("b1", "bob"));
        for login in [&ada, &login("a2", "ada"), &bob] {
            store.add_login(login).await.unwrap();
        }
        assert!(store.add_login(&ada).await.is_err());
        let found = store.find_login("a1").await.unwrap().unwrap();
        assert_eq!(found.content.bytes, [0, 255, 7]);
        assert_eq!(found.owner, ada.owner);
        let later = now() + 1.minute();
        store.touch_login("a1", later).await.unwrap();
        assert_eq!(store.find_login("a1").await.unwrap().unwrap().seen_at, later);
        assert!(store.delete_login("a1", &ada.owner).await.unwrap());
        assert!(!store.delete_login("a1", &ada.owner).await.unwrap());
        assert!(store.find_login("a1").await.unwrap().is_none());
        assert_eq!(store.of(&ada.owner).delete_logins().await.unwrap(), 1);
        assert!(store.find_login("b1").await.unwrap().is_some());
        store.sweep_ended_logins(bob.expires_at + 1.second()).await.unwrap();
        assert!(store.find_login("b1").await.unwrap().is_none());
    });
}
