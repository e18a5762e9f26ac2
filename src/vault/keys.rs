//! The keys of the vault: in a file beside the project or in the environment, never in the database.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretBox};
use tracing::{info, warn};

use crate::chatkit::now;

use super::VaultError;

/// The environment variable that may hold the keys.
pub const VARIABLE: &str = "KITFOX_KEYS";

const HEADER: &str = "\
# The keys of what users entrusted to this server: whoever has this file and the database has it all.
# The last key seals, the others open what was sealed with them: `kitfox keys rotate` adds one and seals
# everything anew, `kitfox keys list` shows which are still needed.
";

/// A key and what it is called where it was used.
#[derive(Clone)]
pub struct Key {
    pub id: String,
    secret: Arc<SecretBox<[u8; 32]>>,
}

/// Keys, the newest last. Never empty.
#[derive(Clone)]
pub struct KeyRing(Vec<Key>);

/// Where the keys are.
pub struct Keys {
    place: Place,
    /// Whether a missing file is made when a key is needed.
    make: bool,
    loaded: Mutex<Option<Loaded>>,
}

enum Place {
    /// The text of [`VARIABLE`].
    Variable(SecretBox<String>),
    File(PathBuf),
}

#[derive(Clone)]
struct Loaded {
    ring: KeyRing,
    /// Of the file that it was read from.
    version: Option<(SystemTime, u64)>,
}

impl Key {
    pub fn generate() -> Self {
        let date = now().strftime("%Y-%m-%d").to_string();
        let [a, b, c] = rand::random::<[u8; 3]>();
        Self {
            id: format!("{date}-{a:02x}{b:02x}{c:02x}"),
            secret: Arc::new(SecretBox::init_with_mut(|it: &mut [u8; 32]| rand::fill(it))),
        }
    }

    pub fn expose(&self) -> &[u8; 32] {
        self.secret.expose_secret()
    }

    /// As it stands in the file.
    pub fn line(&self) -> SecretBox<String> {
        let line = format!("{}:{}", self.id, URL_SAFE_NO_PAD.encode(self.expose()));
        SecretBox::new(Box::new(line))
    }

    fn parse(line: &str) -> Option<Self> {
        let (id, secret) = line.split_once([':', ' ', '\t'])?;
        let is_id = (1..=64).contains(&id.len())
            && id.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it));
        let secret = secret.trim().trim_end_matches('=');
        let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(secret).ok()?.try_into().ok()?;
        is_id.then(|| Self { id: id.to_owned(), secret: Arc::new(SecretBox::new(Box::new(bytes))) })
    }
}

impl KeyRing {
    /// `ID:KEY` on each line, or with commas between them. None where there is no key at all.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        let mut keys: Vec<Key> = Vec::new();
        let mut number = 0;
        for line in text.lines() {
            if line.trim_start().starts_with('#') {
                continue;
            }
            for entry in line.split(',').map(str::trim).filter(|it| !it.is_empty()) {
                number += 1;
                let Some(key) = Key::parse(entry) else {
                    return Err(format!(
                        "its entry {number} is no key, which is `ID:` and 32 bytes in base64url"
                    ));
                };
                if keys.iter().any(|it| it.id == key.id) {
                    return Err(format!("it holds the key `{}` twice", key.id));
                }
                keys.push(key);
            }
        }
        Ok((!keys.is_empty()).then_some(Self(keys)))
    }

    pub fn newest(&self) -> &Key {
        self.0.last().expect("a ring without keys is not made")
    }

    pub fn find(&self, id: &str) -> Option<&Key> {
        self.0.iter().find(|it| it.id == id)
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|it| it.id.as_str())
    }
}

impl Keys {
    /// Those of `variable`, which is what [`VARIABLE`] holds, else those in `file`. `make`: a missing file is made when a
    /// key is needed.
    pub fn new(variable: Option<&str>, file: PathBuf, make: bool) -> Self {
        let place = match variable.filter(|it| !it.trim().is_empty()) {
            Some(text) => Place::Variable(SecretBox::new(Box::new(text.to_owned()))),
            None => Place::File(file),
        };
        Self { place, make, loaded: Mutex::new(None) }
    }

