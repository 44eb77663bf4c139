//! The machine: what it is, and what a process has used of it.

use std::collections::BTreeMap;
use std::fs;
use std::thread;

use chrono::NaiveDate;

/// The kernel counts CPU time in hundredths of a second.
const TICK_MICROS: u64 = 10_000;

/// What the figures hold for.
pub struct Machine {
    pub cores: usize,
    pub processor: String,
    pub memory_mib: u64,
    pub kernel: String,
    pub postgres: String,
    pub file_system: String,
    pub day: NaiveDate,
}

impl Machine {
    pub fn new(postgres: String, data_directory: &str, day: NaiveDate) -> Self {
        let processors = read("/proc/cpuinfo");
        let processor = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            processor: processor.map_or("unknown", |(_, name)| name).to_owned(),
            memory_mib: memory_kib() / 1024,
            // Without what a distribution appends.
            kernel: read("/proc/sys/kernel/osrelease")
                .trim()
                .split('-')
                .next()
                .unwrap_or_default()
                .to_owned(),
            postgres,
            file_system: file_system(data_directory),
            day,
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The memory of the machine.
pub fn memory_kib() -> u64 {
    kib(&read("/proc/meminfo"), "MemTotal:").expect("Linux tells its memory")
}

/// The most memory that a process had at a time.
pub fn peak_memory_kib(pid: u32) -> u64 {
    kib(&read(&format!("/proc/{pid}/status")), "VmHWM:").expect("a running process has memory")
}

fn kib(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

/// The type of the file system that a directory is on.
fn file_system(directory: &str) -> String {
    let mounts = read("/proc/mounts");
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind) = (fields.next()?, fields.next()?);
        let is_above = directory.strip_prefix(path.trim_end_matches('/'))?.starts_with('/');
        is_above.then(|| (path.len(), kind.to_owned()))
    };
    mounts
        .lines()
        .filter_map(mount)
        .max_by_key(|(length, _)| *length)
        .map_or("unknown".to_owned(), |(_, kind)| kind)
}

/// The CPU times of a process, from `/proc/PID/stat`.
struct Stat {
    parent: u32,
    own_ticks: u64,
    /// Of children that have ended.
    children_ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything, also brackets.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own_ticks: ticks(11)? + ticks(12)?,
        children_ticks: ticks(13)? + ticks(14)?,
    })
}

pub fn parent(pid: u32) -> u32 {
    stat(pid).expect("a running process").parent
}

/// CPU time of a process, in microseconds.
pub fn cpu_micros(pid: u32) -> u64 {
    stat(pid).expect("a running process").own_ticks * TICK_MICROS
}

/// CPU time of a process and of all children that it ever had.
pub fn family_cpu_micros(pid: u32) -> u64 {
    let parent = stat(pid).expect("a running process");
    let pids = fs::read_dir("/proc").expect("Linux").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let stats: BTreeMap<u32, Stat> = pids.filter_map(|pid| Some((pid, stat(pid)?))).collect();
    let children = stats.values().filter(|stat| stat.parent == pid);
    let ticks = children.map(|stat| stat.own_ticks + stat.children_ticks).sum::<u64>();
    (parent.own_ticks + parent.children_ticks + ticks) * TICK_MICROS
}
