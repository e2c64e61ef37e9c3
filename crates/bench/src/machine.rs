//! The machine that is measured on: what it is, and whether it is free enough to compare anything.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

/// A machine with less of its time idle than this is busy: wall-clock figures would tell about its other work.
const IDLE_ENOUGH: f64 = 0.85;
/// How long is looked before the start.
const LOOK: Duration = Duration::from_millis(1500);

/// What was found out before the first run.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Processors that can be used.
    pub cores: usize,
    /// Share of all processors' time that was idle just before the start, 0 to 1.
    pub idle: f64,
    /// Load average of the last minute.
    pub load: f64,
    /// Name of the processor.
    pub processor: String,
    /// Kernel's name and release.
    pub kernel: String,
}

impl Machine {
    /// Looks at the machine for a moment.
    pub fn look() -> Self {
        let before = cpu_times(&fs::read_to_string("/proc/stat").unwrap_or_default());
        std::thread::sleep(LOOK);
        let after = cpu_times(&fs::read_to_string("/proc/stat").unwrap_or_default());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            idle: idle_share(before, after),
            load: load(),
            processor: processor(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        }
    }

    /// Tells whether something else works here, so that figures of one run and another must not be compared.
    pub fn is_busy(&self) -> bool {
        self.idle < IDLE_ENOUGH
    }

    /// Renders what is known.
    pub fn json(&self) -> Value {
        json!({
            "cores": self.cores, "idle_before": self.idle, "load_before": self.load, "load_after": load(),
            "busy": self.is_busy(), "processor": self.processor, "kernel": self.kernel,
        })
    }
}

/// Returns what a program answers to `--version`, in one line; none when it is not there.
pub fn version_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Returns the processor time of a process in seconds, its user and kernel time together; none when it is gone.
pub fn process_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may hold spaces.
    let rest = &stat[stat.rfind(')')? + 2..];
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

/// Returns the resident memory of a process in bytes; none when it is gone.
pub fn process_memory(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// Lets this process and those that it starts hold as many files and sockets as the system allows, and returns how many that
/// is.
pub fn raise_open_files() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
}

/// Returns the time of the clock that all processes of the machine share, in nanoseconds.
pub fn monotonic_ns() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map(Duration::from);
    time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or_else(|| "unknown".to_owned(), |line| line.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// Reads idle and whole time out of `/proc/stat`. Time that the hypervisor gave to others counts as not idle.
fn cpu_times(stat: &str) -> (u64, u64) {
    let Some(line) = stat.lines().find(|line| line.starts_with("cpu ")) else { return (0, 0) };
    let fields: Vec<u64> = line.split_ascii_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; the guest fields are in user and nice already.
    let whole = fields.iter().take(8).sum();
    let idle = fields.get(3).copied().unwrap_or(0) + fields.get(4).copied().unwrap_or(0);
    (idle, whole)
}

fn idle_share(before: (u64, u64), after: (u64, u64)) -> f64 {
    let (idle, whole) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    #[expect(clippy::cast_precision_loss, reason = "ticks of a moment are few")]
    let share = idle as f64 / whole.max(1) as f64;
    if whole == 0 { 0.0 } else { share }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(idle: f64) -> Machine {
        Machine { cores: 2, idle, load: 0.0, processor: String::new(), kernel: String::new() }
    }

    #[test]
    fn idle_time_is_told_from_the_rest() {
        let before = cpu_times("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3 4\n");
        let after = cpu_times("cpu  150 0 125 750 100 0 0 25 0 0\n");
        assert_eq!(before, (800, 1000));
        assert!((idle_share(before, after) - 50.0 / 150.0).abs() < 1e-9);
    }

    #[test]
    fn a_machine_without_figures_counts_as_busy() {
        assert!(machine(idle_share(cpu_times(""), cpu_times(""))).is_busy());
    }

    #[test]
    fn a_machine_is_busy_when_too_little_of_it_is_idle() {
        assert!(machine(0.5).is_busy() && machine(0.84).is_busy());
        assert!(!machine(0.9).is_busy() && !machine(1.0).is_busy());
    }

    #[test]
    fn the_shared_clock_goes_forward_and_this_process_has_used_time() {
        let before = monotonic_ns();
        assert!(before > 0 && monotonic_ns() >= before);
        assert!(process_seconds(std::process::id()).is_some());
        assert!(process_seconds(u32::MAX).is_none());
        assert!(process_memory(std::process::id()).is_some_and(|bytes| bytes > 1e6));
        assert!(process_memory(u32::MAX).is_none());
    }
}