    /// As they are now: a file that changed is read again.
    pub async fn load(self: &Arc<Self>) -> Result<KeyRing, VaultError> {
        let keys = self.clone();
        blocking(move || keys.load_now()).await
    }

    /// Adds a new key, which seals from now on. Fails where the keys are not in a file.
    pub async fn add(self: &Arc<Self>) -> Result<KeyRing, VaultError> {
        let keys = self.clone();
        blocking(move || match &keys.place {
            Place::Variable(_) => Err(VaultError::NoKeys(format!(
                "the keys are in `{VARIABLE}`, which only you can change: add one at its end"
            ))),
            Place::File(path) => {
                append(path, Existing::Keep).map_err(|err| cannot_write(path, &err))
            }
        })
        .await
    }

    /// Whether a value could be sealed now: with a key that is there, or one that would be made.
    pub fn check(&self) -> Result<(), VaultError> {
        if self.make {
            return Ok(());
        }
        self.load_now().map(|_| ())
    }

    fn load_now(&self) -> Result<KeyRing, VaultError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let path = match &self.place {
            Place::Variable(text) => {
                if let Some(loaded) = &*loaded {
                    return Ok(loaded.ring.clone());
                }
                let ring = KeyRing::parse(text.expose_secret())
                    .and_then(|it| it.ok_or_else(|| "it holds no key".to_owned()))
                    .map_err(|problem| {
                        VaultError::NoKeys(format!("`{VARIABLE}` cannot be used: {problem}"))
                    })?;
                *loaded = Some(Loaded { ring: ring.clone(), version: None });
                return Ok(ring);
            }
            Place::File(path) => path,
        };
        let version = fs::metadata(path).ok().and_then(|it| Some((it.modified().ok()?, it.len())));
        if let Some(loaded) =
            loaded.as_ref().filter(|it| version.is_some() && it.version == version)
        {
            return Ok(loaded.ring.clone());
        }
        let ring = match read(path) {
            Ok(Some(ring)) => ring,
            Ok(None) if self.make => {
                let ring =
                    append(path, Existing::Enough).map_err(|err| cannot_write(path, &err))?;
                info!(file = %name(path), "made {} with a key for what users entrust to this server: keep it", name(path));
                ring
            }
            Ok(None) => {
                return Err(VaultError::NoKeys(format!(
                    "there is no key for what users entrust to this server: make {} with `kitfox keys new`, or set \
                     `{VARIABLE}`",
                    name(path)
                )));
            }
            Err(err) => {
                return Err(VaultError::NoKeys(format!("{} cannot be used: {err}", name(path))));
            }
        };
        *loaded = Some(Loaded { ring: ring.clone(), version });
        Ok(ring)
    }
}

fn cannot_write(path: &Path, err: &io::Error) -> VaultError {
    VaultError::NoKeys(format!("{} cannot be written: {err}", name(path)))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, VaultError> {
    let task = tokio::task::spawn_blocking(work);
    task.await.unwrap_or_else(|_| Err(VaultError::NoKeys("the keys could not be read".to_owned())))
}

/// None: there is no file, or no key in it.
fn read(path: &Path) -> io::Result<Option<KeyRing>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(err),
    };
    // Where there are no locks, nobody writes meanwhile.
    let _ = file.lock_shared();
    warn_of_readers(path, &file);
    read_open(&mut file)
}

fn read_open(file: &mut File) -> io::Result<Option<KeyRing>> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    KeyRing::parse(&text).map_err(|problem| io::Error::new(io::ErrorKind::InvalidData, problem))
}

/// What becomes of a file that holds keys already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    /// They stay, and a new one is added.
    Keep,
    /// They will do: somebody was faster.
    Enough,
}

