use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

use crate::{
    load_error::LoadError,
    plugin::{ContentDigest, LOCK_FILE},
};

/// Of a script, a template or a configuration file.
const TEXT_BYTES: u64 = 1024 * 1024;
/// Of a component, and of what a pack keeps in data/.
const BINARY_BYTES: u64 = 64 * 1024 * 1024;
/// Of a project: what is more is not looked at.
const MAX_FILES: usize = 10_000;
/// The steps in which file systems count time are no longer.
const STEP: Duration = Duration::from_secs(2);
/// Of a project: links in circles make of few folders many.
const MAX_FOLDERS: usize = 2_000;
/// Of all files together.
const ALL_BYTES: u64 = 512 * 1024 * 1024;
/// Folders within folders.
const MAX_DEPTH: usize = 16;

/// The files in the project's root that matter.
pub const ROOT_FILES: &[&str] = &["kitfox.toml", "approvals.toml", LOCK_FILE];
/// The folders of the project that matter, with all that is in them.
pub const FOLDERS: &[&str] = &["prompts", "plugins"];

/// The project's files as they were read: regular files of the project only, by their path with `/`.
#[derive(Debug, Clone, Default)]
pub struct ProjectFiles {
    pub files: BTreeMap<String, File>,
    /// What was left out, and why.
    pub errors: Vec<LoadError>,
}

/// A file as it was read.
#[derive(Debug, Clone)]
pub struct File {
    pub content: Arc<[u8]>,
    pub hash: [u8; 32],
    /// None: it was read so soon after a change that another one could have left the same stamp.
    stamp: Option<Stamp>,
}

/// What tells that a file is as it was without reading it. Any write changes the time of change, which
/// moves in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    identity: (u64, u64, i64, i64),
}

impl ProjectFiles {
    /// Reads the project. What `previous` holds and what is unchanged is not read again.
    ///
    /// Links out of the project, FIFOs and files that are too large are left out with an error; what
    /// `previous` holds of them stays.
    pub fn read(project: &Path, previous: &Self) -> io::Result<Self> {
        let root = fs::canonicalize(project)?;
        let settled = SystemTime::now().checked_sub(STEP);
        let found = Self::default();
        let mut reader =
            Reader { root, previous, settled, is_full: false, found, folders: 0, bytes: 0 };
        for name in ROOT_FILES {
            let path = reader.root.join(name);
            if fs::symlink_metadata(&path).is_ok() {
                reader.add_file(&path, name);
            }
        }
        for name in FOLDERS {
            let path = reader.root.join(name);
            if path.is_dir() {
                reader.add_folder(&path, name, 0);
            }
        }
        Ok(reader.found)
    }

    /// Whether both hold the same files with the same content.
    pub fn same(&self, other: &Self) -> bool {
        self.errors == other.errors
            && self.files.len() == other.files.len()
            && self
                .files
                .iter()
                .zip(&other.files)
                .all(|((a, x), (b, y))| a == b && x.hash == y.hash)
    }

    /// A file's text, or why it has none.
    pub fn text(&self, path: &str) -> Option<Result<Arc<str>, LoadError>> {
        Some(text(path, &self.files.get(path)?.content).map(Arc::from))
    }

    /// Puts a file in, or another content in its place, as if it had been read.
    pub fn put(&mut self, path: &str, content: Arc<[u8]>) -> Result<(), LoadError> {
        let (len, limit) = (content.len() as u64, limit(path));
        if len > limit {
            return Err(too_large(path, len, limit));
        }
        let hash = Sha256::digest(&content).into();
        self.files.insert(path.to_owned(), File { content, hash, stamp: None });
        Ok(())
    }

    /// Takes out a file, or a folder with all that is in it.
    pub fn take_out(&mut self, path: &str) {
        self.files.retain(|it, _| {
            let below = it.strip_prefix(path);
            below.is_none_or(|below| !below.is_empty() && !below.starts_with('/'))
        });
    }

    /// The digest of a plugin's file, or of the folder of a pack; None where there is neither.
    pub fn digest(&self, path: &str) -> Option<ContentDigest> {
        if let Some(file) = self.files.get(path) {
            return Some(ContentDigest(file.hash));
        }
        let mut below =
            self.below(path).map(|(path, file)| (path, ContentDigest(file.hash))).peekable();
        below.peek()?;
        Some(ContentDigest::of_pack(below))
    }

