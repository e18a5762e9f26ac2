use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::anyhow;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use jiff::Timestamp;
use object_store::{
    ObjectStore, ObjectStoreExt, ObjectStoreScheme, RetryConfig, aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder, buffered::BufWriter, gcp::GoogleCloudStorageBuilder,
    local::LocalFileSystem, path::Path as ObjectPath,
};
use tokio::{fs, io::AsyncWriteExt, sync::OnceCell};
use tracing::error;
use url::Url;

use super::StoreError;

/// The bytes of attachments, each under its key, in a folder or a bucket. Clones share the connection.
#[derive(Clone)]
pub struct Blobs(Arc<Result<Place, String>>);

/// Bytes on their way in. Until [`Self::finish`] there is nothing under the key.
pub struct BlobWriter(BufWriter);

/// Bytes on their way out.
pub struct BlobReader {
    pub size: u64,
    pub bytes: BoxStream<'static, Result<Bytes, StoreError>>,
}

enum Place {
    Folder(Folder),
    Bucket { objects: Arc<dyn ObjectStore>, prefix: ObjectPath },
}

/// A folder, which is made when it is first needed.
struct Folder {
    path: PathBuf,
    objects: OnceCell<Arc<dyn ObjectStore>>,
}

const REMEDY: &str = "use `file://attachments`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or \
    `az://CONTAINER/PREFIX` as `attachments` in `[store]`";

/// What is held of an upload before it is written: buckets take no smaller parts.
const BUCKET_PART: usize = 5 << 20;
const FOLDER_PART: usize = 256 << 10;

impl Blobs {
    /// The place that `url` names, a folder relative to `project`. Where it cannot be used, this is there
    /// all the same, and says why at each use.
    pub fn open(url: &str, project: &Path) -> Self {
        Self(Arc::new(Place::open(url, project)))
    }

    /// No place at all.
    pub fn none() -> Self {
        Self(Arc::new(Err("there is no place for attachments".to_owned())))
    }

    /// Why the configured place can never be used, if so.
    pub fn problem(&self) -> Option<&str> {
        self.0.as_ref().as_ref().err().map(String::as_str)
    }

    /// Fails with the reason where nothing could be stored now. A bucket is not asked.
    pub async fn check(&self) -> Result<(), String> {
        match self.0.as_ref() {
            Err(problem) => Err(problem.clone()),
            Ok(Place::Folder(folder)) => folder.check().await,
            Ok(Place::Bucket { .. }) => Ok(()),
        }
    }

    pub async fn write(&self, key: &str) -> Result<BlobWriter, StoreError> {
        let place = self.place()?;
        let objects = place.objects().await?;
        let writer = BufWriter::with_capacity(objects, place.path(key)?, place.part_bytes());
        Ok(BlobWriter(writer.with_max_concurrency(1)))
    }

    pub async fn open_blob(&self, key: &str) -> Result<BlobReader, StoreError> {
        let place = self.place()?;
        let found = place.objects().await?.get(&place.path(key)?).await.map_err(failed)?;
        Ok(BlobReader { size: found.meta.size, bytes: found.into_stream().map_err(failed).boxed() })
    }

    /// Its bytes, or as many of them as `most`.
    pub async fn read(&self, key: &str, most: u64) -> Result<Bytes, StoreError> {
        let mut reader = self.open_blob(key).await?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut begin = BytesMut::new();
        while begin.len() < most
            && let Some(bytes) = reader.bytes.try_next().await?
        {
            begin.extend_from_slice(&bytes);
        }
        begin.truncate(most);
        Ok(begin.freeze())
    }

    /// One that is gone already is as good.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let place = self.place()?;
        match place.objects().await?.delete(&place.path(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(err) => Err(failed(err)),
        }
    }

