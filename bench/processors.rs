//! Processors of its own for the engine. What a process may use is inherited by what it starts, so it is set
//! before that.

/// The engine's processors, and everybody else's: half of them each.
#[cfg(target_os = "linux")]
pub struct Halves {
    engine: rustix::thread::CpuSet,
    others: rustix::thread::CpuSet,
}

#[cfg(target_os = "linux")]
impl Halves {
    /// None on a machine with one.
    pub fn of_machine() -> Option<Self> {
        use rustix::thread::{CpuSet, sched_getaffinity};
        let ours = sched_getaffinity(None).unwrap();
        let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| ours.is_set(*cpu)).collect();
        let (engine, others) = all.split_at(all.len() / 2);
        let set = |cpus: &[usize]| {
            let mut set = CpuSet::new();
            cpus.iter().for_each(|cpu| set.set(*cpu));
            set
        };
        (!engine.is_empty()).then(|| Self { engine: set(engine), others: set(others) })
    }

    /// What starts from here on is the engine.
    pub fn for_engine(&self) {
        use_only(&self.engine);
    }

    /// This process, and what it starts from here on.
    pub fn for_others(&self) {
        use_only(&self.others);
    }
}

/// All threads of this process; those to come inherit it.
#[cfg(target_os = "linux")]
fn use_only(processors: &rustix::thread::CpuSet) {
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let thread = task.unwrap().file_name().to_str().unwrap().parse().unwrap();
        // A thread may have ended since it was listed.
        let _ = rustix::thread::sched_setaffinity(rustix::thread::Pid::from_raw(thread), processors);
    }
}

/// Other systems do not let a process choose.
#[cfg(not(target_os = "linux"))]
pub struct Halves;

#[cfg(not(target_os = "linux"))]
impl Halves {
    pub fn of_machine() -> Option<Self> {
        None
    }

    pub fn for_engine(&self) {}

    pub fn for_others(&self) {}
}
