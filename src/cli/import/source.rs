use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde_json::value::RawValue;

use super::{
    Entry, Format,
    history::{History, Message},
};
use crate::{
    chatkit::ThreadId,
    store::{FORMAT, Line, Selection, VERSION},
};

/// The file that is imported.
pub struct Source {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
}

type Entries = Box<dyn Iterator<Item = anyhow::Result<Entry>> + Send>;

impl Source {
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let reader: Box<dyn BufRead + Send> = if path == Path::new("-") {
            Box::new(BufReader::new(io::stdin()))
        } else {
            let file = File::open(path);
            let file = file.with_context(|| format!("cannot read `{}`", path.display()))?;
            Box::new(BufReader::new(file))
        };
        Ok(Self { path: path.to_owned(), reader })
    }

    /// What it is, by its name and how it begins.
    pub fn guess(&mut self) -> anyhow::Result<Format> {
        if self.path.extension().is_some_and(|it| it.eq_ignore_ascii_case("csv")) {
            return Ok(Format::Csv);
        }
        let beginning = String::from_utf8_lossy(self.reader.fill_buf()?).into_owned();
        let beginning = beginning.trim_start_matches('\u{feff}').trim_start();
        let first = beginning.lines().next().unwrap_or_default();
        if first.contains("\"type\":\"header\"") {
            return Ok(Format::Kitfox);
        }
        if first.starts_with(['{', '[']) {
            return Ok(Format::Json);
        }
        bail!("`{}` is of no known format: say which with `--format`", self.path.display())
    }

    /// Of an export, what is selected.
    pub fn lines(self, selection: Selection) -> Entries {
        let mut chosen = Chosen::new(selection);
        let mut numbered = self.numbered();
        let mut is_first = true;
        Box::new(std::iter::from_fn(move || {
            loop {
                let (number, text) = match numbered.next()? {
                    Ok(numbered) => numbered,
                    Err(err) => return Some(Err(err)),
                };
                let line = serde_json::from_str::<Line>(&text).map_err(|err| short(&err));
                if is_first {
                    is_first = false;
                    if let Err(err) = check_header(&line) {
                        return Some(Err(err));
                    }
                    continue;
                }
                if line.as_ref().map_or(true, |line| chosen.takes(line)) {
                    return Some(Ok(Entry { number, line }));
                }
            }
        }))
    }

    /// Of a table of messages.
    pub fn table(self, mut history: History) -> anyhow::Result<Entries> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(self.reader);
        let headers = reader.headers().context("the first line names no columns")?;
        let names: Vec<String> = headers
            .iter()
            .map(|it| it.trim_start_matches('\u{feff}').trim().to_lowercase())
            .collect();
        for name in ["thread", "role", "content", "created_at"] {
            if !names.iter().any(|it| it == name) {
                bail!(
                    "the table has no column `{name}`: the first line names the columns user, thread, role, content and created_at"
                );
            }
        }
        let rows = reader.into_records().map(move |record| {
            let record = match record {
                Ok(record) => record,
                Err(err) => {
                    let number = err.position().map_or(0, csv::Position::line);
                    if err.is_io_error() {
                        return Err(err.into());
                    }
                    return Ok(vec![Entry { number, line: Err(err.to_string()) }]);
                }
            };
            let number = record.position().map_or(0, csv::Position::line);
            if record.len() != names.len() {
                let problem =
                    format!("it has {} columns, and the first line {}", record.len(), names.len());
                return Ok(vec![Entry { number, line: Err(problem) }]);
            }
            let values: BTreeMap<&str, &str> =
                names.iter().map(String::as_str).zip(&record).collect();
            let get = |name: &str| values.get(name).copied().unwrap_or_default();
            let message = Message {
                user: Some(get("user")).filter(|it| !it.is_empty()),
                thread: get("thread").into(),
                role: get("role").into(),
                content: get("content").into(),
                created_at: get("created_at").into(),
            };
            Ok(history.lines(number, &message))
        });
        Ok(Box::new(rows.flat_map(flatten)))
    }

    /// Of messages as JSON: a list, or one a line.
    pub fn messages(mut self, mut history: History) -> anyhow::Result<Entries> {
        let beginning = self.reader.fill_buf()?.iter().find(|it| !it.is_ascii_whitespace());
        if beginning == Some(&b'[') {
            let mut text = String::new();
            self.reader.read_to_string(&mut text)?;
            let list: Vec<Box<RawValue>> = serde_json::from_str(&text)
                .with_context(|| format!("`{}` is no list in JSON", self.path.display()))?;
            let entries = list
                .into_iter()
                .zip(1..)
                .map(move |(message, number)| Ok(history.parse(number, message.get())));
            return Ok(Box::new(entries.flat_map(flatten)));
        }
        let entries = self.numbered().map(move |numbered| {
            let (number, text) = numbered?;
            Ok(history.parse(number, &text))
        });
        Ok(Box::new(entries.flat_map(flatten)))
    }

    /// Its lines that hold something, with their numbers.
    fn numbered(self) -> impl Iterator<Item = anyhow::Result<(u64, String)>> + Send {
        self.reader.lines().zip(1..).filter_map(|(line, number)| match line {
            Ok(line) if line.trim().is_empty() => None,
            Ok(line) => Some(Ok((number, line.trim_start_matches('\u{feff}').to_owned()))),
            Err(err) => Some(Err(anyhow::Error::new(err).context(format!("line {number}")))),
        })
    }
}