    /// The keys below `folder` of what was written before `time`.
    pub async fn list(
        &self,
        folder: &str,
        time: Timestamp,
    ) -> Result<BoxStream<'static, Result<String, StoreError>>, StoreError> {
        let place = self.place()?;
        if let Place::Folder(place) = place {
            if !fs::try_exists(place.path.join(folder)).await.unwrap_or(false) {
                return Ok(futures::stream::empty().boxed());
            }
            place.remove_unfinished(folder, time).await;
        }
        let prefix = place.path(folder)?;
        let folder = folder.to_owned();
        let objects = place.objects().await?;
        let keys = objects.list(Some(&prefix)).map_err(failed).try_filter_map(move |object| {
            let is_old = object.last_modified.timestamp() < time.as_second();
            let key = object.location.filename().map(|name| format!("{folder}/{name}"));
            async move { Ok(key.filter(|_| is_old)) }
        });
        Ok(keys.boxed())
    }

    fn place(&self) -> Result<&Place, StoreError> {
        self.0.as_ref().as_ref().map_err(|problem| StoreError::Unavailable(problem.clone()))
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blobs").finish_non_exhaustive()
    }
}

impl BlobWriter {
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.0.put(bytes).await.map_err(failed)
    }

    pub async fn finish(mut self) -> Result<(), StoreError> {
        self.0.shutdown().await.map_err(|err| {
            error!("an attachment could not be stored: {err}");
            unavailable()
        })
    }

    /// Leaves nothing behind.
    pub async fn abort(mut self) {
        if let Err(err) = self.0.abort().await {
            error!("the rest of an upload could not be taken away: {err}");
        }
    }
}

impl Place {
    fn open(url: &str, project: &Path) -> Result<Self, String> {
        if let Some(path) = url.strip_prefix("file://") {
            if path.is_empty() || path.contains(['?', '#', '\0']) {
                return Err(format!("`{url}` names no folder: {REMEDY}"));
            }
            let path = project.join(path);
            return Ok(Self::Folder(Folder { path, objects: OnceCell::new() }));
        }
        let parsed = Url::parse(url)
            .map_err(|_| format!("`attachments` in `[store]` is no URL of a place: {REMEDY}"))?;
        let scheme = parsed.scheme().to_owned();
        let wrong = |err: &dyn fmt::Display| {
            format!(
                "`attachments` in `[store]` names a `{scheme}:` place that cannot be used: {err}"
            )
        };
        let (kind, prefix) = ObjectStoreScheme::parse(&parsed)
            .map_err(|_| format!("`{scheme}:` is no place for attachments: {REMEDY}"))?;
        // Their connections need it; it fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let objects: Arc<dyn ObjectStore> = match kind {
            ObjectStoreScheme::AmazonS3 => Arc::new(
                AmazonS3Builder::from_env()
                    .with_url(url)
                    .with_retry(retry())
                    .build()
                    .map_err(|err| wrong(&err))?,
            ),
            ObjectStoreScheme::GoogleCloudStorage => Arc::new(
                GoogleCloudStorageBuilder::from_env()
                    .with_url(url)
                    .with_retry(retry())
                    .build()
                    .map_err(|err| wrong(&err))?,
            ),
            ObjectStoreScheme::MicrosoftAzure => Arc::new(
                MicrosoftAzureBuilder::from_env()
                    .with_url(url)
                    .build()
                    .map_err(|err| wrong(&err))?,
            ),
            // Not ours: the enumeration may grow.
            _ => return Err(format!("`{scheme}:` is no place for attachments: {REMEDY}")),
        };
        Ok(Self::Bucket { objects, prefix })
    }

    async fn objects(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        match self {
            Self::Folder(folder) => folder.objects().await,
            Self::Bucket { objects, .. } => Ok(objects.clone()),
        }
    }

    fn path(&self, key: &str) -> Result<ObjectPath, StoreError> {
        let path = match self {
            Self::Folder(_) => ObjectPath::parse(key),
            Self::Bucket { prefix, .. } => ObjectPath::parse(format!("{prefix}/{key}")),
        };
        path.map_err(|err| StoreError::Failed(anyhow!(err)))
    }

    const fn part_bytes(&self) -> usize {
        match self {
            Self::Folder(_) => FOLDER_PART,
            Self::Bucket { .. } => BUCKET_PART,
        }
    }
}

/// Somebody waits.
fn retry() -> RetryConfig {
    RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(20), ..RetryConfig::default() }
}

impl Folder {
    async fn objects(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let open = async || {
            let mut builder = fs::DirBuilder::new();
            // For nobody else to read.
            #[cfg(unix)]
            builder.mode(0o700);
            builder.recursive(true).create(&self.path).await.map_err(|err| {
                error!("the folder of attachments cannot be made: {err}");
                unavailable()
            })?;
            let objects = LocalFileSystem::new_with_prefix(&self.path).map_err(failed)?;
            Ok(Arc::new(objects) as Arc<dyn ObjectStore>)
        };
        self.objects.get_or_try_init(open).await.cloned()
    }