    /// Reads a pack that is not in a project, by the paths below its folder, as it would be read there.
    pub fn read_pack(folder: &Path, name: &str) -> io::Result<Self> {
        let root = fs::canonicalize(folder)?;
        let (previous, found) = (Self::default(), Self::default());
        let mut reader = Reader {
            root: root.clone(),
            previous: &previous,
            settled: None,
            is_full: false,
            found,
            folders: 0,
            bytes: 0,
        };
        reader.add_folder(&root, name, 0);
        Ok(reader.found)
    }

    /// The files below `folder`, by their path below it.
    pub fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a File)> {
        self.files.iter().filter_map(move |(path, file)| {
            Some((path.strip_prefix(folder)?.strip_prefix('/')?, file))
        })
    }
}

fn text<'a>(path: &str, content: &'a [u8]) -> Result<&'a str, LoadError> {
    std::str::from_utf8(content).map_err(|err| {
        let line = content[..err.valid_up_to()].split(|it| *it == b'\n').count();
        LoadError::new(path, "the file is not UTF-8").at(line, None).remedy("save it as UTF-8 text")
    })
}

struct Reader<'a> {
    root: PathBuf,
    previous: &'a ProjectFiles,
    /// What was changed before this cannot have changed again unseen.
    settled: Option<SystemTime>,
    is_full: bool,
    found: ProjectFiles,
    /// How many were looked into.
    folders: usize,
    /// How much was taken.
    bytes: u64,
}

impl Reader<'_> {
    fn add_folder(&mut self, path: &Path, name: &str, depth: usize) {
        if depth > MAX_DEPTH {
            self.refuse(name, "the folder is too deep", "move it up");
            return;
        }
        self.folders += 1;
        if self.folders > MAX_FOLDERS {
            // Said once: there may be millions.
            if self.folders == MAX_FOLDERS + 1 {
                let message = format!("the project has more than {MAX_FOLDERS} folders");
                self.refuse(name, &message, "remove some, or links that lead in circles");
            }
            return;
        }
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(err) => {
                self.refuse(
                    name,
                    &format!("the folder cannot be read: {}", err.kind()),
                    "mend its rights",
                );
                return;
            }
        };
        let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let file_name = entry.file_name();
            let Some(file_name) = file_name.to_str() else {
                let message = "it holds a file whose name is not UTF-8";
                self.found.errors.push(LoadError::new(name, message).remedy("rename it"));
                continue;
            };
            if is_noise(file_name) {
                continue;
            }
            let path = entry.path();
            let name = format!("{name}/{file_name}");
            // Follows links: whether they lead out is checked before anything is read.
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {
                    if is_loop(&path) {
                        self.refuse(&name, "it is a link to a folder that it is in", "remove it");
                    } else if self.is_inside(&path, &name) {
                        self.add_folder(&path, &name, depth + 1);
                    }
                }
                Ok(_) => self.add_file(&path, &name),
                // A link to nothing, or a file that was just deleted.
                Err(err) if err.kind() == io::ErrorKind::NotFound => (),
                Err(err) => self.refuse(&name, &unreadable(&err), "mend its rights"),
            }
        }
    }

    fn add_file(&mut self, path: &Path, name: &str) {
        if self.found.files.len() >= MAX_FILES {
            // Once is enough.
            if !std::mem::replace(&mut self.is_full, true) {
                let message = format!("the project has more than {MAX_FILES} files");
                self.found.errors.push(LoadError::new(name, message).remedy("remove some"));
            }
            return;
        }
        if !self.is_inside(path, name) {
            return;
        }
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return,
            Err(err) => return self.refuse(name, &unreadable(&err), "mend its rights"),
        };
        if !metadata.is_file() {
            return self.refuse(
                name,
                "it is not a regular file",
                "put a regular file in its place",
            );
        }
        let limit = limit(name);
        if metadata.len() > limit {
            return self.keep_last_good(too_large(name, metadata.len(), limit));
        }
        if self.bytes + metadata.len() > ALL_BYTES {
            let message = format!("all files together have more than {ALL_BYTES} bytes");
            return self.refuse(name, &message, "make some smaller");
        }
        self.bytes += metadata.len();
        let stamp = Stamp::of(&metadata);
        if let Some(file) = self.previous.files.get(name).filter(|it| it.stamp == Some(stamp)) {
            self.found.files.insert(name.to_owned(), file.clone());
            return;
        }
        let stamp = (stamp.changed() < self.settled).then_some(stamp);
        match fs::read(path) {
            Ok(content) => {
                let is_prompt = name.starts_with("prompts/")
                    && Path::new(name).extension().is_some_and(|it| it == "md");
                if let Some(err) = text(name, &content).err().filter(|_| is_prompt) {
                    return self.keep_last_good(err);
                }
                let hash = Sha256::digest(&content).into();
                let file = File { content: content.into(), hash, stamp };
                self.found.files.insert(name.to_owned(), file);
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => (),
            Err(err) => self.refuse(name, &unreadable(&err), "mend its rights"),
        }
    }

    fn is_inside(&mut self, path: &Path, name: &str) -> bool {
        let inside = fs::canonicalize(path).is_ok_and(|path| path.starts_with(&self.root));
        if !inside && fs::symlink_metadata(path).is_ok() {
            self.refuse(name, "it is a link out of the project", "put the file itself there");
        }
        inside
    }

    fn refuse(&mut self, name: &str, message: &str, remedy: &str) {
        self.keep_last_good(LoadError::new(name, message).remedy(remedy));
    }

    /// Leaves out a file, or a folder with all that is in it; the last good version stays.
    fn keep_last_good(&mut self, err: LoadError) {
        for (path, file) in &self.previous.files {
            let below = path.strip_prefix(err.file.as_str());
            if below.is_some_and(|below| below.is_empty() || below.starts_with('/')) {
                self.found.files.insert(path.clone(), file.clone());
            }
        }
        self.found.errors.push(err);
    }
}