fn flatten(entries: anyhow::Result<Vec<Entry>>) -> Vec<anyhow::Result<Entry>> {
    match entries {
        Ok(entries) => entries.into_iter().map(Ok).collect(),
        Err(err) => vec![Err(err)],
    }
}

fn check_header(line: &Result<Line, String>) -> anyhow::Result<()> {
    match line {
        Ok(Line::Header(header)) if header.format == FORMAT && header.version <= VERSION => Ok(()),
        Ok(Line::Header(header)) if header.format == FORMAT => bail!(
            "the export is of version {}, and this Kitfox reads up to {VERSION}: use a newer one",
            header.version
        ),
        Ok(_) | Err(_) => bail!(
            "the first line is not the header of an export: say what the file is with `--format`"
        ),
    }
}

/// What is wrong, without what the line holds.
pub fn short(err: &serde_json::Error) -> String {
    let text = err.to_string();
    match text.rsplit_once(" at line ") {
        Some((problem, _)) => problem.to_owned(),
        None => text,
    }
}

/// What of an export is taken: what belongs to a thread comes after it.
struct Chosen {
    selection: Selection,
    threads: BTreeSet<ThreadId>,
}

impl Chosen {
    const fn new(selection: Selection) -> Self {
        Self { selection, threads: BTreeSet::new() }
    }

    fn takes(&mut self, line: &Line) -> bool {
        let selection = &self.selection;
        let is_all = selection.owners.is_empty() && selection.thread.is_none();
        let takes_owner = |owner: &str| {
            selection.owners.is_empty() || selection.owners.iter().any(|it| it == owner)
        };
        match line {
            Line::Header(_) => false,
            Line::Thread(line) => {
                let id = &line.thread.id;
                let takes =
                    takes_owner(&line.owner) && selection.thread.as_ref().is_none_or(|it| it == id);
                if takes && !is_all {
                    self.threads.insert(id.clone());
                }
                takes
            }
            Line::Item(line) => is_all || self.threads.contains(&line.thread_id),
            Line::Attachment(line) => match (&selection.thread, &line.thread_id) {
                (None, _) => takes_owner(&line.owner),
                (Some(_), Some(thread)) => self.threads.contains(thread),
                (Some(_), None) => false,
            },
            Line::Kv(line) => match (&line.thread_id, line.scope.strip_prefix("user:")) {
                (Some(thread), _) => is_all || self.threads.contains(thread),
                (None, Some(user)) => selection.thread.is_none() && takes_owner(user),
                (None, None) => is_all,
            },
            Line::Sealed(line) => selection.thread.is_none() && takes_owner(&line.owner),
            Line::Secret(_) => is_all,
        }
    }
}