    /// Without the path: it is told to clients.
    async fn check(&self) -> Result<(), String> {
        let existing = async |path: &Path| fs::metadata(path).await.ok();
        for path in self.path.ancestors() {
            match existing(path).await {
                Some(metadata) if metadata.is_dir() && !metadata.permissions().readonly() => {
                    return Ok(());
                }
                Some(metadata) if metadata.is_dir() => {
                    return Err("the folder of attachments cannot be written".to_owned());
                }
                Some(_) => return Err("the folder of attachments is a file".to_owned()),
                None => (),
            }
        }
        Err("the folder of attachments cannot be made".to_owned())
    }

    /// What an upload wrote in a process that was killed: lists do not name it.
    async fn remove_unfinished(&self, folder: &str, time: Timestamp) {
        let Ok(mut entries) = fs::read_dir(self.path.join(folder)).await else { return };
        let since_epoch = u64::try_from(time.as_second()).unwrap_or_default();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch);
        while let Ok(Some(entry)) = entries.next_entry().await {
            if !entry.file_name().to_string_lossy().contains('#') {
                continue;
            }
            let modified = entry.metadata().await.and_then(|it| it.modified());
            if modified.is_ok_and(|it| it < time)
                && let Err(err) = fs::remove_file(entry.path()).await
            {
                error!("the rest of an upload could not be taken away: {err}");
            }
        }
    }
}

/// Why is logged here: clients and plugins may not see addresses and paths.
fn failed(err: object_store::Error) -> StoreError {
    match err {
        object_store::Error::NotFound { .. } => StoreError::NotFound,
        err => {
            error!("the place of attachments failed: {err}");
            unavailable()
        }
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("the place of attachments is not available".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(url: &str) -> String {
        let blobs = Blobs::open(url, Path::new("/project"));
        blobs.problem().unwrap_or("none").to_owned()
    }

    #[test]
    fn a_url_that_is_no_place_says_what_to_write() {
        for (url, problem_begins) in [
            ("attachments", "`attachments` in `[store]` is no URL of a place: use "),
            ("file://", "`file://` names no folder: use "),
            ("ftp://a/b", "`ftp:` is no place for attachments: use "),
            ("memory:///", "`memory:` is no place for attachments: use "),
            ("https://example.org/x", "`https:` is no place for attachments: use "),
        ] {
            let problem = problem(url);
            assert!(problem.starts_with(problem_begins), "{problem}");
            assert!(problem.ends_with("as `attachments` in `[store]`"), "{problem}");
        }
        for url in
            ["file://attachments", "file:///var/lib/kitfox", "s3://bucket/prefix", "gs://bucket"]
        {
            // Without credentials those of the machine are asked for when they are needed.
            assert_eq!(problem(url), "none", "{url}");
        }
    }

    #[tokio::test]
    async fn what_is_written_is_there_when_it_is_finished_and_never_before() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open("file://a/b", folder.path());
        blobs.check().await.unwrap();
        let mut writer = blobs.write("x/1").await.unwrap();
        let part = Bytes::from(vec![7; FOLDER_PART]);
        writer.write(part.clone()).await.unwrap();
        writer.write(part.clone()).await.unwrap();
        assert!(matches!(blobs.open_blob("x/1").await, Err(StoreError::NotFound)));
        writer.finish().await.unwrap();
        assert_eq!(blobs.read("x/1", u64::MAX).await.unwrap().len(), 2 * FOLDER_PART);
        assert_eq!(blobs.read("x/1", 3).await.unwrap(), [7; 3][..]);
        blobs.delete("x/1").await.unwrap();
        blobs.delete("x/1").await.unwrap();
        assert!(matches!(blobs.open_blob("x/1").await, Err(StoreError::NotFound)));
    }

    #[tokio::test]
    async fn an_upload_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open("file://a", folder.path());
        let mut writer = blobs.write("x/1").await.unwrap();
        for _ in 0..4 {
            writer.write(Bytes::from(vec![7; FOLDER_PART])).await.unwrap();
        }
        writer.abort().await;
        let left = std::fs::read_dir(folder.path().join("a/x")).unwrap().count();
        assert_eq!(left, 0);
    }
}
