//! Builds the chat element of web/ where Node.js and npm are there, for src/server/assets.rs to embed.
//!
//! Nothing is written outside of cargo's output folder, and nothing runs again until a source of web/ changes. Without npm, or
//! where its packages cannot be had, the build goes on, says so in one line, and the server has its plain page.
//! `KITFOX_WEB=skip` leaves it out, `KITFOX_WEB=require` fails where it cannot be built.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    fs,
    hash::{DefaultHasher, Hasher},
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// What the element is made of, in web/.
const SOURCES: &[&str] =
    &["package.json", "package-lock.json", "tsconfig.json", "build.mjs", "src", "kit"];

/// Compresses each file of a folder, beside it.
const COMPRESS: &str = r#"
const fs = require("node:fs"), path = require("node:path"), zlib = require("node:zlib");
const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT } = zlib.constants;
for (const name of fs.readdirSync(process.argv[1], { recursive: true })) {
  const file = path.join(process.argv[1], name);
  if (!fs.statSync(file).isFile()) continue;
  const bytes = fs.readFileSync(file);
  const params = { [BROTLI_PARAM_QUALITY]: 11, [BROTLI_PARAM_SIZE_HINT]: bytes.length };
  fs.writeFileSync(file + ".gz", zlib.gzipSync(bytes, { level: 9 }));
  fs.writeFileSync(file + ".br", zlib.brotliCompressSync(bytes, { params }));
}
"#;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let web = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("web");
    println!("cargo:rerun-if-env-changed=KITFOX_WEB");
    println!("cargo:rerun-if-changed=build.rs");
    // A path that is not there would have cargo run this every time.
    for source in SOURCES.iter().map(|it| web.join(it)).filter(|it| it.exists()) {
        println!("cargo:rerun-if-changed={}", source.display());
    }
    let wish = env::var_os("KITFOX_WEB").unwrap_or_default();
    let built =
        if wish == "skip" { Err("as KITFOX_WEB=skip says".to_owned()) } else { build(&web, &out) };
    let files = match built {
        Ok(dist) => files_below(&dist).expect("what was just built can be listed"),
        Err(why) => {
            assert!(wish != "require", "the chat element cannot be built: {why}");
            println!(
                "cargo:warning=the chat element of web/ is left out, and the server has its plain page: {why}"
            );
            Vec::new()
        }
    };
    fs::write(out.join("web.rs"), table(&files)).expect("cargo's output folder can be written to");
}

/// The folder that holds what the browser is to have, compressed as well.
fn build(web: &Path, out: &Path) -> Result<PathBuf, String> {
    if !web.join("package-lock.json").is_file() {
        return Err("there is no web/package-lock.json".to_owned());
    }
    let (work, dist) = (out.join("web"), out.join("dist"));
    let stamp = hash_of(web).map_err(|err| format!("web/ cannot be read: {err}"))?;
    let stamp_file = out.join("web.stamp");
    if fs::read(&stamp_file).is_ok_and(|it| it == stamp.as_bytes()) && dist.is_dir() {
        return Ok(dist);
    }
    let failed = |err: io::Error| format!("cargo's output folder cannot be written to: {err}");
    let _ = fs::remove_file(&stamp_file);
    for folder in [work.join("src"), work.join("kit"), dist.clone()] {
        match fs::remove_dir_all(&folder) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(failed(err)),
            Ok(()) | Err(_) => (),
        }
    }
    fs::create_dir_all(&work).map_err(failed)?;
    for source in SOURCES {
        copy(&web.join(source), &work.join(source)).map_err(failed)?;
    }
    install(&work)?;
    run(Command::new("node")
        .args(["build.mjs", "--quiet", "--out"])
        .arg(&dist)
        .current_dir(&work))?;
    run(Command::new("node").arg("-e").arg(COMPRESS).arg(&dist))?;
    fs::write(&stamp_file, stamp).map_err(failed)?;
    Ok(dist)
}

/// Has npm bring the packages of the lock file, unless they are there already.
fn install(work: &Path) -> Result<(), String> {
    let lock = fs::read(work.join("package-lock.json"))
        .map_err(|err| format!("web/package-lock.json cannot be read: {err}"))?;
    let installed = work.join("installed.json");
    if fs::read(&installed).is_ok_and(|it| it == lock) {
        return Ok(());
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let mut command = Command::new(npm);
    // What only tests need stays away, and no package runs anything. Where there is no network, that is soon clear.
    command
        .args(["ci", "--omit=dev", "--ignore-scripts", "--prefer-offline"])
        .args(["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"])
        .args(["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=30000"])
        .current_dir(work);
    run(&mut command)?;
    fs::write(installed, lock).map_err(|err| format!("the output folder is not writable: {err}"))
}

/// Fails with one line that says why.
fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|err| match err.kind() {
        io::ErrorKind::NotFound => format!("`{program}` is not installed"),
        _ => format!("`{program}` cannot be run: {err}"),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stderr, output.stdout].concat();
    let text = String::from_utf8_lossy(&text);
    let said = text.lines().map(str::trim).find(|it| it.to_lowercase().contains("error"));
    let said: String = said.unwrap_or_default().chars().take(200).collect();
    Err(format!("`{program}` failed: {said} (to try again: touch web/package.json)"))
}

fn hash_of(web: &Path) -> io::Result<String> {
    let mut hasher = DefaultHasher::new();
    hasher.write(COMPRESS.as_bytes());
    for source in SOURCES {
        let source = web.join(source);
        let files = if source.is_dir() { files_below(&source)? } else { vec![source] };
        for file in files.iter().filter(|it| it.is_file()) {
            let bytes = fs::read(file)?;
            hasher.write(file.as_os_str().as_encoded_bytes());
            hasher.write_usize(bytes.len());
            hasher.write(&bytes);
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_file() {
        return fs::copy(from, to).map(drop);
    }
    if !from.is_dir() || from.file_name() == Some(OsStr::new("node_modules")) {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// In one order everywhere.
fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name() != Some(OsStr::new("node_modules")) {
                files.extend(files_below(&path)?);
            }
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Rust's list of the files: path, bytes, the same by gzip and by Brotli.
fn table(files: &[PathBuf]) -> String {
    let mut table = "[\n".to_owned();
    for file in files {
        let is_compressed = file.extension().is_some_and(|it| it == "gz" || it == "br");
        let Some(name) = file.to_str().filter(|_| !is_compressed) else { continue };
        let path = name.rsplit_once("dist").map_or(name, |(_, path)| path).replace('\\', "/");
        writeln!(
            table,
            "({path:?}, include_bytes!({name:?}), include_bytes!({:?}), include_bytes!({:?})),",
            format!("{name}.gz"),
            format!("{name}.br"),
        )
        .expect("a string takes all");
    }
    table.push_str("]\n");
    table
}
