//! What the system says of this process. Where it says nothing (other systems than Linux), nothing is told.

use std::{fs, io};

/// How long a tick of the CPU's clock is: 100 a second, whatever the kernel's own clock is.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Process {
    pub resident_bytes: f64,
    pub open_files: f64,
    pub cpu_seconds: f64,
}

impl Process {
    /// As of now.
    #[expect(clippy::disallowed_methods, reason = "files of /proc are memory, not disk")]
    pub fn read() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let open_files = count("/proc/self/fd").unwrap_or_default();
        Some(Self {
            resident_bytes: resident(&status)?,
            open_files,
            cpu_seconds: cpu_ticks(&stat)? / TICKS_PER_SECOND,
        })
    }
}

/// How many files this process may have open.
#[expect(clippy::disallowed_methods, reason = "files of /proc are memory, not disk")]
pub fn most_open_files() -> Option<f64> {
    most_files(&fs::read_to_string("/proc/self/limits").ok()?)
}

fn count(folder: &str) -> io::Result<f64> {
    let count = fs::read_dir(folder)?.count();
    Ok(f64::from(u32::try_from(count).unwrap_or(u32::MAX)))
}

fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// In user and system mode: fields 14 and 15. What stands before them may hold spaces, in brackets.
fn cpu_ticks(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn most_files(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|it| it.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        soft => soft.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says_of_a_process_is_read() {
        assert_eq!(resident("Name:\tkitfox\nVmRSS:\t   2048 kB\n"), Some(2_097_152.0));
        let stat = "7 (kit (fox)) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 100 1 2";
        assert_eq!(cpu_ticks(stat), Some(300.0));
        let limits = "Limit Soft Hard Units\nMax open files            1024     4096   files\n";
        assert_eq!(most_files(limits), Some(1024.0));
        assert_eq!(most_files("Max open files  unlimited unlimited files"), Some(f64::INFINITY));
    }

    #[test]
    fn what_is_not_as_linux_has_it_is_nothing() {
        assert_eq!(resident("VmRSS: lots"), None);
        assert_eq!(cpu_ticks("7 (kitfox) S 1"), None);
        assert_eq!(most_files(""), None);
    }
}
