//! What is kept of a user: all of it taken away, or written down for them.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use futures::TryStreamExt;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    fs::{self, File},
    io::{AsyncWriteExt, BufWriter},
};

use crate::{
    chatkit::Order,
    cli::{
        check,
        output::{Output, bold},
    },
    config::Environment,
    store::Store,
    user::UserKey,
};

/// Threads and items that are read at once.
const PAGE: usize = 200;

#[derive(Debug, Args)]
pub struct Users {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take away all that is kept of a user: threads, attachments, what plugins keep, credentials, counts.
    Delete {
        /// The user's id as prompts see it, or the key that this command shows where an id is of several.
        id: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Write all that is kept of a user to a folder, as JSON lines and files. Credentials are named, not shown.
    Export {
        /// The user's id as prompts see it, or the key that this command shows where an id is of several.
        id: String,
        /// The folder, which is made; default: one with the id's pseudonym as its name.
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
}

impl Users {
    pub async fn run(
        self,
        project: PathBuf,
        environment: Environment,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        let app = match check::load_with_store(project, environment).await {
            Ok(app) => app,
            Err(errors) => {
                output.problems(&errors);
                output.value(&json!({ "errors": errors }));
                return Ok(ExitCode::FAILURE);
            }
        };
        let result = match self.command {
            Command::Delete { id, yes } => delete(&app.store, &id, yes, output).await,
            Command::Export { id, to } => export(&app.store, &id, to, output).await,
        };
        app.close().await;
        result
    }
}

async fn find(store: &Store, id: &str) -> anyhow::Result<UserKey> {
    let mut users = store.find_users(id).await?;
    match (users.pop(), users.as_slice()) {
        (Some(user), []) => Ok(user),
        (None, _) => bail!("nothing is kept of a user `{id}`"),
        (Some(last), others) => {
            let keys = others.iter().chain([&last]).map(|it| format!("`{}`", it.as_str()));
            let keys = keys.collect::<Vec<_>>().join(", ");
            bail!("`{id}` is the id of several users: name one by its key, {keys}")
        }
    }
}

async fn delete(store: &Store, id: &str, yes: bool, output: Output) -> anyhow::Result<ExitCode> {
    let user = find(store, id).await?;
    let question = format!("take away all that is kept of {}?", bold(user.as_str()));
    if !yes && !output.confirm(&question).await? {
        bail!("nothing was taken away: say `--yes` where nobody can be asked");
    }
    let (gone, blobs) = store.of(&user).forget().await?;
    store.delete_blobs(&blobs).await;
    output.line(format!(
        "took away {} threads, {} attachments, {} values of plugins, {} credentials and logins",
        gone.threads, gone.attachments, gone.values, gone.sealed
    ));
    output.line(format!("in the audit log the user is {}, and nobody any more", user.pseudonym()));
    output.value(&json!({
        "user": user.as_str(), "pseudonym": user.pseudonym(), "threads": gone.threads,
        "attachments": gone.attachments, "values": gone.values, "sealed": gone.sealed,
    }));
    Ok(ExitCode::SUCCESS)
}

async fn export(
    store: &Store,
    id: &str,
    to: Option<PathBuf>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let user = find(store, id).await?;
    let folder = to.unwrap_or_else(|| PathBuf::from(user.pseudonym().replace(':', "-")));
    if fs::try_exists(&folder).await? {
        bail!("`{}` is there already: name another folder by `--to`", folder.display());
    }
    fs::create_dir_all(folder.join("attachments"))
        .await
        .with_context(|| format!("`{}` cannot be made", folder.display()))?;
    let threads = export_threads(store, &user, &folder.join("threads.jsonl")).await?;
    let attachments = export_attachments(store, &user, &folder).await?;
    let values = store.of(&user).all_values().await?;
    let value = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    let lines = values
        .iter()
        .map(|it| json!({ "plugin": it.plugin, "name": it.name, "value": value(&it.value) }));
    write_lines(&folder.join("values.jsonl"), lines).await?;
    let sealed = store.of(&user).all_sealed().await?;
    let lines = sealed
        .iter()
        .map(|it| json!({ "kind": it.kind, "name": it.name, "updated_at": it.updated_at }));
    write_lines(&folder.join("credentials.jsonl"), lines).await?;
    let shown = folder.display().to_string();
    output.line(format!(
        "wrote {threads} threads, {attachments} attachments, {} values of plugins and the names of {} credentials to {}",
        values.len(),
        sealed.len(),
        bold(&shown)
    ));
    output.value(&json!({
        "user": user.as_str(), "folder": shown, "threads": threads, "attachments": attachments,
        "values": values.len(), "credentials": sealed.len(),
    }));
    Ok(ExitCode::SUCCESS)
}

/// A line for each thread, with all its items as the user sees them.
async fn export_threads(store: &Store, user: &UserKey, path: &Path) -> anyhow::Result<usize> {
    let rows = store.of(user);
    let mut file = create(path).await?;
    let (mut count, mut after) = (0, None);
    loop {
        let page = rows.list_threads(PAGE, after.as_ref(), Order::Asc).await?;
        for thread in &page.data {
            let mut items = Vec::new();
            let mut after_item = None;
            loop {
                let page =
                    rows.list_items(&thread.id, PAGE, after_item.as_ref(), Order::Asc).await?;
                items.extend(page.data);
                after_item = page.after.map(|it| it.as_str().into());
                if !page.has_more {
                    break;
                }
            }
            write_line(&mut file, &json!({ "thread": thread, "items": items })).await?;
            count += 1;
        }
        after = page.after.map(|it| it.as_str().into());
        if !page.has_more {
            break;
        }
    }
    file.flush().await?;
    Ok(count)
}

/// A line for each attachment, and its bytes in a file of its id.
async fn export_attachments(store: &Store, user: &UserKey, folder: &Path) -> anyhow::Result<usize> {
    let attachments = store.of(user).all_attachments().await?;
    let mut list = create(&folder.join("attachments.jsonl")).await?;
    for attachment in &attachments {
        let file = format!("attachments/{}", attachment.id);
        let line = json!({
            "id": attachment.id, "name": attachment.name, "mime_type": attachment.mime_type,
            "size": attachment.size, "thread": attachment.thread,
            "file": attachment.blob.as_ref().map(|_| &file),
        });
        write_line(&mut list, &line).await?;
        let Some(blob) = &attachment.blob else { continue };
        let mut bytes = store.blobs().open_blob(blob).await?.bytes;
        let mut copy = create(&folder.join(&file)).await?;
        while let Some(chunk) = bytes.try_next().await? {
            copy.write_all(&chunk).await?;
        }
        copy.flush().await?;
    }
    list.flush().await?;
    Ok(attachments.len())
}

async fn write_lines(path: &Path, lines: impl Iterator<Item = Value>) -> anyhow::Result<()> {
    let mut file = create(path).await?;
    for line in lines {
        write_line(&mut file, &line).await?;
    }
    Ok(file.flush().await?)
}

async fn write_line(file: &mut BufWriter<File>, line: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(file.write_all(&text).await?)
}

async fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::create_new(path).await;
    Ok(BufWriter::new(file.with_context(|| format!("`{}` cannot be written", path.display()))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chatkit::ThreadMetadata,
        config::Environment,
        store::{Ciphertext, KvScope, SealedKind},
    };

    /// A store in which two users have the same of everything.
    async fn store() -> (tempfile::TempDir, Store, [UserKey; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let app = check::load(folder.path().to_owned(), Environment::default()).await;
        let store = app.unwrap_or_else(|errors| panic!("{errors:?}")).store.clone();
        let users = [UserKey::new("header", "", "ada"), UserKey::new("header", "", "bob")];
        for user in &users {
            store.of(user).add_thread(&ThreadMetadata::new(), &[]).await.unwrap();
            let scope = KvScope::User(user.clone());
            store.kv().set("notes", &scope, "a", &json!({ "b": 1 })).await.unwrap();
            let sealed = Ciphertext { key_id: "k".to_owned(), bytes: b"sealed".to_vec() };
            let kind = SealedKind::Entered;
            store.of(user).save_sealed(kind, "token", &sealed, None).await.unwrap();
        }
        (folder, store, users)
    }

    const QUIET: Output = Output { json: false };

    #[tokio::test]
    async fn nothing_is_left_of_a_user_who_is_deleted_and_everything_of_others() {
        let (_folder, store, [_, bob]) = store().await;
        delete(&store, "ada", true, QUIET).await.unwrap();
        assert!(find(&store, "ada").await.is_err());
        assert_eq!(find(&store, "bob").await.unwrap(), bob);
        assert_eq!(store.of(&bob).all_values().await.unwrap().len(), 1);
        assert_eq!(store.of(&bob).all_sealed().await.unwrap().len(), 1);
        let threads = store.of(&bob).list_threads(10, None, Order::Asc).await.unwrap();
        assert_eq!(threads.data.len(), 1);
    }

    #[tokio::test]
    async fn an_export_holds_what_is_kept_of_one_user_and_no_secret() {
        let (folder, store, _) = store().await;
        let to = folder.path().join("out");
        export(&store, "ada", Some(to.clone()), QUIET).await.unwrap();
        let read = async |name: &str| fs::read_to_string(to.join(name)).await.unwrap();
        assert_eq!(read("threads.jsonl").await.lines().count(), 1);
        assert!(read("values.jsonl").await.contains(r#""value":{"b":1}"#));
        let credentials = read("credentials.jsonl").await;
        assert!(credentials.contains(r#""name":"token""#), "{credentials}");
        assert!(!credentials.contains("sealed\","), "{credentials}");
        assert!(export(&store, "ada", Some(to), QUIET).await.is_err());
    }

    #[tokio::test]
    async fn an_id_of_several_users_is_not_guessed() {
        let (_folder, store, _) = store().await;
        let other = UserKey::new("jwt", "https://login.test", "ada");
        store.of(&other).add_thread(&ThreadMetadata::new(), &[]).await.unwrap();
        let err = find(&store, "ada").await.unwrap_err().to_string();
        assert!(err.contains("`header:0::ada`") && err.contains("login.test"), "{err}");
        assert_eq!(find(&store, "header:0::ada").await.unwrap().as_str(), "header:0::ada");
    }
}