fn append(path: &Path, existing: Existing) -> io::Result<KeyRing> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    // Two that add at one time must not lose each other's key.
    let _ = file.lock();
    let ring = read_open(&mut file)?;
    if let (Some(ring), Existing::Enough) = (&ring, existing) {
        return Ok(ring.clone());
    }
    let mut text = String::new();
    if file.stream_position()? == 0 {
        text.push_str(HEADER);
    }
    let key = Key::generate();
    // A line that somebody else ended without a line break is not gone on with.
    let _ = writeln!(text, "\n{}", key.line().expose_secret());
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let mut keys = ring.map_or_else(Vec::new, |it| it.0);
    keys.push(key);
    Ok(KeyRing(keys))
}

#[cfg(unix)]
fn warn_of_readers(path: &Path, file: &File) {
    use std::os::unix::fs::PermissionsExt;

    if file.metadata().is_ok_and(|it| it.permissions().mode() & 0o077 != 0) {
        warn!(file = %name(path), "others on this machine can read {}: take that from them with `chmod 600`", name(path));
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path, _: &File) {}

/// The file's name: its folder is not everyone's business.
fn name(path: &Path) -> String {
    format!("`{}`", path.file_name().unwrap_or(path.as_os_str()).to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_written_down_is_the_same_key() {
        let key = Key::generate();
        let ring = KeyRing::parse(&format!("# comment\n\n{}\n", key.line().expose_secret()))
            .unwrap()
            .unwrap();
        assert_eq!(ring.newest().id, key.id);
        assert_eq!(ring.newest().expose(), key.expose());
    }

    #[test]
    fn the_last_key_is_the_newest_and_the_others_are_found() {
        let keys = [Key::generate(), Key::generate()];
        let lines = keys.iter().map(|it| it.line().expose_secret().clone()).collect::<Vec<_>>();
        let ring = KeyRing::parse(&lines.join(",")).unwrap().unwrap();
        assert_eq!(ring.newest().id, keys[1].id);
        assert_eq!(ring.find(&keys[0].id).unwrap().expose(), keys[0].expose());
        assert!(ring.find("another").is_none());
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let good = Key::generate().line().expose_secret().clone();
        let twice = format!("{good}\n{good}");
        for text in ["justonething", "a:dG9vIHNob3J0", "a b:notakeyatall", &twice] {
            let problem = KeyRing::parse(text).err().expect(text);
            let (_, secret) = text.split_once(':').unwrap_or(("", "justonething"));
            assert!(!problem.contains(secret), "{problem}");
        }
        assert!(KeyRing::parse(" \n# nothing\n").unwrap().is_none());
    }

    #[tokio::test]
    async fn a_file_is_made_once_and_only_where_that_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kitfox.keys");
        let strict = Arc::new(Keys::new(None, path.clone(), false));
        let problem = strict.load().await.err().unwrap().to_string();
        assert!(problem.contains("kitfox keys new"), "{problem}");
        assert!(strict.check().is_err());

        let keys = Arc::new(Keys::new(Some(" "), path.clone(), true));
        let others = Arc::new(Keys::new(None, path.clone(), true));
        let (first, second) = tokio::join!(keys.load(), others.load());
        let first = first.unwrap().newest().id.clone();
        assert_eq!(first, second.unwrap().newest().id);
        assert_eq!(strict.load().await.unwrap().newest().id, first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[tokio::test]
    async fn a_key_that_another_process_adds_is_in_force_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kitfox.keys");
        let server = Arc::new(Keys::new(None, path.clone(), true));
        let before = server.load().await.unwrap();
        let tool = Arc::new(Keys::new(None, path, false));
        let added = tool.add().await.unwrap();
        let after = server.load().await.unwrap();
        assert_eq!(after.newest().id, added.newest().id);
        assert!(after.find(&before.newest().id).is_some());
    }

    #[tokio::test]
    async fn keys_of_the_environment_are_the_operators_to_change() {
        let line = Key::generate().line().expose_secret().clone();
        let keys = Arc::new(Keys::new(Some(&line), PathBuf::from("/nowhere/kitfox.keys"), true));
        assert!(line.starts_with(&keys.load().await.unwrap().newest().id));
        assert!(keys.add().await.err().unwrap().to_string().contains("KITFOX_KEYS"));
        let wrong = Arc::new(Keys::new(Some("nonsense"), PathBuf::from("x"), true));
        assert!(wrong.load().await.is_err());
    }
}
