mod history;
mod source;

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::{
    app::first_config,
    cli::{export::Login, output::Output},
    config::Environment,
    store::{Imported, Line, Role, Selection, Store},
};

use self::{history::History, source::Source};

/// Takes what `kitfox export` wrote, or a history of chats from elsewhere. What is there already, by its id, is left as it is:
/// the same file again adds nothing.
#[derive(Debug, Args)]
pub struct Import {
    /// The file; `-` is the standard input.
    file: PathBuf,
    /// What the file is; by its name and first line if nothing is said.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Of a history: whose it is, where its rows do not say. Of an export: take what this user has, and nothing else. The id that
    /// the login gives, or the owner as an export writes it.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    #[command(flatten)]
    login: Login,
    /// Of an export: take this thread, and nothing else.
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
    /// Read all of it and say what is wrong with it, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Leave lines out that cannot be taken, instead of stopping at the first.
    #[arg(long)]
    skip_bad: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// What `kitfox export` writes.
    Kitfox,
    /// A table of messages, with the columns user, thread, role, content and `created_at`.
    Csv,
    /// Messages as JSON objects with the same keys: a list, or one a line.
    Json,
}

/// A line of a file, or why it cannot be taken.
pub struct Entry {
    pub number: u64,
    pub line: Result<Line, String>,
}

#[derive(Debug, Default)]
struct Counts {
    added: u64,
    existing: u64,
    bad: u64,
}

/// Lines that are taken or not as one.
const BATCH: usize = 500;