impl Stamp {
    /// When the file was changed, its name and rights included.
    fn changed(&self) -> Option<SystemTime> {
        let (_, _, seconds, nanoseconds) = self.identity;
        let changed = Duration::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?);
        self.modified.max(SystemTime::UNIX_EPOCH.checked_add(changed))
    }

    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;

        Self {
            len: metadata.len(),
            modified: metadata.modified().ok(),
            identity: (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    #[cfg(not(unix))]
    fn of(metadata: &Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok(), identity: (0, 0, 0, 0) }
    }
}

/// Whether the folder leads back to one that it is in.
fn is_loop(folder: &Path) -> bool {
    let parent = folder.parent().map(fs::canonicalize);
    match (fs::canonicalize(folder), parent) {
        (Ok(folder), Some(Ok(parent))) => parent.starts_with(folder),
        _ => false,
    }
}

fn too_large(name: &str, len: u64, limit: u64) -> LoadError {
    LoadError::new(name, format!("the file has {len} bytes, more than {limit}"))
        .remedy("make it smaller")
}

fn unreadable(err: &io::Error) -> String {
    format!("the file cannot be read: {}", err.kind())
}

fn limit(name: &str) -> u64 {
    let in_data = name.split('/').any(|part| part == "data");
    let component = Path::new(name).extension().is_some_and(|it| it == "wasm");
    if in_data || component { BINARY_BYTES } else { TEXT_BYTES }
}

/// What editors and mounts leave beside files.
fn is_noise(name: &str) -> bool {
    name.starts_with('.')
        || name.starts_with('#')
        || name.ends_with('~')
        || [".swp", ".swx", ".tmp", ".bak", ".orig"].iter().any(|it| name.ends_with(it))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::ProjectFiles;

    #[cfg(unix)]
    #[test]
    fn links_out_of_the_project_are_left_out_and_links_within_are_read() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret.rhai"), "secret").unwrap();
        let project = tempfile::tempdir().unwrap();
        let plugins = project.path().join("plugins");
        fs::create_dir_all(plugins.join("..data")).unwrap();
        fs::write(plugins.join("..data/a.rhai"), "a").unwrap();
        std::os::unix::fs::symlink("..data/a.rhai", plugins.join("a.rhai")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret.rhai"), plugins.join("b.rhai"))
            .unwrap();
        std::os::unix::fs::symlink(outside.path(), plugins.join("pack")).unwrap();

        let files = ProjectFiles::read(project.path(), &ProjectFiles::default()).unwrap();
        let names: Vec<_> = files.files.keys().collect();
        assert_eq!(names, ["plugins/a.rhai"]);
        let errors: Vec<_> = files.errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "plugins/b.rhai: it is a link out of the project (put the file itself there)",
                "plugins/pack: it is a link out of the project (put the file itself there)",
            ]
        );
    }

    #[test]
    fn a_rewritten_file_is_noticed_and_noise_is_not() {
        let project = tempfile::tempdir().unwrap();
        let prompts = project.path().join("prompts");
        fs::create_dir(&prompts).unwrap();
        fs::write(prompts.join("assistant.md"), "one").unwrap();
        let first = ProjectFiles::read(project.path(), &ProjectFiles::default()).unwrap();
        fs::write(prompts.join(".assistant.md.swp"), "noise").unwrap();
        fs::write(prompts.join("assistant.md~"), "noise").unwrap();
        assert!(ProjectFiles::read(project.path(), &first).unwrap().same(&first));
        fs::write(prompts.join("assistant.md"), "two").unwrap();
        let second = ProjectFiles::read(project.path(), &first).unwrap();
        assert!(!second.same(&first));
        assert_eq!(&*second.files["prompts/assistant.md"].content, b"two");
    }

    #[test]
    fn a_file_that_is_rewritten_at_once_is_noticed() {
        let project = tempfile::tempdir().unwrap();
        let mut files = ProjectFiles::default();
        for text in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            fs::write(project.path().join("kitfox.toml"), text).unwrap();
            files = ProjectFiles::read(project.path(), &files).unwrap();
            assert_eq!(&*files.files["kitfox.toml"].content, text.as_bytes());
        }
    }

    #[test]
    fn what_cannot_be_read_any_more_stays_as_it_was() {
        let project = tempfile::tempdir().unwrap();
        let pack = project.path().join("plugins/pack");
        fs::create_dir_all(&pack).unwrap();
        fs::write(pack.join("a.rhai"), "a").unwrap();
        fs::write(project.path().join("kitfox.toml"), "good").unwrap();
        let good = ProjectFiles::read(project.path(), &ProjectFiles::default()).unwrap();
        fs::write(project.path().join("kitfox.toml"), vec![b' '; 1024 * 1024 + 1]).unwrap();
        fs::rename(&pack, project.path().join("moved")).unwrap();
        let outside = tempfile::tempdir().unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(outside.path(), &pack).unwrap();
        let bad = ProjectFiles::read(project.path(), &good).unwrap();
        assert_eq!(&*bad.files["kitfox.toml"].content, b"good");
        #[cfg(unix)]
        assert_eq!(&*bad.files["plugins/pack/a.rhai"].content, b"a");
        let again = ProjectFiles::read(project.path(), &bad).unwrap();
        assert!(again.same(&bad));
        drop(outside);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_that_it_is_in_is_left_out() {
        let project = tempfile::tempdir().unwrap();
        fs::create_dir_all(project.path().join("plugins/pack")).unwrap();
        fs::write(project.path().join("plugins/pack/a.rhai"), "a").unwrap();
        for name in ["one", "two"] {
            let link = project.path().join("plugins/pack").join(name);
            std::os::unix::fs::symlink("..", link).unwrap();
        }
        let files = ProjectFiles::read(project.path(), &ProjectFiles::default()).unwrap();
        assert_eq!(files.files.len(), 1);
        assert_eq!(
            files.errors[0].to_string(),
            "plugins/pack/one: it is a link to a folder that it is in (remove it)"
        );
    }

    #[test]
    fn a_script_over_the_limit_is_left_out() {
        let project = tempfile::tempdir().unwrap();
        fs::create_dir(project.path().join("plugins")).unwrap();
        fs::write(project.path().join("plugins/big.rhai"), vec![b' '; 1024 * 1024 + 1]).unwrap();
        let files = ProjectFiles::read(project.path(), &ProjectFiles::default()).unwrap();
        assert!(files.files.is_empty());
        assert_eq!(
            files.errors[0].to_string(),
            "plugins/big.rhai: the file has 1048577 bytes, more than 1048576 (make it smaller)"
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_in_circles_are_not_followed_for_ever() {
        let project = tempfile::tempdir().unwrap();
        let plugins = project.path().join("plugins");
        fs::create_dir(&plugins).unwrap();
        for name in ["a", "b", "c"] {
            std::os::unix::fs::symlink(".", plugins.join(name)).unwrap();
        }
        let files = ProjectFiles::read(project.path(), &ProjectFiles::default()).unwrap();
        assert_eq!(files.errors.len(), 3);
    }

    #[test]
    fn what_is_too_much_for_the_memory_is_left_out() {
        let project = tempfile::tempdir().unwrap();
        let data = project.path().join("plugins/pack/data");
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("0.bin"), "12345").unwrap();
        fs::write(data.join("1.bin"), "6").unwrap();
        let mut reader = super::Reader {
            root: project.path().canonicalize().unwrap(),
            previous: &ProjectFiles::default(),
            settled: None,
            is_full: false,
            found: ProjectFiles::default(),
            folders: 0,
            bytes: super::ALL_BYTES - 5,
        };
        reader.add_folder(&data, "plugins/pack/data", 0);
        assert_eq!(reader.found.files.len(), 1);
        assert_eq!(
            reader.found.errors[0].to_string(),
            "plugins/pack/data/1.bin: all files together have more than 536870912 bytes (make some \
             smaller)"
        );
    }
}