impl Import {
    pub async fn run(
        self,
        project: PathBuf,
        environment: Environment,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        let config = match first_config(&project, &environment).await {
            Ok(config) => config,
            Err(errors) => {
                output.problems(&errors);
                output.value(&json!({ "errors": errors }));
                return Ok(ExitCode::FAILURE);
            }
        };
        let method = config.auth.modes.first().map_or("session", |it| it.name());
        let entries = self.entries(method)?;
        let store = if self.dry_run {
            None
        } else {
            let store = Store::connect(&config.store, Role::Guest, &TaskTracker::new()).await;
            store.check().await?;
            Some(store)
        };
        let counts = self.take(entries, store.as_ref(), output).await;
        if let Some(store) = store {
            store.close().await;
        }
        let Counts { added, existing, bad } = counts?;
        let verb = if self.dry_run { "would take" } else { "added" };
        output.line(format!(
            "{verb} {added} lines, {existing} were there already, {bad} could not be taken"
        ));
        output.value(&json!({
            "added": added, "existing": existing, "bad": bad, "dry_run": self.dry_run,
        }));
        Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// What the file holds, in the form of an export.
    fn entries(
        &self,
        method: &str,
    ) -> anyhow::Result<Box<dyn Iterator<Item = anyhow::Result<Entry>> + Send>> {
        let mut source = Source::open(&self.file)?;
        let format = match self.format {
            Some(format) => format,
            None => source.guess()?,
        };
        if format == Format::Kitfox {
            let mut selection = Selection { secrets: true, ..Selection::default() };
            if let Some(id) = &self.user {
                let user = self.login.user(method, id).as_str().to_owned();
                selection.owners = vec![id.clone(), user];
            }
            selection.thread = self.thread.as_deref().map(Into::into);
            return Ok(Box::new(source.lines(selection)));
        }
        if self.thread.is_some() {
            bail!("`--thread` chooses from an export, and `{}` is none", self.file.display());
        }
        let user = self.user.as_ref().map(|id| self.login.user(method, id));
        let login = (self.login.clone(), method.to_owned());
        let history = History::new(user, move |id| login.0.user(&login.1, id));
        Ok(match format {
            Format::Csv => Box::new(source.table(history)?),
            Format::Json | Format::Kitfox => Box::new(source.messages(history)?),
        })
    }

    async fn take(
        &self,
        entries: impl Iterator<Item = anyhow::Result<Entry>>,
        store: Option<&Store>,
        output: Output,
    ) -> anyhow::Result<Counts> {
        let mut counts = Counts::default();
        let (mut numbers, mut batch) = (Vec::new(), Vec::new());
        for entry in entries {
            let Entry { number, line } = entry?;
            match line {
                Ok(line) => {
                    numbers.push(number);
                    batch.push(line);
                }
                Err(problem) => self.note_bad(&mut counts, number, &problem, output)?,
            }
            if batch.len() >= BATCH {
                self.take_batch(&mut counts, &numbers, &batch, store, output).await?;
                numbers.clear();
                batch.clear();
            }
        }
        self.take_batch(&mut counts, &numbers, &batch, store, output).await?;
        Ok(counts)
    }

    async fn take_batch(
        &self,
        counts: &mut Counts,
        numbers: &[u64],
        batch: &[Line],
        store: Option<&Store>,
        output: Output,
    ) -> anyhow::Result<()> {
        let Some(store) = store else {
            counts.added += numbers.len() as u64;
            return Ok(());
        };
        for (number, imported) in numbers.iter().zip(store.import(batch).await?) {
            match imported {
                Imported::Added => counts.added += 1,
                Imported::Existing => counts.existing += 1,
                Imported::Refused(problem) => self.note_bad(counts, *number, &problem, output)?,
            }
        }
        Ok(())
    }

    fn note_bad(
        &self,
        counts: &mut Counts,
        number: u64,
        problem: &str,
        output: Output,
    ) -> anyhow::Result<()> {
        let place = format!("{}:{number}: {problem}", self.file.display());
        if !self.skip_bad && !self.dry_run {
            bail!(
                "{place}: mend it, or leave such lines out with `--skip-bad` (what was taken before stays, and is not taken twice)"
            );
        }
        counts.bad += 1;
        output.line(place);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::chatkit::ThreadItem;

    const TABLE: &str = "User,thread,role,content,created_at,model\n\
        ada,1,user,\"Where is\nmy parcel?\",2026-01-31T12:00:00Z,x\n\
        ada,1,assistant,In Ulm.,1769860805,x\n\
        ada,1,wizard,Abracadabra,1769860806,x\n\
        bob,1,user,Hello,2026-02-01 12:00:00,x\n\
        bob,1,user,Hello,yesterday,x\n\
        bob,1,user\n";

    fn import(folder: &tempfile::TempDir, file: &str) -> Import {
        Import {
            file: folder.path().join(file),
            format: None,
            user: None,
            login: Login { login: Some("header".to_owned()), issuer: String::new() },
            thread: None,
            dry_run: false,
            skip_bad: true,
        }
    }

    /// What an import comes to, and what it says of bad lines.
    async fn run(import: &Import, store: &Store) -> String {
        let mut counts = Counts::default();
        let mut problems = Vec::new();
        for entry in import.entries("header").unwrap() {
            let Entry { number, line } = entry.unwrap();
            match line {
                Ok(line) => match &store.import(&[line]).await.unwrap()[0] {
                    Imported::Added => counts.added += 1,
                    Imported::Existing => counts.existing += 1,
                    Imported::Refused(problem) => problems.push(format!("{number}: {problem}")),
                },
                Err(problem) => problems.push(format!("{number}: {problem}")),
            }
        }
        format!("{} {}\n{}", counts.added, counts.existing, problems.join("\n"))
    }

    async fn project() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open("sqlite::memory:", &TaskTracker::new()).await;
        (folder, store)
    }

    #[tokio::test]
    async fn a_table_is_taken_once_and_its_bad_lines_are_named() {
        let (folder, store) = project().await;
        fs::write(folder.path().join("chats.csv"), TABLE).unwrap();
        let table = import(&folder, "chats.csv");
        let problems = "5: there is no role `wizard`: use user, assistant or system\n\
            7: `created_at` is no time: write `2026-01-31T12:00:00Z`, or seconds since 1970\n\
            8: it has 3 columns, and the first line 6";
        assert_eq!(run(&table, &store).await, format!("5 0\n{problems}"));
        assert_eq!(run(&table, &store).await, format!("0 5\n{problems}"));

        let ada = crate::user::UserKey::new("header", "", "ada");
        let threads =
            store.of(&ada).list_threads(9, None, crate::chatkit::Order::Asc).await.unwrap();
        let history = store.of(&ada).load_history(&threads.data[0].id, 9).await.unwrap();
        let texts: Vec<_> = history
            .iter()
            .map(|record| match record {
                crate::store::Record::Item(ThreadItem::UserMessage(item)) => item.text(),
                crate::store::Record::Item(ThreadItem::AssistantMessage(item)) => item.text(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(texts, ["Where is\nmy parcel?", "In Ulm."]);
    }

    #[tokio::test]
    async fn json_is_a_list_or_lines() {
        let message = r#"{"user":"ada","thread":"1","role":"user","content":"hi","created_at":0}"#;
        let (folder, store) = project().await;
        fs::write(folder.path().join("list.json"), format!("[{message},\n{{}}]")).unwrap();
        fs::write(folder.path().join("lines.jsonl"), format!("{message}\n\n{{}}\n")).unwrap();
        let list = run(&import(&folder, "list.json"), &store).await;
        assert_eq!(list, "2 0\n2: missing field `thread`");
        let lines = run(&import(&folder, "lines.jsonl"), &store).await;
        assert_eq!(lines, "0 2\n3: missing field `thread`");
    }

    #[tokio::test]
    async fn an_export_of_a_newer_version_is_refused_and_a_file_of_no_format_too() {
        let (folder, _) = project().await;
        let header = r#"{"type":"header","format":"kitfox","version":2}"#;
        fs::write(folder.path().join("newer.jsonl"), header).unwrap();
        fs::write(folder.path().join("notes.txt"), "hello").unwrap();
        let first = import(&folder, "newer.jsonl").entries("header").unwrap().next().unwrap();
        let problem = first.err().unwrap().to_string();
        assert_eq!(
            problem,
            "the export is of version 2, and this Kitfox reads up to 1: use a newer one"
        );
        let problem = import(&folder, "notes.txt").entries("header").err().unwrap().to_string();
        assert!(problem.ends_with("is of no known format: say which with `--format`"), "{problem}");
    }
}
